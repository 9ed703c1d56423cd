//! Creates, updates and deletes entries of its own, and reads those of all.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::*;
use steeple_api::types::{Entry, EntryMask, Selector, Spiffeid, Status as ItemStatus};
use steeple_testkit::Dice;
use tokio::time::sleep;
use tonic::Code;
use tonic::transport::Channel;

use super::call::{Answer, answered, is_certain};
use super::channel::{admin, any_server};
use crate::ledger::Reading;
use crate::node::TRUST_DOMAIN;
use crate::world::{Phase, World};

pub async fn run(world: Arc<World>, number: usize, mut dice: Dice) -> turmoil::Result {
    world.until(Phase::Load).await;
    let mut writer = Writer { world, number, version: 0, generation: 0, entry: 0 };
    while writer.world.is_loaded() {
        let channel = admin(any_server(&writer.world, &mut dice));
        match dice.below(5) {
            0 => writer.list(channel).await,
            1 => writer.read(channel, &mut dice).await,
            _ => writer.write(channel, &mut dice).await,
        }
        sleep(Duration::from_millis(20 + dice.below(200))).await;
    }
    Ok(())
}

struct Writer {
    world: Arc<World>,
    number: usize,
    /// Each state that is asked for is new.
    version: u64,
    /// Entries that are left alone are followed by new ones.
    generation: u64,
    entry: u64,
}

impl Writer {
    fn id(&self) -> String {
        format!("writer-{}-{}-{}", self.number, self.generation, self.entry)
    }

    async fn write(&mut self, channel: Channel, dice: &mut Dice) {
        self.entry = dice.below(ENTRIES);
        self.version += 1;
        let (id, version) = (self.id(), self.version);
        let current = self.world.ledger().entries.entry(id.clone()).or_default().current();
        let mut client = EntryClient::new(channel);
        let next = if current.is_some() && dice.below(4) == 0 { None } else { Some(version) };
        if let Some(register) = self.world.ledger().entries.get_mut(&id) {
            register.ask(next);
        }
        let outcome = match (current, next) {
            (None, _) => {
                let request = BatchCreateEntryRequest { entries: vec![entry(&id, version)], output_mask: None };
                item(answered(client.batch_create_entry(request)).await, |response| {
                    response.results.into_iter().next()?.status
                })
            }
            (Some(_), Some(version)) => {
                let request = BatchUpdateEntryRequest {
                    entries: vec![entry(&id, version)],
                    input_mask: Some(EntryMask { hint: true, ..EntryMask::default() }),
                    output_mask: None,
                };
                item(answered(client.batch_update_entry(request)).await, |response| {
                    response.results.into_iter().next()?.status
                })
            }
            (Some(_), None) => {
                let request = BatchDeleteEntryRequest { ids: vec![id.clone()] };
                item(answered(client.batch_delete_entry(request)).await, |response| {
                    response.results.into_iter().next()?.status
                })
            }
        };
        self.note(&id, outcome);
    }

    fn note(&mut self, id: &str, outcome: Answer<()>) {
        let mut ledger = self.world.ledger();
        match outcome {
            Answer::Done(()) => {
                ledger.count("writes acknowledged");
                ledger.entries.entry(id.to_owned()).or_default().acknowledge();
            }
            Answer::Unknown => {
                ledger.count("writes without an answer");
                self.generation += 1;
            }
            // What it asks is always possible.
            Answer::Refused(status) if matches!(status.code(), Code::NotFound | Code::AlreadyExists) => {
                drop(ledger);
                self.world.find("acknowledged writes", Err(format!("{id}: {status}")));
            }
            Answer::Refused(_) => {
                ledger.count("writes refused");
                ledger.entries.entry(id.to_owned()).or_default().refuse();
            }
        }
    }

    /// One entry of any writer.
    async fn read(&mut self, channel: Channel, dice: &mut Dice) {
        let chosen = {
            let ledger = self.world.ledger();
            let count = ledger.entries.len() as u64;
            let position = usize::try_from(dice.below(count)).unwrap_or(0);
            ledger.entries.iter().nth(position).map(|(id, register)| (id.clone(), register.begin_reading()))
        };
        let Some((id, reading)) = chosen else { return };
        let request = GetEntryRequest { id: id.clone(), output_mask: None };
        let found = match answered(EntryClient::new(channel).get_entry(request)).await {
            Answer::Done(entry) => version(&entry.hint),
            Answer::Refused(status) if status.code() == Code::NotFound => None,
            Answer::Refused(_) | Answer::Unknown => return self.world.ledger().count("reads without an answer"),
        };
        self.world.ledger().count("reads");
        self.found(&id, reading, found);
    }

    /// All at once.
    async fn list(&mut self, channel: Channel) {
        let readings: Vec<(String, Reading)> = {
            let ledger = self.world.ledger();
            ledger.entries.iter().map(|(id, register)| (id.clone(), register.begin_reading())).collect()
        };
        let request = ListEntriesRequest::default();
        let Answer::Done(listed) = answered(EntryClient::new(channel).list_entries(request)).await else {
            return self.world.ledger().count("reads without an answer");
        };
        self.world.ledger().count("lists");
        for (id, reading) in readings {
            let found = listed.entries.iter().find(|entry| entry.id == id).and_then(|entry| version(&entry.hint));
            self.found(&id, reading, found);
        }
    }

    fn found(&self, id: &str, reading: Reading, found: Option<u64>) {
        let outcome = self.world.ledger().entries.entry(id.to_owned()).or_default().read(reading, found);
        self.world.find("linearizable entries", outcome.map_err(|text| format!("{id}: {text}")));
    }
}

/// The answer to a batch of one.
fn item<T>(answer: Answer<T>, status: impl FnOnce(T) -> Option<ItemStatus>) -> Answer<()> {
    match answer {
        Answer::Refused(status) => Answer::Refused(status),
        Answer::Unknown => Answer::Unknown,
        Answer::Done(response) => match status(response) {
            Some(status) if status.code == 0 => Answer::Done(()),
            Some(status) if is_certain(Code::from(status.code)) => {
                Answer::Refused(tonic::Status::new(Code::from(status.code), status.message))
            }
            _ => Answer::Unknown,
        },
    }
}

fn entry(id: &str, version: u64) -> Entry {
    let spiffe_id = |path: String| Some(Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path });
    Entry {
        id: id.to_owned(),
        spiffe_id: spiffe_id(format!("/{id}")),
        parent_id: spiffe_id("/nobody".to_owned()),
        selectors: vec![Selector { r#type: "unix".to_owned(), value: format!("user:{id}") }],
        hint: format!("{HINT}{version}"),
        ..Entry::default()
    }
}

/// Of an entry with this hint.
pub fn version(hint: &str) -> Option<u64> {
    hint.strip_prefix(HINT)?.parse().ok()
}

const HINT: &str = "version-";
/// Of one writer at a time.
const ENTRIES: u64 = 6;
