//! Programs that are no plugins, or lie about it.

use steeple_plugins::external::{HandshakeError, PLUGINS_MAX};

use super::*;

async fn refusal(program: &ExternalProgram, bounds: Bounds) -> String {
    let error = load(&catalog(bounds), program).await.map(|_| ()).expect_err("it is refused").to_string();
    assert!(error.len() < 1_000, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_or_not_the_one_that_was_meant_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = refusal(&workload_attestor("/no/such/plugin".into()), BOUNDS).await;
    assert_eq!(missing, "failed to launch plugin: fork/exec /no/such/plugin: no such file or directory");
    let no_program = dir.path().join("no-program");
    std::fs::write(&no_program, "text").expect("a file");
    let denied = refusal(&workload_attestor(no_program.clone()), BOUNDS).await;
    assert_eq!(denied, format!("failed to launch plugin: fork/exec {}: permission denied", no_program.display()));

    // It is not started: it would leave a trace.
    let trace = dir.path().join("trace");
    let program = script(dir.path(), &format!("touch {}", trace.display()));
    let wrong = ExternalProgram { sha256: Some([7; 32]), ..program.clone() };
    let refused = refusal(&wrong, BOUNDS).await;
    assert!(
        refused.contains("checksums did not match") && refused.contains("write it into plugin_checksum"),
        "{refused}"
    );
    assert!(!trace.exists());

    // With its own sum it runs, a script too.
    let found = refused.split("has the SHA-256 ").nth(1).and_then(|rest| rest.split(';').next()).expect("a sum");
    let sum: [u8; 32] = hex::decode(found).expect("hex").try_into().expect("32 bytes");
    let right = ExternalProgram { sha256: Some(sum), ..program };
    let refused = refusal(&right, BOUNDS).await;
    assert!(refused.contains("plugin exited before we could connect (exit status 0)"), "{refused}");
    assert!(trace.exists());
}

/// Says nothing at all.
const SILENT: &str = "exec sleep 611";

#[tokio::test(flavor = "multi_thread")]
async fn a_first_line_that_is_none_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let short = Bounds { start: Duration::from_secs(2), ..BOUNDS };
    for (text, why) in [
        ("exit 7", "plugin exited before we could connect (exit status 7)"),
        ("kill -9 $$", "plugin exited before we could connect (signal: SIGKILL)"),
        (SILENT, "no handshake line within 2s"),
        ("echo hello; exec sleep 611", "Unrecognized remote plugin message: \"hello\""),
        ("echo '9|1|unix|/x|grpc'; exec sleep 611", "incompatible core API version with plugin. Plugin version: \"9\""),
        ("echo '1|99|unix|/x|grpc'; exec sleep 611", "incompatible API version with plugin. Plugin version: \"99\""),
        ("echo '1|1|tcp|192.0.2.1:80|grpc'; exec sleep 611", "unknown address type: \"tcp 192.0.2.1:80\""),
        ("echo '1|1|unix|/x|netrpc'; exec sleep 611", "unsupported plugin protocol \"netrpc\""),
        ("head -c 100000000 /dev/zero; echo; exec sleep 611", "more than 4096 bytes without an end of line"),
        ("head -c 100000000 /dev/zero >&2; exit 1", "plugin exited before we could connect (exit status 1)"),
        ("printf 'x%.0s' 1 2 3", "Unrecognized remote plugin message: \"xxx\""),
    ] {
        let bounds = if text == SILENT { short } else { BOUNDS };
        let refused = refusal(&script(dir.path(), text), bounds).await;
        assert!(refused.starts_with("failed to launch plugin: ") && refused.contains(why), "{text}: {refused}");
    }
    // Of nobody else's here.
    let sleeps = |process: &Path| std::fs::read(process.join("cmdline")).is_ok_and(|line| line.ends_with(b"611\0"));
    assert_eq!(children_of_ours(sleeps), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_has_started_ends_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let pid_file = dir.path().join("pid");
    let short = Bounds { start: Duration::from_secs(2), ..BOUNDS };
    for then in ["exit 7", "wait"] {
        refusal(&script(dir.path(), &format!("sleep 612 & echo $! > {}; {then}", pid_file.display())), short).await;
        let pid = std::fs::read_to_string(&pid_file).expect("it has started one");
        let command_line = Path::new("/proc").join(pid.trim()).join("cmdline");
        let gone = steeple_testkit::until("its end", Duration::from_secs(20), async || {
            // Empty until whoever inherits it has reaped it.
            match std::fs::read(&command_line) {
                Ok(line) if line.starts_with(b"sleep") => Err("it runs"),
                _ => Ok(()),
            }
        });
        gone.await.expect("it is killed too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_has_our_environment_but_for_our_secrets() {
    let dir = tempfile::tempdir().expect("a directory");
    let environment = dir.path().join("environment");
    let catalog = catalog(BOUNDS).withholding(vec!["CARGO_MANIFEST_DIR".to_owned()]);
    let program = script(dir.path(), &format!("env > {}; exit 1", environment.display()));
    load(&catalog, &program).await.map(|_| ()).expect_err("it ends");
    let environment = std::fs::read_to_string(environment).expect("it has written it");
    let names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !names.contains(&"CARGO_MANIFEST_DIR"), "{names:?}");
    assert!(["CARGO_PKG_NAME", "PLUGIN_UNIX_SOCKET_DIR"].iter().all(|name| names.contains(name)), "{names:?}");
    assert!(environment.contains("WorkloadAttestor=WorkloadAttestor\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_speaks_no_grpc_or_nothing_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("plugin.sock");
    let line = |path: &Path| format!("echo '1|1|unix|{}|grpc'; exec sleep 600", path.display());
    let nobody = refusal(&script(dir.path(), &line(&dir.path().join("none.sock"))), BOUNDS).await;
    assert!(nobody.starts_with("failed to initialize plugin: rpc error: code = Unavailable"), "{nobody}");

    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    let silent = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    let short = Bounds { setup: Duration::from_secs(2), ..BOUNDS };
    let told = refusal(&script(dir.path(), &line(&socket)), short).await;
    assert!(told.contains("the plugin did not answer Init within 2 s"), "{told}");
    silent.abort();

    let other = dir.path().join("other.sock");
    let listener = tokio::net::UnixListener::bind(&other).expect("a socket");
    let babbling = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &[b'x'; 100_000]).await;
        }
    });
    let told = refusal(&script(dir.path(), &line(&other)), short).await;
    assert!(told.starts_with("failed to initialize plugin: "), "{told}");
    babbling.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_another_type_does_not_begin() {
    let Some(plugins) = GoPlugins::build() else { return };
    // Its cookie is another one.
    let program = workload_attestor(plugins.path("notifier"));
    let program = ExternalProgram { args: vec!["/dev/null".into()], ..program };
    let refused = refusal(&program, BOUNDS).await;
    assert!(refused.contains("plugin exited before we could connect (exit status 1)"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_counted() {
    let Some(plugins) = GoPlugins::build() else { return };
    let (_dir, path) = own_program(plugins, "workloadattestor");
    let program = workload_attestor(path);
    let catalog = catalog(BOUNDS);
    for _ in 0..PLUGINS_MAX {
        load(&catalog, &program).await.expect("there is room");
    }
    assert_eq!(load(&catalog, &program).await.map(|_| ()).expect_err("too many"), LaunchError::TooMany);
    catalog.unload().await;
}

#[test]
fn refusals_say_what_to_do() {
    assert!(HandshakeError::Unrecognized("x".into()).to_string().contains("plugin_cmd has to name a SPIRE plugin"));
}
