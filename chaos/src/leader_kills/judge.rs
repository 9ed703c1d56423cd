//! The verdict: a pure function of the history and of what each replica holds afterwards.
//!
//! Every entry is written once and deleted at most once, and never deleted while a create may still be under way. That
//! makes linearizability a matter of intervals: an answer must hold what was acknowledged before its call began, and
//! nothing that was begun after it ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::history::{Answer, BLOCK_KEYS, Call, Key, Line};

/// What a replica holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadBack {
    pub(super) applied_index: u64,
    pub(super) state_hash: String,
    /// Ids of the entries of each key.
    pub(super) entries: BTreeMap<Key, Vec<String>>,
    /// SPIFFE IDs that no client made.
    pub(super) strangers: Vec<String>,
}

/// What is wrong, each with what shows it. All empty is what a run is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// Acknowledged creates that are not there, acknowledged deletes that are.
    pub(super) lost: Vec<String>,
    pub(super) duplicates: Vec<String>,
    /// Lists that lack what was acknowledged before they were asked for.
    pub(super) short: Vec<String>,
    /// Answers that no correct server gives.
    pub(super) wrong: Vec<String>,
    /// Replicas that differ at one log index.
    pub(super) diverged: Vec<String>,
    /// How many acknowledged creates and deletes were looked for on every replica.
    pub(super) acknowledged: usize,
    /// How many pairs of state hashes at one index were compared.
    pub(super) hashes_compared: usize,
}

/// One key's life, in microseconds.
#[derive(Clone, Debug, Default)]
struct Life {
    begun_at: Option<u64>,
    acknowledged_at: Option<u64>,
    ids: BTreeSet<String>,
    delete_begun_at: Option<u64>,
    deleted_at: Option<u64>,
}

struct List {
    writer: u32,
    block: u32,
    begun_at: u64,
    ended_at: u64,
    numbers: Vec<u32>,
}

pub(super) fn judge(history: &[Line], replicas: &[ReadBack]) -> Verdict {
    let mut verdict = Verdict::default();
    let (lives, lists) = replay(history, &mut verdict);
    for list in &lists {
        judge_list(list, &lives, &mut verdict);
    }
    verdict.acknowledged = lives
        .values()
        .map(|life| usize::from(life.acknowledged_at.is_some()) + usize::from(life.deleted_at.is_some()))
        .sum();
    for (position, replica) in replicas.iter().enumerate() {
        judge_replica(position, replica, &lives, &mut verdict);
    }
    compare_hashes(history, replicas, &mut verdict);
    verdict
}

impl Verdict {
    pub(super) fn is_clean(&self) -> bool {
        [&self.lost, &self.duplicates, &self.short, &self.wrong, &self.diverged].iter().all(|found| found.is_empty())
    }
}

fn replay(history: &[Line], verdict: &mut Verdict) -> (BTreeMap<Key, Life>, Vec<List>) {
    let mut open: HashMap<u64, (u64, &Call)> = HashMap::new();
    let mut lives: BTreeMap<Key, Life> = BTreeMap::new();
    let mut lists = Vec::new();
    let mut serials = BTreeSet::new();
    for line in history {
        match line {
            Line::Invoke { op, at_us, call, .. } => {
                open.insert(*op, (*at_us, call));
                match call {
                    Call::Create { key } => {
                        lives.entry(*key).or_default().begun_at.get_or_insert(*at_us);
                    }
                    Call::Delete { key, .. } => {
                        lives.entry(*key).or_default().delete_begun_at.get_or_insert(*at_us);
                    }
                    Call::List { .. } | Call::SignX509 { .. } | Call::SignJwt { .. } => {}
                }
            }
            Line::Return { op, at_us, answer } => match open.remove(op) {
                Some((begun_at, call)) => match (call, answer) {
                    (Call::Create { key }, Answer::Created { id } | Answer::Existed { id }) => {
                        let life = lives.entry(*key).or_default();
                        life.acknowledged_at.get_or_insert(*at_us);
                        life.ids.insert(id.clone());
                    }
                    (Call::Delete { key, .. }, Answer::Deleted) => {
                        lives.entry(*key).or_default().deleted_at.get_or_insert(*at_us);
                    }
                    (Call::Delete { key, id }, Answer::NotFound) => {
                        verdict.lost.push(format!("{}, id {id}: acknowledged, not found when deleted", key.path()));
                    }
                    (Call::List { writer, block }, Answer::Listed { numbers }) => lists.push(List {
                        writer: *writer,
                        block: *block,
                        begun_at,
                        ended_at: *at_us,
                        numbers: numbers.clone(),
                    }),
                    (_, Answer::Signed { serial }) => {
                        if let Some(serial) = serial
                            && !serials.insert(serial.clone())
                        {
                            verdict.duplicates.push(format!("serial {serial} was issued twice"));
                        }
                    }
                    (_, Answer::Wrong { reason }) => verdict.wrong.push(format!("op {op}: {reason}")),
                    (_, Answer::Refused { .. } | Answer::Unknown { .. }) => {}
                    (call, answer) => verdict.wrong.push(format!("op {op}: {answer:?} to {call:?}")),
                },
                None => verdict.wrong.push(format!("op {op} has an answer and no call")),
            },
            Line::Fault { .. } | Line::Sample { .. } => {}
        }
    }
    (lives, lists)
}

fn judge_list(list: &List, lives: &BTreeMap<Key, Life>, verdict: &mut Verdict) {
    let shown = |number| Key { writer: list.writer, number }.path();
    let mut listed = BTreeSet::new();
    for number in &list.numbers {
        if !listed.insert(*number) {
            verdict.duplicates.push(format!("{} is listed twice at {} us", shown(*number), list.ended_at));
        }
        let life = lives.get(&Key { writer: list.writer, number: *number });
        let may_be_there = life.is_some_and(|life| {
            life.begun_at.is_some_and(|begun| begun <= list.ended_at)
                && life.deleted_at.is_none_or(|deleted| deleted >= list.begun_at)
        });
        if !may_be_there {
            verdict.wrong.push(format!("{} is listed at {} us and cannot be there", shown(*number), list.ended_at));
        }
    }
    let first = list.block * BLOCK_KEYS;
    let keys = (first..first + BLOCK_KEYS).map(|number| Key { writer: list.writer, number });
    for key in keys {
        let must_be_there = lives.get(&key).is_some_and(|life| {
            life.acknowledged_at.is_some_and(|acknowledged| acknowledged < list.begun_at)
                && life.delete_begun_at.is_none_or(|begun| begun > list.ended_at)
        });
        if must_be_there && !listed.contains(&key.number) {
            verdict.short.push(format!("{} is missing in the list of {} us", key.path(), list.ended_at));
        }
    }
}

fn judge_replica(position: usize, replica: &ReadBack, lives: &BTreeMap<Key, Life>, verdict: &mut Verdict) {
    for stranger in &replica.strangers {
        verdict.wrong.push(format!("replica {position} holds {stranger}, which no client made"));
    }
    for (key, ids) in &replica.entries {
        if lives.get(key).is_none_or(|life| life.begun_at.is_none()) {
            verdict.wrong.push(format!("replica {position} holds {}, which no client made", key.path()));
        }
        if ids.len() > 1 {
            verdict.duplicates.push(format!("replica {position} holds {} {} times", key.path(), ids.len()));
        }
    }
    for (key, life) in lives {
        let held = replica.entries.get(key).map_or(&[][..], Vec::as_slice);
        if life.ids.len() > 1 && position == 0 {
            verdict.duplicates.push(format!("{} was acknowledged with ids {:?}", key.path(), life.ids));
        }
        if life.deleted_at.is_some() {
            if !held.is_empty() {
                verdict.lost.push(format!("{}: deleted and there again on replica {position}", key.path()));
            }
        } else if life.acknowledged_at.is_some() && life.delete_begun_at.is_none() {
            let there = held.iter().any(|id| life.ids.contains(id));
            if !there {
                verdict.lost.push(format!("{}, ids {:?}: not on replica {position}", key.path(), life.ids));
            }
        }
    }
}

/// Equal log index, equal state: while the run lasts, and at its end.
fn compare_hashes(history: &[Line], replicas: &[ReadBack], verdict: &mut Verdict) {
    let mut known: HashMap<u64, &str> = HashMap::new();
    let samples = history.iter().filter_map(|line| match line {
        Line::Sample { applied_index, state_hash, .. } => Some((*applied_index, state_hash.as_str())),
        _ => None,
    });
    let last = replicas.iter().map(|replica| (replica.applied_index, replica.state_hash.as_str()));
    for (index, hash) in samples.chain(last) {
        match known.insert(index, hash) {
            Some(other) if other != hash => {
                verdict.diverged.push(format!("state at index {index} is {other} and {hash}"));
            }
            Some(_) => verdict.hashes_compared += 1,
            None => {}
        }
    }
    if replicas.windows(2).any(|pair| pair[0].applied_index != pair[1].applied_index) {
        let indexes: Vec<u64> = replicas.iter().map(|replica| replica.applied_index).collect();
        verdict.diverged.push(format!("replicas ended at the indexes {indexes:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { writer: 1, number: 2 };

    fn call(op: u64, at_us: u64, call: Call) -> Line {
        Line::Invoke { op, at_us, replica: 0, call }
    }

    fn answer(op: u64, at_us: u64, answer: Answer) -> Line {
        Line::Return { op, at_us, answer }
    }

    fn created(op: u64, at_us: u64, id: &str) -> [Line; 2] {
        [call(op, at_us, Call::Create { key: KEY }), answer(op, at_us + 5, Answer::Created { id: id.to_owned() })]
    }

    fn deleted(op: u64, at_us: u64, given: Answer) -> [Line; 2] {
        [call(op, at_us, Call::Delete { key: KEY, id: "a".to_owned() }), answer(op, at_us + 5, given)]
    }

    fn listed(op: u64, begun: u64, ended: u64, numbers: &[u32]) -> [Line; 2] {
        [
            call(op, begun, Call::List { writer: 1, block: 0 }),
            answer(op, ended, Answer::Listed { numbers: numbers.to_vec() }),
        ]
    }

    fn holding(ids: &[&str]) -> ReadBack {
        let entries = BTreeMap::from([(KEY, ids.iter().map(|id| (*id).to_owned()).collect())]);
        ReadBack { applied_index: 9, state_hash: "h".to_owned(), entries, strangers: Vec::new() }
    }

    fn empty() -> ReadBack {
        ReadBack { entries: BTreeMap::new(), ..holding(&[]) }
    }

    #[test]
    fn what_was_acknowledged_is_on_every_replica_or_lost() {
        let history = created(1, 10, "a");
        let clean = judge(&history, &[holding(&["a"]), holding(&["a"])]);
        assert!(clean.is_clean(), "{clean:?}");
        assert_eq!((clean.acknowledged, clean.hashes_compared), (1, 1));
        assert_eq!(judge(&history, &[holding(&["a"]), empty()]).lost.len(), 1);
        assert_eq!(judge(&history, &[holding(&["other"])]).lost.len(), 1);
        let verdict = judge(&[created(1, 10, "a"), deleted(2, 20, Answer::NotFound)].concat(), &[]);
        assert_eq!(verdict.lost.len(), 1);
    }

    #[test]
    fn an_acknowledged_delete_stays() {
        let history = [created(1, 10, "a"), deleted(2, 20, Answer::Deleted)].concat();
        assert!(judge(&history, &[empty()]).is_clean());
        assert_eq!(judge(&history, &[holding(&["a"])]).lost.len(), 1);
        let open = [created(1, 10, "a"), deleted(2, 20, Answer::Unknown { code: "Unavailable".to_owned() })].concat();
        assert!(judge(&open, &[empty()]).is_clean());
        assert!(judge(&open, &[holding(&["a"])]).is_clean());
    }

    #[test]
    fn an_open_create_may_be_there_once() {
        let unknown = answer(1, 15, Answer::Unknown { code: "Unavailable".to_owned() });
        let history = [call(1, 10, Call::Create { key: KEY }), unknown];
        assert!(judge(&history, &[empty()]).is_clean());
        assert!(judge(&history, &[holding(&["a"])]).is_clean());
        assert_eq!(judge(&history, &[holding(&["a", "b"])]).duplicates.len(), 1);
    }

    #[test]
    fn one_entry_has_one_id_and_one_certificate_one_serial() {
        let history = [created(1, 10, "a"), created(2, 20, "b")].concat();
        assert_eq!(judge(&history, &[holding(&["a"])]).duplicates.len(), 1);
        let signed = |op| {
            let subject = "spiffe://x.test/s".to_owned();
            let serial = Some("7".to_owned());
            [call(op, op, Call::SignX509 { subject }), answer(op, op, Answer::Signed { serial })]
        };
        assert!(judge(&signed(1), &[]).is_clean());
        assert_eq!(judge(&[signed(1), signed(2)].concat(), &[]).duplicates.len(), 1);
    }

    #[test]
    fn a_list_holds_what_was_acknowledged_before_it() {
        let with = |list: [Line; 2]| judge(&[created(1, 10, "a"), list].concat(), &[holding(&["a"])]);
        assert!(with(listed(2, 20, 30, &[2])).is_clean());
        assert_eq!(with(listed(2, 20, 30, &[])).short.len(), 1);
        // Begun before the acknowledgement: both answers are right.
        assert!(with(listed(2, 12, 30, &[])).is_clean());
        assert_eq!(with(listed(2, 20, 30, &[2, 2])).duplicates.len(), 1);
        assert_eq!(with(listed(2, 20, 30, &[2, 3])).wrong.len(), 1);
        assert_eq!(with(listed(2, 1, 5, &[2])).wrong.len(), 1);
    }

    #[test]
    fn strangers_and_impossible_answers_are_wrong() {
        assert_eq!(judge(&[], &[holding(&["a"])]).wrong.len(), 1);
        let stranger = ReadBack { strangers: vec!["spiffe://x.test/y".to_owned()], ..empty() };
        assert_eq!(judge(&[], &[stranger]).wrong.len(), 1);
        let reason = "create: Internal".to_owned();
        let history = [call(1, 1, Call::Create { key: KEY }), answer(1, 2, Answer::Wrong { reason })];
        assert_eq!(judge(&history, &[]).wrong.len(), 1);
        assert_eq!(judge(&[answer(5, 1, Answer::Deleted)], &[]).wrong.len(), 1);
    }

    #[test]
    fn equal_indexes_have_equal_states() {
        let sample = |applied_index, state_hash: &str| Line::Sample {
            at_us: 1,
            replica: 0,
            applied_index,
            state_hash: state_hash.to_owned(),
        };
        assert!(judge(&[sample(1, "a"), sample(2, "b"), sample(1, "a")], &[]).is_clean());
        assert_eq!(judge(&[sample(1, "a"), sample(1, "b")], &[]).diverged.len(), 1);
        assert_eq!(judge(&[sample(9, "other")], &[empty()]).diverged.len(), 1);
        let behind = ReadBack { applied_index: 8, ..empty() };
        assert_eq!(judge(&[], &[empty(), behind]).diverged.len(), 1);
    }
}
