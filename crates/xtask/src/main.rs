//! The project's chores, called as `cargo xtask <chore>`. `verify` only reads the checkout; `fix` is the one that
//! writes to it.

mod cargo;
mod checkout;
mod codegen;
mod direction;
mod fix;
mod fuzz;
mod librocksdb;
mod package;
mod programs;
mod prometheus_rule;
mod simulation;
mod test;
mod tidy;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let chore = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let outcome = match chore.as_str() {
        "alerts" => programs::alerts(&words),
        "bench" => programs::bench(&words),
        "load" => programs::load(&words),
        "chaos" => programs::chaos(&words),
        "chaos-long" => programs::chaos_long(&words),
        "codegen" => codegen::write(),
        "conformance" => test::update_conformance(words.first().map_or("", String::as_str)),
        "demo" => programs::demo(&words),
        "direction" => direction::check(),
        "fix" => fix::run(),
        "fuzz" => fuzz::run(&words),
        "leader-kills" => programs::leader_kills(&words),
        "models" => programs::models(&words),
        "package" => package::run(&words),
        "rocksdb" => librocksdb::build(),
        "simulate" => simulation::run(&words),
        "simulate-mutants" => simulation::mutants(&words),
        "test" | "test-full" | "interop" => match test::run(&test::Choice::new(&chore, &words)) {
            // The last line stays the table's.
            Ok(false) => return ExitCode::FAILURE,
            outcome => outcome.map(|_| ()),
        },
        "tidy" => tidy::check(),
        "verify" => verify::run(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {chore}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
usage: cargo xtask <chore>
  verify     every check below, format, lints and the tests; changes nothing
  test       every suite that fits into twenty minutes, or the SUITES whose names hold one of the words given
  test-full  the long suites as well
  interop    only the foreign clients
  conformance [FILTER]  play SPIRE's recorded cases and bring the lists in interop/conformance up to date
  demo       three replicas, two agents, a workload, and the leader killed
  chaos      every fault once, under load; see --help
  chaos-long    round after round of faults, for an hour unless --minutes says otherwise
  leader-kills  the leader killed again and again under load; see --help
  simulate   whole clusters from seeds, on simulated networks, disks and clocks; see --help
  simulate-mutants [WORD ...]  whether the simulation finds each defect of crates/simulation/mutants
  fuzz       hostile bytes for every parser, by libFuzzer; goes on where it stopped; see --help
  models     every state of every model, and every planted fault; see --help
  alerts     each alert rule made to fire in a real Prometheus; see --help
  bench      memory, start and backup, of release builds; see --help
  package [--debug] [--out DIR]  a Debian package and a tarball of release builds
  load       simulated agents against a server, of release builds; see --help
  fix        what a program can mend: generated code and documents, line numbers in links, format
  codegen    write crates/api/src/gen from crates/api/proto
  direction  compare the arrows between crates with crates/xtask/direction.txt
  tidy       rules for the text of the sources and documents
  rocksdb    build librocksdb.a into the cache, once for all profiles
";
