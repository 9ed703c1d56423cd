//! Backups, keys and directories that cannot be used: a specific error each, and nothing half-done.

use std::path::Path;

use steeple_testkit::Server;

use crate::site::{Site, create, entries, refused, run, text};

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// No store, and nothing that a server would take for one.
fn assert_untouched(dir: &Path) {
    let left: Vec<_> =
        std::fs::read_dir(dir).map(|items| items.flatten().map(|item| item.file_name()).collect()).unwrap_or_default();
    assert!(left.iter().all(|name| name == "LOCK"), "{left:?}");
}

async fn stopped_with_backup(site: &Site) -> (Server, std::path::PathBuf) {
    let mut cluster = site.cluster(1).await;
    let mut server = cluster.servers.remove(0);
    create(&server, "kept").await;
    let path = site.backup(&server, "one.backup").await;
    server.stop().await.expect("it stops");
    (server, path)
}

#[tokio::test]
async fn a_backup_is_never_restored_over_a_directory_in_use_or_with_data() {
    let site = Site::new();
    let cluster = site.cluster(1).await;
    let server = &cluster.servers[0];
    create(server, "kept").await;
    let path = site.backup(server, "one.backup").await;
    let config = site.config(server);
    let args = ["restore", "-path", text(&path), "-config", &config];
    assert_says(&refused(&args).await, &["is in use by process", "stop that server"]);
    assert_eq!(entries(server).await, ["kept"]);

    let again = refused(&["backup", "create", "-socketPath", text(&server.admin_socket()), "-path", text(&path)]).await;
    assert_says(&again, &["already exists"]);

    let mut cluster = cluster;
    cluster.servers[0].stop().await.expect("it stops");
    assert_says(&refused(&args).await, &["is not empty", "name an empty directory"]);
    cluster.servers[0].launch().expect("it starts");
    cluster.servers[0].ready().await.expect("it is ready");
    assert_eq!(entries(&cluster.servers[0]).await, ["kept"]);
}

#[tokio::test]
async fn what_cannot_be_restored_leaves_the_directory_empty() {
    let site = Site::new();
    let (server, path) = stopped_with_backup(&site).await;
    let config = site.config(&server);
    let target = site.scratch.join("target");
    let restore = async |backup: &Path, more: &[&str]| {
        let args = ["restore", "-path", text(backup), "-config", &config, "-dataDir", text(&target)];
        let said = refused(&[&args[..], more].concat()).await;
        assert_untouched(&target);
        said
    };
    let bytes = std::fs::read(&path).expect("a file");
    let damaged = |name: &str, bytes: &[u8]| {
        let path = site.scratch.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };

    let cut = damaged("cut", &bytes[..bytes.len() - 10]);
    assert_says(&restore(&cut, &[]).await, &["cut short", "copy it again", "cut"]);
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert_says(&restore(&damaged("flipped", &flipped), &[]).await, &["damaged", "copy it again"]);
    let mut newer = bytes.clone();
    newer[8] = 99;
    assert_says(&restore(&damaged("newer", &newer), &[]).await, &["format 99", "use the release that wrote it"]);
    assert_says(&restore(&damaged("other", b"hello"), &[]).await, &["no backup of a Steeple cluster"]);
    assert_says(&restore(&site.scratch.join("missing"), &[]).await, &["No such file", "check the path"]);

    // The sealing key of another cluster: made by a server that founds one.
    let stranger = Site::new();
    let other = stranger.cluster(1).await;
    let key = stranger.sealing_key();
    let said = restore(&path, &["-sealingKeyPath", text(&key)]).await;
    assert_says(&said, &["does not open this backup", "-sealingKeyPath"]);
    drop(other);

    let foreign = site.scratch.join("foreign.conf");
    let text_of = std::fs::read_to_string(&config).expect("a file").replace("\"example.org\"", "\"other.org\"");
    std::fs::write(&foreign, text_of).expect("a file");
    let said = refused(&["restore", "-path", text(&path), "-config", text(&foreign), "-dataDir", text(&target)]).await;
    assert_says(&said, &["trust domain example.org", "other.org"]);
    assert_untouched(&target);
    let said = refused(&["backup", "verify", "-path", text(&path), "-config", text(&foreign)]).await;
    assert_says(&said, &["trust domain example.org", "other.org"]);

    // What was refused above is restored once it is right.
    let said = run(&["restore", "-path", text(&path), "-config", &config, "-dataDir", text(&target)]).await;
    assert!(said.ok, "{}", said.text);
}
