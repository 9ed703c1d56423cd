//! Servers that may not join.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use steeple_testkit::{ClusterRole, Process, Server, ServerSpec, until};

use crate::bench::{Bench, assert_says, assert_unharmed, create, relaunch, spec, until_said};

/// A member counts as gone after ten seconds of silence; a change of the membership takes a few elections at worst.
const MEMBERSHIP_MAX: Duration = Duration::from_secs(60);

/// A cluster of one that others could join.
async fn founder(bench: &Bench) -> Server {
    let role = ClusterRole { join: Vec::new(), sealing_key_path: bench.scratch.join("cluster.key") };
    let mut server = bench.launch(&ServerSpec { cluster: Some(role), ..spec("founder") });
    server.ready().await.expect("the founder becomes ready");
    create(&server, "kept").await;
    server
}

/// A `cluster` section that asks `founder`.
fn joiner(bench: &Bench, founder: &Server, key: &Path) -> String {
    format!(
        " cluster {{ name = \"joiner\" peer_bind_address = \"127.0.0.1\" peer_bind_port = {} join = [\"{}\"] \
         sealing_key_path = \"{}\" }}",
        bench.port(),
        founder.peer_address(),
        key.display()
    )
}

async fn members(server: &Server) -> usize {
    server.admin().status().await.expect("a status").members.len()
}

#[tokio::test]
async fn a_joiner_without_the_key_names_the_file() {
    let bench = Bench::new();
    let founder = founder(&bench).await;
    let key = bench.scratch.join("nowhere.key");
    let text = bench.refused(&bench.config("joiner", &joiner(&bench, &founder, &key)), &[]).await;
    let next = "copy the file of that name from a running replica";
    assert_says(&text, &[&format!("no sealing key at {}", key.display()), next, "only the node that founds"]);
    assert!(!key.exists());
    assert_eq!(members(&founder).await, 1);
    assert_unharmed(&founder, &["kept"]).await;
}

#[tokio::test]
async fn a_joiner_with_another_key_is_refused_and_not_admitted() {
    let bench = Bench::new();
    let founder = founder(&bench).await;
    let mut other = bench.server("other").await;
    other.stop().await.expect("it stops");
    let key = bench.scratch.join("another.key");
    std::fs::copy(bench.scratch.join("other/data.sealing-key"), &key).expect("a key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("a mode");
    let text = bench.refused(&bench.config("joiner", &joiner(&bench, &founder, &key)), &[]).await;
    let reason = format!("{} does not prove that it holds the same sealing key", founder.peer_address());
    assert_says(&text, &[&reason, "copy the cluster's sealing key file to this server"]);
    // Once in the log and once on standard error.
    assert_eq!(text.matches(&reason).count(), 2, "{text}");
    assert_eq!(members(&founder).await, 1);
    assert_unharmed(&founder, &["kept"]).await;
}

#[tokio::test]
async fn a_joiner_of_another_trust_domain_is_refused() {
    let bench = Bench::new();
    let founder = founder(&bench).await;
    let config = bench.config("joiner", &joiner(&bench, &founder, &bench.scratch.join("cluster.key")));
    let text = bench.refused(&config, &["-trustDomain", "other.test"]).await;
    assert_says(&text, &["this cluster serves trust domain example.org", "configured for other.test"]);
    assert_eq!(members(&founder).await, 1);
    assert_unharmed(&founder, &["kept"]).await;
}

/// The configuration of a founder that names another member beside `bootstrap = true`.
fn asks_first(bench: &Bench, founder: &Server, other: &str) {
    let path = bench.config_of(founder);
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let asking = text.replace("bootstrap = true", &format!("bootstrap = true\n    join = [\"{other}\"]"));
    assert_ne!(asking, text);
    std::fs::write(&path, asking).expect("a configuration");
}

#[tokio::test]
async fn trap_a_founder_on_an_empty_disk_founds_no_second_cluster() {
    let bench = Bench::new();
    let mut founder = founder(&bench).await;
    let key = bench.scratch.join("cluster.key");
    let role = ClusterRole { join: vec![founder.peer_address()], sealing_key_path: key.clone() };
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let mut other = bench.launch(&ServerSpec { cluster: Some(role.clone()), ..spec(name) });
        other.ready().await.expect("it joins");
        others.push(other);
    }
    for other in &others {
        until_members(other, 3).await;
    }
    let roots = founder.admin().bundle().await.expect("a bundle").x509_authorities;
    founder.kill9().await.expect("it ends");
    std::fs::remove_dir_all(founder.data_dir()).expect("its disk is lost");
    asks_first(&bench, &founder, &others[0].peer_address());

    // Without the key it cannot join, and makes no key of its own.
    let kept = std::fs::read(&key).expect("the key");
    std::fs::remove_file(&key).expect("the key is lost as well");
    let text = bench.refused(&bench.config_of(&founder), &[]).await;
    assert_says(&text, &[&format!("no sealing key at {}", key.display()), "copy the file of that name"]);
    assert!(!key.exists());

    std::fs::write(&key, kept).expect("the key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("a mode");
    relaunch(&mut founder).await;
    assert_eq!(founder.admin().bundle().await.expect("a bundle").x509_authorities, roots, "one trust domain");
    until_members(&others[0], 3).await;
    assert_unharmed(&founder, &["kept"]).await;
}

/// Every server of the cluster was off, and the founder that lost its disk is the first to come back.
#[tokio::test]
async fn trap_a_founder_on_an_empty_disk_waits_for_the_cluster_of_its_key() {
    let bench = Bench::new();
    let mut founder = founder(&bench).await;
    let key = bench.scratch.join("cluster.key");
    let role = ClusterRole { join: vec![founder.peer_address()], sealing_key_path: key.clone() };
    let mut second = bench.launch(&ServerSpec { cluster: Some(role.clone()), ..spec("second") });
    let mut third = bench.launch(&ServerSpec { cluster: Some(role), ..spec("third") });
    for other in [&mut second, &mut third] {
        other.ready().await.expect("it joins");
        until_members(other, 3).await;
    }
    let roots = founder.admin().bundle().await.expect("a bundle").x509_authorities;
    for server in [&mut second, &mut third, &mut founder] {
        server.kill9().await.expect("it ends");
    }
    std::fs::remove_dir_all(founder.data_dir()).expect("its disk is lost");

    // It knows no other member: a person has to decide.
    let text = bench.refused(&bench.config_of(&founder), &[]).await;
    let key_text = format!("the sealing key {} is that of a cluster", key.display());
    assert_says(&text, &["the data directory is empty", &key_text, "cluster.key.unused"]);

    asks_first(&bench, &founder, &second.peer_address());
    founder.launch().expect("it starts");
    until_said(&founder, "no member answers yet, and no cluster is founded").await;
    for other in [&mut second, &mut third] {
        other.launch().expect("it starts");
    }
    founder.ready().await.expect("it joins its old cluster");
    assert_eq!(founder.admin().bundle().await.expect("a bundle").x509_authorities, roots, "one trust domain");
    until_members(&second, 3).await;
    assert_unharmed(&founder, &["kept"]).await;
}

#[tokio::test]
async fn a_key_that_is_there_is_founded_with_when_a_person_says_so() {
    let bench = Bench::new();
    let mut founder = founder(&bench).await;
    founder.kill9().await.expect("it ends");
    std::fs::remove_dir_all(founder.data_dir()).expect("all is lost");
    let kept = std::fs::read(bench.scratch.join("cluster.key")).expect("the key");
    let mark = bench.scratch.join("cluster.key.unused");
    std::fs::write(&mark, "").expect("a mark");
    relaunch(&mut founder).await;
    assert_eq!(std::fs::read(bench.scratch.join("cluster.key")).expect("the key"), kept);
    assert!(!mark.exists(), "it is used now");
    founder.kill9().await.expect("it ends");

    // From then on the directory belongs to a cluster, and needs no mark.
    relaunch(&mut founder).await;
}

/// Both were told to found, and neither saw the other in time: here because each learns of the other afterwards.
#[tokio::test]
async fn of_two_that_founded_a_cluster_one_ends() {
    let bench = Bench::new();
    let found = |name: &'static str| {
        let role = ClusterRole { join: Vec::new(), sealing_key_path: bench.scratch.join(format!("{name}.key")) };
        bench.launch(&ServerSpec { cluster: Some(role), ..spec(name) })
    };
    let mut servers = [found("first"), found("second")];
    for server in &mut servers {
        server.ready().await.expect("it founds a cluster");
        create(server, "kept").await;
        server.kill9().await.expect("it ends");
    }
    asks_first(&bench, &servers[0], &servers[1].peer_address());
    asks_first(&bench, &servers[1], &servers[0].peer_address());
    for server in &mut servers {
        server.launch().expect("it starts");
    }
    let [first, second] = &mut servers;
    let ended = tokio::select! {
        _ = first.process_mut().expect("a process").exited() => 0,
        _ = second.process_mut().expect("a process").exited() => 1,
        () = tokio::time::sleep(MEMBERSHIP_MAX) => panic!("neither ends"),
    };
    until_said(&servers[ended], "only one replica may have bootstrap = true. Move this server's data directory").await;
    // The other may have seen nobody, as this one ended so soon.
    assert_unharmed(&servers[1 - ended], &["kept"]).await;
}

/// Waits until the cluster has settled with so many members, all of them voters.
pub async fn until_members(server: &Server, count: usize) {
    let settled = until("the membership settles", MEMBERSHIP_MAX, async || {
        let members = server.admin().status().await.map_err(|status| status.to_string())?.members;
        let voters = members.iter().filter(|member| member.voter).count();
        if (members.len(), voters) == (count, count) { Ok(()) } else { Err(format!("{members:?}")) }
    });
    settled.await.expect("it settles");
}

#[tokio::test]
async fn trap_silence_is_not_the_absence_of_a_cluster() {
    let bench = Bench::new();
    // Takes connections and says nothing, as a host behind a broken network may seem to.
    let address = format!("127.0.0.1:{}", bench.port());
    let silent = std::net::TcpListener::bind(&address).expect("a port");
    let role = ClusterRole { join: Vec::new(), sealing_key_path: bench.scratch.join("cluster.key") };
    let mut server = bench.launch(&ServerSpec { cluster: Some(role), ..spec("founder") });
    server.kill9().await.expect("it ends");
    let _ = std::fs::remove_dir_all(server.data_dir());
    let _ = std::fs::remove_file(bench.scratch.join("cluster.key"));
    asks_first(&bench, &server, &address);
    server.launch().expect("it starts");
    until_said(&server, "cannot tell whether there is a cluster already").await;
    assert!(!bench.scratch.join("cluster.key").exists(), "nothing is founded");

    // Whoever asks meanwhile hears what it waits for.
    let told = until("the reason", MEMBERSHIP_MAX, async || {
        let refused = server.admin().status().await.expect_err("it belongs to no cluster").to_string();
        if refused.contains(&address) { Ok(refused) } else { Err(refused) }
    });
    let told = told.await.expect("the address is named");
    assert_says(&told, &["the server belongs to no cluster yet", "whether there is one cannot be told"]);

    // Nobody listens there any more: this is the first one.
    drop(silent);
    server.ready().await.expect("it founds a cluster");
    assert_eq!(members(&server).await, 1);
}

#[tokio::test]
async fn a_joiner_waits_while_its_namesake_lives() {
    let bench = Bench::new();
    let founder = founder(&bench).await;
    let role = ClusterRole { join: vec![founder.peer_address()], sealing_key_path: bench.scratch.join("cluster.key") };
    let mut servers = Vec::new();
    for name in ["second", "third"] {
        let mut server = bench.launch(&ServerSpec { cluster: Some(role.clone()), ..spec(name) });
        server.ready().await.expect("it joins");
        servers.push(server);
    }
    until_members(&founder, 3).await;
    let before = ids(&founder).await;

    // The same name in another directory.
    let config =
        bench.config("elsewhere", &joiner(&bench, &founder, &role.sealing_key_path).replace("joiner", "second"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_steeple-server"));
    command.arg("run").arg("-config").arg(config);
    let log = bench.scratch.join("elsewhere/log");
    let mut namesake = Process::start("namesake", command, &log).expect("it starts");
    let told = until("the refusal", MEMBERSHIP_MAX, async || {
        let tail = namesake.tail();
        if tail.contains("is called second too, and is alive; stop it, or give the joining server another") {
            Ok(())
        } else {
            Err(tail)
        }
    });
    told.await.expect("the living one is named");
    assert_eq!(ids(&founder).await, before, "nobody was replaced");
    assert_unharmed(&servers[0], &["kept"]).await;

    // Once it is gone its name is free, and its place is taken.
    let gone = servers.remove(0);
    let old = gone.admin().status().await.expect("a status").node_id;
    drop(gone);
    let replaced = until("the namesake takes the place", MEMBERSHIP_MAX, async || {
        let now = ids(&founder).await;
        if now.len() == 3 && !now.contains(&old) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    replaced.await.expect("it is a member");
    until_members(&founder, 3).await;
    namesake.kill9().await.expect("it ends");
}

async fn ids(server: &Server) -> Vec<u64> {
    server.admin().status().await.expect("a status").members.iter().map(|member| member.node_id).collect()
}
