//! A datastore, read whole and from one moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::cells::Cells;
use crate::error::ReadError;
use crate::rows::{
    AgentRow, BundleRow, DnsNameRow, EntryRow, FederatedEntryRow, FromCells, JoinTokenRow, JournalRow, MigrationRow,
    NodeSelectorRow, RelationshipRow, SelectorRow,
};
use crate::table::{Column, MIGRATIONS, SCHEMA_MAX, SCHEMA_MIN, TABLES, Table, is_known_column};

/// The rows of a datastore.
#[derive(Default)]
pub struct Database {
    pub schema_version: u32,
    /// Of the SPIRE server that used it last, such as `1.15.2`.
    pub code_version: String,
    /// Whether somebody else has it open now.
    pub in_use: bool,
    /// Columns that no SPIRE server of this schema version makes: `TABLE.COLUMN`.
    pub unknown_columns: Vec<String>,
    pub(crate) bundles: Vec<BundleRow>,
    pub(crate) entries: Vec<EntryRow>,
    pub(crate) selectors: Vec<SelectorRow>,
    pub(crate) dns_names: Vec<DnsNameRow>,
    pub(crate) federated_entries: Vec<FederatedEntryRow>,
    pub(crate) agents: Vec<AgentRow>,
    pub(crate) node_selectors: Vec<NodeSelectorRow>,
    pub(crate) join_tokens: Vec<JoinTokenRow>,
    pub(crate) relationships: Vec<RelationshipRow>,
    pub(crate) journals: Vec<JournalRow>,
}

/// A database, opened for reading only, that answers from one moment.
pub(crate) trait Reader {
    /// Every column of every table, as `(table, column)`.
    async fn columns(&mut self) -> Result<Vec<(String, String)>, ReadError>;

    /// The rows of a table in its order, at most [`ROWS_MAX`] and one more. `present` are the columns to ask for; the
    /// others are NULL.
    async fn rows(&mut self, table: &'static Table, present: &[Column]) -> Result<Vec<Cells>, ReadError>;
}

/// Rows of one table. The largest known deployments have some 100,000 entries with a few selectors each.
pub(crate) const ROWS_MAX: usize = 4_000_000;

impl Database {
    pub(crate) async fn read(reader: &mut impl Reader, in_use: bool) -> Result<Self, ReadError> {
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (table, column) in reader.columns().await? {
            columns.entry(table).or_default().insert(column);
        }
        if !columns.contains_key(MIGRATIONS.name) {
            return Err(ReadError::NotSpire(MIGRATIONS.name));
        }
        let migrations: Vec<MigrationRow> = rows(reader, SCHEMA_MIN, &columns).await?;
        let migration = migrations.into_iter().next().ok_or(ReadError::Version { found: 0 })?;
        let schema_version = u32::try_from(migration.version)
            .ok()
            .filter(|version| (SCHEMA_MIN..=SCHEMA_MAX).contains(version))
            .ok_or(ReadError::Version { found: migration.version })?;
        if let Some(missing) = TABLES.iter().find(|table| !columns.contains_key(table.name)) {
            return Err(ReadError::NotSpire(missing.name));
        }
        Ok(Self {
            schema_version,
            code_version: migration.code_version,
            in_use,
            unknown_columns: unknown_columns(&columns),
            bundles: rows(reader, schema_version, &columns).await?,
            entries: rows(reader, schema_version, &columns).await?,
            selectors: rows(reader, schema_version, &columns).await?,
            dns_names: rows(reader, schema_version, &columns).await?,
            federated_entries: rows(reader, schema_version, &columns).await?,
            agents: rows(reader, schema_version, &columns).await?,
            node_selectors: rows(reader, schema_version, &columns).await?,
            join_tokens: rows(reader, schema_version, &columns).await?,
            relationships: rows(reader, schema_version, &columns).await?,
            journals: rows(reader, schema_version, &columns).await?,
        })
    }
}

async fn rows<R: FromCells>(
    reader: &mut impl Reader,
    schema_version: u32,
    columns: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<R>, ReadError> {
    let table = R::TABLE;
    let there = |column: &Column| columns.get(table.name).is_some_and(|names| names.contains(column.name));
    if let Some(missing) = table.columns.iter().find(|column| column.since <= schema_version && !there(column)) {
        return Err(ReadError::NoColumn { table: table.name, column: missing.name, schema_version });
    }
    let present: Vec<Column> = table.columns.iter().filter(|column| there(column)).copied().collect();
    let rows = reader.rows(table, &present).await?;
    if rows.len() > ROWS_MAX {
        return Err(ReadError::TooManyRows { table: table.name, rows_max: ROWS_MAX });
    }
    rows.into_iter().map(|mut cells| R::from_cells(&mut cells)).collect()
}

/// The query for the rows of a table. `expression` says how the database gives out a column.
pub(crate) fn select(table: &Table, present: &[Column], expression: impl Fn(&Column) -> String) -> String {
    let wanted = table.columns.iter().map(|column| {
        let there = present.iter().any(|present| present.name == column.name);
        if there { expression(column) } else { "NULL".to_owned() }
    });
    let wanted: Vec<String> = wanted.collect();
    format!("SELECT {} FROM \"{}\" ORDER BY {} LIMIT {}", wanted.join(", "), table.name, table.order_by, ROWS_MAX + 1)
}

fn unknown_columns(columns: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let of_table = |table: &&'static Table| {
        let names = columns.get(table.name).into_iter().flatten();
        names.filter(|name| !is_known_column(table, name)).map(|name| format!("{}.{name}", table.name)).collect()
    };
    TABLES.iter().flat_map(|table| -> Vec<String> { of_table(table) }).collect()
}
