//! What accepted configurations resolve to.

mod support;

use std::path::Path;
use std::time::Duration;

use steeple_config::{
    AgentOverrides, AgentSettings, AuditSettings, BackupPlace, BackupSettings, BundleFormat, ConfigError,
    DeadServerCleanup, HostPort, LogLevel, Notice, NoticeLevel, PluginError, RebootstrapMode, S3Credentials,
    S3Settings, Section, ServerOverrides, ServerSettings, TrustBootstrap, TtlSettings, load_agent, load_server,
};
use steeple_core::plugin::SecretSource;
use steeple_core::{KeyType, Secret};
use support::{SUPPORTED, agent, agent_conf, file, server, server_conf, server_with};

#[test]
fn a_server_without_a_file() {
    let loaded =
        ServerSettings::embedded_default(&ServerOverrides::default(), &SUPPORTED, Path::new("/srv/me")).unwrap();
    let settings = loaded.settings;
    assert_eq!(settings.trust_domain.name(), "example.org");
    assert_eq!(settings.data_dir, Path::new("/srv/me/data"));
    assert_eq!(settings.bind, HostPort::new("0.0.0.0", 8081));
    assert_eq!(settings.socket_path, Path::new("/tmp/spire-server/private/api.sock"));
    assert_eq!(settings.ttl, TtlSettings::default());
    assert_eq!(settings.cluster.sealing_key_path, Path::new("/srv/me/data.sealing-key"));
    assert!(settings.cluster.bootstrap && !settings.cluster.enabled);
    assert_eq!(settings.config_path, None);
    let [notice] = loaded.notices.as_slice() else { panic!("{:?}", loaded.notices) };
    assert!(notice.message.contains("beside the data directory") && notice.level == NoticeLevel::Warn);
}

#[test]
fn spires_defaults() {
    let loaded = server(&server_conf("", "")).unwrap();
    let settings = loaded.settings;
    assert_eq!(settings.ca.key_type, KeyType::EcP256);
    assert_eq!(settings.ca.subject.organization, ["SPIFFE"]);
    assert_eq!(settings.ttl.agent, Duration::from_secs(3_600));
    assert!(settings.rate_limit.attestation && settings.rate_limit.signing);
    assert_eq!(settings.log.level, LogLevel::Warn);
    assert_eq!(settings.health_checks.listen, HostPort::new("localhost", 80));
    assert_eq!(settings.wit, None);
    let said: Vec<&str> = loaded.notices.iter().map(|notice| notice.message.as_str()).collect();
    assert!(said.iter().any(|text| text.starts_with("DataStore \"sql\" is accepted and not used")), "{said:?}");
    assert!(said.iter().any(|text| text.starts_with("KeyManager \"memory\" is accepted and not used")), "{said:?}");
}

#[test]
fn flags_over_file_over_defaults() {
    let overrides = ServerOverrides {
        trust_domain: Some("other.test".into()),
        bind_port: Some(9090),
        data_dir: Some(String::new()),
        log_level: Some("debug".into()),
        ..ServerOverrides::default()
    };
    let text = server_conf("trust_domain = \"b d\" jwt_key_type = \"RSA-2048\" ca_key_type = \"ec-p384\"", "");
    let settings = server_with(&text, &overrides, &SUPPORTED).unwrap().settings;
    assert_eq!(settings.trust_domain.name(), "other.test");
    assert_eq!(settings.bind, HostPort::new("127.0.0.1", 9090));
    assert_eq!(settings.data_dir, Path::new("/srv/steeple/data"));
    assert_eq!(settings.log.level, LogLevel::Debug);
    assert_eq!((settings.ca.key_type, settings.ca.jwt_key_type), (KeyType::EcP384, KeyType::Rsa2048));
}

#[test]
fn obsolete_experimental_keys_are_remarked_and_still_checked() {
    let loaded = server(&server_conf("experimental { cache_reload_interval = \"3s\" events_based_cache = true }", ""));
    let notices = loaded.unwrap().notices;
    let said = notices.iter().any(|notice| notice.message.contains("cache_reload_interval, events_based_cache"));
    assert!(said, "{notices:?}");
    let error = server(&server_conf("experimental { cache_reload_interval = \"x\" }", "")).unwrap_err();
    assert_eq!(error.to_string(), "could not parse cache reload interval: time: invalid duration \"x\"");
}

#[test]
fn what_is_accepted_and_not_used_is_said() {
    let said = |text| {
        let notices = server(&server_conf(text, "")).unwrap().notices;
        let start = "accepted and not used: max_attested_node_info_staleness;";
        notices.iter().any(|notice: &Notice| notice.message.starts_with(start))
    };
    assert!(said("max_attested_node_info_staleness = \"5s\""));
    assert!(!said(""));
}

#[test]
fn the_data_of_a_plugin_has_no_unknown_keys() {
    let plugins = "NodeAttestor \"x509pop\" { plugin_data { ca_bundle_pth = \"/etc/ca.pem\" } }";
    let settings = server(&server_conf("", plugins)).unwrap().settings;
    let block = settings.plugins_of("NodeAttestor").next().unwrap();
    let read = block.read_data(|data| {
        assert_eq!(data.text("ca_bundle_path"), Ok(None));
        Ok::<(), PluginError>(())
    });
    let error = read.unwrap_err().to_string();
    let start = "unknown plugin_data of NodeAttestor \"x509pop\": \"ca_bundle_pth\" at ";
    assert!(error.starts_with(start) && error.contains("(did you mean \"ca_bundle_path\"?)"), "{error}");

    // A reader that misses what was misspelt does not hide it; what it had no time to ask for is not called unknown.
    let plugins = plugins.replace("ca_bundle_pth", "mode = \"external_pki\" ca_bundle_pth");
    let settings = server(&server_conf("", &plugins)).unwrap().settings;
    let read = |asked: &'static str| {
        let refusal = |data: &mut Section<'_>| {
            assert_eq!(data.text(asked), Ok(None));
            Err::<(), _>(PluginError::NoDataStore)
        };
        settings.plugins_of("NodeAttestor").next().unwrap().read_data(refusal).unwrap_err().to_string()
    };
    assert!(read("ca_bundle_path").contains("\"ca_bundle_pth\" at "), "{}", read("ca_bundle_path"));
    assert!(!read("ca_bundle_path").contains("mode"));
    assert_eq!(read("spiffe_prefix"), PluginError::NoDataStore.to_string());
}

#[test]
fn environment_variables_only_when_asked_for() {
    // PATH is set wherever tests run.
    let path = file(&server_conf("jwt_issuer = \"${PATH}$$x\"", ""));
    let issuer = |expand| {
        let loaded = load_server(Some(&path.path), expand, &ServerOverrides::default(), &SUPPORTED).unwrap();
        loaded.settings.ca.jwt_issuer.unwrap()
    };
    assert_eq!(issuer(false), "${PATH}$$x");
    assert_eq!(issuer(true), format!("{}$x", std::env::var("PATH").unwrap()));
}

#[test]
fn a_cluster_section_makes_plugins_optional() {
    let text = r#"
        server { trust_domain = "example.org" data_dir = "/srv/data" }
        cluster {
            peer_bind_address = "10.0.0.2"
            peer_advertise_address = "node-2"
            join = ["node-1:8082", "node-3"]
            sealing_key_path = "/etc/steeple/sealing.key"
            heartbeat_interval = "500ms"
            signing = "replicas"
            backup { dir = "/var/backups" interval = "30m" keep = 48 }
        }
    "#;
    let loaded = server(text).unwrap();
    let cluster = loaded.settings.cluster;
    assert!(cluster.enabled && !cluster.bootstrap);
    assert_eq!(cluster.name, None, "a name that all replicas would have is none");
    assert_eq!(cluster.peer_bind, HostPort::new("10.0.0.2", 8082));
    assert_eq!(cluster.peer_advertise, Some(HostPort::new("node-2", 8082)));
    assert_eq!(cluster.join, [HostPort::new("node-1", 8082), HostPort::new("node-3", 8082)]);
    assert_eq!(cluster.raft.election_timeout_min, Duration::from_secs(2));
    assert_eq!(cluster.raft.election_timeout_max, Duration::from_millis(3_500));
    let backup = BackupSettings {
        place: BackupPlace::Directory("/var/backups".into()),
        s3: S3Settings::default(),
        interval: Duration::from_secs(1800),
        keep: 48,
    };
    assert_eq!(cluster.backup, Some(backup));
    assert_eq!(loaded.notices, []);
    let within = server("server { trust_domain = \"a\" data_dir = \"/d\" cluster { bootstrap = true } }").unwrap();
    assert!(within.settings.cluster.enabled && within.settings.cluster.bootstrap);
    // The founder may name the others too: it asks them whether there is a cluster before it founds one.
    let text = "server { trust_domain = \"a\" data_dir = \"/d\" cluster { bootstrap = true join = [\"b\"] } }";
    let founder = server(text).unwrap().settings.cluster;
    assert!(founder.bootstrap && founder.join == [HostPort::new("b", 8082)]);
}

#[test]
fn backups_go_to_a_bucket() {
    let text = r#"
        server { trust_domain = "a" data_dir = "/d" }
        cluster { backup {
            dir = "s3://backups/prod"
            s3 {
                endpoint = "https://minio:9000/"
                region = "eu-central-1"
                path_style = false
                ca_cert_path = "/etc/minio.pem"
                access_key_id = "steeple"
                secret_access_key_credential = "s3"
            }
        } }
    "#;
    let backup = server(text).unwrap().settings.cluster.backup.unwrap();
    assert_eq!(backup.place.to_string(), "s3://backups/prod");
    let credentials = S3Credentials {
        access_key_id: "steeple".to_owned(),
        secret_access_key: SecretSource::Credential("s3".to_owned()),
    };
    let expected = S3Settings {
        endpoint: Some("https://minio:9000".to_owned()),
        region: Some("eu-central-1".to_owned()),
        path_style: false,
        ca_cert_path: Some("/etc/minio.pem".into()),
        credentials: Some(credentials),
    };
    assert_eq!(backup.s3, expected);
}

#[test]
fn lifetimes_that_fit_no_authority_are_refused_in_a_cluster_alone() {
    let conf = |lines: &str| server_conf(lines, "");
    let long = "default_x509_svid_ttl = \"5h\"";
    let refused = server(&conf(&format!("{long} cluster {{}}"))).expect_err("it is refused").to_string();
    assert!(
        refused.starts_with("default_x509_svid_ttl = 5h0m0s is not safe: use 4h or less, or a ca_ttl of 30h"),
        "{refused}"
    );
    let of_30h = format!("{long} ca_ttl = \"30h\" cluster {{}}");
    for taken in [long, "ca_ttl = \"30s\"", "ca_ttl = \"1h\"", &of_30h] {
        server(&conf(taken)).expect(taken);
    }
    for refused in ["ca_ttl = \"30s\"", "ca_ttl = \"1h\"", "agent_ttl = \"200h\""] {
        server(&conf(&format!("{refused} cluster {{}}"))).expect_err(refused);
    }
}

#[test]
fn unsafe_cluster_values_name_the_safe_ones() {
    let cases = [
        ("heartbeat_interval = \"1ms\"", "cluster.heartbeat_interval = 1ms is not safe: use 20ms to 5s"),
        (
            "acknowledgement_wait_max = \"10s\"",
            "cluster.acknowledgement_wait_max = 10s is not safe: use 1m to 24h; the default is 1h",
        ),
        ("heartbeat_interval = \"0s\"", "cluster.heartbeat_interval = 0s is not safe: use a positive duration"),
        ("election_timeout_min = \"150ms\"", "cluster.election_timeout_min = 150ms is not safe: use 300ms or more"),
        (
            "election_timeout_min = \"1s\" election_timeout_max = \"1100ms\"",
            "cluster.election_timeout_max = 1.1s is not safe: use 1.5s or more",
        ),
        ("election_timeout_max = \"2m\"", "cluster.election_timeout_max = 2m0s is not safe: use 1m0s or less"),
        ("snapshot_entries = 5", "cluster.snapshot_entries = 5 is not safe: use 100 to 10000000"),
        ("peer_bind_port = 8081", "cluster.peer_bind_port = 8081 is not safe: it is the port of the API"),
        ("join = [\"0.0.0.0:8082\"]", "cluster.join = 0.0.0.0:8082 is not safe: nobody can dial that"),
        ("backup { dir = \"\" }", "cluster.backup.dir =  is not safe: name a directory"),
        (
            "backup { dir = \"/d/backups\" }",
            "cluster.backup.dir = /d/backups is not safe: it lies in the data directory",
        ),
        ("backup { dir = \"/b\" interval = \"5s\" }", "cluster.backup.interval = 5s is not safe: use 1m or more"),
        (
            "backup { dir = \"s3://b\" }",
            "cluster.backup.dir = s3://b is not safe: write s3://BUCKET/PREFIX: a bucket has",
        ),
        (
            "backup { dir = \"/b\" s3 { endpoint = \"minio:9000\" } }",
            "cluster.backup.s3.endpoint = minio:9000 is not safe: write https://host:port",
        ),
        (
            "backup { dir = \"/b\" s3 { secret_access_key_env = \"KEY\" } }",
            "cluster.backup.s3.access_key_id =  is not safe: name the id",
        ),
        (
            "backup { dir = \"/b\" s3 { access_key_id = \"a\" } }",
            "cluster.backup.s3 = secret_access_key is not safe: set one of secret_access_key_path",
        ),
        ("backup { dir = \"/b\" keep = 0 }", "cluster.backup.keep = 0 is not safe: use 1 to 10000"),
        ("promote_after = \"2h\"", "cluster.promote_after = 2h0m0s is not safe: use 0s to 1h; the default is 10s"),
        ("join = [\"a:b\"]", "cluster.join = a:b is not safe: \"b\" is not a port"),
    ];
    for (cluster, start) in cases {
        let text = format!("server {{ trust_domain = \"a\" data_dir = \"/d\" }} cluster {{ {cluster} }}");
        let error = server(&text).expect_err(cluster);
        assert!(matches!(error, ConfigError::Unsafe { .. }) && error.to_string().starts_with(start), "{error}");
    }
    let inside = "server { trust_domain = \"a\" data_dir = \"/d\" } cluster { sealing_key_path = \"/d/sealing.key\" }";
    let notices = server(inside).unwrap().notices;
    assert!(notices[0].message.contains("lies in the data directory"), "{notices:?}");
}

#[test]
fn a_clean_up_has_a_floor() {
    let settings = |cleanup: &str| {
        let text = format!(
            "server {{ trust_domain = \"a\" data_dir = \"/d\" }} cluster {{ dead_server_cleanup {{ {cleanup} }} }}"
        );
        server(&text).map(|loaded| loaded.settings.cluster.dead_server_cleanup)
    };
    let day = Duration::from_secs(24 * 3600);
    let read = settings("min_quorum = 5").unwrap();
    assert_eq!(read, Some(DeadServerCleanup { after: day, min_quorum: 5 }));
    let floor = "cluster.dead_server_cleanup.min_quorum =";
    for (cleanup, said) in [
        ("", format!("{floor}  is not safe: say how many voters must be left, 3 or more")),
        ("min_quorum = 2", format!("{floor} 2 is not safe: say how many voters must be left, 3 or more")),
        ("min_quorum = -3", format!("{floor} -3 is not safe: say how many voters must be left, 3 or more")),
        (
            "after = \"5s\" min_quorum = 3",
            "cluster.dead_server_cleanup.after = 5s is not safe: use 1m or more; the default is 24h".to_owned(),
        ),
    ] {
        assert_eq!(settings(cleanup).expect_err(cleanup).to_string(), said);
    }
    assert!(settings("mode = 1").is_err(), "an unknown key");
}

#[test]
fn an_audit_file_has_a_place_and_bounds() {
    let settings = |audit: &str| {
        server(&format!("server {{ trust_domain = \"a\" data_dir = \"/d\" {audit} }} cluster {{ }}"))
            .map(|loaded| loaded.settings.audit)
    };
    assert_eq!(settings("").unwrap(), None);
    let default = AuditSettings {
        file: "/v/audit.log".into(),
        fail_closed: false,
        size_max: Some(64 << 20),
        keep: 16,
        anchor_interval: Duration::from_secs(60),
    };
    assert_eq!(settings("audit { file = \"/v/audit.log\" }").unwrap(), Some(default.clone()));
    let all = "audit { file = \"/v/audit.log\" fail_closed = true max_size_mib = 0 keep = 1 anchor_interval = \"5s\" }";
    let interval = Duration::from_secs(5);
    let expected = AuditSettings { fail_closed: true, size_max: None, keep: 1, anchor_interval: interval, ..default };
    assert_eq!(settings(all).unwrap(), Some(expected));
    for (audit, key) in [
        ("", "server.audit.file"),
        ("file = \"a\" max_size_mib = -1", "server.audit.max_size_mib"),
        ("file = \"a\" max_size_mib = 65537", "server.audit.max_size_mib"),
        ("file = \"a\" keep = 0", "server.audit.keep"),
        ("file = \"a\" anchor_interval = \"10ms\"", "server.audit.anchor_interval"),
        ("file = \"a\" anchor_interval = \"2h\"", "server.audit.anchor_interval"),
    ] {
        let error = settings(&format!("audit {{ {audit} }}")).expect_err(audit);
        assert!(matches!(&error, ConfigError::Unsafe { key: found, .. } if *found == key), "{audit}: {error}");
    }
    assert!(settings("audit { file = \"a\" path = \"b\" }").is_err(), "an unknown key");
}

#[test]
fn an_agents_settings() {
    let text = agent_conf(
        "server_addresses = [\"b:9000\", \"c\", \"127.0.0.1\"] rebootstrap_mode = \"auto\" \
         x509_svid_cache_max_size = 7",
        "",
    );
    let settings = agent(&text).unwrap().settings;
    let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:8081", "b:9000", "c:8081"]);
    let bootstrap = TrustBootstrap::File { path: "/etc/steeple/ca.pem".into(), format: BundleFormat::Pem };
    assert_eq!(settings.bootstrap, bootstrap);
    assert_eq!(settings.rebootstrap_mode, RebootstrapMode::Auto);
    assert_eq!(settings.rebootstrap_delay, Duration::from_secs(600));
    assert_eq!(settings.sync_interval, Duration::from_secs(5));
    assert_eq!((settings.x509_svid_cache_max, settings.jwt_svid_cache_max), (7, 1_000));
    assert_eq!(settings.join_token.as_ref().unwrap().expose(), b"canary-token");
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn an_agent_from_flags_alone() {
    let mut overrides = AgentOverrides {
        server_address: Some("server".into()),
        trust_domain: Some("example.org".into()),
        join_token: Some(Secret::new(b"t".to_vec())),
        ..AgentOverrides::default()
    };
    overrides.trust_bundle.insecure_bootstrap = true;
    let here = Path::new("/srv/me");
    let settings = AgentSettings::embedded_default(&overrides, &SUPPORTED, here).unwrap().settings;
    assert_eq!(settings.servers, [HostPort::new("server", 8081)]);
    assert_eq!(settings.data_dir, Path::new("/srv/me/agent-data"));
    assert_eq!(settings.plugins_of("KeyManager").next().unwrap().name, "disk");
    overrides.server_address = None;
    let error = AgentSettings::embedded_default(&overrides, &SUPPORTED, here).unwrap_err();
    assert_eq!(error, ConfigError::Missing { what: "server_address" });
}

#[test]
fn the_join_token_file_is_trimmed_and_not_empty() {
    let token = file("  abc\n");
    let empty = file(" \n");
    let conf =
        |path: &Path| agent_conf(&format!("join_token = \"\" join_token_file = {:?}", path.display().to_string()), "");
    assert_eq!(agent(&conf(&token.path)).unwrap().settings.join_token.unwrap().expose(), b"abc");
    assert_eq!(agent(&conf(&empty.path)).unwrap_err().to_string(), "join token file is empty");
    let missing = agent(&conf(Path::new("/no/such"))).unwrap_err().to_string();
    assert!(missing.starts_with("unable to read join token file \"/no/such\": "), "{missing}");
}

#[test]
fn plugin_data_comes_from_the_block_or_from_its_file() {
    let data = file("ca_bundle_path = \"/etc/ca.pem\"");
    let plugins = format!(
        "NodeAttestor \"x509pop\" {{ plugin_data_file = {:?} }} \
         NodeAttestor \"join_token\" {{ plugin_data {{ a = 1 }} }}",
        data.path.display().to_string()
    );
    let settings = server(&server_conf("", &plugins)).unwrap().settings;
    let names: Vec<&str> = settings.plugins_of("NodeAttestor").map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["x509pop", "join_token"], "the order of the file is kept");
    for (plugin, key) in settings.plugins_of("NodeAttestor").zip(["ca_bundle_path", "a"]) {
        assert_eq!(plugin.load_data().unwrap().nodes[0].key, key);
    }
    let missing = server(&server_conf("", "NodeAttestor \"x509pop\" { plugin_data_file = \"/no/such\" }")).unwrap();
    let error = missing.settings.plugins_of("NodeAttestor").next().unwrap().load_data().unwrap_err();
    let told =
        "NodeAttestor \"x509pop\": failed to read plugin configuration: open /no/such: no such file or directory";
    assert_eq!(error.to_string(), told);
}

/// The sample files are the documentation of every key that matters; they have to load as they are.
#[test]
fn the_sample_files_load() {
    let sample = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/conf").join(name);
    let loaded = load_server(Some(&sample("server.conf")), false, &ServerOverrides::default(), &SUPPORTED).unwrap();
    assert!(loaded.settings.cluster.enabled);
    assert_eq!(loaded.notices, []);
    let loaded = load_agent(Some(&sample("agent.conf")), false, &AgentOverrides::default(), &SUPPORTED).unwrap();
    assert_eq!(loaded.settings.servers.len(), 1);
    assert_eq!(loaded.notices, []);
}
