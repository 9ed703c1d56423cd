//! Clients: writers of entries, signers, and one that lists. Each has one call open at a time, so their number bounds
//! the load whatever the servers do.
//!
//! A client has a replica that it turns to first, as if it ran beside it, and turns to any other when that one has no
//! answer. So there are always clients whose replica was not killed.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::entry::{
    BatchCreateEntryRequest, BatchDeleteEntryRequest, ListEntriesRequest, list_entries_request,
};
use steeple_api::types;
use steeple_core::TrustDomain;
use steeple_testkit::{Admin, Dice};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tonic::{Code, Request};

use super::answer::{of_failed_read, of_failed_write};
use super::history::{Answer, Call, Key, Recorder};
use super::signing::{Subject, Trust};

pub(super) const WRITERS: u32 = 6;
const SIGNERS: u32 = 3;
const LISTERS: u32 = 1;
/// Of so many creates one is followed by a delete.
const DELETE_EVERY: u64 = 4;
/// How often a writer repeats what it has no answer to, before it leaves the question to the checker.
const RETRIES_MAX: usize = 20;
/// A server gives up looking for a leader after 10 s and says so.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);

/// Running clients.
pub(super) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<anyhow::Result<()>>,
}

/// What a client knows.
#[derive(Clone)]
struct Client {
    /// Connections of its own, by the position of the replica.
    replicas: Vec<Admin>,
    home: usize,
    trust_domain: TrustDomain,
    recorder: Arc<Recorder>,
    dice: Dice,
    pause: Duration,
    stopped: watch::Receiver<bool>,
}

impl Load {
    /// `connect` opens new connections to all replicas; `rate` is in calls a second.
    pub(super) fn start(
        connect: impl Fn() -> Vec<Admin>,
        trust_domain: &TrustDomain,
        trust: Trust,
        recorder: &Arc<Recorder>,
        seed: u64,
        rate: u32,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        let trust = Arc::new(trust);
        for number in 0..WRITERS + SIGNERS + LISTERS {
            let replicas = connect();
            let client = Client {
                home: number as usize % replicas.len(),
                replicas,
                trust_domain: trust_domain.clone(),
                recorder: Arc::clone(recorder),
                dice: Dice::new(seed ^ (u64::from(number) << 32)),
                pause: Duration::from_secs(1) * (WRITERS + SIGNERS + LISTERS) / rate,
                stopped: stopped.clone(),
            };
            if number < WRITERS {
                clients.spawn(client.write(number));
            } else if number < WRITERS + SIGNERS {
                clients.spawn(client.sign(Subject::new(trust_domain, number)?, Arc::clone(&trust)));
            } else {
                clients.spawn(client.list());
            }
        }
        Ok(Self { stop, clients })
    }

    /// Lets every client finish its call.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended??;
        }
        Ok(())
    }
}

impl Client {
    async fn write(mut self, writer: u32) -> anyhow::Result<()> {
        let mut ticks = self.ticks();
        let mut deletable: Vec<(Key, String)> = Vec::new();
        for number in 0.. {
            ticks.tick().await;
            let key = Key { writer, number };
            if let Some((id, certain)) = self.create(key).await?
                && certain
            {
                deletable.push((key, id));
            }
            if !deletable.is_empty() && self.dice.below(DELETE_EVERY) == 0 {
                ticks.tick().await;
                let at = self.dice.below(deletable.len() as u64) as usize;
                let (key, id) = deletable.swap_remove(at);
                self.delete(key, id).await?;
            }
            if *self.stopped.borrow() {
                break;
            }
        }
        Ok(())
    }

    /// Repeats until there is an answer. The flag says that no earlier attempt is left that could still take effect, so
    /// that the entry may be deleted and stay away.
    async fn create(&mut self, key: Key) -> anyhow::Result<Option<(String, bool)>> {
        let (mut certain, mut replica) = (true, self.home);
        for _ in 0..RETRIES_MAX {
            let mut entries = self.replicas[replica].entries();
            let request = timed(BatchCreateEntryRequest { entries: vec![self.entry(key)], output_mask: None });
            let carry_out = async {
                match entries.batch_create_entry(request).await {
                    Ok(response) => created(response.into_inner().results.into_iter().next()),
                    Err(status) => of_failed_write(&status),
                }
            };
            match self.recorder.record(replica, Call::Create { key }, carry_out).await? {
                Answer::Created { id } | Answer::Existed { id } => return Ok(Some((id, certain))),
                Answer::Unknown { .. } => certain = false,
                Answer::Refused { .. } => {}
                _ => return Ok(None),
            }
            tokio::time::sleep(self.pause).await;
            replica = self.any_replica();
        }
        Ok(None)
    }

    async fn delete(&mut self, key: Key, id: String) -> anyhow::Result<()> {
        let replica = self.any_replica();
        let mut entries = self.replicas[replica].entries();
        let request = timed(BatchDeleteEntryRequest { ids: vec![id.clone()] });
        let carry_out = async {
            let results = match entries.batch_delete_entry(request).await {
                Ok(response) => response.into_inner().results,
                Err(status) => return of_failed_write(&status),
            };
            let status = results.into_iter().next().and_then(|result| result.status).unwrap_or_default();
            match Code::from(status.code) {
                Code::Ok => Answer::Deleted,
                Code::NotFound => Answer::NotFound,
                code => Answer::Wrong { reason: format!("delete: {code:?}: {}", status.message) },
            }
        };
        self.recorder.record(replica, Call::Delete { key, id }, carry_out).await?;
        Ok(())
    }

    async fn sign(mut self, subject: Subject, trust: Arc<Trust>) -> anyhow::Result<()> {
        let mut ticks = self.ticks();
        while !*self.stopped.borrow() {
            ticks.tick().await;
            let replica = self.home;
            let mut svids = self.replicas[replica].svids();
            let name = subject.id().to_string();
            if self.dice.below(2) == 0 {
                let carry_out = async {
                    match svids.mint_x509svid(timed(subject.x509_request())).await {
                        Ok(response) => subject.judge_x509(response.into_inner().svid, &trust),
                        Err(status) => of_failed_read(&status),
                    }
                };
                self.recorder.record(replica, Call::SignX509 { subject: name }, carry_out).await?;
            } else {
                let carry_out = async {
                    match svids.mint_jwtsvid(timed(subject.jwt_request())).await {
                        Ok(response) => subject.judge_jwt(response.into_inner().svid, &trust),
                        Err(status) => of_failed_read(&status),
                    }
                };
                self.recorder.record(replica, Call::SignJwt { subject: name }, carry_out).await?;
            }
        }
        Ok(())
    }

    /// Lists blocks that are being written, and older ones.
    async fn list(mut self) -> anyhow::Result<()> {
        let mut ticks = self.ticks();
        while !*self.stopped.borrow() {
            ticks.tick().await;
            let replica = self.any_replica();
            let mut entries = self.replicas[replica].entries();
            let writer = self.dice.below(WRITERS.into()) as u32;
            // About as many as the writers have begun.
            let begun = 1 + self.recorder.acknowledged_writes() as u32 / WRITERS / super::history::BLOCK_KEYS;
            let block = begun.saturating_sub(1 + self.dice.below(3) as u32);
            let filter = list_entries_request::Filter {
                by_parent_id: Some(self.parent(writer, block)),
                ..list_entries_request::Filter::default()
            };
            let request = timed(ListEntriesRequest { filter: Some(filter), ..ListEntriesRequest::default() });
            let carry_out = async {
                match entries.list_entries(request).await {
                    Ok(response) => listed(writer, &response.into_inner().entries),
                    Err(status) => of_failed_read(&status),
                }
            };
            self.recorder.record(replica, Call::List { writer, block }, carry_out).await?;
        }
        Ok(())
    }

    fn ticks(&self) -> tokio::time::Interval {
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    fn any_replica(&mut self) -> usize {
        self.dice.below(self.replicas.len() as u64) as usize
    }

    fn entry(&self, key: Key) -> types::Entry {
        types::Entry {
            spiffe_id: Some(self.id(key.path())),
            parent_id: Some(self.parent(key.writer, key.block())),
            selectors: vec![types::Selector { r#type: "load".to_owned(), value: "client".to_owned() }],
            ..types::Entry::default()
        }
    }

    fn parent(&self, writer: u32, block: u32) -> types::Spiffeid {
        self.id(format!("/block/{writer}/{block}"))
    }

    fn id(&self, path: String) -> types::Spiffeid {
        types::Spiffeid { trust_domain: self.trust_domain.name().to_owned(), path }
    }
}

fn created(result: Option<steeple_api::server::entry::batch_create_entry_response::Result>) -> Answer {
    let wrong = |reason: String| Answer::Wrong { reason };
    let Some(result) = result else { return wrong("create: no result for the entry".to_owned()) };
    let status = result.status.unwrap_or_default();
    let id = result.entry.map(|entry| entry.id).filter(|id| !id.is_empty());
    match (Code::from(status.code), id) {
        (Code::Ok, Some(id)) => Answer::Created { id },
        (Code::AlreadyExists, Some(id)) => Answer::Existed { id },
        (code, id) => wrong(format!("create: {code:?}: {} (id {id:?})", status.message)),
    }
}

fn listed(writer: u32, entries: &[types::Entry]) -> Answer {
    let mut numbers = Vec::with_capacity(entries.len());
    for entry in entries {
        let path = entry.spiffe_id.as_ref().map_or("", |id| id.path.as_str());
        match Key::of_path(path).filter(|key| key.writer == writer) {
            Some(key) => numbers.push(key.number),
            None => return Answer::Wrong { reason: format!("list: {path} is not under the parent") },
        }
    }
    Answer::Listed { numbers }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}
