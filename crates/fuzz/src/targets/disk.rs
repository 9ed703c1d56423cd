//! Files: whatever a disk gives back, a replica or an agent says what is wrong with it.

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message as _;
use steeple_agent::cache::{Cache, RotationRule};
use steeple_agent::fuzzing::{AgentData, kept_of, read_agent_data, restore, unseal, write_agent_data};
use steeple_api::steeple::backup as pb;
use steeple_core::Secret;
use steeple_plugins::key_manager::fuzzing::{read_keys, write_keys};
use steeple_server_raft::backup;
use steeple_storage::LogEntry;
use steeple_storage::fuzzing::{
    SnapshotRead, read_record, read_snapshot, read_wal, wal_record, write_record, write_snapshot, write_wal,
};

use super::issued;
use crate::{Verdict, within};

/// `agent-data.json`
pub fn agent_data(data: &[u8]) -> Verdict {
    let Ok(read) = within(60, data, || read_agent_data(data)) else { return Verdict::Refused };
    let written = write_agent_data(&read, data).expect("what was read is written");
    assert_eq!(read_agent_data(&written).as_ref(), Ok(&read));
    Verdict::Read
}

pub fn agent_data_seeds() -> Vec<Vec<u8>> {
    let data = AgentData {
        svid: vec![issued::SVID.to_vec()],
        bundle: vec![issued::ROOT.to_vec()],
        reattestable: true,
        untrusted_since: Some(issued::NOW),
    };
    vec![write_agent_data(&data, b"").expect("data")]
}

/// `keys.json`
pub fn keys_file(data: &[u8]) -> Verdict {
    let Ok(keys) = within(30, data, || read_keys(data)) else { return Verdict::Refused };
    let again = read_keys(&write_keys(&keys).expect("what was read is written")).expect("and read again");
    assert!(keys.iter().map(|(id, key)| (id, key.expose())).eq(again.iter().map(|(id, key)| (id, key.expose()))));
    Verdict::Read
}

/// `agent-svids.sealed`: as it lies there nothing opens it, and what lay under a seal fills a cache or does not.
pub fn persisted_svids(data: &[u8]) -> Verdict {
    let cache = Cache::new(issued::trust_domain());
    assert!(unseal(&Secret::new(issued::KEY.to_vec()), &cache, data).is_err(), "nobody sealed it");
    let (rule, now) = (RotationRule { availability_target: None }, issued::NOW);
    let plain = Secret::new(data.to_vec());
    let Some(count) = restore(&plain, &cache, rule, now) else { return Verdict::Refused };
    let again = Cache::new(issued::trust_domain());
    assert_eq!(restore(&kept_of(&cache), &again, rule, now), Some(count));
    assert_eq!(kept_of(&again).expose(), kept_of(&cache).expose());
    Verdict::Read
}

pub fn persisted_svids_seeds() -> Vec<Vec<u8>> {
    let cache = Cache::new(issued::trust_domain());
    cache.set_bundles(vec![issued::bundle()]);
    vec![kept_of(&cache).expose().to_vec()]
}

/// Eight bytes are the index, the rest lies under it.
pub fn log_record(data: &[u8]) -> Verdict {
    let Some((index, value)) = data.split_first_chunk::<8>() else { return Verdict::Refused };
    let index = u64::from_be_bytes(*index);
    let Ok(entry) = within(2, value, || read_record(index, value)) else { return Verdict::Refused };
    assert_eq!(write_record(&entry), value);
    assert!(read_record(index.wrapping_add(1), value).is_err(), "it is read under another index");
    Verdict::Read
}

pub fn log_record_seeds() -> Vec<Vec<u8>> {
    let entry = LogEntry { index: 7, term: 2, bytes: b"command".to_vec() };
    vec![[&entry.index.to_be_bytes()[..], &write_record(&entry)].concat()]
}

/// As it lies there, and with hostile bytes in records with right checksums.
pub fn write_ahead_log(data: &[u8]) -> Verdict {
    let framed: Vec<u8> = pieces(data).flat_map(logged).collect();
    let _ = within(20, &framed, || read_wal(&framed));
    if within(20, data, || read_wal(data)) != Some(true) {
        return Verdict::Refused;
    }
    // A byte that was changed is noticed, wherever it is.
    let Some(at) = data.iter().position(|byte| *byte != 0) else { return Verdict::Read };
    let mut damaged = data.to_vec();
    damaged[at] ^= 1;
    assert_ne!(read_wal(&damaged), Some(true));
    Verdict::Read
}

/// A record whose first byte is its kind.
fn logged(content: &[u8]) -> Vec<u8> {
    content.split_first().map(|(kind, content)| wal_record(*kind, content)).unwrap_or_default()
}

pub fn write_ahead_log_seeds() -> Vec<Vec<u8>> {
    let whole = write_wal(&[(10, Some(9)), (11, Some(10)), (12, Some(11))]);
    let mut hole = whole.clone();
    hole[60..100].fill(0);
    vec![whole, hole]
}

pub fn snapshot(data: &[u8]) -> Verdict {
    let Some(snapshot) = within(20, data, || read_snapshot(data)) else { return Verdict::Refused };
    let written = write_snapshot(&snapshot).expect("what was read is written");
    assert_eq!(read_snapshot(&written).as_ref(), Some(&snapshot));
    Verdict::Read
}

/// Frames with right checksums and a right end, so that hostile bytes come past them.
pub fn snapshot_frames(data: &[u8]) -> Verdict {
    let Some((rows, frames)) = data.split_first() else { return Verdict::Refused };
    let mut file = [&b"STPLSNAP"[..], &1_u32.to_le_bytes()].concat();
    let put = |file: &mut Vec<u8>, frame: &[u8]| {
        file.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(frame).to_le_bytes());
        file.extend_from_slice(frame);
    };
    pieces(frames).for_each(|frame| put(&mut file, frame));
    let end = [&[3][..], &u64::from(*rows).to_le_bytes(), digest(&SHA256, &file).as_ref()].concat();
    put(&mut file, &end);
    snapshot(&file)
}

pub fn snapshot_seeds() -> Vec<Vec<u8>> {
    let row = steeple_storage::Row { table: 1, key: b"key".to_vec(), value: b"value".to_vec() };
    let full = SnapshotRead { applied: Some(7), meta: [(b"meta".to_vec(), b"data".to_vec())].into(), rows: vec![row] };
    [SnapshotRead::default(), full].iter().filter_map(write_snapshot).collect()
}

pub fn snapshot_frames_seeds() -> Vec<Vec<u8>> {
    let header = [&[1, 1][..], &7_u64.to_le_bytes()].concat();
    let rows = [&[2, 1][..], &3_u32.to_le_bytes(), b"key", &5_u32.to_le_bytes(), b"value"].concat();
    vec![[&[1, 10, 0][..], &header, &[rows.len() as u8, 0], &rows].concat()]
}

/// A backup, by its hashes alone and with a key that did not write it.
pub fn backup(data: &[u8]) -> Verdict {
    let Ok(facts) = within(30, data, || backup::facts(data)) else { return Verdict::Refused };
    assert_eq!(facts.size_bytes, data.len() as u64);
    assert!(!facts.verified);
    Verdict::Read
}

pub fn backup_seeds() -> Vec<Vec<u8>> {
    backup_frames_seeds().iter().map(|pieces| backup_of(pieces)).collect()
}

/// Frames with right hashes and a right footer: the header, then rows.
pub fn backup_frames(data: &[u8]) -> Verdict {
    backup(&backup_of(data))
}

pub fn backup_frames_seeds() -> Vec<Vec<u8>> {
    let header = pb::Header { trust_domain: "example.org".to_owned(), ..pb::Header::default() }.encode_to_vec();
    vec![[&[header.len() as u8, 0][..], &header, &[4, 0], b"rows"].concat()]
}

fn backup_of(data: &[u8]) -> Vec<u8> {
    let mut file = [&b"STPLBKUP"[..], &1_u32.to_le_bytes()].concat();
    let put = |file: &mut Vec<u8>, kind: u8, payload: &[u8]| {
        let length = (payload.len() as u32).to_le_bytes();
        for part in [&[kind][..], &length, digest(&SHA256, payload).as_ref(), payload] {
            file.extend_from_slice(part);
        }
    };
    let mut chunks = 0;
    for (number, payload) in (0..).zip(pieces(data)) {
        put(&mut file, if number == 0 { 1 } else { 2 }, payload);
        chunks = number;
    }
    let summary = Some(pb::Summary { chunks, ..pb::Summary::default() });
    let sha256 = digest(&SHA256, &file).as_ref().to_vec();
    put(&mut file, 3, &pb::Footer { summary, sha256, ..pb::Footer::default() }.encode_to_vec());
    file
}

/// Pieces behind their lengths of two bytes, little endian. The last may be short.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
        data = rest;
        Some(piece)
    })
}
