//! Backups on a schedule: the leader writes one when the latest is old enough, and deletes the oldest.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use steeple_config::BackupSettings;
use steeple_core::{Clock, Timestamp, TrustDomain};
use steeple_files::NewFile;
use tokio_util::sync::CancellationToken;

use super::{rest, until_leader};
use crate::backup::{self, BackupError, BackupReader, Backups};
use crate::metrics;
use crate::raft::{ReadError, ReadMode};

pub struct BackupDriver {
    pub backups: Backups,
    pub clock: Arc<dyn Clock>,
    pub trust_domain: TrustDomain,
    /// `cluster.backup`.
    pub schedule: BackupSettings,
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("{0}; the directory is made by an administrator, and this server needs to write to it")]
    Directory(#[from] io::Error),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("another backup is being taken")]
    Busy,
    #[error("it ended before it was complete")]
    Ended,
}

impl BackupDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while until_leader(self.backups.replica(), &stop).await.is_some() {
            let pause = match self.round().await {
                Ok(pause) => pause,
                Err(error) => {
                    metrics::backup_failed();
                    tracing::error!(error = %error, dir = %self.schedule.dir.display(), "no backup was taken");
                    RETRY
                }
            };
            if !rest(self.backups.replica(), pause.min(LOOK_AGAIN), &stop).await {
                return;
            }
        }
    }

    /// Takes a backup if one is due, and tells when to look again.
    async fn round(&self) -> Result<Duration, RoundError> {
        let names = self.names()?;
        let now = self.clock.now();
        let latest = names.last().and_then(|name| created_at(&self.schedule.dir.join(name)));
        if let Some(latest) = latest {
            metrics::backup_known(latest);
        }
        let pause = pause(now, latest, self.schedule.interval);
        if !pause.is_zero() {
            return Ok(pause);
        }
        let deadline = Instant::now() + READ_TIMEOUT;
        self.backups.replica().read(ReadMode::Linearizable, deadline).await?;
        let turn = self.backups.turn().ok_or(RoundError::Busy)?;
        let path = self.schedule.dir.join(backup::file_name(&self.trust_domain, now));
        let (backups, target) = (self.backups.clone(), path.clone());
        let began = Instant::now();
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            write(&backups, &target)
        });
        let size_bytes = written.await.map_err(|_| RoundError::Ended)??;
        metrics::backup_taken(now, size_bytes, began.elapsed());
        tracing::info!(path = %path.display(), size_bytes, "backup taken");
        for name in surplus(&self.names()?, self.schedule.keep) {
            fs::remove_file(self.schedule.dir.join(name))?;
        }
        Ok(self.schedule.interval)
    }

    /// This trust domain's backups, the oldest first.
    fn names(&self) -> io::Result<Vec<String>> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.schedule.dir.display()));
        let mut names = Vec::new();
        for item in fs::read_dir(&self.schedule.dir).map_err(named)? {
            let name = item.map_err(named)?.file_name().to_string_lossy().into_owned();
            if backup::is_file_name_of(&name, &self.trust_domain) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// What was written is read again before it gets its name.
fn write(backups: &Backups, path: &Path) -> Result<u64, RoundError> {
    let file = BufWriter::new(NewFile::create(path)?);
    let (file, _) = backups.write(file, &AtomicU64::new(0))?;
    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    let facts = backup::facts(BufReader::new(file.written()?))?;
    file.keep()?;
    Ok(facts.size_bytes)
}

/// `None` for what is no backup: it then counts as missing, and the next one is taken at once.
fn created_at(path: &Path) -> Option<Timestamp> {
    let reader = BackupReader::begin(BufReader::new(File::open(path).ok()?)).ok()?;
    Some(Timestamp::from_ms(reader.header().created_at_ms))
}

/// How long the latest backup is young enough. One from the future is none: a clock was wrong.
fn pause(now: Timestamp, latest: Option<Timestamp>, interval: Duration) -> Duration {
    match latest {
        Some(latest) if latest <= now => interval.saturating_sub(now.since(latest)),
        _ => Duration::ZERO,
    }
}

/// All but the `keep` latest of names in order of age.
fn surplus(names: &[String], keep: usize) -> &[String] {
    &names[..names.len().saturating_sub(keep)]
}

/// After a failure.
const RETRY: Duration = Duration::from_secs(60);
/// Wall clocks are stepped, and directories are emptied by people.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_due_when_the_latest_is_old_or_from_the_future() {
        let hour = Duration::from_secs(3600);
        let now = Timestamp::from_secs(100_000);
        assert_eq!(pause(now, None, hour), Duration::ZERO);
        assert_eq!(pause(now, Some(Timestamp::from_secs(99_000)), hour), Duration::from_secs(2_600));
        assert_eq!(pause(now, Some(Timestamp::from_secs(96_400)), hour), Duration::ZERO);
        assert_eq!(pause(now, Some(Timestamp::from_secs(100_001)), hour), Duration::ZERO);
    }

    #[test]
    fn the_oldest_go_and_the_latest_stay() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(surplus(&names, 2), ["a"]);
        assert!(surplus(&names, 3).is_empty() && surplus(&names, 9).is_empty());
    }
}
