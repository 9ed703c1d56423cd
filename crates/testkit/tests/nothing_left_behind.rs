//! Whatever a test starts ends with it, also when it panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use steeple_testkit::{Port, Process, Scratch, until};

/// A shell with a child of its own, whose id it writes into `child`.
fn shell(scratch: &Scratch) -> Process {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "sleep 300 & echo $! > child.tmp; mv child.tmp child; echo said so; wait"]);
    command.current_dir(scratch.path());
    Process::start("shell", command, &scratch.join("log")).unwrap()
}

async fn child_of_shell(scratch: &Scratch) -> i32 {
    let read = async || std::fs::read_to_string(scratch.join("child"));
    let text = until("the shell's child", Duration::from_secs(60), read).await.unwrap();
    text.trim().parse().unwrap()
}

fn is_gone(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

/// Its parent was killed, so that it is init's to reap, in its own time.
async fn is_reaped(pid: i32) {
    // Where init does not reap, a dead process stays as a zombie.
    let dead = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    until("the child's end", Duration::from_secs(60), async || if dead() { Ok(()) } else { Err("it lives") })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_panic_takes_processes_and_directories_along() {
    let scratch = Scratch::new().unwrap();
    let process = shell(&scratch);
    let (pid, child, dir): (i32, i32, PathBuf) =
        (process.pid(), child_of_shell(&scratch).await, scratch.path().to_owned());
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _both = (process, scratch);
        panic!("as a failed assertion would");
    }));
    assert!(panicked.is_err());
    assert!(is_gone(pid), "the process outlived its value");
    is_reaped(child).await;
    assert!(!dir.exists(), "{} is still there", dir.display());
}

#[tokio::test]
async fn a_failure_shows_the_end_of_the_log() {
    let scratch = Scratch::new().unwrap();
    let mut process = shell(&scratch);
    let _child = child_of_shell(&scratch).await;
    until("the shell's words", Duration::from_secs(60), async || {
        if process.tail().contains("said so") { Ok(()) } else { Err("nothing yet") }
    })
    .await
    .unwrap();
    let text = process.failure("did nothing of use").to_string();
    assert!(text.starts_with("shell did nothing of use") && text.ends_with("said so\n"), "{text}");
    process.kill9().await.unwrap();
    assert!(is_gone(process.pid()));
}

#[tokio::test]
async fn waiting_has_an_end_and_says_what_was_answered_last() {
    let waited = until("the moon", Duration::from_millis(50), async || Err::<(), _>("not yet")).await;
    assert_eq!(waited.unwrap_err().to_string(), "the moon: not within 0.1 s: not yet");
    let mut asked = 0;
    let answer = until("a third answer", Duration::from_secs(60), async || {
        asked += 1;
        if asked == 3 { Ok("now") } else { Err("not yet") }
    });
    assert_eq!(answer.await.unwrap(), "now");
}

#[test]
fn ports_are_given_out_once_and_can_be_listened_on() {
    let ports: Vec<Port> = (0..20).map(|_| Port::reserve().unwrap()).collect();
    let numbers: std::collections::BTreeSet<u16> = ports.iter().map(Port::number).collect();
    assert_eq!(numbers.len(), ports.len());
    for port in &ports {
        std::net::TcpListener::bind(port.address()).unwrap();
    }
}
