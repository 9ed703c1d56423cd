//! Opens a backup with the sealing key: every chunk, and the state that the rows amount to.

use std::io::Read;

use prost::Message as _;
use steeple_api::steeple::backup as pb;
use steeple_ca::seal::{BackupCipher, BackupName, SealError, SealingKey};
use steeple_state::{State, StateRow, Table, Uuid};

use super::BackupError;
use super::format::{FEATURE_LEVEL, sealed_by_footer};
use super::reader::{BackupReader, End};

/// A backup that was read to its end and found whole, unaltered and consistent.
pub struct Opened {
    pub facts: pb::Facts,
    pub state: State,
}

/// Reads all of it. Nothing is changed anywhere.
pub fn open<R: Read>(input: R, sealing_key: &SealingKey) -> Result<Opened, BackupError> {
    let mut reader = BackupReader::begin(input)?;
    let header = reader.header().clone();
    let cipher = cipher(&header, sealing_key)?;
    let mut rows = Rows { reader: &mut reader, cipher: &cipher, chunk: Vec::new().into_iter(), failure: None };
    let state = State::from_rows(header.applied_index, &mut rows);
    if let Some(failure) = rows.failure {
        return Err(failure);
    }
    let state = state?;
    let (end, size_bytes) = reader.finish()?;
    check_footer(&cipher, &reader, &end)?;
    let same_encoding = header.feature_level == FEATURE_LEVEL;
    if same_encoding && state.hash().to_bytes()[..] != end.summary.state_hash[..] {
        return Err(BackupError::damaged("its rows give another state than the one that was saved"));
    }
    let facts = super::facts::of(&header, &end, size_bytes);
    Ok(Opened { facts: pb::Facts { verified: true, ..facts }, state })
}

fn cipher(header: &pb::Header, sealing_key: &SealingKey) -> Result<BackupCipher, BackupError> {
    let actual = sealing_key.id().map_err(BackupError::Seal)?;
    if actual != header.sealing_key_id {
        return Err(BackupError::WrongSealingKey { expected: header.sealing_key_id.clone(), actual });
    }
    let cluster = Uuid::try_from(&header.cluster_uuid[..]).map_err(|_| BackupError::damaged("no cluster UUID"))?;
    let id = hex::encode(&header.backup_id);
    BackupCipher::open(sealing_key, BackupName { cluster: &cluster, id: &id }, &header.wrapped_key).map_err(altered)
}

/// The tag of the footer: what the clear part says was written by a holder of the key.
fn check_footer<R: Read>(cipher: &BackupCipher, reader: &BackupReader<R>, end: &End) -> Result<(), BackupError> {
    let covered = sealed_by_footer(&reader.header_hash(), &end.summary);
    let mut seal = end.seal.clone();
    cipher.open_chunk(end.summary.chunks, &covered, &mut seal).map_err(altered)
}

fn altered(error: SealError) -> BackupError {
    match error {
        SealError::Altered { what } => BackupError::Damaged(format!("the {what} was altered")),
        other => BackupError::Seal(other),
    }
}

/// The rows of all chunks. A failure ends them, and is found in `failure`.
struct Rows<'a, R> {
    reader: &'a mut BackupReader<R>,
    cipher: &'a BackupCipher,
    chunk: std::vec::IntoIter<pb::Row>,
    failure: Option<BackupError>,
}

impl<R: Read> Rows<'_, R> {
    fn next_row(&mut self) -> Result<Option<StateRow>, BackupError> {
        loop {
            if let Some(row) = self.chunk.next() {
                let table = u8::try_from(row.table).ok().and_then(Table::from_number);
                let table = table.ok_or(BackupError::NewerFeatures { found: row.table })?;
                return Ok(Some((table, row.key, row.value)));
            }
            let Some((number, mut chunk)) = self.reader.next_chunk()? else { return Ok(None) };
            self.cipher.open_chunk(number, &self.reader.header_hash(), &mut chunk).map_err(altered)?;
            let rows = pb::Rows::decode(&chunk[..]).map_err(|error| BackupError::Damaged(error.to_string()))?;
            self.chunk = rows.rows.into_iter();
        }
    }
}

impl<R: Read> Iterator for Rows<'_, R> {
    type Item = StateRow;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().unwrap_or_else(|failure| {
            self.failure = Some(failure);
            None
        })
    }
}
