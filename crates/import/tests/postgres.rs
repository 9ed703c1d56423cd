//! The dump in a PostgreSQL of its own gives the same records. Without PostgreSQL's programs this is not run.

mod support;

use std::path::Path;

use rusqlite::types::ValueRef;
use steeple_core::{Timestamp, TrustDomain};
use steeple_import::{PostgresOptions, Source, plan};
use steeple_testkit::Postgres;
use support::{DUMP, keys, read, sqlite_of};

struct Database {
    /// Held open: another connection is another user of the database.
    client: tokio_postgres::Client,
    postgres: Postgres,
}

impl Database {
    async fn start() -> Option<Self> {
        let mut postgres = Postgres::prepare("spire").unwrap()?;
        postgres.start(&[]).await.unwrap();
        let config = format!("host={} user=spire dbname=postgres", postgres.data().display());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Some(Self { client, postgres })
    }

    fn source(&self) -> Source {
        let data = self.postgres.data();
        format!("postgres:host={} user=spire dbname=postgres", data.display()).parse().unwrap()
    }
}

/// The tables of the SQLite file at `path`, with the types that SPIRE gives them in PostgreSQL.
fn as_postgres(path: &Path) -> String {
    let sqlite = rusqlite::Connection::open(path).unwrap();
    let mut sql = String::new();
    let mut tables = sqlite.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
    let tables = tables.as_mut().unwrap().query_map([], |row| row.get::<_, String>(0)).unwrap();
    for table in tables.map(Result::unwrap) {
        let mut columns = sqlite.prepare(&format!("SELECT name, type FROM pragma_table_info('{table}')")).unwrap();
        let columns = columns.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        // SQLite tells the names of some types in capitals.
        let columns: Vec<(String, String)> =
            columns.map(Result::unwrap).map(|(name, kind)| (name, kind.to_lowercase())).collect();
        let declared = columns.iter().map(|(name, kind)| {
            let kind = match kind.as_str() {
                "blob" => "bytea",
                "bool" => "boolean",
                "datetime" => "timestamp with time zone",
                other => other,
            };
            format!("\"{name}\" {kind}")
        });
        sql += &format!("CREATE TABLE \"{table}\" ({});\n", declared.collect::<Vec<_>>().join(", "));
        let mut rows = sqlite.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = columns.iter().enumerate().map(|(at, (_, kind))| literal(row.get_ref(at).unwrap(), kind));
            sql += &format!("INSERT INTO \"{table}\" VALUES ({});\n", values.collect::<Vec<_>>().join(", "));
        }
    }
    sql
}

fn literal(value: ValueRef<'_>, kind: &str) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) if kind == "bool" => (number != 0).to_string(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''")),
        ValueRef::Blob(bytes) => format!("decode('{}', 'hex')", hex::encode(bytes)),
        ValueRef::Real(_) => panic!("no column is a fraction"),
    }
}

#[tokio::test]
async fn both_databases_give_the_same_records() {
    let Some(database) = Database::start().await else { return };
    let (_dir, path) = sqlite_of(DUMP);
    database.client.batch_execute(&as_postgres(&path)).await.unwrap();
    let source = database.source();
    let (now, domain) = (Timestamp::from_secs(1_800_000_000), TrustDomain::from_name("example.org").unwrap());
    let found = source.read(&PostgresOptions::default()).await.unwrap();
    assert!(found.in_use, "the test itself has it open");
    assert_eq!((found.schema_version, found.unknown_columns.len()), (25, 0));
    let found = plan(found, &[keys()], &domain, now).unwrap();
    let expected = plan(read(&path).await.unwrap(), &[keys()], &domain, now).unwrap();
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));

    database.client.batch_execute("UPDATE migrations SET version = 99").await.unwrap();
    let error = source.read(&PostgresOptions::default()).await.err().unwrap().to_string();
    assert!(error.contains("schema version 99"), "{error}");
    let wrong = source.name();
    assert!(wrong.ends_with("/postgres"), "{wrong}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told() {
    let source: Source = "postgres:host=/nonexistent user=canary dbname=d".parse().unwrap();
    let error = source.read(&PostgresOptions::default()).await.err().unwrap().to_string();
    assert!(error.starts_with("the PostgreSQL database cannot be read"), "{error}");
}
