//! Datastores in PostgreSQL.

use std::time::Duration;

use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};

use crate::cells::{Cells, Value};
use crate::database::{Reader, select};
use crate::postgres_tls::Tls;
use crate::source::PostgresOptions;
use crate::table::{Column, Kind, Table};
use crate::{Database, ReadError};

/// Until the database answers, where the URL names no other time.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Reads all of it in one transaction that sees one moment and may not write.
pub(crate) async fn read(config: &Config, options: &PostgresOptions) -> Result<Database, ReadError> {
    let mut config = config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_MAX);
    }
    if let (None, Some(password)) = (config.get_password(), &options.password) {
        config.password(password);
    }
    config.application_name("steeple-server import");
    let tls = Tls::new(options.root_ca_path.as_deref())?;
    let (client, connection) = config.connect(tls).await.map_err(|error| failed(&error))?;
    // It ends when the client is dropped; its errors come out of the client's calls too.
    let connection = tokio::spawn(connection);
    let mut reader = PostgresReader { client };
    reader.client.batch_execute(BEGIN).await.map_err(|error| failed(&error))?;
    let in_use = reader.number(OTHERS).await? > 0;
    let database = Database::read(&mut reader, in_use).await;
    drop(reader);
    connection.abort();
    database
}

struct PostgresReader {
    client: Client,
}

impl Reader for PostgresReader {
    async fn columns(&mut self) -> Result<Vec<(String, String)>, ReadError> {
        let rows = self.query(COLUMNS).await?;
        let name = |row: &SimpleQueryRow, at| row.get(at).unwrap_or_default().to_owned();
        Ok(rows.iter().map(|row| (name(row, 0), name(row, 1))).collect())
    }

    async fn rows(&mut self, table: &'static Table, present: &[Column]) -> Result<Vec<Cells>, ReadError> {
        let query = select(table, present, |column| match column.kind {
            Kind::Blob => format!("encode(\"{}\", 'hex')", column.name),
            Kind::Bool => format!("\"{}\"::int", column.name),
            Kind::Integer | Kind::Text => format!("\"{}\"", column.name),
            Kind::Time => format!("floor(extract(epoch from \"{}\"))::bigint", column.name),
        });
        let rows = self.query(&query).await?;
        rows.iter().map(|row| cells(table, row)).collect()
    }
}

impl PostgresReader {
    /// By the simple protocol, which gives every column as text: no type of the database needs to be known.
    async fn query(&self, query: &str) -> Result<Vec<SimpleQueryRow>, ReadError> {
        let messages = self.client.simple_query(query).await.map_err(|error| failed(&error))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    async fn number(&self, query: &str) -> Result<i64, ReadError> {
        let rows = self.query(query).await?;
        Ok(rows.first().and_then(|row| row.get(0)?.parse().ok()).unwrap_or(0))
    }
}

fn cells(table: &'static Table, row: &SimpleQueryRow) -> Result<Cells, ReadError> {
    let values = table.columns.iter().enumerate().map(|(at, column)| {
        let Some(text) = row.get(at) else { return Ok(Value::Null) };
        let wrong = || ReadError::Cell { table: table.name, column: column.name, found: "something else".to_owned() };
        match column.kind {
            Kind::Blob => hex::decode(text).map(Value::Blob).map_err(|_| wrong()),
            Kind::Bool | Kind::Integer | Kind::Time => text.parse().map(Value::Integer).map_err(|_| wrong()),
            Kind::Text => Ok(Value::Text(text.to_owned())),
        }
    });
    Ok(Cells::new(table, values.collect::<Result<_, _>>()?))
}

/// With its causes: the outer text alone says little.
fn failed(error: &tokio_postgres::Error) -> ReadError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    ReadError::Postgres(text)
}

const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
const COLUMNS: &str = "SELECT table_name, column_name FROM information_schema.columns \
                       WHERE table_schema = ANY (current_schemas(false))";
/// Other clients of the database: SPIRE keeps its connections open.
const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
