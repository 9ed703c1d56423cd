//! Two of three replicas are lost for good.

use steeple_testkit::{Cluster, ExtraLines};

use crate::site::{Site, binaries, create, entries, refused, run, spec, text};

#[tokio::test]
async fn a_survivor_becomes_a_cluster_again_and_the_lost_cannot_return() {
    let site = Site::new();
    let mut cluster = site.cluster(3).await;
    let ids: Vec<String> = (0..20).map(|number| format!("entry-{number:02}")).collect();
    for id in &ids {
        create(&cluster.servers[0], id).await;
    }
    cluster.caught_up(0).await.expect("it has all of them");
    let before = cluster.servers[0].admin().status().await.unwrap();
    let bundle = cluster.servers[0].admin().bundle().await.unwrap();
    let dir = cluster.servers[0].data_dir();
    let config = site.config(&cluster.servers[0]);
    let apply = ["recover", "apply", "-dataDir", text(&dir), "-config", &config];

    let live = refused(&[&apply[..], &["-confirm"]].concat()).await;
    assert!(live.contains("is in use by process"), "{live}");
    let of_a_live_one = run(&["recover", "plan", "-dataDir", text(&dir), "-config", &config]).await;
    assert!(of_a_live_one.ok && of_a_live_one.text.contains("in use by process"), "{}", of_a_live_one.text);
    assert!(of_a_live_one.text.contains(&format!("{} -confirm", apply[4..].join(" "))), "{}", of_a_live_one.text);
    for server in &mut cluster.servers {
        server.kill9().await.expect("it ends");
    }
    let mut ghost = cluster.servers.remove(2);
    let gone = cluster.servers.remove(1);
    std::fs::remove_dir_all(gone.data_dir()).expect("a directory");

    let plan = run(&["recover", "plan", "-dataDir", text(&dir), "-dataDir", text(&ghost.data_dir())]).await;
    assert!(plan.ok && plan.text.starts_with("No recovery is needed") && !plan.text.contains("apply"), "{}", plan.text);
    let plan = run(&["recover", "plan", "-output", "json", text(&dir), text(&ghost.data_dir())]).await;
    assert!(plan.json["quorum"] == true && plan.json["recover_from"].is_null(), "{}", plan.text);
    assert_eq!(plan.json["missing"][0]["name"], "server-2", "{}", plan.text);
    let plan = run(&["recover", "plan", "-output", "json", text(&dir)]).await;
    assert_eq!(plan.json["recover_from"], text(&dir), "{}", plan.text);
    assert!(plan.json["quorum"] == false && plan.json["survivors"][0]["in_use"] == false, "{}", plan.text);
    assert_eq!(plan.json["missing"].as_array().map(Vec::len), Some(2), "{}", plan.text);
    assert_eq!(plan.json["survivors"][0]["membership"].as_array().expect("members").len(), 3);

    let unconfirmed = refused(&apply).await;
    assert!(unconfirmed.contains("nothing was changed") && unconfirmed.contains("-confirm"), "{unconfirmed}");
    let applied = run(&[&apply[..], &["-confirm"]].concat()).await;
    assert!(applied.ok, "{}", applied.text);
    let again = refused(&[&apply[..], &["-confirm"]].concat()).await;
    assert!(again.contains("put aside"), "{again}");

    let survivor = &mut cluster.servers[0];
    survivor.launch().expect("it starts");
    survivor.ready().await.expect("it serves without the others");
    assert_eq!(entries(survivor).await, ids);
    let status = survivor.admin().status().await.unwrap();
    assert_ne!(status.cluster_uuid, before.cluster_uuid);
    assert_eq!(status.members.len(), 1);
    let same_ca = survivor.admin().bundle().await.unwrap();
    assert_eq!(same_ca.x509_authorities, bundle.x509_authorities);
    assert!(same_ca.sequence_number > bundle.sequence_number);

    // It was only switched off, and comes back with its disk.
    ghost.launch().expect("it starts");
    for name in ["server-4", "server-5"] {
        let joined = site.joins(name, &cluster.servers[0]).await;
        cluster.servers.push(joined);
    }
    cluster.all_vote().await.expect("three vote");
    create(&cluster.servers[2], "zz-new").await;
    cluster.converged().await.expect("one state");
    assert_eq!(entries(&cluster.servers[1]).await.len(), ids.len() + 1);
    let members = cluster.servers[0].admin().status().await.unwrap().members;
    assert!(members.iter().all(|member| member.name != ghost.name()), "{members:?}");
    if let Ok(alone) = ghost.admin().status().await {
        assert_eq!((alone.leader_id, alone.cluster_uuid), (0, before.cluster_uuid));
    }
}

/// What an operator did offline is on record, and so is what a server that was not stopped would do.
#[tokio::test]
async fn a_recovery_is_the_first_audit_record_and_old_members_are_named() {
    let site = Site::new();
    let audited = ExtraLines { server: "audit { file = \"audit.log\" }".to_owned(), ..ExtraLines::default() };
    let cluster = Cluster::start_with(&binaries(), site.scratch.path(), 2, &spec(""), &audited).await;
    let mut cluster = cluster.expect("two vote");
    create(&cluster.servers[0], "kept").await;
    let before = cluster.servers[1].admin().status().await.unwrap();
    let mut survivor = cluster.servers.pop().expect("a server");
    survivor.kill9().await.expect("it ends");

    let (dir, config) = (survivor.data_dir(), site.config(&survivor));
    let applied = run(&["recover", "apply", "-dataDir", text(&dir), "-config", &config, "-confirm"]).await;
    assert!(applied.ok, "{}", applied.text);
    // The other one was never stopped.
    assert!(applied.text.contains("DO NOT START THIS SERVER YET"), "{}", applied.text);
    assert!(applied.text.contains(&before.cluster_uuid) && applied.text.contains("First stop every server"));
    cluster.servers[0].kill9().await.expect("it ends");

    survivor.launch().expect("it starts");
    survivor.ready().await.expect("it serves");
    let file = site.scratch.join(survivor.name()).join("audit.log");
    let show = ["audit", "show", "-file", text(&file), "-output", "json", "-method", "recover apply"];
    let shown = run(&show).await;
    assert_eq!(shown.json["event"], "begun_anew", "{}", shown.text);
    assert_eq!(shown.json["earlier_cluster"], before.cluster_uuid.as_str(), "{}", shown.text);
    assert!(shown.json["earlier_index"].as_u64() >= Some(before.applied_index), "{}", shown.text);
    survivor.stop().await.expect("it stops");
    survivor.launch().expect("it starts again");
    survivor.ready().await.expect("it serves");
    assert_eq!(run(&show).await.text, shown.text, "it is told once");
    assert!(run(&["audit", "verify", "-file", text(&file)]).await.ok);
}

#[tokio::test]
async fn a_data_directory_is_inspected_without_its_secrets() {
    let site = Site::new();
    let mut cluster = site.cluster(1).await;
    let server = &mut cluster.servers[0];
    create(server, "an-entry").await;
    let token = server.admin().create_join_token(std::time::Duration::from_secs(600)).await.expect("a token");
    let before = server.admin().status().await.unwrap();
    server.stop().await.expect("it stops");

    let dir = server.data_dir();
    let said = run(&["log", "inspect", "-dataDir", text(&dir), "-output", "json"]).await;
    let survey = &said.json["directory"];
    assert_eq!(survey["cluster_uuid"], before.cluster_uuid.as_str(), "{}", said.text);
    assert_eq!(survey["node_id"], before.node_id);
    assert_eq!(survey["membership"][0]["name"], "server-1");
    assert!(survey["applied"]["index"].as_u64() >= Some(before.applied_index));
    for name in ["InitCluster", "CreateEntries", "CreateJoinToken", "PrepareAuthority"] {
        assert!(said.text.contains(name), "{name}: {}", said.text);
    }
    assert!(!said.text.contains(&token), "the token is shown");

    let few = run(&["log", "inspect", "-dataDir", text(&dir), "-from", "3", "-limit", "2", "-output", "json"]).await;
    let shown = few.json["entries"].as_array().expect("entries");
    assert_eq!(shown.iter().map(|entry| entry["position"]["index"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(4)]);
    let pretty = run(&["log", "inspect", "-dataDir", text(&dir)]).await;
    assert!(pretty.ok && pretty.text.contains("Vote") && pretty.text.contains("CreateEntries by"), "{}", pretty.text);
    let nothing = refused(&["log", "inspect", "-dataDir", text(site.scratch.path())]).await;
    assert!(nothing.contains("holds no Steeple store"), "{nothing}");
}
