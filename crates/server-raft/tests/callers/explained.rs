//! `why`, where there is an agent: whole, then banned.

use std::process::{Command, Output};

use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::BanAgentRequest;
use steeple_api::types::Selector;
use steeple_testkit::workload_entry;

use crate::site::Site;

fn why(site: &Site, subject: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steeple-server"));
    command.args(["why", "-socketPath"]).arg(site.scratch.join("api.sock")).args(["-output", "json", subject]);
    command.output().expect("the program runs")
}

/// The hops that are not whole, each with its text.
fn not_whole(output: &Output) -> Vec<(String, String)> {
    let explanation: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(explanation["whole"], output.status.success());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let hops = explanation["ways"][0]["hops"].as_array().expect("hops");
    let others = hops.iter().filter(|hop| hop["verdict"] != "whole");
    others.map(|hop| (text(&hop["hop"]), format!("{}: {}", text(&hop["text"]), text(&hop["mend"])))).collect()
}

#[tokio::test]
async fn why_is_whole_with_an_agent_and_names_the_ban_that_ends_it() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    node.call().await.expect("an attested agent is let in");
    let id = id_to_wire(&node.svid.id);
    let selector = Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() };
    site.admin.create_entry(workload_entry("web", &id, "/web", vec![selector])).await.expect("an entry");
    for subject in ["spiffe://example.org/web", "web"] {
        let whole = why(&site, subject);
        // It may still have to acknowledge the bundle.
        assert!(whole.status.success(), "{:?}", not_whole(&whole));
    }
    let ban = BanAgentRequest { id: Some(id) };
    site.admin.agents().ban_agent(ban).await.expect("banned");
    for subject in ["spiffe://example.org/web", "web", node.svid.id.as_str()] {
        let broken = not_whole(&why(&site, subject));
        let [(hop, text)] = broken.as_slice() else { panic!("{broken:?}") };
        assert!(hop == "agent" && text.contains("is banned: steeple-server agent evict -spiffeID"), "{text}");
    }
}
