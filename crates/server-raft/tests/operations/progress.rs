//! Commands that take long show a bar to whoever watches a terminal, and leave nothing of it; others see the result
//! alone.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::site::{Site, create, program, run, text};

/// What a command prints when its standard error is a terminal, and what of it is on standard output, as JSON.
async fn on_terminal(dir: &Path, args: &[&str]) -> (String, Value) {
    let out = dir.join("stdout");
    let quoted = args.iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
    let line = format!("'{}' {quoted} -output json > '{}'", text(&program()), text(&out));
    // script(1) gives the command a pseudo terminal.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(std::process::Stdio::null());
    let output = script.kill_on_drop(true).output().await.expect("script(1) of util-linux");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {shown}");
    let stdout = std::fs::read_to_string(&out).expect("a file");
    assert!(!stdout.contains(['\r', '\x1b']), "{stdout}");
    (shown, serde_json::from_str(&stdout).expect("JSON alone"))
}

/// That of `what`, gone at the end.
fn has_bar(shown: &str, what: &str) {
    assert!(shown.contains(&format!("\r{what} [")) && shown.contains(" %"), "{shown:?}");
    let (_, last) = shown.rsplit_once(&format!("\r{what} [")).expect("just seen");
    assert!(last.contains("\r\x1b[K"), "{shown:?}");
}

#[tokio::test]
async fn long_commands_show_a_bar_on_a_terminal_alone() {
    let site = Site::new();
    let dir = site.scratch.path();
    let mut cluster = site.cluster(2).await;
    for number in 0..20 {
        create(&cluster.servers[0], &format!("entry-{number:02}")).await;
    }
    cluster.caught_up(0).await.expect("it has all of them");
    let path = site.backup(&cluster.servers[0], "one.backup").await;
    let (config, socket) = (site.config(&cluster.servers[0]), cluster.servers[0].admin_socket());
    let (archive, restored) = (dir.join("case.tar.gz"), dir.join("restored"));

    let (shown, said) = on_terminal(dir, &["backup", "inspect", "-path", text(&path)]).await;
    has_bar(&shown, "inspect");
    assert_eq!(said["entries"], "20");
    let verify = ["backup", "verify", "-path", text(&path), "-config", &config];
    let (shown, said) = on_terminal(dir, &verify).await;
    has_bar(&shown, "verify");
    assert_eq!(said["verified"], true);
    let list = ["backup", "list", "-dir", text(dir)];
    has_bar(&on_terminal(dir, &list).await.0, "backups");
    let bundle = ["debug", "bundle", "-socketPath", text(&socket), "-path", text(&archive)];
    let (shown, said) = on_terminal(dir, &bundle).await;
    has_bar(&shown, "debug bundle");
    assert_eq!(said["path"], text(&archive));

    for server in &mut cluster.servers {
        server.kill9().await.expect("it ends");
    }
    let survivor = cluster.servers[0].data_dir();
    let inspect = ["log", "inspect", "-dataDir", text(&survivor)];
    let (shown, said) = on_terminal(dir, &inspect).await;
    has_bar(&shown, "log");
    assert!(said["entries"].as_array().is_some_and(|entries| entries.len() >= 20), "{said}");
    let restore = ["restore", "-path", text(&path), "-config", &config, "-dataDir", text(&restored)];
    let (shown, said) = on_terminal(dir, &restore).await;
    has_bar(&shown, "restore");
    assert!(shown.contains("100 %") && said["entries"] == 20, "{shown:?} {said}");
    let recover = ["recover", "apply", "-dataDir", text(&survivor), "-config", &config, "-confirm"];
    // Where nobody watches there is none.
    let silent = run(&verify).await;
    assert!(silent.ok && !silent.text.contains(['\r', '#', '%']), "{}", silent.text);
    let (shown, said) = on_terminal(dir, &recover).await;
    has_bar(&shown, "recover");
    assert!(shown.contains("100 %") && said["replayed"].is_u64(), "{shown:?} {said}");
}
