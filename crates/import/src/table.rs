//! The tables and columns of SPIRE's datastore, as its schema versions 23 to 25 have them.

/// SPIRE 1.8 added the CA journals.
pub(crate) const SCHEMA_MIN: u32 = 23;
/// What SPIRE 1.14 and 1.15 write.
pub(crate) const SCHEMA_MAX: u32 = 25;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The order in which the rows were made, where that is known.
    pub(crate) order_by: &'static str,
    pub(crate) columns: &'static [Column],
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The first schema version that has it.
    pub(crate) since: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Blob,
    Bool,
    Integer,
    Text,
    /// A point in time.
    Time,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, since: SCHEMA_MIN }
}

const ID: Column = column("id", Kind::Integer);

pub(crate) const MIGRATIONS: Table = Table {
    name: "migrations",
    order_by: "id",
    columns: &[column("version", Kind::Integer), column("code_version", Kind::Text)],
};

pub(crate) const BUNDLES: Table = Table {
    name: "bundles",
    order_by: "id",
    columns: &[ID, column("trust_domain", Kind::Text), column("data", Kind::Blob)],
};

pub(crate) const REGISTERED_ENTRIES: Table = Table {
    name: "registered_entries",
    order_by: "id",
    columns: &[
        ID,
        column("created_at", Kind::Time),
        column("entry_id", Kind::Text),
        column("spiffe_id", Kind::Text),
        column("parent_id", Kind::Text),
        column("ttl", Kind::Integer),
        column("jwt_svid_ttl", Kind::Integer),
        column("admin", Kind::Bool),
        column("downstream", Kind::Bool),
        column("expiry", Kind::Integer),
        column("revision_number", Kind::Integer),
        column("store_svid", Kind::Bool),
        column("hint", Kind::Text),
        Column { name: "additional_attributes", kind: Kind::Blob, since: 25 },
    ],
};

pub(crate) const SELECTORS: Table = Table {
    name: "selectors",
    order_by: "id",
    columns: &[column("registered_entry_id", Kind::Integer), column("type", Kind::Text), column("value", Kind::Text)],
};

pub(crate) const DNS_NAMES: Table = Table {
    name: "dns_names",
    order_by: "id",
    columns: &[column("registered_entry_id", Kind::Integer), column("value", Kind::Text)],
};

pub(crate) const FEDERATED_ENTRIES: Table = Table {
    name: "federated_registration_entries",
    order_by: "registered_entry_id",
    columns: &[column("bundle_id", Kind::Integer), column("registered_entry_id", Kind::Integer)],
};

pub(crate) const ATTESTED_NODES: Table = Table {
    name: "attested_node_entries",
    order_by: "id",
    columns: &[
        column("spiffe_id", Kind::Text),
        column("data_type", Kind::Text),
        column("serial_number", Kind::Text),
        column("expires_at", Kind::Time),
        column("new_serial_number", Kind::Text),
        column("new_expires_at", Kind::Time),
        column("can_reattest", Kind::Bool),
        Column { name: "agent_version", kind: Kind::Text, since: 24 },
    ],
};

pub(crate) const NODE_SELECTORS: Table = Table {
    name: "node_resolver_map_entries",
    order_by: "id",
    columns: &[column("spiffe_id", Kind::Text), column("type", Kind::Text), column("value", Kind::Text)],
};

pub(crate) const JOIN_TOKENS: Table = Table {
    name: "join_tokens",
    order_by: "id",
    columns: &[column("token", Kind::Text), column("expiry", Kind::Integer)],
};

pub(crate) const FEDERATED_TRUST_DOMAINS: Table = Table {
    name: "federated_trust_domains",
    order_by: "id",
    columns: &[
        column("trust_domain", Kind::Text),
        column("bundle_endpoint_url", Kind::Text),
        column("bundle_endpoint_profile", Kind::Text),
        column("endpoint_spiffe_id", Kind::Text),
        column("implicit", Kind::Bool),
    ],
};

pub(crate) const CA_JOURNALS: Table =
    Table { name: "ca_journals", order_by: "id", columns: &[ID, column("data", Kind::Blob)] };

/// What is read. Beside them there are tables of events, which only caches need.
pub(crate) const TABLES: &[&Table] = &[
    &MIGRATIONS,
    &BUNDLES,
    &REGISTERED_ENTRIES,
    &SELECTORS,
    &DNS_NAMES,
    &FEDERATED_ENTRIES,
    &ATTESTED_NODES,
    &NODE_SELECTORS,
    &JOIN_TOKENS,
    &FEDERATED_TRUST_DOMAINS,
    &CA_JOURNALS,
];

/// Columns that say nothing about the records.
const UNREAD_COLUMNS: &[(&str, &[&str])] = &[("ca_journals", &["active_x509_authority_id", "active_jwt_authority_id"])];
const UNREAD_OF_ALL: &[&str] = &["id", "created_at", "updated_at"];

/// Whether a column of one of [`TABLES`] is one that SPIRE's servers make.
pub(crate) fn is_known_column(table: &Table, column: &str) -> bool {
    let unread = UNREAD_COLUMNS.iter().find(|(name, _)| *name == table.name).map_or(&[][..], |(_, columns)| columns);
    UNREAD_OF_ALL.contains(&column)
        || unread.contains(&column)
        || table.columns.iter().any(|known| known.name == column)
}
