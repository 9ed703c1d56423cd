//! A run that blocks for ever: it is on record with its seed and its log, and the process ends with the code of a
//! finding.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steeple_simulation::campaign::{Campaign, FOUND};
use steeple_simulation::{Plan, Progress, Verdict};

/// Where the process that is to hang writes. It is this program, called by its own test.
const OUT: &str = "STEEPLE_TEST_HANG_OUT";
const PASSES: u64 = 7;
const HANGS: u64 = 8;
const GOES_ON: u64 = 9;
const STALL_MAX: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(100);
/// Much more than the bound, on a busy machine.
const ENDS_MAX: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_seed_that_hangs_is_a_finding_and_ends_the_process() {
    if std::env::var_os(OUT).is_some() {
        panic!("it goes on: {:?}", campaign().carry_out());
    }
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let mut child = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "a_seed_that_hangs_is_a_finding_and_ends_the_process", "--nocapture"]);
    child.env(OUT, &out).kill_on_drop(true);
    let ended = tokio::time::timeout(ENDS_MAX, child.output()).await.expect("it ends by itself");
    let ended = ended.expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));

    assert_eq!(ended.status.code(), Some(i32::from(FOUND)), "{stdout}{stderr}");
    assert!(stderr.contains("seed 8: progress at 2.500 s: no step in"), "{stderr}");
    assert!(stdout.contains("1 with findings"), "{stdout}");
    let lines = std::fs::read_to_string(&out).expect("the verdicts");
    let verdicts: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a verdict")).collect();
    let of = |seed: u64| verdicts.iter().find(|verdict| verdict["seed"] == seed);
    assert!(of(PASSES).is_some_and(|verdict| verdict["finding"].is_null()), "{lines}");
    assert!(of(HANGS).is_some_and(|verdict| verdict["finding"]["rule"] == "progress"), "{lines}");
    assert!(of(GOES_ON).is_none(), "a run that gets further does not hang, however long it takes: {lines}");

    let log = std::fs::read_to_string(beside(&out, "log", HANGS)).expect("its log");
    assert!(log.contains("the last step"), "{log}");
    assert!(!beside(&out, "log", PASSES).exists() && !beside(&out, "log", GOES_ON).exists());
    for seed in [PASSES, HANGS, GOES_ON] {
        let disks = std::fs::read_to_string(beside(&out, "dir", seed)).expect("it ran");
        assert!(!Path::new(&disks).exists(), "seed {seed} has left {disks}");
    }
}

fn campaign() -> Campaign {
    Campaign {
        first: PASSES,
        seeds: 3,
        jobs: NonZeroUsize::new(2).expect("not zero"),
        until_found: false,
        out: std::env::var_os(OUT).map(PathBuf::from),
        stall_max: STALL_MAX,
        run,
    }
}

/// One seed passes, one hangs, and one takes longer than anybody waits.
fn run(plan: &Plan, dir: &Path, progress: &Progress) -> anyhow::Result<Verdict> {
    std::fs::write(dir.join("disk"), b"what a server wrote")?;
    let out = PathBuf::from(std::env::var_os(OUT).expect("set by the test"));
    std::fs::write(beside(&out, "dir", plan.seed), dir.display().to_string())?;
    progress.reach(Duration::from_millis(2_500));
    tracing::info!("the last step");
    match plan.seed {
        HANGS => loop {
            std::thread::park();
        },
        GOES_ON => loop {
            std::thread::park_timeout(STEP);
            progress.reach(Duration::ZERO);
        },
        seed => Ok(Verdict { seed, ..Verdict::default() }),
    }
}

fn beside(out: &Path, kind: &str, seed: u64) -> PathBuf {
    PathBuf::from(format!("{}.seed-{seed}.{kind}", out.display()))
}
