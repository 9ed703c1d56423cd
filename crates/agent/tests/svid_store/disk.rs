//! Directories that cannot be written: full, read-only, occupied, or none at all.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::*;

/// Runs the agent with a small file system of its own for its SVIDs.
const ON_A_SMALL_DISK: &str = r#"#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '
    mount -t tmpfs -o size=1m,mode=0755 tmpfs "DISK" || exit 9
    exec "AGENT" "$@"
' sh "$@"
"#;

/// Whether this machine lets a test have file systems of its own; says so where it does not.
fn small_disks_are_possible(test: &str) -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--user", "--map-root-user", "--mount", "true"]).stderr(Stdio::null());
    let possible = probe.status().is_ok_and(|status| status.success());
    if !possible {
        println!("not run: {test} needs user and mount namespaces");
    }
    possible
}

/// The small disk is the agent's alone: whoever looks does it through the agent's eyes.
fn seen_by(agent: &Agent, path: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", agent.process().pid(), path.display()))
}

fn remount(agent: &Agent, base: &Path, how: &str) {
    let pid = agent.process().pid().to_string();
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid, "--user", "--mount", "mount", "-o", &format!("remount,{how}")]).arg(base);
    assert!(command.status().expect("it runs").success(), "remount,{how}");
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_keeps_the_old_files_until_there_is_room() {
    if !small_disks_are_possible("a_disk_that_is_full_or_read_only_keeps_the_old_files_until_there_is_room") {
        return;
    }
    let world = World::new().await;
    let script = world.scratch.join("on-a-small-disk");
    std::fs::create_dir(world.base()).expect("a mount point");
    let text = ON_A_SMALL_DISK.replace("DISK", &world.base().display().to_string());
    std::fs::write(&script, text.replace("AGENT", &world.binaries.agent.display().to_string())).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let binaries = Binaries { agent: script, ..world.binaries.clone() };
    let mut agent = world.start(&binaries, &world.base());
    agent.ready().await.expect("the agent attests");
    let web = seen_by(&agent, &world.base().join("web"));
    world.store("/web", &["directory:path:web"], 30).await;
    let first = stored(&web, "/web").await;

    let filler = seen_by(&agent, &world.base().join("filler"));
    let mut file = OpenOptions::new().create(true).append(true).open(&filler).expect("a file");
    let block = vec![1; 1 << 16];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
    says(&agent, "No space left on device").await;
    let held = Files::read(&web).expect("they are whole");
    assert_eq!(held.chain.len(), first.chain.len());
    let folders = std::fs::read_dir(&web).expect("a folder").filter_map(Result::ok);
    let halves = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("..files-")).count();
    assert_eq!(halves, 1, "nothing half done is left");
    drop(file);
    std::fs::remove_file(&filler).expect("it is there");
    let second = renewed(&web, "/web", &held).await;

    remount(&agent, &world.base(), "ro");
    says(&agent, "Read-only file system").await;
    assert_eq!(Files::read(&web).expect("they are whole").chain.len(), second.chain.len());
    let held = Files::read(&web).expect("they are whole");
    remount(&agent, &world.base(), "rw");
    renewed(&web, "/web", &held).await;
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_place_that_is_occupied_harms_no_other_and_is_taken_once_it_is_free() {
    let world = World::new().await;
    std::fs::create_dir(world.base()).expect("a directory");
    std::fs::write(world.base().join("web"), "mine").expect("a file");
    let elsewhere = world.scratch.join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    std::os::unix::fs::symlink(&elsewhere, world.base().join("linked")).expect("a link");
    let mut agent = world.agent().await;
    world.store("/web", &["directory:path:web"], 0).await;
    world.store("/linked", &["directory:path:linked/app"], 0).await;
    world.store("/app", &["directory:path:app"], 0).await;
    stored(&world.base().join("app"), "/app").await;
    says(&agent, "/web: it is no folder, or leads through a symbolic link").await;
    says(&agent, "/linked/app: it is no folder, or leads through a symbolic link").await;
    assert_eq!(names(&elsewhere), BTreeSet::new());
    assert_eq!(std::fs::read(world.base().join("web")).expect("a file"), b"mine");
    std::fs::remove_file(world.base().join("web")).expect("it is there");
    stored(&world.base().join("web"), "/web").await;
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_base_dir_that_cannot_be_used_ends_the_agent() {
    let world = World::new().await;
    std::fs::write(world.base(), "").expect("a file");
    for (base, part) in [
        (world.base(), "cannot make base_dir "),
        (PathBuf::from("svids"), "base_dir svids is no absolute path"),
        (PathBuf::new(), "base_dir is required"),
        (PathBuf::from("/proc/svids"), "cannot make base_dir /proc/svids: "),
    ] {
        let mut agent = world.start(&world.binaries, &base);
        let status = tokio::time::timeout(EVENT_MAX, agent.process_mut().exited()).await.expect("it ends by itself");
        assert_eq!(status.expect("a status").code(), Some(1));
        says(&agent, part).await;
    }
    assert!(world.server.admin().agent_ids("x509pop").await.expect("a list").is_empty(), "before it attests");
}
