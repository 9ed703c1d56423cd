//! What a server refuses to start with.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, assert_says, assert_unharmed, create, health_on, metrics_on, relaunch, until_said};

#[tokio::test]
async fn a_config_with_a_typo_is_refused_by_line_and_suggestion() {
    let bench = Bench::new();
    let config = bench.config("typo", " log_levle = \"debug\"");
    let text = bench.refused(&config, &[]).await;
    let hint = "server: \"log_levle\" at 7:2 (did you mean \"log_level\"?)";
    assert_says(&text, &["unknown configuration detected", hint]);
    assert!(!bench.scratch.join("typo/data").exists(), "nothing is made");
}

#[tokio::test]
async fn an_api_port_in_use_is_named() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let config = bench.config("port", "");
    let text = bench.refused(&config, &["-serverPort", &address.port().to_string()]).await;
    assert_says(&text, &[&format!("cannot listen on {address}"), "stop what is using the port, or set bind_port"]);
    assert!(!bench.scratch.join("port/data/db").exists(), "no cluster is founded");
}

#[tokio::test]
async fn a_peer_port_in_use_is_named() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let cluster = format!(
        " cluster {{ peer_bind_address = \"127.0.0.1\" peer_bind_port = {} sealing_key_path = \"{}\" }}",
        address.port(),
        bench.scratch.join("key").display()
    );
    let text = bench.refused(&bench.config("peer", &cluster), &[]).await;
    let told = [&format!("cannot listen for peers on {address}"), "set cluster.peer_bind_port"];
    assert_says(&text, &told);

    // Also where the list of addresses holds the own one: nobody is asked there.
    let founder =
        cluster.replace("sealing_key_path", &format!("bootstrap = true join = [\"{address}\"] sealing_key_path"));
    assert_says(&bench.refused(&bench.config("peer", &founder), &[]).await, &told);
}

#[tokio::test]
async fn an_admin_socket_in_use_is_left_to_its_server() {
    let bench = Bench::new();
    let server = bench.server("first").await;
    create(&server, "kept").await;
    let socket = server.admin_socket();
    let text = bench.refused(&bench.config("second", ""), &["-socketPath", &socket.display().to_string()]).await;
    assert_says(&text, &[&socket.display().to_string(), "in use: stop the process that serves on it"]);
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn what_lies_at_the_socket_path_is_not_overwritten() {
    let bench = Bench::new();
    let config = bench.config("file", "");
    let path = bench.scratch.join("precious");
    std::fs::write(&path, "content").expect("a file");
    let text = bench.refused(&config, &["-socketPath", &path.display().to_string()]).await;
    assert_says(&text, &["exists and is not a socket: move it away"]);
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "content");

    let long = bench.scratch.join("x".repeat(120));
    let text = bench.refused(&config, &["-socketPath", &long.display().to_string()]).await;
    assert_says(&text, &["is too long: a socket path has at most 107 bytes"]);
}

#[tokio::test]
async fn two_servers_on_one_data_directory_leave_the_first_alone() {
    let bench = Bench::new();
    let server = bench.server("first").await;
    create(&server, "kept").await;
    let data = server.data_dir().display().to_string();
    let text = bench.refused(&bench.config("second", ""), &["-dataDir", &data]).await;
    let pid = server.process().expect("it runs").pid();
    assert_says(&text, &[&data, &format!("is in use by process {pid}"), "a data directory of its own"]);
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn a_sealing_key_that_cannot_be_used_is_named() {
    let bench = Bench::new();
    let mut server = bench.server("server").await;
    create(&server, "kept").await;
    server.stop().await.expect("it stops");
    let config = bench.config_of(&server);
    let key = sealing_key(&bench);
    let name = key.display().to_string();
    let original = std::fs::read(&key).expect("a sealing key");

    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("a mode");
    let text = bench.refused(&config, &[]).await;
    assert_says(&text, &["can be read by others (mode 0644)", &format!("run chmod 600 {name}")]);

    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("a mode");
    std::fs::write(&key, "steeple-sealing-key-v1:dHJ1bmNhdGVk\n").expect("another content");
    assert_says(&bench.refused(&config, &[]).await, &[&name, "sealing key is damaged", "copy the file of that name"]);

    // A new key would not open what is stored, so none is made.
    std::fs::remove_file(&key).expect("it was there");
    assert_says(&bench.refused(&config, &[]).await, &[&format!("no sealing key at {name}"), "copy the file"]);
    assert!(!key.exists());

    std::fs::write(&key, original).expect("the key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("a mode");
    relaunch(&mut server).await;
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn a_wrong_sealing_key_is_told_from_the_right_one() {
    let bench = Bench::new();
    let (mut server, mut other) = tokio::join!(bench.server("server"), bench.server("other"));
    create(&server, "kept").await;
    let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
    server.stop().await.expect("it stops");
    other.stop().await.expect("it stops");
    let (key, foreign) = (sealing_key(&bench), bench.scratch.join("other/data.sealing-key"));
    let original = std::fs::read(&key).expect("a sealing key");
    std::fs::copy(foreign, &key).expect("a copy");
    let text = bench.refused(&bench.config_of(&server), &[]).await;
    let reason = "does not open this cluster's keyring";
    assert_says(&text, &[&key.display().to_string(), reason, "give this server the sealing key file of the cluster"]);

    std::fs::write(&key, original).expect("the key");
    relaunch(&mut server).await;
    assert_eq!(server.admin().bundle().await.expect("a bundle").x509_authorities, roots);
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn another_trust_domain_does_not_take_over_a_directory() {
    let bench = Bench::new();
    let mut server = bench.server("server").await;
    create(&server, "kept").await;
    server.stop().await.expect("it stops");
    let text = bench.refused(&bench.config_of(&server), &["-trustDomain", "other.test"]).await;
    assert_says(&text, &["holds trust domain example.org, the configuration says other.test"]);
    relaunch(&mut server).await;
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn a_health_or_metrics_port_in_use_is_named() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    for (name, lines, key) in [
        ("health", health_on(address.port()), "health_checks.bind_port"),
        ("metrics", metrics_on(address.port()), "telemetry.Prometheus.port"),
    ] {
        let config = bench.config(name, "");
        let text = std::fs::read_to_string(&config).expect("a file");
        std::fs::write(&config, text + &lines).expect("a file");
        let said = [format!("cannot listen on {address}: "), format!("stop what is using the port, or set {key}")];
        assert_says(&bench.refused(&config, &[]).await, &[&said[0], &said[1]]);
        assert!(!bench.scratch.join(format!("{name}/data/db")).exists(), "no cluster is founded");
    }
}

#[tokio::test]
async fn trap_files_of_a_server_are_for_its_owner_only() {
    let bench = Bench::new();
    let mut server = bench.server("server").await;
    create(&server, "kept").await;
    let mode = |path: &Path| std::fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o777;
    // Sockets have modes of their own, which a strict umask must not narrow.
    assert_eq!(mode(&server.admin_socket()), 0o770);
    server.stop().await.expect("it stops");
    let made = below(&server.data_dir());
    assert!(made.iter().any(|path| path.ends_with("db/CURRENT")), "RocksDB's files are among them: {made:?}");
    for path in &made {
        let private = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(path), private, "{}", path.display());
    }
    assert_eq!(mode(&sealing_key(&bench)), 0o600);
}

/// The version and the algorithm with which every PKCS#8 document of a P-256 key begins (RFC 5958).
const P256_PRIVATE_KEY: [u8; 24] =
    [2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

#[tokio::test]
async fn trap_no_private_key_reaches_the_disk_unsealed() {
    let holds_a_key = |bytes: &[u8]| bytes.windows(P256_PRIVATE_KEY.len()).any(|part| part == P256_PRIVATE_KEY);
    let plain = steeple_ca::generate_pkcs8(steeple_core::KeyType::EcP256).expect("a key");
    assert!(holds_a_key(plain.expose()), "the pattern finds no key");
    let bench = Bench::new();
    let mut server = bench.server("server").await;
    // The X.509 CA and the peers' CA are P-256 by default, and so is the JWT key: all are in the log by now.
    server.kill9().await.expect("it ends");
    for path in below(&server.data_dir()).iter().filter(|path| path.is_file()) {
        assert!(!holds_a_key(&std::fs::read(path).expect("a file")), "{}", path.display());
    }
}

/// `folder`, and every folder and file in it.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let entries = std::fs::read_dir(folder).expect("a folder");
    for path in entries.map(|entry| entry.expect("a file").path()) {
        if path.is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found
}

/// Where a single server keeps it without a `cluster` section.
fn sealing_key(bench: &Bench) -> PathBuf {
    bench.scratch.join("server/data.sealing-key")
}

#[tokio::test]
async fn signals_that_spire_knows_do_not_end_a_server() {
    let bench = Bench::new();
    let server = bench.server("server").await;
    create(&server, "kept").await;
    let pid = server.process().expect("it runs").pid().to_string();
    for (signal, answer) in [("-USR1", "Reconfigure signal received"), ("-USR2", "reopened log file")] {
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
        until_said(&server, answer).await;
    }
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn an_upstream_authority_that_cannot_be_used_is_named() {
    let bench = Bench::new();
    let cases = [
        ("disk", "", "'cert_file_path' and 'key_file_path' must be set and not empty"),
        (
            "disk",
            "cert_file_path = \"ca.pem\" key_file_path = \"ca.key\"",
            "unable to load upstream CA key: open ca.key",
        ),
        (
            "disk",
            "cert_file_pth = \"\" cert_file_path = \"a\" key_file_path = \"b\"",
            "did you mean \"cert_file_path\"?",
        ),
        ("spire", "server_port = \"8081\"", "server_address is required"),
        ("spire", "server_address = \"a\" server_port = 8081", "workload_api_socket is required"),
    ];
    for (at, (name, data, text)) in cases.into_iter().enumerate() {
        let config = bench.config(&format!("upstream-{at}"), "");
        let plugin = format!("UpstreamAuthority \"{name}\" {{ plugin_data {{ {data} }} }}\n KeyManager");
        let configured = std::fs::read_to_string(&config).expect("a file").replace("KeyManager", &plugin);
        std::fs::write(&config, configured).expect("a file");
        assert_says(&bench.refused(&config, &[]).await, &[text]);
        assert!(!bench.scratch.join(format!("upstream-{at}/data/db")).exists(), "no cluster is founded");
    }
}

#[tokio::test]
async fn a_bundle_endpoint_that_cannot_be_served_is_named() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let endpoint = |name: &str, rest: &str| {
        let port = address.port();
        let lines = format!("federation {{ bundle_endpoint {{ address = \"127.0.0.1\" port = {port} {rest} }} }}");
        bench.config(name, &lines)
    };
    let text = bench.refused(&endpoint("port", "profile \"https_spiffe\" {}"), &[]).await;
    let listen = format!("cannot listen on {address} for the bundle endpoint");
    assert_says(&text, &[&listen, "stop what is using the port, or set federation.bundle_endpoint.port"]);

    let path = bench.scratch.join("none.pem").display().to_string();
    let files = format!("cert_file_path = \"{path}\" key_file_path = \"{path}\"");
    let web = format!("profile \"https_web\" {{ serving_cert_file {{ {files} }} }}");
    let text = bench.refused(&endpoint("files", &web), &[]).await;
    assert_says(&text, &["bundle endpoint: failed to load certificate: open", &path]);

    let acme = "acme { domain_name = \"not a name\" email = \"a@a.test\" tos_accepted = true }";
    for (name, rest) in [("old", acme.to_owned()), ("new", format!("profile \"https_web\" {{ {acme} }}"))] {
        let text = bench.refused(&endpoint(name, &rest), &[]).await;
        assert_says(&text, &["domain \"not a name\" is not a valid domain name"]);
    }
    assert!(!bench.scratch.join("port/data/db").exists(), "no cluster is founded");
}

#[tokio::test]
async fn an_argument_that_is_no_text_ends_the_program() {
    use std::os::unix::ffi::OsStrExt as _;

    for args in [vec![&b"\xff"[..]], vec![b"run", b"-config", b"/tmp/\xff"]] {
        let args = args.iter().map(|arg| std::ffi::OsStr::from_bytes(arg));
        let output = tokio::process::Command::new(crate::bench::program()).args(args).output().await.expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{told}");
        assert!(told.starts_with("Error: argument ") && told.contains("is not UTF-8: "), "{told}");
    }
}
