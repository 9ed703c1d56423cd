//! Three replicas, their log, and the calls that they serve.
//!
//! What differs in nothing is one state: replica 0 leads, whichever it was before, and each call has a place of its own
//! in whatever order the calls began. A replica that dies is one that does nothing any more after its client has left.

use std::ops::Range;

use steeple_state::Outcome;

use super::Entry;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Committed.
    pub log: Vec<Entry>,
    /// With the leader alone, and the call that it is for.
    pub appended: Vec<(usize, Entry)>,
    /// Changes of the leader.
    pub elections: u8,
    pub calls: [Option<Call>; CALLS_MAX],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    Operator,
    Machine(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub client: Client,
    /// The replica that was called.
    pub origin: u8,
    pub step: Step,
    /// The client has not left.
    pub waits: bool,
    pub tries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// What is proposed is ready.
    Signed,
    Appended,
    /// At this place of the log, which the replica does not know yet.
    Committed(usize),
    /// The leader was replaced, and nobody knows what became of the try.
    Unknown,
    Over(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Created,
    LetIn {
        serial: u8,
    },
    Refused,
    /// The replica ran out of time, or the client had left.
    Silence,
}

/// Of each call, as a deadline would allow.
const TRIES_MAX: u8 = 2;
/// One of the operator, two of a machine, one of another.
const CALLS_MAX: usize = 4;
const LEADER: u8 = 0;
pub const FOLLOWERS: [u8; 2] = [1, 2];

impl Client {
    pub const ALL: [Self; 3] = [Self::Operator, Self::Machine(0), Self::Machine(1)];

    /// Places of its calls.
    fn places(self) -> Range<usize> {
        match self {
            Self::Operator => 0..1,
            Self::Machine(0) => 1..3,
            Self::Machine(_) => 3..CALLS_MAX,
        }
    }
}

impl World {
    /// There is no token yet.
    pub fn begin() -> Self {
        Self { log: Vec::new(), appended: Vec::new(), elections: 0, calls: [const { None }; CALLS_MAX] }
    }

    /// Whom a client calls: the leader or another one. The others are alike.
    pub fn doors(&self) -> [u8; 2] {
        [LEADER, FOLLOWERS[0]]
    }

    /// A call that was made.
    pub fn call(&self, at: usize) -> &Call {
        self.calls[at].as_ref().expect("calls are never forgotten")
    }

    pub fn call_mut(&mut self, at: usize) -> &mut Call {
        self.calls[at].as_mut().expect("calls are never forgotten")
    }

    /// Calls with their places.
    pub fn calls(&self) -> impl Iterator<Item = (usize, &Call)> {
        self.calls.iter().enumerate().filter_map(|(at, call)| Some((at, call.as_ref()?)))
    }

    pub fn of(&self, client: Client) -> impl Iterator<Item = &Call> {
        self.calls[client.places()].iter().flatten()
    }

    /// Of a machine that still has another call; otherwise nobody sees the difference.
    pub fn may_leave(&self, at: usize, call: &Call) -> bool {
        call.is_waited_for() && call.client.places().len() > 1 && at == call.client.places().start
    }

    /// A client has one call at a time, and none after it got what it wanted. A machine is given its token by then.
    pub fn may_call(&self, client: Client) -> bool {
        if client != Client::Operator && self.log.is_empty() {
            return false;
        }
        let is_content = |call: &Call| matches!(call.step, Step::Over(Answer::Created | Answer::LetIn { .. }));
        let ends = self.of(client).any(|call| call.is_waited_for() || is_content(call));
        self.of(client).count() < client.places().len() && !ends
    }

    pub fn begin_call(&mut self, client: Client, origin: u8, step: Step) {
        let free = self.calls[client.places()].iter_mut().find(|place| place.is_none());
        if let Some(place) = free {
            *place = Some(Call { client, origin, step, waits: true, tries: 0 });
        }
    }

    pub fn commit_first(&mut self) {
        let (at, entry) = self.appended.remove(0);
        self.log.push(entry);
        let call = self.calls.get_mut(at).and_then(Option::as_mut);
        if let Some(call) = call.filter(|call| call.step == Step::Appended) {
            call.step = Step::Committed(self.log.len() - 1);
        }
    }

    /// What the next leader has of the log becomes committed before anything of its own.
    pub fn elect(&mut self, next: u8, kept: usize) {
        self.log.extend(self.appended.drain(..kept).map(|(_, entry)| entry));
        self.appended.clear();
        self.elections += 1;
        for call in self.calls.iter_mut().flatten() {
            // A leader has told its own callers when it commits; other replicas leave one that was replaced.
            let told = call.origin == LEADER && matches!(call.step, Step::Committed(_));
            if matches!(call.step, Step::Appended | Step::Committed(_)) && !told {
                call.step = Step::Unknown;
            }
            call.give_up_if_out_of_tries();
        }
        self.swap(LEADER, next);
    }

    /// Forgets what makes no difference any more.
    pub fn simplify(&mut self) {
        for call in self.calls.iter_mut().flatten().filter(|call| call.is_over()) {
            (call.origin, call.waits) = (LEADER, false);
            if !matches!(call.step, Step::Over(Answer::LetIn { .. })) {
                call.tries = 0;
            }
        }
        let first = self.calls.iter().flatten().map(|call| call.origin).find(|origin| *origin != LEADER);
        if first == Some(FOLLOWERS[1]) {
            self.swap(FOLLOWERS[0], FOLLOWERS[1]);
        }
    }

    /// Two replicas are numbered the other way round.
    fn swap(&mut self, one: u8, other: u8) {
        for call in self.calls.iter_mut().flatten() {
            call.origin = match call.origin {
                origin if origin == one => other,
                origin if origin == other => one,
                origin => origin,
            };
        }
    }
}

impl Call {
    pub fn is_over(&self) -> bool {
        matches!(self.step, Step::Over(_))
    }

    pub fn is_waited_for(&self) -> bool {
        self.waits && !self.is_over()
    }

    fn give_up_if_out_of_tries(&mut self) {
        if self.step == Step::Unknown && self.tries >= TRIES_MAX {
            self.step = Step::Over(Answer::Silence);
        }
    }

    /// `serial` is that of the SVID which the call brought along.
    pub fn hear(&mut self, outcome: &Outcome, serial: u8) {
        match outcome {
            Outcome::Agent(_) => self.let_in(serial),
            Outcome::Done => self.step = Step::Over(Answer::Created),
            _ => self.step = Step::Over(Answer::Refused),
        }
    }

    pub fn let_in(&mut self, serial: u8) {
        self.step = Step::Over(if self.waits { Answer::LetIn { serial } } else { Answer::Silence });
    }
}
