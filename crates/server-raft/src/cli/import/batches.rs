//! Records in pieces that fit a message and a log entry.

use prost::Message as _;
use steeple_api::steeple::server::ImportRecord;
use steeple_state::limits::IMPORT_RECORDS_MAX;

/// A quarter of gRPC's message, so that the last record may be a large one.
const BATCH_BYTES: usize = 1 << 20;

/// In their order: entries come after the bundles that they federate with.
pub(super) fn batches(records: Vec<ImportRecord>) -> Vec<Vec<ImportRecord>> {
    let mut batches: Vec<Vec<ImportRecord>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        let len = record.encoded_len();
        let fits = batches.last().is_some_and(|last| last.len() < IMPORT_RECORDS_MAX && bytes + len <= BATCH_BYTES);
        if !fits {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += len;
        if let Some(last) = batches.last_mut() {
            last.push(record);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use steeple_api::steeple::server::ImportedJoinToken;
    use steeple_api::steeple::server::import_record::Record;

    use super::*;

    fn record(bytes: usize) -> ImportRecord {
        let token = ImportedJoinToken { value: "x".repeat(bytes), expires_at: 0 };
        ImportRecord { record: Some(Record::JoinToken(token)) }
    }

    #[test]
    fn a_batch_is_bounded_in_records_and_bytes() {
        let sizes = |records| batches(records).iter().map(Vec::len).collect::<Vec<_>>();
        assert!(sizes(Vec::new()).is_empty());
        assert_eq!(sizes(vec![record(1); IMPORT_RECORDS_MAX + 1]), [IMPORT_RECORDS_MAX, 1]);
        assert_eq!(sizes(vec![record(BATCH_BYTES / 3); 5]), [2, 2, 1]);
        assert_eq!(sizes(vec![record(1), record(2 * BATCH_BYTES), record(1)]), [1, 1, 1]);
    }
}
