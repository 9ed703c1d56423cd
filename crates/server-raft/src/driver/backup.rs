//! Backups on a schedule: the leader writes one when the latest is old enough, and deletes the oldest.

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use steeple_api::steeple::backup::Facts;
use steeple_config::BackupSettings;
use steeple_core::{AuthorityKind, Clock, Timestamp, TrustDomain};
use steeple_state::Change;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{rest, until_change, until_leader};
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

/// What earlier rounds found.
#[derive(Default)]
struct Known {
    /// The name of the latest backup, which was read.
    latest: Option<String>,
    /// Those from the future, which were told, in order.
    ahead: Vec<String>,
}

/// The backups in the directory or bucket, by the times in their names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shelf {
    /// The oldest first.
    counted: Vec<(Timestamp, String)>,
    /// Some clock was wrong when they were named, or is now. They say nothing of how old the backups are, and as the
    /// latest of all they would drive out every other: they are neither counted nor deleted.
    ahead: Vec<String>,
}

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
        let mut known = Known::default();
        while self.until_due(&stop).await.is_some() {
            let pause = match self.round(&mut known).await {
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

    /// Returns once this replica leads and there is a CA, without which a backup is worth nothing; `None` when the
    /// server stops first.
    async fn until_due(&self, stop: &CancellationToken) -> Option<()> {
        let mut events = self.backups.replica().events();
        while !self.has_authority() {
            tokio::select! {
                () = stop.cancelled() => return None,
                is_open = until_change(&mut events, |change| matches!(change, Change::Authority { .. })) => {
                    is_open.then_some(())?;
                }
            }
        }
        until_leader(self.backups.replica(), stop).await
    }

    fn has_authority(&self) -> bool {
        let state = self.backups.replica().state().read();
        state.active_authority(AuthorityKind::X509).is_some()
    }

    /// Takes a backup if one is due, and tells when to look again.
    async fn round(&self, known: &mut Known) -> Result<Duration, RoundError> {
        // Each time: credentials are replaced.
        let place = Place::open(&self.schedule.place, &self.schedule.s3, &self.clock).await?;
        let now = self.clock.now();
        let (there, trust_domain, read) = (place.clone(), self.trust_domain.clone(), known.latest.take());
        let (latest, ahead) = blocking(move || {
            let Shelf { mut counted, ahead } = shelf(there.names()?, &trust_domain, now);
            Ok((check(&there, counted.pop(), read)?, ahead))
        })
        .await?;
        self.tell(ahead, known);
        let created = latest.as_ref().map(|(created, _)| *created);
        known.latest = latest.map(|(_, name)| name);
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
        blocking(move || {
            let Shelf { counted, .. } = shelf(place.names()?, &trust_domain, now);
            surplus(&counted, keep).iter().try_for_each(|(_, name)| place.delete(name))
        })
        .await?;
        Ok(self.schedule.interval)
    }

    /// Names those from the future once.
    fn tell(&self, ahead: Vec<String>, known: &mut Known) {
        let is_fresh = |name: &&String| known.ahead.binary_search(name).is_err();
        let fresh: Vec<&str> = ahead.iter().filter(is_fresh).map(String::as_str).collect();
        if !fresh.is_empty() {
            let named = fresh.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
            tracing::warn!(
                dir = %self.schedule.place,
                backups = named,
                count = fresh.len(),
                "backups from the future are neither counted nor deleted: look at the clocks, then at these files"
            );
        }
        known.ahead = ahead;
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, RoundError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| RoundError::Ended)??)
}

/// This trust domain's backups among what lies there.
fn shelf(names: Vec<String>, trust_domain: &TrustDomain, now: Timestamp) -> Shelf {
    let mut shelf = Shelf::default();
    for name in names {
        match backup::named_at(&name, trust_domain) {
            Some(at) if at <= now.saturating_add(AHEAD_MAX) => shelf.counted.push((at, name)),
            Some(_) => shelf.ahead.push(name),
            None => {}
        }
    }
    shelf.counted.sort();
    shelf.ahead.sort();
    shelf
}

/// What is no backup counts as missing, and the next one is taken at once. One that was `read` is not read again.
fn check(
    place: &Place,
    latest: Option<(Timestamp, String)>,
    read: Option<String>,
) -> Result<Option<(Timestamp, String)>, BackupError> {
    let Some((at, name)) = latest else { return Ok(None) };
    if read.is_some_and(|read| read == name) {
        return Ok(Some((at, name)));
    }
    match place.read(&name).and_then(BackupReader::begin) {
        Ok(_) => Ok(Some((at, name))),
        // A store that does not answer tells nothing of what lies there.
        Err(BackupError::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// How long the latest backup is young enough.
fn pause(now: Timestamp, latest: Option<Timestamp>, interval: Duration) -> Duration {
    latest.map_or(Duration::ZERO, |latest| interval.saturating_sub(now.since(latest)))
}

/// All but the `keep` latest of what is in order of age.
fn surplus<T>(counted: &[T], keep: usize) -> &[T] {
    &counted[..counted.len().saturating_sub(keep)]
}

/// So far the clocks of replicas that lead one after another may be apart.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// As many as one line of the log names.
const NAMED_MAX: usize = 10;

/// After a failure.
const RETRY: Duration = Duration::from_secs(60);
/// Wall clocks are stepped, and directories are emptied by people.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_due_when_the_latest_is_old() {
        let hour = Duration::from_secs(3600);
        let now = Timestamp::from_secs(100_000);
        assert_eq!(pause(now, None, hour), Duration::ZERO);
        assert_eq!(pause(now, Some(Timestamp::from_secs(99_000)), hour), Duration::from_secs(2_600));
        assert_eq!(pause(now, Some(Timestamp::from_secs(96_400)), hour), Duration::ZERO);
        assert_eq!(pause(now, Some(Timestamp::from_secs(100_001)), hour), hour);
    }

    #[test]
    fn a_backup_from_the_future_is_not_the_latest_and_drives_out_no_other() {
        let domain = TrustDomain::from_name("example.org").unwrap();
        let (now, hour, year) = (Timestamp::from_secs(1_700_000_000), 3600, 365 * 86_400);
        let at = |secs: i64| Timestamp::from_secs(1_700_000_000 + secs);
        let name = |secs: i64| backup::file_name(&domain, at(secs));
        let there = [year, -600, -600 - hour, -600 - 2 * hour].map(name).to_vec();
        let found = shelf([there, vec!["by-hand.backup".to_owned()]].concat(), &domain, now);
        assert_eq!(found.ahead, [name(year)]);
        let counted = [-600 - 2 * hour, -600 - hour, -600].map(|secs| (at(secs), name(secs)));
        assert_eq!(found.counted, counted);
        let latest = found.counted.last().map(|(at, _)| *at);
        assert_eq!(pause(now, latest, Duration::from_secs(3600)), Duration::from_secs(3000));
        assert!(surplus(&found.counted, 3).is_empty());

        let within = shelf(vec![name(60), name(61)], &domain, now);
        assert_eq!((within.counted, within.ahead), (vec![(at(60), name(60))], vec![name(61)]));
    }

    #[test]
    fn the_oldest_go_and_the_latest_stay() {
        let names = ["a", "b", "c"];
        assert_eq!(surplus(&names, 2), ["a"]);
        assert!(surplus(&names, 3).is_empty() && surplus(&names, 9).is_empty());
    }
}
