//! Clients of few registers through all replicas, each with one call open at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use steeple_api::server::entry::{
    BatchCreateEntryRequest, BatchDeleteEntryRequest, BatchUpdateEntryRequest, GetEntryRequest, ListEntriesRequest,
};
use steeple_api::types;
use steeple_testkit::{Admin, Dice, workload_entry};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tonic::{Code, Request, Status};

use super::history::{Answer, Recorder};
use super::model::{Call, Outcome, Value};
use crate::meaning::{Meaning, meaning, shown};

const REGISTER: &str = "register-";
const CLIENTS: u32 = 12;
/// Few, so that clients meet at them.
const REGISTERS: usize = 10;
/// A register is given up after so many calls, so that its history can be searched.
const REGISTER_CALLS_MAX: u32 = 120;
/// And after so many open answers to writes, each of which may take effect at any later time.
const REGISTER_OPEN_MAX: u32 = 6;
/// Of so many calls one goes to a replica that is drawn, the others to the client's own.
const ELSEWHERE_EVERY: u64 = 4;
/// Shorter than a server's own patience: a client that is cut off turns to another replica.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Running clients.
pub(crate) struct Clients {
    stop: watch::Sender<bool>,
    clients: JoinSet<anyhow::Result<Client>>,
}

/// What all clients have in common.
struct Shared {
    trust_domain: String,
    recorder: Arc<Recorder>,
    next_value: AtomicU64,
    next_register: AtomicU32,
    first_register: u32,
    in_use: Mutex<Vec<Register>>,
}

#[derive(Clone, Copy)]
struct Register {
    number: u32,
    calls: u32,
    open: u32,
}

struct Client {
    replicas: Vec<Admin>,
    home: usize,
    shared: Arc<Shared>,
    dice: Dice,
    pause: Duration,
    stopped: watch::Receiver<bool>,
}

impl Clients {
    /// `connect` opens new connections to all replicas; `rate` is in calls a second. Registers count from
    /// `first_register`.
    pub(crate) fn start(
        connect: impl Fn() -> Vec<Admin>,
        trust_domain: &str,
        recorder: &Arc<Recorder>,
        seed: u64,
        rate: u32,
        first_register: u32,
    ) -> Self {
        let shared = Arc::new(Shared {
            trust_domain: trust_domain.to_owned(),
            recorder: Arc::clone(recorder),
            next_value: AtomicU64::new(1),
            next_register: AtomicU32::new(first_register),
            first_register,
            in_use: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let replicas = connect();
            let client = Client {
                home: number as usize % replicas.len(),
                replicas,
                shared: Arc::clone(&shared),
                dice: Dice::new(seed ^ (u64::from(number) << 32)),
                pause: Duration::from_secs(1) * CLIENTS / rate.max(1),
                stopped: stopped.clone(),
            };
            clients.spawn(client.run());
        }
        Self { stop, clients }
    }

    /// Lets every client finish its call, then reads every register once more from each replica.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let ended = self.end().await?;
        let mut readers = JoinSet::new();
        for (share, client) in (0..).zip(ended) {
            readers.spawn(client.read_back(share));
        }
        while let Some(read) = readers.join_next().await {
            read??;
        }
        Ok(())
    }

    /// Lets every client finish its call. Returns the first register that was not used.
    pub(crate) async fn halt(self) -> anyhow::Result<u32> {
        let ended = self.end().await?;
        Ok(ended.first().map_or(0, |client| client.shared.next_register.load(Ordering::Relaxed)))
    }

    async fn end(mut self) -> anyhow::Result<Vec<Client>> {
        self.stop.send_replace(true);
        let mut ended = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            ended.push(client??);
        }
        Ok(ended)
    }
}

/// What all registers of a replica hold.
pub(crate) async fn registers(replica: &Admin) -> anyhow::Result<BTreeMap<u32, Value>> {
    let listed = replica.entries().list_entries(ListEntriesRequest::default()).await?.into_inner();
    let entries = listed.entries.into_iter();
    let of_ours = entries.filter_map(|entry| Some((entry.id.strip_prefix(REGISTER)?.parse().ok()?, entry)));
    let value = |(number, entry): (u32, types::Entry)| {
        Ok((number, entry.hint.parse().with_context(|| format!("register {number} holds {:?}", entry.hint))?))
    };
    of_ours.map(value).collect()
}

impl Client {
    async fn run(mut self) -> anyhow::Result<Self> {
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*self.stopped.borrow() {
            ticks.tick().await;
            let register = self.shared.draw(&mut self.dice);
            let call = self.draw_call();
            let replica = match self.dice.below(ELSEWHERE_EVERY) {
                0 => self.dice.below(self.replicas.len() as u64) as usize,
                _ => self.home,
            };
            let carry_out = self.carry_out(replica, register, call);
            let answer = self.shared.recorder.record(replica, register, call, carry_out).await?;
            if call.is_write() && matches!(answer, Answer::Open { .. }) {
                self.shared.count_open(register);
            }
        }
        Ok(self)
    }

    /// One client's share of all registers, from each replica.
    async fn read_back(self, share: u32) -> anyhow::Result<()> {
        let registers = self.shared.next_register.load(Ordering::Relaxed);
        for register in (self.shared.first_register + share..registers).step_by(CLIENTS as usize) {
            for replica in 0..self.replicas.len() {
                let carry_out = self.carry_out(replica, register, Call::Get);
                self.shared.recorder.record(replica, register, Call::Get, carry_out).await?;
            }
        }
        Ok(())
    }

    fn draw_call(&mut self) -> Call {
        let value = || self.shared.next_value.fetch_add(1, Ordering::Relaxed);
        match self.dice.below(10) {
            0..2 => Call::Create { value: value() },
            2..5 => Call::Update { value: value() },
            5..6 => Call::Delete,
            _ => Call::Get,
        }
    }

    async fn carry_out(&self, replica: usize, register: u32, call: Call) -> Answer {
        let mut entries = self.replicas[replica].entries();
        let id = register_id(register);
        match call {
            Call::Create { value } => {
                let request = BatchCreateEntryRequest { entries: vec![self.entry(&id, value)], output_mask: None };
                let response = entries.batch_create_entry(timed(request)).await;
                let result = response.map(|response| response.into_inner().results.into_iter().next());
                judge(
                    call,
                    result.map(|result| result.map(|result| Item { status: result.status, entry: result.entry })),
                )
            }
            Call::Update { value } => {
                let input_mask = Some(types::EntryMask { hint: true, ..types::EntryMask::default() });
                let entries_to_update = vec![self.entry(&id, value)];
                let request = BatchUpdateEntryRequest { entries: entries_to_update, input_mask, output_mask: None };
                let response = entries.batch_update_entry(timed(request)).await;
                let result = response.map(|response| response.into_inner().results.into_iter().next());
                judge(
                    call,
                    result.map(|result| result.map(|result| Item { status: result.status, entry: result.entry })),
                )
            }
            Call::Delete => {
                let response = entries.batch_delete_entry(timed(BatchDeleteEntryRequest { ids: vec![id] })).await;
                let result = response.map(|response| response.into_inner().results.into_iter().next());
                judge(call, result.map(|result| result.map(|result| Item { status: result.status, entry: None })))
            }
            Call::Get => match entries.get_entry(timed(GetEntryRequest { id, output_mask: None })).await {
                Ok(response) => found(Some(response.into_inner())),
                Err(status) if status.code() == Code::NotFound => Answer::Told { outcome: Outcome::Absent },
                Err(status) => failed(call, &status),
            },
        }
    }

    fn entry(&self, id: &str, value: Value) -> types::Entry {
        let parent =
            types::Spiffeid { trust_domain: self.shared.trust_domain.clone(), path: "/register-owner".to_owned() };
        let selector = types::Selector { r#type: "chaos".to_owned(), value: "register".to_owned() };
        let entry = workload_entry(id, &parent, &format!("/register/{id}"), vec![selector]);
        types::Entry { hint: value.to_string(), ..entry }
    }
}

impl Shared {
    /// One of those in use; it is replaced by a new one when it has had enough.
    fn draw(&self, dice: &mut Dice) -> u32 {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|register| register.calls < REGISTER_CALLS_MAX && register.open < REGISTER_OPEN_MAX);
        while in_use.len() < REGISTERS {
            let number = self.next_register.fetch_add(1, Ordering::Relaxed);
            in_use.push(Register { number, calls: 0, open: 0 });
        }
        let register = &mut in_use[dice.below(REGISTERS as u64) as usize];
        register.calls += 1;
        register.number
    }

    fn count_open(&self, number: u32) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(register) = in_use.iter_mut().find(|register| register.number == number) {
            register.open += 1;
        }
    }
}

/// What a batch of one was told of its entry.
struct Item {
    status: Option<types::Status>,
    entry: Option<types::Entry>,
}

fn judge(call: Call, result: Result<Option<Item>, Status>) -> Answer {
    let (status, entry) = match result {
        Ok(Some(Item { status, entry })) => (status.unwrap_or_default(), entry),
        Ok(None) => return Answer::Wrong { reason: format!("{call:?}: no result for the entry") },
        Err(status) => return failed(call, &status),
    };
    match (call, Code::from(status.code)) {
        (Call::Create { value } | Call::Update { value }, Code::Ok) => match found(entry) {
            Answer::Told { outcome: Outcome::Holds { value: held } } if held == value => {
                Answer::Told { outcome: Outcome::Done }
            }
            other => Answer::Wrong { reason: format!("{call:?} was done, and the entry is {other:?}") },
        },
        (Call::Delete, Code::Ok) => Answer::Told { outcome: Outcome::Done },
        (Call::Create { .. }, Code::AlreadyExists) => found(entry),
        (Call::Update { .. } | Call::Delete, Code::NotFound) => Answer::Told { outcome: Outcome::Absent },
        (_, code) => Answer::Wrong { reason: format!("{call:?}: {code:?}: {}", status.message) },
    }
}

fn found(entry: Option<types::Entry>) -> Answer {
    match entry.as_ref().map(|entry| entry.hint.parse()) {
        Some(Ok(value)) => Answer::Told { outcome: Outcome::Holds { value } },
        _ => Answer::Wrong { reason: format!("an entry without a value of ours: {entry:?}") },
    }
}

/// A read leaves nothing behind when it fails.
fn failed(call: Call, status: &Status) -> Answer {
    match meaning(status) {
        Meaning::Open if call.is_write() => Answer::Open { code: shown(status) },
        Meaning::Open | Meaning::NotDone => Answer::Refused { code: shown(status) },
        Meaning::Defect => Answer::Wrong { reason: format!("{call:?}: {}: {}", shown(status), status.message()) },
    }
}

/// Of the entry that is register `number`.
fn register_id(number: u32) -> String {
    format!("{REGISTER}{number}")
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}
