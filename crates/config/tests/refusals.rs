//! Configurations that SPIRE refuses are refused with SPIRE's texts; those that only Steeple refuses say what to do.

mod support;

use steeple_config::{
    AgentOverrides, ConfigError, PluginError, ServerOverrides, Supported, UnknownConfiguration, load_agent, load_server,
};
use support::{PLUGINS, SUPPORTED, agent, agent_conf, file, server, server_conf, server_with};

fn server_error(text: &str) -> String {
    server(text).expect_err(text).to_string()
}

fn agent_error(text: &str) -> String {
    agent(text).expect_err(text).to_string()
}

#[test]
fn server_texts_are_spires() {
    let cases = [
        ("default_x509_svid_ttl = \"x\"", "could not parse default X509 SVID ttl \"x\": time: invalid duration \"x\""),
        ("default_jwt_svid_ttl = \"x\"", "could not parse default JWT SVID ttl \"x\": time: invalid duration \"x\""),
        ("agent_ttl = \"x\"", "could not parse agent ttl \"x\": time: invalid duration \"x\""),
        ("ca_ttl = \"soon\"", "could not parse default CA ttl \"soon\": time: invalid duration \"soon\""),
        ("log_level = \"LOUD\"", "could not start logger: not a valid logrus Level: \"LOUD\""),
        ("log_format = \"xml\"", "could not start logger: unknown logger format: \"xml\""),
        ("admin_ids = [\"nonsense\"]", "could not parse admin ID \"nonsense\": scheme is missing or invalid"),
        (
            "trust_domain = \"b d\"",
            "could not parse trust_domain \"b d\": trust domain characters are limited to lowercase letters, numbers, \
             dots, dashes, and underscores",
        ),
        (
            "federation { federates_with \"one.test\" { bundle_endpoint_url = \"http://x\" \
             bundle_endpoint_profile \"https_web\" {} } }",
            "federation.federates_with[\"one.test\"].bundle_endpoint_url must use the HTTPS protocol; URL found: \
             \"http://x\"",
        ),
        (
            "federation { federates_with \"one.test\" { bundle_endpoint_url = \"https://x\" } }",
            "federation configuration for trust domain \"one.test\": missing bundle endpoint configuration",
        ),
        (
            "ca_key_type = \"dsa\"",
            "error parsing ca_key_type: key type \"dsa\" is unknown; must be one of [rsa-2048, rsa-4096, ec-p256, \
             ec-p384]",
        ),
        (
            "proxy_protocol_trusted_cidrs = [\"x\"]",
            "invalid proxy_protocol_trusted_cidrs value \"x\": invalid CIDR address: x",
        ),
        (
            "prune_attested_nodes_expired_for = \"x\"",
            "could not parse prune_attested_nodes_expired_for: time: invalid duration \"x\"",
        ),
        (
            "experimental { event_timeout = \"1m\" sql_transaction_timeout = \"1m\" }",
            "both experimental sql_transaction_timeout and event_timeout set, only set event_timeout",
        ),
        (
            "experimental { feature_flags = [\"zeal\", \"awe\"] }",
            "error loading feature flags: unknown feature flag(s): [awe zeal]",
        ),
        (
            "experimental { named_pipe_name = \"x\" }",
            "invalid configuration: named_pipe_name is not supported in this platform; please use socket_path instead",
        ),
        ("nonsense = 1", "unknown configuration detected"),
        ("ratelimit { nonsense = 1 }", "unknown configuration detected"),
        ("ca_subject { nonsense = 1 }", "unknown configuration detected"),
    ];
    for (addition, text) in cases {
        assert_eq!(server_error(&server_conf(addition, "")), text, "{addition}");
    }
    assert_eq!(server_error(&(server_conf("", "") + "nonsense { a = 1 }")), "unknown configuration detected");
    assert_eq!(
        server_error(&(server_conf("", "") + "health_checks { nonsense = 1 }")),
        "unknown configuration detected"
    );
    for key in ["trust_domain", "data_dir"] {
        let lines = server_conf("", "");
        let without: Vec<&str> = lines.lines().filter(|line| !line.trim_start().starts_with(key)).collect();
        assert_eq!(server_error(&without.join("\n")), format!("{key} must be configured"));
    }
    let text = server_conf("", "");
    let (alone, plugins) = text.split_at(text.find("plugins").unwrap());
    assert_eq!(server_error(alone), "plugins section must be configured");
    assert_eq!(server_error(plugins), "trust_domain must be configured");
    let twice = "NodeAttestor \"join_token\" { plugin_data {} plugin_data_file = \"x\" }";
    assert_eq!(
        server_error(&server_conf("", twice)),
        "failed to create plugin config for \"NodeAttestor\"/\"join_token\": only one of [plugin_data, \
         plugin_data_file] can be used"
    );
}

#[test]
fn agent_texts_are_spires() {
    let cases = [
        ("nonsense = 1", "unknown configuration detected"),
        ("trust_domain = \"\"", "trust_domain must be configured"),
        ("server_address = \"\"", "server_address must be configured"),
        ("server_port = 0", "server_port must be configured"),
        (
            "trust_domain = \"b d\"",
            "could not parse trust_domain \"b d\": trust domain characters are limited to lowercase letters, numbers, \
             dots, dashes, and underscores",
        ),
        (
            "trust_bundle_path = \"\"",
            "trust_bundle_path, trust_bundle_url, or trust_bundle_spiffe_workload_api must be configured unless \
             insecure_bootstrap is set",
        ),
        ("insecure_bootstrap = true", "only one of insecure_bootstrap or trust_bundle_path can be specified, not both"),
        (
            "trust_bundle_url = \"https://x.test\"",
            "only one of trust_bundle_url or trust_bundle_path can be specified, not both",
        ),
        ("trust_bundle_path = \"\" trust_bundle_url = \"http://x.test\"", "trust bundle URL must start with https://"),
        (
            "admin_socket_path = \"/run/steeple/pub/admin.sock\"",
            "admin socket cannot be in the same directory or a subdirectory as that containing the Workload API socket",
        ),
        ("join_token_file = \"/etc/token\"", "only one of join_token or join_token_file can be specified, not both"),
        (
            "workload_x509_svid_key_type = \"dsa\"",
            "key type \"dsa\" is unknown; must be one of [rsa-2048, ec-p256, ec-p384]",
        ),
        ("availability_target = \"1h\"", "availability_target must be at least 24h0m0s"),
        ("log_level = \"LOUD\"", "could not start logger: not a valid logrus Level: \"LOUD\""),
        ("rebootstrap_mode = \"maybe\"", "unknown rebootstrap mode specified: maybe"),
        ("x509_svid_cache_max_size = -1", "x509_svid_cache_max_size should not be negative"),
        (
            "experimental { ratelimit { fetch_secrets = -1 } }",
            "experimental.ratelimit.fetch_secrets must not be negative",
        ),
        (
            "experimental { jwt_svid_cache_hit_timeout = \"30s\" }",
            "jwt_svid_cache_hit_timeout (30s) must be less than 30s",
        ),
        (
            "authorized_delegates = [\"spiffe://other.test/x\"]",
            "error validating authorized delegate: SPIFFE ID \"spiffe://other.test/x\" is not a member of trust domain \
             \"example.org\"",
        ),
    ];
    for (addition, text) in cases {
        assert_eq!(agent_error(&agent_conf(addition, "")), text, "{addition}");
    }
    let text = agent_conf("", "");
    assert_eq!(agent_error(&text[..text.find("plugins").unwrap()]), "plugins section must be configured");
}

#[test]
fn missing_and_broken_files() {
    let error = load_server(Some("/no/such.conf".as_ref()), false, &ServerOverrides::default(), &SUPPORTED);
    let text = "could not find config file /no/such.conf: please use the -config flag";
    assert_eq!(error.unwrap_err().to_string(), text);
    let broken = file(&(server_conf("", "") + "\nserver {\n"));
    let error = load_server(Some(&broken.path), false, &ServerOverrides::default(), &SUPPORTED).unwrap_err();
    let start = format!("unable to decode configuration at {:?}: At 18:1: ", broken.path);
    let text = "object expected closing RBRACE got: EOF (the block was opened at 17:8)";
    assert_eq!(error.to_string(), start + text);
    let error = server_error(&server_conf("bind_port = \"port\"", ""));
    assert!(error.ends_with("At 9:5: server.bind_port: strconv.ParseInt: parsing \"port\": invalid syntax"), "{error}");
    let directory = load_server(Some("/".as_ref()), false, &ServerOverrides::default(), &SUPPORTED).unwrap_err();
    assert!(matches!(directory, ConfigError::Unreadable { .. }));
}

#[test]
fn unknown_keys_are_named_by_section_with_what_was_meant() {
    let text = server_conf("trust_domian = \"x\" \"quoted\" = 1 experimental { nope = 1 }", "")
        + "telemetry { Prometheus { port = 9988 hots = \"x\" } }";
    let error = server(&text).expect_err("an unknown key");
    assert!(error.explained().contains("\n  server: \"trust_domian\" at 9:5 (did you mean \"trust_domain\"?)"));
    let ConfigError::Unknown(UnknownConfiguration(sections)) = error else { panic!("not refused as unknown") };
    let names: Vec<(&str, String)> =
        sections.iter().map(|section| (section.section.as_str(), section.joined_names())).collect();
    assert_eq!(
        names,
        [
            ("experimental", "nope".to_owned()),
            ("server", "quoted,trust_domian".to_owned()),
            ("Prometheus", "hots".to_owned())
        ]
    );
    let hints: Vec<String> = sections[1].hints().collect();
    assert_eq!(hints[1], "\"trust_domian\" at 9:5 (did you mean \"trust_domain\"?)");
    assert_eq!(sections[2].keys[0].suggestion, Some("host"));
}

#[test]
fn what_is_missing_is_told_with_the_key_that_was_meant() {
    let plain = server_conf("", "");
    for (key, typo) in [("trust_domain", "trust_domian"), ("data_dir", "data_dri")] {
        let error = server(&plain.replacen(key, typo, 1)).expect_err(typo);
        assert_eq!(error.to_string(), format!("{key} must be configured"));
        let hint = (format!("server: {typo:?} at "), format!(" (did you mean {key:?}?)"));
        let hints = error.hints();
        assert!(matches!(&hints[..], [only] if only.starts_with(&hint.0) && only.ends_with(&hint.1)), "{hints:?}");
        assert_eq!(error.hints_beside(), hints);
        let report = format!("SPIRE server configuration file is invalid: {key} must be configured\n");
        assert_eq!(error.validation_report("server"), report);
    }
    let error = server(&plain.replacen("plugins", "plugns", 1)).expect_err("no plugins");
    assert!(error.explained().contains("did you mean \"plugins\"?"), "{}", error.explained());
    let plain = agent_conf("", "");
    for key in ["trust_domain", "server_address", "server_port", "trust_bundle_path"] {
        let typo = key.replacen('s', "z", 1);
        let error = agent(&plain.replacen(key, &typo, 1)).expect_err(key);
        assert!(error.to_string().contains("must be configured"), "{error}");
        let hint = format!("(did you mean {key:?}?)");
        assert!(error.hints().iter().any(|told| told.ends_with(&hint)), "{}", error.explained());
    }
    let federation = r#"federation {
        bundle_endpoint { port = 8443 profile "https_web" { PROFILE } }
        federates_with "one.test" {
            bundle_endpoint_url = "https://one.test"
            bundle_endpoint_profile "https_spiffe" { endpoint_spiffe_id = "spiffe://one.test/s" }
        }
    }"#;
    for (key, typo) in [
        ("bundle_endpoint_url", "bundle_enpoint_url"),
        ("endpoint_spiffe_id", "endpoint_spife_id"),
        ("bundle_endpoint_profile", "bundle_endpiont_profile"),
        ("serving_cert_file", "serving_ecrt_file"),
        ("acme", "acem"),
    ] {
        let profile = if key == "acme" {
            "acme {}"
        } else {
            "serving_cert_file { cert_file_path = \"/c\" key_file_path = \"/k\" }"
        };
        let text = federation.replace("PROFILE", profile).replacen(key, typo, 1);
        let error = server(&server_conf(&text, "")).expect_err(typo);
        let hint = format!("(did you mean {key:?}?)");
        assert!(error.hints().iter().any(|told| told.ends_with(&hint)), "{}", error.explained());
    }
}

#[test]
fn plugins_that_are_not_there_are_refused_by_name() {
    let cases = [
        (
            "NodeAttestor \"nonsense\" {}",
            "failed to load plugin \"nonsense\": no built-in plugin \"nonsense\" for type \"NodeAttestor\"; built in: \
             join_token, k8s_psat, x509pop",
        ),
        (
            "NodeAttestor \"x509pp\" {}",
            "failed to load plugin \"x509pp\": no built-in plugin \"x509pp\" for type \"NodeAttestor\"; did you mean \
             \"x509pop\"?",
        ),
        (
            "UpstreamAuthority \"disk\" {}",
            "failed to load plugin \"disk\": no built-in plugin \"disk\" for type \"UpstreamAuthority\"; there is none \
             of this type",
        ),
        (
            "UpstreamAuthority \"mine\" { plugin_cmd = \"/bin/mine\" }",
            "failed to load plugin \"mine\": external plugins (plugin_cmd) are not supported for type \
             \"UpstreamAuthority\"",
        ),
        (
            "NodeAttestor \"join_token\" { plugin_cmd = \"/bin/mine\" }",
            "the built-in join_token node attestor cannot be overridden by an external plugin",
        ),
        (
            "NodeAttestor \"mine\" { plugin_cmd = \"/bin/mine\" plugin_checksum = \"xyz\" }",
            "failed to load plugin \"mine\": checksum is not a valid hex string",
        ),
        (
            "NodeAttestor \"mine\" { plugin_cmd = \"/bin/mine\" plugin_checksum = \"abcd\" }",
            "failed to load plugin \"mine\": expected checksum of length 64; got 4",
        ),
        ("DataStore \"other\" {}", "only one DataStore plugin is allowed"),
        ("KeyManager \"disk\" {}", "plugin type \"KeyManager\" constraint not satisfied: expected exactly 1 but got 2"),
        ("KeyManager \"memory\" {}", "plugin \"KeyManager\"/\"memory\" declared more than once"),
    ];
    for (addition, text) in cases {
        assert_eq!(server_error(&server_conf("", addition)), text, "{addition}");
    }
    let unknown_kind = server_error(&server_conf("", "Nonsense \"x\" {}"));
    assert!(unknown_kind.starts_with("unsupported plugin type \"Nonsense\""), "{unknown_kind}");
    assert!(server(&server_conf("", "NodeAttestor \"nonsense\" { enabled = false }")).is_ok());
}

/// All of SPIRE's that are not built in, and what to use in the place of each.
#[test]
fn spires_other_plugins_are_refused_with_what_to_use_instead() {
    for kms in ["aws_kms", "azure_key_vault", "gcp_kms", "hashicorp_vault"] {
        let text = server_conf("", "").replace("\"memory\"", &format!("\"{kms}\""));
        let error = server_error(&text);
        assert!(error.contains(kms) && error.contains("sealing_key_path"), "{error}");
    }
    let on_servers = [
        ("NodeAttestor", "aws_iid", "x509pop, http_challenge or join_token"),
        ("NodeAttestor", "azure_imds", "x509pop, http_challenge or join_token"),
        ("NodeAttestor", "azure_msi", "x509pop, http_challenge or join_token"),
        ("NodeAttestor", "gcp_iit", "x509pop, http_challenge or join_token"),
        ("NodeAttestor", "k8s_sat", "k8s_psat"),
        ("UpstreamAuthority", "aws_pca", "UpstreamAuthority \"disk\""),
        ("UpstreamAuthority", "awssecret", "UpstreamAuthority \"disk\""),
        ("UpstreamAuthority", "cert-manager", "UpstreamAuthority \"disk\""),
        ("UpstreamAuthority", "ejbca", "UpstreamAuthority \"disk\""),
        ("UpstreamAuthority", "gcp_cas", "UpstreamAuthority \"disk\""),
        ("UpstreamAuthority", "vault", "UpstreamAuthority \"disk\""),
    ];
    for (kind, name, instead) in on_servers {
        let error = server_error(&server_conf("", &format!("{kind} {name:?} {{}}")));
        assert!(error.contains(&format!("no built-in plugin {name:?} for type {kind:?}; ")), "{error}");
        assert!(error.contains(instead), "{error}");
    }
    let on_agents = [
        ("NodeAttestor", "aws_iid", "x509pop, http_challenge or join_token"),
        ("SVIDStore", "aws_secretsmanager", "SVIDStore \"directory\""),
        ("SVIDStore", "gcp_secretmanager", "SVIDStore \"directory\""),
        ("WorkloadAttestor", "windows", "runs on Linux"),
    ];
    for (kind, name, instead) in on_agents {
        let error = agent_error(&agent_conf("", &format!("{kind} {name:?} {{}}")));
        assert!(error.contains(&format!("no built-in plugin {name:?} for type {kind:?}; ")), "{error}");
        assert!(error.contains(instead), "{error}");
    }
    let external = "KeyManager \"mine\" { plugin_cmd = \"/bin/mine\" }";
    let error = agent_error(&agent_conf("", external));
    assert!(
        error.contains("(plugin_cmd) are not supported for type \"KeyManager\"; built in: disk, memory"),
        "{error}"
    );
    let external = "CredentialComposer \"mine\" { plugin_cmd = \"/bin/mine\" }";
    let error = server_error(&server_conf("", external));
    assert!(error.ends_with("(plugin_cmd) are not supported for type \"CredentialComposer\""), "{error}");
    for (kind, name, instead) in [
        ("Notifier", "k8sbundle", "use BundlePublisher \"k8s_configmap\" with what were its defaults: "),
        ("Notifier", "gcs_bundle", "publishers for clouds come later: use BundlePublisher \"file\""),
        ("BundlePublisher", "aws_s3", "publishers for clouds come later: use BundlePublisher \"file\""),
        ("BundlePublisher", "gcp_cloudstorage", "publishers for clouds come later: "),
        ("BundlePublisher", "aws_rolesanywhere_trustanchor", "publishers for clouds come later: "),
        ("BundlePublisher", "azure_blob", "publishers for clouds come later: "),
    ] {
        let error = server_error(&server_conf("", &format!("{kind} \"{name}\" {{}}")));
        assert!(error.contains(&format!("no built-in plugin \"{name}\" for type \"{kind}\"; {instead}")), "{error}");
    }
}

#[test]
fn a_broker_that_cannot_be_one_is_refused() {
    let broker = |lines: &str| agent_conf(&format!("experimental {{ broker {{ {lines} }} }}"), "");
    let one = |lines: &str| broker(&format!("socket_path = \"/run/steeple/broker.sock\" brokers = [{{ {lines} }}]"));
    let types = "allowed_reference_types = [{ type_url = \"*\" }]";
    let id = "spiffe://example.org/b";
    let of = format!("experimental.broker.brokers[{id}]");
    let twice =
        format!("socket_path = \"/run/x.sock\" brokers = [{{ id = {id:?} {types} }}, {{ id = {id:?} {types} }}]");
    for (text, why) in [
        (broker(""), "experimental.broker requires socket_path, bind_address, or both".to_owned()),
        (broker("socket_path = \"/run/x.sock\""), "experimental.broker: at least one broker is required".to_owned()),
        (broker("bind_address = \":8443\""), "invalid experimental.broker.bind_address \":8443\": ".to_owned()),
        (
            broker("socket_path = \"/run/steeple/pub/x.sock\""),
            "broker socket cannot be in the same directory or a subdirectory as that containing the Workload API socket"
                .to_owned(),
        ),
        (one(types), "experimental.broker.brokers[0].id: must be specified".to_owned()),
        (broker(&twice), format!("{of}.id: duplicate broker id")),
        (one(&format!("id = \"x\" {types}")), "experimental.broker.brokers[x].id: ".to_owned()),
        (
            one(&format!("id = {id:?}")),
            format!("{of}.allowed_reference_types: must list at least one reference type URL"),
        ),
        (
            one(&format!("id = {id:?} allowed_reference_types = [{{ allow_over_tcp = true }}]")),
            format!("{of}.allowed_reference_types[0].type_url: must be specified"),
        ),
        (
            one(&format!("id = {id:?} allowed_reference_types = [{{ type_url = \"*\" }}, {{ type_url = \"x\" }}]")),
            format!("{of}.allowed_reference_types: wildcard \"*\" must be the only allowed reference type"),
        ),
        (
            one(&format!("id = {id:?} allowed_reference_types = [{{ type_url = \"x\" allow_over_udp = true }}]")),
            "unknown configuration detected".to_owned(),
        ),
    ] {
        let error = agent_error(&text);
        assert!(error.starts_with(&why), "{text}: {error}");
    }
}

#[test]
fn plugins_that_are_missing() {
    let no_keys = server_conf("", "").replace("KeyManager \"memory\" { plugin_data {} }", "");
    let Err(ConfigError::Plugin(error)) = server(&no_keys) else { panic!("accepted without a key manager") };
    let note = ("KeyManager".to_owned(), "constraint not satisfied: expected exactly 1 but got 0".to_owned());
    assert_eq!(error.validation_note(), Some(note));
    let report = ConfigError::Plugin(error).validation_report("server");
    let expected = "SPIRE server configuration file is invalid.\nValidation errors:\n\tKeyManager:\n\t\tconstraint not \
                    satisfied: expected exactly 1 but got 0\n";
    assert_eq!(report, expected);
    let unknown = server(&server_conf("", "NodeAttestor \"nonsense\" {}")).unwrap_err().validation_report("server");
    assert!(unknown.starts_with("Could not validate configuration file: failed to load plugin"), "{unknown}");
    let missing = ConfigError::Missing { what: "trust_domain" }.validation_report("agent");
    assert_eq!(missing, "SPIRE agent configuration file is invalid: trust_domain must be configured\n");
    let no_store: Vec<String> =
        server_conf("", "").lines().filter(|line| !line.contains("DataStore")).map(str::to_owned).collect();
    assert_eq!(server(&no_store.join("\n")), Err(ConfigError::Plugin(PluginError::NoDataStore)));

    let text = agent_conf("", "");
    for (plugin, expected) in [
        ("NodeAttestor \"join_token\"", "\"NodeAttestor\" constraint not satisfied: expected exactly 1 but got 0"),
        ("KeyManager \"memory\"", "\"KeyManager\" constraint not satisfied: expected exactly 1 but got 0"),
        ("WorkloadAttestor \"unix\"", "\"WorkloadAttestor\" constraint not satisfied: expected at least 1 but got 0"),
    ] {
        let error = agent_error(&text.replace(&format!("{plugin} {{ plugin_data {{}} }}"), ""));
        assert!(error.contains(expected), "{error}");
    }
    let unchecked = Supported { plugins: None, external: &[], refused_keys: &[] };
    let unknown = file(&agent_conf("", "WorkloadAttestor \"nonsense\" {}"));
    assert!(load_agent(Some(&unknown.path), false, &AgentOverrides::default(), &SUPPORTED).is_err());
    assert!(load_agent(Some(&unknown.path), false, &AgentOverrides::default(), &unchecked).is_ok());
}

#[test]
fn keys_that_the_program_cannot_honour_are_refused_when_switched_on() {
    let refused = [("server.profiling_enabled", "use the metrics endpoint"), ("telemetry.M3", "use Prometheus")];
    let supported = Supported { plugins: Some(PLUGINS), external: &[], refused_keys: &[&refused] };
    let with = |text: &str| server_with(text, &ServerOverrides::default(), &supported);
    let error = with(&server_conf("profiling_enabled = true", "")).unwrap_err();
    assert_eq!(error.to_string(), "server.profiling_enabled is not supported: use the metrics endpoint");
    assert!(with(&server_conf("profiling_enabled = false", "")).is_ok());
    assert!(with(&(server_conf("", "") + "telemetry { M3 { address = \"x\" } }")).is_err());
    let json = r#"{"server": [{"trust_domain": "a", "data_dir": "/d", "profiling_enabled": true}], "cluster": {}}"#;
    assert!(matches!(with(json), Err(ConfigError::NotSupported { .. })));
    let opa = server_error(&server_conf("experimental { auth_opa_policy_engine { local {} } }", ""));
    assert!(opa.starts_with("server.experimental.auth_opa_policy_engine is not supported: "), "{opa}");
}

#[test]
fn persisting_needs_a_key_that_stays() {
    let error = agent_error(&agent_conf("persist_svids = true", ""));
    assert!(error.starts_with("persist_svids needs the agent's key after a restart: "), "{error}");
    let on_disk = agent_conf("persist_svids = true", "").replace("\"memory\"", "\"disk\"");
    assert!(agent(&on_disk).unwrap().settings.persist_svids);
    assert!(!agent(&agent_conf("", "")).unwrap().settings.persist_svids);
}
