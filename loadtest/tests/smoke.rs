//! Every scenario against a real server, small and short. What is tested is that its gates hold and that it tells
//! what it promises; the figures of a busy machine mean nothing.

use std::process::{Command, Output};

use serde_json::Value;
use steeple_testkit::{Binaries, NodeCertificateAuthority, Scratch, Server, ServerSpec};

#[test]
fn issue() {
    let report = report("issue --agents 3 --entries 2 --batch 4 --seconds 1");
    assert_gates(&report, 2);
    assert!(reading(&report, "X.509-SVIDs, saturated") > 0.0);
    assert!(reading(&report, "  a call at half load, from its intended time, p99") > 0.0);
    assert_eq!(report["windows"].as_array().expect("windows").len(), 2);
}

#[test]
fn jwt() {
    let report = report("jwt --agents 2 --entries 2 --seconds 1");
    assert_gates(&report, 2);
    assert!(reading(&report, "JWT-SVIDs, saturated") > 0.0);
}

#[test]
fn attest() {
    let report = report("attest --identities 3000 --outstanding 4 --seconds 1 --group hybrid");
    assert_gates(&report, 3);
    assert!(reading(&report, "attestations, saturated") > 0.0);
}

#[test]
fn idle() {
    let report = report("idle --agents 4 --entries 3 --seconds 2 --sync-interval-ms 500");
    assert_gates(&report, 1);
    assert!(reading(&report, "syncs") > 0.0 && reading(&report, "bytes to an agent") > 0.0);
}

#[test]
fn idle_and_pushed_to() {
    let report = report("idle --sync push --agents 4 --entries 3 --seconds 2 --sync-interval-ms 500");
    assert_gates(&report, 1);
    assert_eq!(reading(&report, "syncs"), 0.0, "nothing changes, and nobody asks");
}

#[test]
fn propagate_by_push() {
    let report = report("propagate --sync push --agents 2 --rate 4 --seconds 2 --sync-interval-ms 500");
    assert_gates(&report, 3);
    assert!(reading(&report, "entry created to SVID in an agent's hand, p50") > 0.0);
}

#[test]
fn reconnect_by_push() {
    let report = report("reconnect --sync push --agents 4 --entries 3 --sync-interval-ms 500");
    assert_gates(&report, 1);
    assert!(reading(&report, "kill to 99 % synced") > 0.0);
}

#[test]
fn propagate() {
    let report = report("propagate --agents 2 --rate 4 --seconds 2 --sync-interval-ms 500");
    assert_gates(&report, 3);
    assert!(reading(&report, "entry created to SVID in an agent's hand, p50") > 0.0);
}

#[test]
fn propagate_to_a_workload() {
    let agent = Binaries::find().expect("our programs").agent;
    let report = report(&format!("propagate --agents 1 --rate 4 --seconds 1 --agent-program {}", agent.display()));
    assert_gates(&report, 3);
    assert!(reading(&report, "entry created to SVID on a workload's stream, p50") > 0.0);
}

#[test]
fn writes() {
    let report = report("writes --writers 3 --batch 20 --seconds 1");
    assert_gates(&report, 1);
    assert!(reading(&report, "entries created, 3 writer(s) x 1") > 0.0);
    assert!(reading(&report, "start after SIGKILL to ready") > 0.0);
}

#[test]
fn many_entries() {
    let report = report("many-entries --entries 300 --seconds 1");
    assert_gates(&report, 1);
    assert!(reading(&report, "start to one agent's whole set") > 0.0);
}

#[test]
fn reconnect() {
    let report = report("reconnect --agents 5 --entries 2 --sync-interval-ms 500");
    assert_gates(&report, 1);
    assert!(reading(&report, "kill to 99 % synced") > 0.0);
}

#[test]
fn failover() {
    let report = report("failover --replicas 3 --rate 5 --seconds 6");
    assert_gates(&report, 3);
    assert!(reading(&report, "writes: done") > 0.0 && reading(&report, "issues: done") > 0.0);
}

#[test]
fn rotate() {
    let report = report("rotate --agents 2 --entries 2 --sync-interval-ms 500");
    assert_gates(&report, 1);
    assert!(reading(&report, "tainted to every SVID on the new key") > 0.0);
}

#[test]
fn list() {
    let report = report("list --entries 150 --page 40 --seconds 1");
    assert_gates(&report, 1);
    assert!(reading(&report, "entries listed") > 0.0);
}

#[test]
fn overload() {
    let report = report("overload --agents 3 --entries 2 --seconds 2 --times 2");
    assert_gates(&report, 2);
    assert!(reading(&report, "what it can do") > 0.0);
}

#[test]
fn ceiling() {
    let report = report("ceiling --agents 2 --seconds 1");
    assert_gates(&report, 2);
    assert!(reading(&report, "ceiling: CSR verified and certificate signed") > 0.0);
}

#[test]
fn compare() {
    let server = Binaries::find().expect("our programs").server;
    let both = report(&format!("compare --b {} --rounds 1 list --entries 20 --seconds 1", server.display()));
    assert_eq!((both["a"].as_array().map(Vec::len), both["b"].as_array().map(Vec::len)), (Some(1), Some(1)));
    assert!(both["rows"][0]["a_over_b"].as_f64().expect("a ratio") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_already() {
    let (binaries, scratch) = (Binaries::find().expect("our programs"), Scratch::new().expect("a directory"));
    let nodes = scratch.join("nodes");
    let root = NodeCertificateAuthority::open(&nodes).expect("an authority").root_path().to_owned();
    let spec = ServerSpec {
        name: "server".to_owned(),
        trust_domain: "elsewhere.test".to_owned(),
        cluster: None,
        x509pop_root: Some(root),
        jwt_issuer: None,
        log_level: "WARN".to_owned(),
        env: Vec::new(),
    };
    let mut server = Server::start(&binaries, scratch.path(), &spec).expect("a server");
    server.ready().await.expect("a ready server");
    let (address, socket) = (server.api_address(), server.admin_socket().display().to_string());
    let pid = server.process().expect("a process").pid();
    let elsewhere = format!("--address {address} --admin-socket {socket} --pid {pid} --nodes-ca {}", nodes.display());
    let issue = format!("{elsewhere} issue --agents 2 --entries 1 --seconds 1");
    let report = tokio::task::spawn_blocking(move || report(&issue)).await.expect("a report");
    assert_gates(&report, 2);
    assert_eq!(report["target"], address);

    // What kills servers does not touch one that is not its own.
    let reconnect = format!("{elsewhere} reconnect --agents 1");
    let refused = tokio::task::spawn_blocking(move || loadtest(&reconnect)).await.expect("an answer");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("it starts its own (--program)"));
    server.stop().await.expect("an orderly end");
}

/// Runs the program and returns its report. Every gate has to hold.
fn report(line: &str) -> Value {
    let output = loadtest(line);
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "`loadtest {line}` failed: {said}\n{printed}");
    serde_json::from_str(&printed).expect("a report in JSON")
}

fn loadtest(line: &str) -> Output {
    let words = line.split(' ').chain(["-output", "json"]);
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(words).output().expect("loadtest starts")
}

/// The value of a reading.
fn reading(report: &Value, name: &str) -> f64 {
    let readings = report["readings"].as_array().expect("readings");
    let found = readings.iter().find(|reading| reading["name"] == name);
    found.unwrap_or_else(|| panic!("no {name:?} in {report}"))["value"].as_f64().expect("a number")
}

fn assert_gates(report: &Value, count: usize) {
    let gates = report["gates"].as_array().expect("gates");
    assert_eq!(gates.len(), count, "{gates:?}");
    assert!(gates.iter().all(|gate| gate["passed"] == true), "{gates:?}");
}
