//! Backups on a schedule: the leader writes one when the latest is old enough, and deletes the oldest.

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use steeple_api::steeple::backup::Facts;
use steeple_config::BackupSettings;
use steeple_core::{Clock, Timestamp, TrustDomain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{rest, until_leader};
use crate::backup::{self, BackupError, BackupReader, Backups, Draft, Place, Spot};
use crate::metrics;
use crate::raft::{ReadError, ReadMode};

pub struct BackupDriver {
    pub backups: Backups,
    pub clock: Arc<dyn Clock>,
    pub trust_domain: TrustDomain,
    /// `cluster.backup`.
    pub schedule: BackupSettings,
    /// Has room for a backup on its way to a bucket.
    pub data_dir: PathBuf,
}

/// The latest backup, as it was found to be when it was read.
type Latest = Option<(String, Timestamp)>;

#[derive(Debug, thiserror::Error)]
enum RoundError {
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
        let mut latest = None;
        while until_leader(self.backups.replica(), &stop).await.is_some() {
            let pause = match self.round(&mut latest).await {
                Ok(pause) => pause,
                Err(error) => {
                    metrics::backup_failed();
                    tracing::error!(error = %error, dir = %self.schedule.place, "no backup was taken");
                    RETRY
                }
            };
            if !rest(self.backups.replica(), pause.min(LOOK_AGAIN), &stop).await {
                return;
            }
        }
    }

    /// Takes a backup if one is due, and tells when to look again.
    async fn round(&self, latest: &mut Latest) -> Result<Duration, RoundError> {
        // Each time: credentials are replaced.
        let place = Place::open(&self.schedule.place, &self.schedule.s3, &self.clock).await?;
        let now = self.clock.now();
        let (there, trust_domain, known) = (place.clone(), self.trust_domain.clone(), latest.take());
        *latest = blocking(move || find_latest(&there, &trust_domain, known)).await?;
        let created = latest.as_ref().map(|(_, created)| *created);
        if let Some(created) = created {
            metrics::backup_known(created);
        }
        let pause = pause(now, created, self.schedule.interval);
        if !pause.is_zero() {
            return Ok(pause);
        }
        let deadline = Instant::now() + READ_TIMEOUT;
        self.backups.replica().read(ReadMode::Linearizable, deadline).await?;
        let turn = self.backups.turn().ok_or(RoundError::Busy)?;
        let spot = Spot { place: place.clone(), name: backup::file_name(&self.trust_domain, now) };
        let (backups, scratch) = (self.backups.clone(), self.data_dir.clone());
        let began = Instant::now();
        let facts = blocking(move || {
            let _turn = turn;
            let (draft, _) = backups.write(BufWriter::new(Draft::create(spot, &scratch)?), &AtomicU64::new(0))?;
            draft.into_inner().map_err(io::IntoInnerError::into_error).map_err(BackupError::Write)?.keep()
        });
        let Facts { path, size_bytes, .. } = facts.await?;
        metrics::backup_taken(now, size_bytes, began.elapsed());
        tracing::info!(path, size_bytes, "backup taken");
        let (trust_domain, keep) = (self.trust_domain.clone(), self.schedule.keep);
        blocking(move || surplus(&names(&place, &trust_domain)?, keep).iter().try_for_each(|name| place.delete(name)))
            .await?;
        Ok(self.schedule.interval)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, RoundError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| RoundError::Ended)??)
}

/// This trust domain's backups, the oldest first.
fn names(place: &Place, trust_domain: &TrustDomain) -> Result<Vec<String>, BackupError> {
    let mut names = place.names()?;
    names.retain(|name| backup::is_file_name_of(name, trust_domain));
    Ok(names)
}

/// What is no backup counts as missing, and the next one is taken at once. One that is known is not read again.
fn find_latest(place: &Place, trust_domain: &TrustDomain, known: Latest) -> Result<Latest, BackupError> {
    let Some(name) = names(place, trust_domain)?.pop() else { return Ok(None) };
    if known.as_ref().is_some_and(|(known, _)| *known == name) {
        return Ok(known);
    }
    match place.read(&name).and_then(BackupReader::begin) {
        Ok(reader) => Ok(Some((name, Timestamp::from_ms(reader.header().created_at_ms)))),
        // A store that does not answer tells nothing of what lies there.
        Err(BackupError::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
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
