//! A store that is a program of its own, on the published spire-plugin-sdk, beside the one in files.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use steeple_testkit::GoPlugins;

use crate::*;

/// What the plugin keeps under a name.
fn shelved(dir: &Path, name: &str) -> anyhow::Result<Files> {
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join(name))?)?;
    let bytes = |value: &serde_json::Value| BASE64_STANDARD.decode(value.as_str().unwrap_or_default());
    let list = |key: &str| file[key].as_array().into_iter().flatten().map(bytes).collect::<Result<Vec<_>, _>>();
    Ok(Files { chain: list("cert_chain")?, key: bytes(&file["private_key"])?, bundle: list("bundle")? })
}

async fn is_shelved(dir: &Path, name: &str, id: &str) -> Files {
    let there = until("an SVID on the shelf", EVENT_MAX, async || {
        let files = shelved(dir, name)?;
        let found = files.verified()?;
        ensure!(found == format!("spiffe://{TRUST_DOMAIN}{id}"), "{found}");
        anyhow::Ok(files)
    });
    there.await.expect("an SVID on the shelf")
}

/// SIGUSR1.
fn read_again(agent: &Agent) {
    let pid = agent.process().pid().to_string();
    assert!(std::process::Command::new("kill").args(["-USR1", &pid]).status().expect("kill runs").success());
}

#[tokio::test]
async fn a_store_that_refuses_is_tried_again_and_harms_no_other() {
    let Some(plugins) = GoPlugins::build() else { return };
    let world = World::new().await;
    let [shelf, settings] = ["shelf", "shelf.conf"].map(|name| world.scratch.join(name));
    std::fs::create_dir(&shelf).expect("a directory");
    let good = format!("directory = {shelf:?}\n");
    std::fs::write(&settings, &good).expect("a file");
    let (program, sum) = (plugins.path("svidstore"), plugins.checksum("svidstore").expect("a sum"));
    let block = format!(
        "SVIDStore \"shelf\" {{\n plugin_cmd = {program:?}\n plugin_checksum = {sum:?}\n \
         plugin_data_file = {settings:?}\n}}\n"
    );
    let mut agent = world.start_with(&world.binaries, &world.base(), &[block]);
    agent.ready().await.expect("the agent attests");
    let web = world.store("/web", &["shelf:name:web", "shelf:colour:blue"], 20).await;
    let first = is_shelved(&shelf, "web", "/web").await;
    let renewal = until("a renewal", EVENT_MAX, async || {
        ensure!(is_shelved(&shelf, "web", "/web").await.key != first.key, "it is the old one");
        anyhow::Ok(())
    });
    renewal.await.expect("a new key");

    // Other selectors, the same name to the plugin: it is deleted and put again, in this order.
    let request = BatchUpdateEntryRequest {
        entries: vec![Entry { selectors: selectors_of(&["shelf:name:web", "shelf:colour:red"]), ..web.clone() }],
        ..BatchUpdateEntryRequest::default()
    };
    world.server.admin().entries().batch_update_entry(request).await.expect("an update");
    let red = until("another colour", EVENT_MAX, async || {
        let text = std::fs::read_to_string(shelf.join("web")).unwrap_or_default();
        if text.contains("colour:red") { Ok(()) } else { Err(text.len()) }
    });
    red.await.expect("it is put again");

    std::fs::write(&settings, format!("{good}mode = \"refuse\"\n")).expect("a file");
    read_again(&agent);
    says(&agent, "Plugin reconfigured").await;
    let late = world.store("/late", &["shelf:name:late"], 0).await;
    world.store("/app", &["directory:path:app"], 0).await;
    stored(&world.base().join("app"), "/app").await;
    says(&agent, "desc = svidstore(shelf): not today").await;
    world.delete(web).await;
    says(&agent, "Failed to delete SVID").await;
    assert!(!shelf.join("late").exists() && shelf.join("web").exists());

    std::fs::write(&settings, &good).expect("a file");
    read_again(&agent);
    is_shelved(&shelf, "late", "/late").await;
    gone(&shelf.join("web")).await;
    world.delete(late).await;
    gone(&shelf.join("late")).await;
    agent.stop().await.expect("it stops");
}
