//! What the chain says of itself, between the records of calls.

use steeple_core::Timestamp;
use steeple_telemetry::log::Fields;

use super::record::{Hash, Record, sha256};
use crate::audit::facts::put;
use crate::raft::Beginning;

/// Records of the type `chain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first record of a chain, and why it does not continue another one. `torn` as in [`Self::Torn`].
    Begun { reason: String, torn: Option<Torn> },
    /// The cluster began anew, by a recovery or a restore.
    BegunAnew(Beginning),
    /// A server started and goes on.
    Opened,
    /// A new file, because the one before was full. `dropped` is the last record of the files that had to go so far.
    Rotated { dropped: Option<(u64, u64)> },
    /// A new file, because somebody moved the one before, or it was gone. `dropped` as in [`Self::Rotated`]: it excuses
    /// nothing else.
    Reopened { dropped: Option<(u64, u64)> },
    /// The line before is the beginning of one that a crash cut off.
    Torn(Torn),
    /// Records that could not be written.
    Lost { records: u64 },
    /// A server ended in order.
    Stopped,
}

/// What a crash left of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    pub bytes: u64,
    pub sha256: Hash,
}

impl Torn {
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: sha256(bytes) }
    }

    fn put(&self, fields: &mut Fields) {
        put(fields, "torn_bytes", self.bytes);
        put(fields, "torn_sha256", hex::encode(self.sha256));
    }

    /// Whether `record` is the one that marks it.
    pub(super) fn is_marked_by(&self, record: &Record) -> bool {
        matches!(record.event(), Some(BEGUN | TORN))
            && record.number("torn_bytes") == Some(self.bytes)
            && record.text("torn_sha256") == hex::encode(self.sha256)
    }
}

impl Event {
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        put(&mut fields, "type", TYPE);
        let (name, message) = match self {
            Self::Begun { reason, torn } => {
                put(&mut fields, "reason", reason.as_str());
                torn.iter().for_each(|torn| torn.put(&mut fields));
                (BEGUN, "Audit chain begins")
            }
            Self::BegunAnew(beginning) => {
                let Beginning { by, uid, at_ms, cluster_uuid, index, backup_id } = beginning;
                put(&mut fields, "method", by.as_str());
                put(&mut fields, "caller_uid", u64::from(*uid));
                put(&mut fields, "begun_at", Timestamp::from_ms(*at_ms).to_string());
                put(&mut fields, "earlier_cluster", uuid::Uuid::from_bytes(*cluster_uuid).to_string());
                put(&mut fields, "earlier_index", *index);
                if !backup_id.is_empty() {
                    put(&mut fields, "backup_id", backup_id.as_str());
                }
                ("begun_anew", "Cluster began anew")
            }
            Self::Opened => ("opened", "Audit chain goes on"),
            Self::Rotated { dropped } => {
                put_dropped(&mut fields, *dropped);
                (ROTATED, "Audit file rotated")
            }
            Self::Reopened { dropped } => {
                put_dropped(&mut fields, *dropped);
                (REOPENED, "Audit file reopened")
            }
            Self::Torn(torn) => {
                torn.put(&mut fields);
                (TORN, "Audit record torn")
            }
            Self::Lost { records } => {
                put(&mut fields, "lost_records", *records);
                ("lost", "Audit records lost")
            }
            Self::Stopped => ("stopped", "Audit chain rests"),
        };
        put(&mut fields, "event", name);
        put(&mut fields, "msg", message);
        fields
    }
}

fn put_dropped(fields: &mut Fields, dropped: Option<(u64, u64)>) {
    if let Some((epoch, sequence)) = dropped {
        put(fields, "dropped_epoch", epoch);
        put(fields, "dropped_sequence", sequence);
    }
}

pub(super) const TYPE: &str = "chain";
pub(super) const BEGUN: &str = "begun";
pub(super) const ROTATED: &str = "rotated";
pub(super) const REOPENED: &str = "reopened";
const TORN: &str = "torn";
