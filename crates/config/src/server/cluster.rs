//! `cluster {}`, the one section that is ours: peers, the sealing key and the timing of Raft.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steeple_core::plugin::SecretSource;

use super::backup::{BackupFile, BackupSettings};
use super::dead_server_cleanup::{DeadServerCleanup, DeadServerCleanupFile};
use super::founding::{FoundingRecord, FoundingRecordFile, may_found};
use super::seal::{SealFile, SealSettings};
use super::sealing_key;
use crate::common::{duration, given};
use crate::notice::Notice;
use crate::quote::go_quoted;
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, GoDuration, HostPort};

/// What a file says about the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFile {
    pub name: Option<String>,
    pub peer_bind_address: Option<String>,
    pub peer_bind_port: Option<i64>,
    pub peer_advertise_address: Option<String>,
    pub api_advertise_address: Option<String>,
    pub bootstrap: Option<bool>,
    pub founder: Option<String>,
    pub founding_record: Option<FoundingRecordFile>,
    pub join: Vec<String>,
    pub sealing_key_path: Option<String>,
    pub heartbeat_interval: Option<String>,
    pub election_timeout_min: Option<String>,
    pub election_timeout_max: Option<String>,
    pub snapshot_entries: Option<i64>,
    pub signing: Option<String>,
    pub acknowledgement_wait_max: Option<String>,
    pub promote_after: Option<String>,
    pub dead_server_cleanup: Option<DeadServerCleanupFile>,
    pub backup: Option<BackupFile>,
    pub seal: Option<SealFile>,
}

/// Which replicas sign SVIDs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// The others forward to it, and open no private key.
    #[default]
    Leader,
    /// Each voter what it is asked for, while a quorum confirms what it knows.
    Replicas,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Whether there is a `cluster` section. Without one the server is alone and opens no peer port.
    pub enabled: bool,
    /// Tells replicas apart: a new replica takes the place of a dead one of its name. `None` leaves it to the server,
    /// which takes the address that peers dial, so that no two replicas share one by default.
    pub name: Option<String>,
    pub peer_bind: HostPort,
    /// What peers dial; `None` leaves it to the server to find an address of its host.
    pub peer_advertise: Option<HostPort>,
    /// What clients that are sent to another replica dial; `None` as above.
    pub api_advertise: Option<HostPort>,
    /// Whether this node may found the cluster when its disk is empty, and nobody serves at any address of `join`.
    pub bootstrap: bool,
    /// Where it is on record that a cluster was founded; `None` leaves that to the sealing key.
    pub founding_record: Option<FoundingRecord>,
    /// Peer addresses of members that a node with an empty disk asks to be let in.
    pub join: Vec<HostPort>,
    pub sealing_key_path: PathBuf,
    /// How the sealing key lies in its file.
    pub seal: SealSettings,
    pub raft: RaftTimings,
    /// Log entries between two snapshots.
    pub snapshot_entries: u64,
    pub signing: Signing,
    /// How long an authority that is due waits for those who do not hold the bundle that publishes it.
    pub acknowledgement_wait_max: Duration,
    /// A joined server has to be healthy for so long before it votes.
    pub promote_after: Duration,
    /// None: a server that is gone stays a member until it is removed.
    pub dead_server_cleanup: Option<DeadServerCleanup>,
    /// None takes no backups.
    pub backup: Option<BackupSettings>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTimings {
    pub heartbeat_interval: Duration,
    pub election_timeout_min: Duration,
    pub election_timeout_max: Duration,
}

impl Default for RaftTimings {
    /// For replicas in one network.
    fn default() -> Self {
        let [heartbeat_interval, election_timeout_min, election_timeout_max] =
            [100, 400, 700].map(Duration::from_millis);
        Self { heartbeat_interval, election_timeout_min, election_timeout_max }
    }
}

impl ClusterSettings {
    /// Variables of the environment whose values are secrets of the server's own.
    pub fn secret_variables(&self) -> Vec<String> {
        let bucket = self.backup.as_ref().and_then(|backup| backup.s3.credentials.as_ref());
        let sources = self.seal.secret().into_iter().chain(bucket.map(|credentials| &credentials.secret_access_key));
        let variable = |source: &SecretSource| match source {
            SecretSource::Environment(variable) => Some(variable.clone()),
            SecretSource::Credential(_) | SecretSource::File(_) => None,
        };
        sources.filter_map(variable).collect()
    }
}

impl ClusterFile {
    pub(super) fn read(mut section: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let read = Self {
            name: section.text("name")?,
            peer_bind_address: section.text("peer_bind_address")?,
            peer_bind_port: section.int("peer_bind_port")?,
            peer_advertise_address: section.text("peer_advertise_address")?,
            api_advertise_address: section.text("api_advertise_address")?,
            bootstrap: section.flag("bootstrap")?,
            founder: section.text("founder")?,
            founding_record: match section.one_labelled("founding_record")? {
                Some(record) => Some(FoundingRecordFile::read(record, unknown)?),
                None => None,
            },
            join: section.texts("join")?.unwrap_or_default(),
            sealing_key_path: section.text("sealing_key_path")?,
            heartbeat_interval: section.text("heartbeat_interval")?,
            election_timeout_min: section.text("election_timeout_min")?,
            election_timeout_max: section.text("election_timeout_max")?,
            snapshot_entries: section.int("snapshot_entries")?,
            signing: section.text("signing")?,
            acknowledgement_wait_max: section.text("acknowledgement_wait_max")?,
            promote_after: section.text("promote_after")?,
            dead_server_cleanup: match section.section("dead_server_cleanup")? {
                Some(cleanup) => Some(DeadServerCleanupFile::read(cleanup, unknown)?),
                None => None,
            },
            backup: match section.section("backup")? {
                Some(backup) => Some(BackupFile::read(backup, unknown)?),
                None => None,
            },
            seal: match section.one_labelled("seal")? {
                Some(seal) => Some(SealFile::read(seal, unknown)?),
                None => None,
            },
        };
        section.finish("cluster", unknown);
        Ok(read)
    }
}

/// What `resolve` has to know about the rest of the file.
pub(super) struct Surroundings<'a> {
    pub(super) api_bind: &'a HostPort,
    /// Absolute.
    pub(super) data_dir: &'a Path,
    pub(super) working_dir: &'a Path,
}

pub(super) fn resolve(
    file: Option<&ClusterFile>,
    around: &Surroundings<'_>,
    notices: &mut Vec<Notice>,
) -> Result<ClusterSettings, ConfigError> {
    let enabled = file.is_some();
    let none = ClusterFile::default();
    let file = file.unwrap_or(&none);
    let peer_bind = peer_bind(file, around, enabled)?;
    let join = file.join.iter().map(|text| address("cluster.join", text, PEER_PORT)).collect::<Result<Vec<_>, _>>()?;
    let record = file.founding_record.as_ref();
    let seal = file.seal.as_ref().map_or(Ok(SealSettings::File), |seal| seal.resolve(around.working_dir))?;
    let advertised = |key, text: &Option<String>, port| given(text).map(|text| address(key, text, port)).transpose();
    Ok(ClusterSettings {
        enabled,
        name: given(&file.name).map(str::to_owned),
        peer_advertise: advertised("cluster.peer_advertise_address", &file.peer_advertise_address, peer_bind.port)?,
        api_advertise: advertised("cluster.api_advertise_address", &file.api_advertise_address, around.api_bind.port)?,
        peer_bind,
        bootstrap: may_found(file)?,
        founding_record: record.map(|record| record.resolve(around.working_dir)).transpose()?,
        join,
        sealing_key_path: sealing_key::path(given(&file.sealing_key_path), &seal, around, notices),
        seal,
        raft: raft_timings(file)?,
        snapshot_entries: snapshot_entries(file.snapshot_entries)?,
        signing: signing(file)?,
        acknowledgement_wait_max: acknowledgement_wait_max(file)?,
        promote_after: promote_after(file)?,
        dead_server_cleanup: file.dead_server_cleanup.as_ref().map(DeadServerCleanupFile::resolve).transpose()?,
        backup: file.backup.as_ref().map(|backup| backup.resolve(around.data_dir, around.working_dir)).transpose()?,
    })
}

fn signing(file: &ClusterFile) -> Result<Signing, ConfigError> {
    match given(&file.signing) {
        None | Some("leader") => Ok(Signing::Leader),
        Some("replicas") => Ok(Signing::Replicas),
        Some(other) => Err(ConfigError::invalid(
            "cluster.signing",
            format!("cluster.signing {} is neither \"leader\" nor \"replicas\"", go_quoted(other)),
        )),
    }
}

fn peer_bind(file: &ClusterFile, around: &Surroundings<'_>, enabled: bool) -> Result<HostPort, ConfigError> {
    let port = file.peer_bind_port.unwrap_or(i64::from(PEER_PORT));
    let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| ConfigError::Unsafe {
        key: "cluster.peer_bind_port",
        value: port.to_string(),
        safe: "use a port from 1 to 65535; the default is 8082".into(),
    })?;
    let bind = HostPort::new(given(&file.peer_bind_address).unwrap_or(&around.api_bind.host), port);
    let api = around.api_bind;
    let overlaps = bind.host == api.host || bind.is_unspecified() || api.is_unspecified();
    if enabled && bind.port == api.port && overlaps {
        return Err(ConfigError::Unsafe {
            key: "cluster.peer_bind_port",
            value: port.to_string(),
            safe: "it is the port of the API (server.bind_port); peers need a port of their own".into(),
        });
    }
    Ok(bind)
}

fn address(key: &'static str, text: &str, default_port: u16) -> Result<HostPort, ConfigError> {
    let unsafe_value = |safe: String| ConfigError::Unsafe { key, value: text.to_owned(), safe };
    let address = HostPort::parse(text, Some(default_port))
        .map_err(|reason| unsafe_value(format!("{reason}; write host:port, as other nodes reach it")))?;
    if address.is_unspecified() {
        return Err(unsafe_value("nobody can dial that; write a name or address that other nodes reach".into()));
    }
    Ok(address)
}

fn raft_timings(file: &ClusterFile) -> Result<RaftTimings, ConfigError> {
    let default = RaftTimings::default();
    let heartbeat = timing("cluster.heartbeat_interval", &file.heartbeat_interval)?;
    let heartbeat = heartbeat.unwrap_or(default.heartbeat_interval);
    let refuse = |key, value: Duration, safe: String| {
        Err(ConfigError::Unsafe { key, value: GoDuration::from(value).to_string(), safe })
    };
    if !(HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&heartbeat) {
        return refuse("cluster.heartbeat_interval", heartbeat, "use 20ms to 5s; the default is 100ms".into());
    }
    // With only the heartbeat given, the election keeps the default's proportions.
    let min = timing("cluster.election_timeout_min", &file.election_timeout_min)?.unwrap_or(heartbeat * 4);
    let min_safe = heartbeat * ELECTION_HEARTBEATS_MIN;
    if min < min_safe {
        let safe = format!(
            "use {} or more, {ELECTION_HEARTBEATS_MIN} heartbeats, or one lost packet starts an election",
            GoDuration::from(min_safe)
        );
        return refuse("cluster.election_timeout_min", min, safe);
    }
    let max = timing("cluster.election_timeout_max", &file.election_timeout_max)?.unwrap_or(min * 7 / 4);
    let max_safe = min + min / 2;
    if max < max_safe {
        let safe = format!(
            "use {} or more, 1.5 times election_timeout_min, or candidates split the vote again and again",
            GoDuration::from(max_safe)
        );
        return refuse("cluster.election_timeout_max", max, safe);
    }
    if max > ELECTION_MAX {
        let safe = format!("use {} or less; no write succeeds before an election ends", GoDuration::from(ELECTION_MAX));
        return refuse("cluster.election_timeout_max", max, safe);
    }
    Ok(RaftTimings { heartbeat_interval: heartbeat, election_timeout_min: min, election_timeout_max: max })
}

pub(super) fn timing(key: &'static str, text: &Option<String>) -> Result<Option<Duration>, ConfigError> {
    let Some(parsed) = duration(key, text)? else {
        return Ok(None);
    };
    let safe = "use a positive duration".into();
    let positive = parsed.to_std().filter(|duration| !duration.is_zero());
    positive.map(Some).ok_or(ConfigError::Unsafe { key, value: parsed.to_string(), safe })
}

/// Rotations are planned in hours: below a minute an agent that just restarts would count for nothing.
fn acknowledgement_wait_max(file: &ClusterFile) -> Result<Duration, ConfigError> {
    let key = "cluster.acknowledgement_wait_max";
    let wait = timing(key, &file.acknowledgement_wait_max)?.unwrap_or(ACKNOWLEDGEMENT_WAIT_MAX);
    match ACKNOWLEDGEMENT_WAIT_SAFE.contains(&wait) {
        true => Ok(wait),
        false => Err(ConfigError::Unsafe {
            key,
            value: GoDuration::from(wait).to_string(),
            safe: "use 1m to 24h; the default is 1h".into(),
        }),
    }
}

/// 0 is at once: as soon as it holds the log.
fn promote_after(file: &ClusterFile) -> Result<Duration, ConfigError> {
    let key = "cluster.promote_after";
    let Some(parsed) = duration(key, &file.promote_after)? else { return Ok(PROMOTE_AFTER) };
    let safe = || "use 0s to 1h; the default is 10s".to_owned();
    let wait = parsed.to_std().filter(|wait| *wait <= PROMOTE_AFTER_MAX);
    wait.ok_or_else(|| ConfigError::Unsafe { key, value: parsed.to_string(), safe: safe() })
}

fn snapshot_entries(entries: Option<i64>) -> Result<u64, ConfigError> {
    let Some(entries) = entries else {
        return Ok(SNAPSHOT_ENTRIES);
    };
    u64::try_from(entries).ok().filter(|entries| SNAPSHOT_ENTRIES_SAFE.contains(entries)).ok_or_else(|| {
        ConfigError::Unsafe {
            key: "cluster.snapshot_entries",
            value: entries.to_string(),
            safe: "use 100 to 10000000; the default is 20000".into(),
        }
    })
}

const PEER_PORT: u16 = 8082;
const ACKNOWLEDGEMENT_WAIT_MAX: Duration = Duration::from_secs(3600);
const ACKNOWLEDGEMENT_WAIT_SAFE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(24 * 3600);
/// Long enough to see a server that starts and ends again and again.
const PROMOTE_AFTER: Duration = Duration::from_secs(10);
const PROMOTE_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Below, timers of a busy host decide elections.
const HEARTBEAT_MIN: Duration = Duration::from_millis(20);
const HEARTBEAT_MAX: Duration = Duration::from_secs(5);
const ELECTION_HEARTBEATS_MIN: u32 = 3;
const ELECTION_MAX: Duration = Duration::from_secs(60);
/// A restart replays at most this many entries, in well under a second.
const SNAPSHOT_ENTRIES: u64 = 20_000;
const SNAPSHOT_ENTRIES_SAFE: RangeInclusive<u64> = 100..=10_000_000;
