//! Backups that a server takes by itself.

use std::time::Duration;

use steeple_testkit::{ExtraLines, Port, Server, until};

use crate::site::{Site, binaries, run, spec, text};

/// The first one is due at once; this is for a busy machine.
const TAKEN_MAX: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_leader_takes_backups_and_keeps_the_latest() {
    let site = Site::new();
    let dir = site.scratch.join("backups");
    std::fs::create_dir(&dir).expect("a directory");
    let old = |year: u32| dir.join(format!("steeple-example.org-{year}0101T000000Z.backup"));
    // Of the names that the server gives; the latest is damaged, and so does not count as one.
    for year in 2020..2023 {
        std::fs::write(old(year), "not complete").expect("a file");
    }
    // A clock was wrong: it is neither the latest nor one of those that are kept.
    let ahead = old(2990);
    std::fs::write(&ahead, "of a year to come").expect("a file");
    let by_hand = dir.join("steeple-example.org-before-the-upgrade.backup");
    std::fs::write(&by_hand, "by hand").expect("a file");

    let peer = Port::reserve().expect("a free port").number();
    let top = format!(
        "cluster {{ peer_bind_address = \"127.0.0.1\" peer_bind_port = {peer} bootstrap = true \
         sealing_key_path = \"{}\" backup {{ dir = \"{}\" interval = \"1h\" keep = 2 }} }}",
        site.sealing_key().display(),
        dir.display()
    );
    let extra = ExtraLines { top, ..ExtraLines::default() };
    let mut server = Server::start_with(&binaries(), site.scratch.path(), &spec("alone"), &extra).expect("it starts");
    server.ready().await.expect("it is ready");

    until("a backup is taken and the oldest are gone", TAKEN_MAX, async || {
        let names: Vec<_> =
            std::fs::read_dir(&dir)?.map(|item| item.map(|item| item.path())).collect::<Result<_, _>>()?;
        let gone = !names.contains(&old(2020)) && !names.contains(&old(2021));
        ensure(gone && names.contains(&old(2022)) && names.len() == 4, &names)
    })
    .await
    .map_err(|error| server.failure(&format!("{error:#}")))
    .expect("taken");
    assert!(by_hand.exists(), "a name that it did not give is left alone");
    let log = std::fs::read_to_string(server.log()).expect("a log");
    assert!(ahead.exists() && log.matches("backups from the future").count() == 1, "it is kept, and told once: {log}");
    let listed = run(&["backup", "list", "-dir", text(&dir), "-output", "json"]).await;
    assert_eq!(listed.json["backups"].as_array().map(Vec::len), Some(1), "{}", listed.text);
    let path = listed.json["backups"][0]["path"].as_str().expect("a path").to_owned();
    let verified = run(&["backup", "verify", "-path", &path, "-config", &site.config(&server)]).await;
    assert!(verified.ok, "{}", verified.text);
}

fn ensure(holds: bool, names: &[std::path::PathBuf]) -> std::io::Result<()> {
    if holds { Ok(()) } else { Err(std::io::Error::other(format!("{names:?}"))) }
}
