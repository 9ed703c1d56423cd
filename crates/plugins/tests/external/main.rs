//! External plugins: real programs on the published SDK, and programs that are no plugins at all.

mod hostile;
mod keys;
mod well_behaved;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use steeple_core::TrustDomain;
use steeple_core::plugin::{Configurable as _, ExternalProgram, WorkloadAttestor as _, WorkloadError, WorkloadProcess};
use steeple_plugins::external::{Bounds, Catalog, ExternalWorkloadAttestor, HostServices, LaunchError, Plugin};
use steeple_testkit::GoPlugins;

/// Short, so that a plugin that hangs is no long test; long enough for a busy machine.
const BOUNDS: Bounds = Bounds {
    start: Duration::from_secs(20),
    setup: Duration::from_secs(20),
    call: Duration::from_secs(10),
    deinit: Duration::from_secs(10),
    exit: Duration::from_secs(10),
};

fn catalog(bounds: Bounds) -> Catalog {
    let trust_domain = TrustDomain::from_name("example.org").expect("a trust domain");
    Catalog::new(trust_domain, HostServices::default()).with_bounds(bounds)
}

fn workload_attestor(path: PathBuf) -> ExternalProgram {
    ExternalProgram { kind: "WorkloadAttestor".into(), name: "demo".into(), path, args: Vec::new(), sha256: None }
}

/// A shell script that is executed as a plugin would be. Another process makes the program: one that a child of another
/// test inherits while it is being written cannot be executed.
fn script(dir: &Path, text: &str) -> ExternalProgram {
    let [written, path] = ["plugin.txt", "plugin.sh"].map(|name| dir.join(name));
    std::fs::write(&written, format!("#!/bin/sh\n{text}\n")).expect("a file");
    let installed = Command::new("install").args(["-m", "700"]).args([&written, &path]).status().expect("it runs");
    assert!(installed.success());
    workload_attestor(path)
}

async fn load(catalog: &Catalog, program: &ExternalProgram) -> Result<Arc<Plugin>, LaunchError> {
    catalog.load(program, ExternalWorkloadAttestor::INTERFACE).await
}

async fn configured(catalog: &Catalog, program: &ExternalProgram, settings: &str) -> ExternalWorkloadAttestor {
    let plugin = load(catalog, program).await.expect("it is loaded");
    Arc::clone(&plugin).configure(Some(settings.to_owned())).await.expect("it takes them");
    ExternalWorkloadAttestor(plugin)
}

async fn attest(attestor: &ExternalWorkloadAttestor) -> Result<Vec<String>, WorkloadError> {
    let pid = i32::try_from(std::process::id()).expect("a pid");
    let selectors = attestor.attest(WorkloadProcess { pid, uid: 0, gid: 0 }).await?;
    Ok(selectors.into_iter().map(|selector| format!("{}:{}", selector.kind, selector.value)).collect())
}

/// The plugin under a path that no other test runs; gone with the directory.
fn own_program(plugins: &GoPlugins, name: &str) -> (tempfile::TempDir, PathBuf) {
    let path = plugins.path(name);
    let dir = tempfile::tempdir_in(path.parent().expect("a directory")).expect("a directory");
    let own = dir.path().join(name);
    std::fs::hard_link(&path, &own).expect("a link");
    (dir, own)
}

/// Our children that run `program`.
fn running(program: &Path) -> usize {
    children_of_ours(|process| std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program))
}

/// Of our children, those that are meant; each is told by its directory in `/proc`.
fn children_of_ours(is_meant: impl Fn(&Path) -> bool) -> usize {
    let own = std::process::id().to_string();
    let is_ours = |process: &Path| {
        let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
        parent.is_some_and(|parent| parent == own)
    };
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|process| process.path());
    processes.filter(|process| is_ours(process) && is_meant(process)).count()
}
