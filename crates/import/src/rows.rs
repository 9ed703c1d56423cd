//! The rows of the datastore as values: what the columns hold, not yet judged.

use crate::cells::Cells;
use crate::error::ReadError;
use crate::table::{self, Table};

/// A row of one table.
pub(crate) trait FromCells: Sized {
    const TABLE: &'static Table;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError>;
}

#[derive(Clone, Debug)]
pub(crate) struct MigrationRow {
    pub(crate) version: i64,
    pub(crate) code_version: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct BundleRow {
    pub(crate) row: i64,
    pub(crate) trust_domain: String,
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EntryRow {
    pub(crate) row: i64,
    pub(crate) created_at: i64,
    pub(crate) entry_id: String,
    pub(crate) spiffe_id: String,
    pub(crate) parent_id: String,
    pub(crate) x509_svid_ttl: i64,
    pub(crate) jwt_svid_ttl: i64,
    pub(crate) admin: bool,
    pub(crate) downstream: bool,
    pub(crate) expires_at: i64,
    pub(crate) revision: i64,
    pub(crate) store_svid: bool,
    pub(crate) hint: String,
    pub(crate) additional_attributes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct SelectorRow {
    pub(crate) entry_row: i64,
    pub(crate) kind: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug)]
pub(crate) struct DnsNameRow {
    pub(crate) entry_row: i64,
    pub(crate) value: String,
}

#[derive(Clone, Debug)]
pub(crate) struct FederatedEntryRow {
    pub(crate) bundle_row: i64,
    pub(crate) entry_row: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AgentRow {
    pub(crate) spiffe_id: String,
    pub(crate) attestation_type: String,
    pub(crate) serial: String,
    pub(crate) not_after: i64,
    pub(crate) new_serial: String,
    pub(crate) new_not_after: i64,
    pub(crate) can_reattest: bool,
    pub(crate) agent_version: String,
}

#[derive(Clone, Debug)]
pub(crate) struct NodeSelectorRow {
    pub(crate) spiffe_id: String,
    pub(crate) kind: String,
    pub(crate) value: String,
}

/// No `Debug`: a token is a credential.
#[derive(Clone)]
pub(crate) struct JoinTokenRow {
    pub(crate) token: String,
    pub(crate) expires_at: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RelationshipRow {
    pub(crate) trust_domain: String,
    pub(crate) bundle_endpoint_url: String,
    pub(crate) profile: String,
    pub(crate) endpoint_spiffe_id: String,
    pub(crate) implicit: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct JournalRow {
    pub(crate) row: i64,
    pub(crate) data: Vec<u8>,
}

impl FromCells for MigrationRow {
    const TABLE: &'static Table = &table::MIGRATIONS;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { version: cells.integer()?, code_version: cells.text()? })
    }
}

impl FromCells for BundleRow {
    const TABLE: &'static Table = &table::BUNDLES;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { row: cells.integer()?, trust_domain: cells.text()?, data: cells.blob()? })
    }
}

impl FromCells for EntryRow {
    const TABLE: &'static Table = &table::REGISTERED_ENTRIES;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self {
            row: cells.integer()?,
            created_at: cells.time()?,
            entry_id: cells.text()?,
            spiffe_id: cells.text()?,
            parent_id: cells.text()?,
            x509_svid_ttl: cells.integer()?,
            jwt_svid_ttl: cells.integer()?,
            admin: cells.flag()?,
            downstream: cells.flag()?,
            expires_at: cells.integer()?,
            revision: cells.integer()?,
            store_svid: cells.flag()?,
            hint: cells.text()?,
            additional_attributes: cells.blob()?,
        })
    }
}

impl FromCells for SelectorRow {
    const TABLE: &'static Table = &table::SELECTORS;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { entry_row: cells.integer()?, kind: cells.text()?, value: cells.text()? })
    }
}

impl FromCells for DnsNameRow {
    const TABLE: &'static Table = &table::DNS_NAMES;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { entry_row: cells.integer()?, value: cells.text()? })
    }
}

impl FromCells for FederatedEntryRow {
    const TABLE: &'static Table = &table::FEDERATED_ENTRIES;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { bundle_row: cells.integer()?, entry_row: cells.integer()? })
    }
}

impl FromCells for AgentRow {
    const TABLE: &'static Table = &table::ATTESTED_NODES;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self {
            spiffe_id: cells.text()?,
            attestation_type: cells.text()?,
            serial: cells.text()?,
            not_after: cells.time()?,
            new_serial: cells.text()?,
            new_not_after: cells.time()?,
            can_reattest: cells.flag()?,
            agent_version: cells.text()?,
        })
    }
}

impl FromCells for NodeSelectorRow {
    const TABLE: &'static Table = &table::NODE_SELECTORS;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { spiffe_id: cells.text()?, kind: cells.text()?, value: cells.text()? })
    }
}

impl FromCells for JoinTokenRow {
    const TABLE: &'static Table = &table::JOIN_TOKENS;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { token: cells.text()?, expires_at: cells.integer()? })
    }
}

impl FromCells for RelationshipRow {
    const TABLE: &'static Table = &table::FEDERATED_TRUST_DOMAINS;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self {
            trust_domain: cells.text()?,
            bundle_endpoint_url: cells.text()?,
            profile: cells.text()?,
            endpoint_spiffe_id: cells.text()?,
            implicit: cells.flag()?,
        })
    }
}

impl FromCells for JournalRow {
    const TABLE: &'static Table = &table::CA_JOURNALS;

    fn from_cells(cells: &mut Cells) -> Result<Self, ReadError> {
        Ok(Self { row: cells.integer()?, data: cells.blob()? })
    }
}
