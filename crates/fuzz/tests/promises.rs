//! Every target on stable: what its seeds and the corpus say, then damaged, mixed and random bytes. A body panics where
//! a promise is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use steeple_fuzz::{TARGETS, Target, Verdict, corpus_of};

/// For each target.
const CASES: u32 = 200;
const RANDOM_BYTES_MAX: usize = 400;

#[test]
fn each_target_reads_one_of_its_inputs() {
    let deaf: Vec<&str> = TARGETS.iter().filter(|target| !reads_something(target)).map(|target| target.name).collect();
    assert_eq!(deaf, [""; 0], "they refuse all that they are given");
}

fn reads_something(target: &Target) -> bool {
    // Every input is tried, also behind one that is read.
    target.inputs().iter().filter(|input| run(target, input) == Verdict::Read).count() > 0
}

#[test]
fn damaged_inputs_break_no_promise() {
    for target in TARGETS {
        let inputs = target.inputs();
        assert!(!inputs.is_empty(), "{} has no input", target.name);
        let damaged = (any::<Index>(), any::<Index>(), prop::collection::vec(damage(), 1..6));
        check(
            target,
            &damaged.prop_map(move |(input, other, damages): (Index, Index, Vec<Damage>)| {
                let other = other.get(&inputs);
                damages.into_iter().fold(input.get(&inputs).clone(), |bytes, damage| damage.done_to(bytes, other))
            }),
        );
    }
}

#[test]
fn random_bytes_break_no_promise() {
    for target in TARGETS {
        check(target, &prop::collection::vec(any::<u8>(), 0..RANDOM_BYTES_MAX));
    }
}

#[test]
fn the_corpus_belongs_to_targets_and_is_small() {
    const CORPUS_BYTES_MAX: u64 = 200 << 10;
    let corpus = corpus_of("");
    let mut size = 0;
    for folder in std::fs::read_dir(&corpus).expect("the corpus") {
        let folder = folder.expect("a folder");
        let name = folder.file_name().into_string().expect("a name");
        assert!(steeple_fuzz::find(&name).is_some(), "no target is called {name}");
        for file in std::fs::read_dir(folder.path()).expect("a folder of inputs") {
            size += file.and_then(|file| file.metadata()).expect("an input").len();
        }
    }
    assert!(size <= CORPUS_BYTES_MAX, "{size} bytes");
}

#[test]
fn a_broken_promise_is_told_with_its_input() {
    let target = Target { name: "broken", body: |data| panic!("{} bytes", data.len()), seeds: Vec::new };
    let told = catch_unwind(AssertUnwindSafe(|| run(&target, b"x"))).expect_err("it is broken");
    let told = told.downcast_ref::<String>().expect("a message");
    assert_eq!(told, "broken broke a promise by 78: 1 bytes");
}

fn check(target: &Target, inputs: &impl Strategy<Value = Vec<u8>>) {
    let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
    let outcome = TestRunner::new(config).run(inputs, |input| {
        run(target, &input);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{}: {error}", target.name));
}

/// Says with which input a promise was broken.
fn run(target: &Target, input: &[u8]) -> Verdict {
    catch_unwind(|| (target.body)(input)).unwrap_or_else(|panicked| {
        let text = panicked.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or_default();
        panic!("{} broke a promise by {}: {text}", target.name, hex::encode(input))
    })
}

/// What happens to bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    /// The end of another input.
    Splice(Index, Index),
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..9)
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        3 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), 1..9_usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (any::<Index>(), some_bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Damage::Repeat(at, count)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(at, from)| Damage::Splice(at, from)),
    ]
}

impl Damage {
    fn done_to(self, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
        let place = |at: Index, length: usize| at.index(length + 1);
        match self {
            Self::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            Self::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Set(..) | Self::Flip(..) => {}
            Self::Cut(at) => bytes.truncate(place(at, bytes.len())),
            Self::Remove(at, count) => {
                let from = place(at, bytes.len());
                bytes.drain(from..bytes.len().min(from + count));
            }
            Self::Insert(at, more) => {
                let at = place(at, bytes.len());
                bytes.splice(at..at, more);
            }
            Self::Repeat(at, count) => {
                let at = place(at, bytes.len());
                let piece = bytes[at..bytes.len().min(at + 8)].repeat(count);
                bytes.splice(at..at, piece);
            }
            Self::Splice(at, from) => {
                bytes.truncate(place(at, bytes.len()));
                bytes.extend_from_slice(&other[place(from, other.len())..]);
            }
        }
        bytes
    }
}
