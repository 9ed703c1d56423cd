//! Who votes, as an operator decides it.

use std::time::Duration;

use serde_json::Value;
use steeple_testkit::{Cluster, Server, until};

use crate::site::{Said, Site, create, entries, refused, run, text};

/// A few changes of the membership on a busy machine.
const CHANGED_MAX: Duration = Duration::from_secs(90);

/// `cluster COMMAND` through `server`, answered in JSON.
async fn cluster(server: &Server, command: &[&str]) -> Said {
    let socket = server.admin_socket();
    run(&[&["cluster"], command, &["-socketPath", text(&socket), "-output", "json"]].concat()).await
}

async fn cluster_refuses(server: &Server, command: &[&str]) -> String {
    let socket = server.admin_socket();
    refused(&[&["cluster"], command, &["-socketPath", text(&socket)]].concat()).await
}

async fn status(server: &Server) -> Value {
    cluster(server, &["status"]).await.json
}

fn voters(status: &Value) -> Vec<u64> {
    let members = status["members"].as_array().into_iter().flatten();
    let voting = members.filter(|member| member["voter"] == true);
    voting
        .filter_map(|member| member["node_id"].as_u64().or_else(|| member["node_id"].as_str()?.parse().ok()))
        .collect()
}

/// Waits until `server` sees that exactly these vote, all of them healthy.
async fn until_voters(server: &Server, expected: &[u64], tolerance: u64) {
    let seen = until("they vote", CHANGED_MAX, async || {
        let status = status(server).await;
        let tolerates = &status["failure_tolerance"];
        if voters(&status) == expected && *tolerates == tolerance { Ok(()) } else { Err(status.to_string()) }
    });
    seen.await.expect("they vote");
}

/// The leader's position and the node ids of the other voters.
async fn leader_and_others(cluster: &Cluster) -> (usize, Vec<u64>) {
    let leader = cluster.leader().await.expect("a leader");
    let status = status(&cluster.servers[leader]).await;
    let own = cluster.servers[leader].admin().status().await.expect("a status").node_id;
    (leader, voters(&status).into_iter().filter(|id| *id != own).collect())
}

#[tokio::test]
async fn votes_are_given_and_taken_without_losing_the_quorum() {
    let site = Site::new();
    let mut replicas = site.cluster(3).await;
    create(&replicas.servers[0], "kept").await;
    until_voters(&replicas.servers[0], &[1, 2, 3], 1).await;
    // One that is no member is not found, by every command and on every replica.
    for asked in &replicas.servers {
        for unknown in [
            &["demote", "-nodeID", "99"][..],
            &["promote", "-nodeID", "99"],
            &["remove", "-nodeID", "99"],
            &["replace", "-nodeID", "99", "-withNodeID", "98"],
            &["transfer-leader", "-nodeID", "99"],
        ] {
            let said = cluster_refuses(asked, unknown).await;
            assert!(said.contains("code = NotFound desc = node 99 is not a member"), "{unknown:?}: {said}");
        }
    }
    let said = cluster_refuses(&replicas.servers[0], &["set-target", "-voters", "2"]).await;
    assert!(said.contains("use 1, 3, 5 or 7"), "{said}");

    // A spare, which holds the log and votes when a voter leaves.
    assert!(cluster(&replicas.servers[0], &["set-target", "-voters", "3"]).await.ok);
    let spare = site.joins("server-4", &replicas.servers[0]).await;
    replicas.servers.push(spare);
    let learned = until("it is a member", CHANGED_MAX, async || {
        let status = replicas.servers[0].admin().status().await.map_err(|status| status.to_string())?;
        let spare = status.members.iter().find(|member| member.node_id == 4);
        if spare.is_some_and(|spare| spare.lag == 0 && spare.healthy) { Ok(()) } else { Err(format!("{status:?}")) }
    });
    learned.await.expect("it holds the log");
    let said = cluster_refuses(&replicas.servers[0], &["promote", "-nodeID", "4"]).await;
    assert!(said.contains("3 members vote, which is the target"), "{said}");
    until_voters(&replicas.servers[0], &[1, 2, 3], 1).await;

    let (leader, others) = leader_and_others(&replicas).await;
    let leading = &replicas.servers[leader];
    let own = leading.admin().status().await.expect("a status").node_id.to_string();
    let said = cluster_refuses(leading, &["demote", "-nodeID", &own]).await;
    assert!(said.contains("hand leadership over first"), "{said}");
    let replaced = cluster(leading, &["replace", "-nodeID", &others[0].to_string(), "-withNodeID", "4"]).await;
    assert!(replaced.ok, "{}", replaced.text);
    let mut left = vec![own.parse().expect("a number"), others[1], 4];
    left.sort_unstable();
    until_voters(leading, &left, 1).await;
    assert!(status(leading).await["members"].as_array().is_some_and(|members| members.len() == 3));

    // One stands by until it is asked again.
    assert!(cluster(leading, &["demote", "-nodeID", "4"]).await.ok);
    until_voters(leading, &left[..2], 0).await;
    let promoted = cluster(leading, &["promote", "-nodeID", "4"]).await;
    assert!(promoted.ok, "{}", promoted.text);
    until_voters(leading, &left, 1).await;

    // With one of three away the other follower's vote is needed.
    let away = replicas.servers.len() - 1;
    let (leader, others) = leader_and_others(&replicas).await;
    if leader == away {
        // The one that is to go away follows.
        let to = others[0].to_string();
        assert!(cluster(&replicas.servers[leader], &["transfer-leader", "-nodeID", &to]).await.ok);
    }
    replicas.servers[away].kill9().await.expect("it ends");
    let (leader, others) = leader_and_others(&replicas).await;
    let leading = &replicas.servers[leader];
    until_voters(leading, &left, 0).await;
    let needed = others.iter().find(|id| **id != 4).expect("a follower").to_string();
    let said = cluster_refuses(leading, &["demote", "-nodeID", &needed]).await;
    assert!(said.contains("which is no quorum"), "{said}");
    assert_eq!(entries(leading).await, ["kept"]);
    let finalized = cluster(leading, &["finalize"]).await;
    assert!(finalized.text.contains("node 4 does not answer"), "{}", finalized.text);
}

/// Before its silence is noticed: who answered a second ago is not who answers.
#[tokio::test]
async fn a_vote_is_not_taken_away_in_the_second_after_another_voter_died() {
    let site = Site::new();
    let mut replicas = site.cluster(3).await;
    let leader = replicas.leader().await.expect("a leader");
    let [dying, needed] = [(leader + 1) % 3, (leader + 2) % 3];
    let needed = replicas.servers[needed].admin().status().await.expect("a status").node_id.to_string();
    until_voters(&replicas.servers[leader], &[1, 2, 3], 1).await;
    replicas.servers[dying].kill9().await.expect("it ends");
    let leading = &replicas.servers[leader];
    for command in [&["demote", "-nodeID", &needed][..], &["remove", "-nodeID", &needed]] {
        let said = cluster_refuses(leading, command).await;
        assert!(said.contains("only 1 of 2 voters would be alive, which is no quorum"), "{command:?}: {said}");
    }
    create(leading, "written").await;
    let status = status(leading).await;
    assert_eq!((&status["voters"], &status["quorum"]), (&Value::from(3), &Value::from(true)));
}

/// It ends as soon as it is out, perhaps before it has answered.
#[tokio::test]
async fn the_leader_of_two_is_removed_through_the_other() {
    let site = Site::new();
    let replicas = site.cluster(2).await;
    create(&replicas.servers[0], "kept").await;
    let (leader, others) = leader_and_others(&replicas).await;
    let own = replicas.servers[leader].admin().status().await.expect("a status").node_id.to_string();
    let left = &replicas.servers[1 - leader];
    let removed = cluster(left, &["remove", "-nodeID", &own]).await;
    assert!(removed.ok, "{}", removed.text);
    until_voters(left, &others, 0).await;
    assert_eq!(entries(left).await, ["kept"]);
}
