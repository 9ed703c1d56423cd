//! Entries on their way to whoever may have them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use steeple_api::types;
use tonic::Status;

use super::issuers::{Ticket, x509_svids};
use crate::fleet::{Agent, Change, KeyAndCsr, Observer};
use crate::gates::{SvidCheck, Trust};
use crate::load::{Latency, Quantiles};
use crate::report::Gate;
use crate::target::Target;

/// Created entries by path, and how long those took that have arrived.
pub(super) struct Hands {
    created: Mutex<HashMap<String, Instant>>,
    arrived: Mutex<Latency>,
    /// Made beforehand, one for all simulated agents: a key says nothing about an entry.
    key: KeyAndCsr,
    pub(super) check: SvidCheck,
    failures: Mutex<Vec<String>>,
}

impl Hands {
    pub(super) async fn new(target: &Target) -> anyhow::Result<Self> {
        let bundle = target.admin()?.bundle().await?;
        Ok(Self {
            created: Mutex::default(),
            arrived: Mutex::new(Latency::new()?),
            key: KeyAndCsr::new(target.trust_domain())?,
            check: SvidCheck::new(Trust::new(target.trust_domain(), &bundle)?),
            failures: Mutex::default(),
        })
    }

    /// The clock of `path` runs from `at`.
    pub(super) fn created(&self, path: &str, at: Instant) {
        self.created.lock().insert(path.to_owned(), at);
    }

    /// An SVID is in somebody's hand; later ones for the same entry do not count.
    pub(super) fn arrived(&self, svid: &types::X509svid, path: &str, public_key: &[u8]) {
        if let Some(created) = self.created.lock().remove(path) {
            self.arrived.lock().record(created.elapsed());
            self.check.x509(svid, path, public_key);
        }
    }

    pub(super) fn is_on_its_way(&self, path: &str) -> bool {
        self.created.lock().contains_key(path)
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        self.arrived.lock().quantiles()
    }

    /// Waits for what is on its way; what is lost is for the gate to tell.
    pub(super) async fn all_arrived(&self) {
        let give_up = Instant::now() + ARRIVAL_MAX;
        while !self.created.lock().is_empty() && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) fn gate(&self, count: u64) -> Gate {
        let (arrived, failures) = (self.arrived.lock().count(), self.failures.lock());
        let first = failures.first().map_or(String::new(), |first| format!("; a call failed: {first}"));
        Gate::new("every entry became an SVID", arrived == count, format!("{arrived} of {count}{first}"))
    }

    pub(super) fn fail(&self, what: String) {
        let mut failures = self.failures.lock();
        if failures.len() < FAILURES_KEPT {
            failures.push(what);
        }
    }
}

impl Observer for Hands {
    async fn synced(&self, agent: &Agent, change: Change) {
        let on_their_way: Vec<Ticket> = change
            .changed
            .into_iter()
            .filter_map(|entry| {
                let path = entry.spiffe_id?.path;
                self.is_on_its_way(&path).then(|| Ticket {
                    entry_id: entry.id,
                    path,
                    csr: self.key.csr.clone(),
                    public_key: self.key.public_key(),
                })
            })
            .collect();
        if on_their_way.is_empty() {
            return;
        }
        let channel = agent.channel();
        let asked: Vec<&Ticket> = on_their_way.iter().collect();
        let taken = x509_svids(&channel, &asked, |ticket, svid| {
            self.arrived(svid, &ticket.path, &ticket.public_key);
        });
        if let Err(error) = taken.await {
            self.fail(format!("{error:#}"));
        }
    }

    fn failed(&self, _agent: &Agent, status: &Status) {
        self.fail(format!("{:?}: {}", status.code(), status.message()));
    }
}

/// SPIRE takes ten seconds at most; beyond a minute an entry is lost.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
const FAILURES_KEPT: usize = 100;
