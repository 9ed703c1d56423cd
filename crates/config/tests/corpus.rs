//! Files as people write them: all must parse, survive printing, and the whole ones must load.

mod support;

use std::path::{Path, PathBuf};

use steeple_config::{EndpointProfile, Tree, Value, parse, print};
use steeple_core::BundleEndpointProfile;
use support::{agent, server, server_conf};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(corpus(name)).unwrap()
}

#[test]
fn every_file_survives_printing() {
    let mut files = 0;
    for entry in std::fs::read_dir(corpus("")).unwrap() {
        let path = entry.unwrap().path();
        let tree = parse(&std::fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let printed = print(&tree);
        assert!(parse(printed.as_bytes()) == Ok(tree), "{path:?} changed by printing:\n{printed}");
        files += 1;
    }
    assert!(files >= 7, "only {files} files");
}

#[test]
fn one_of_everything() {
    let tree = parse(text("syntax.conf").as_bytes()).unwrap();
    let value = |key: &str| tree.get(key).next().unwrap_or_else(|| panic!("{key}")).value.clone();
    let said = |text: &str| Value::Text(text.into());
    assert!(value("octal") == Value::Number("0770".into()));
    assert!(value("quoted key") == said("a \"quoted\" text\twith A A é"));
    assert!(value("interpolation") == said("keep ${upper(\"x\") {nested}} as it is"));
    assert!(value("heredoc") == said("  first line\nsecond \"line\"\n"));
    assert!(value("indented") == said("deeper\n  deepest\n"));
    assert!(value("empty") == Value::Object(Tree::default()) && value("empty") == value("also_empty"));
    assert!(value("list") == parse(b"l = [1, \"two\", false, [3], { four = 4 }]").unwrap().nodes[0].value);
    assert!(value("block") == parse(b"b { \"label one\" { label_two { inside = 1 } } }").unwrap().nodes[0].value);
    assert_eq!(tree.get("repeated").count(), 2);
    assert!(value("after_comment") == said("here"));
}

#[test]
fn the_plain_blocks_of_the_seed_documents() {
    let server_text = server_conf(&text("seed-federation.conf"), &text("seed-node-attestor.conf"));
    let loaded = server(&server_text).unwrap();
    let federation = loaded.settings.federation;
    assert_eq!(federation.bundle_endpoint.unwrap().profile, EndpointProfile::HttpsSpiffe);
    assert_eq!(federation.relationships[0].trust_domain.name(), "cluster02.spiffe.local");
    let plugin = loaded.settings.plugins.iter().find(|plugin| plugin.name == "k8s_psat").unwrap();
    assert_eq!(plugin.data.as_ref().unwrap().nodes[0].key, "clusters");

    let agent_text = support::agent_conf("", &text("seed-workload-attestor.conf"));
    assert_eq!(agent(&agent_text).unwrap().settings.plugins_of("WorkloadAttestor").count(), 2);
}

#[test]
fn whole_files_load() {
    let settings = server(&text("server-one-line.conf")).unwrap().settings;
    assert_eq!(settings.ca.subject.country, ["US"]);
    assert_eq!(settings.plugins.iter().filter(|plugin| plugin.kind == "NodeAttestor").count(), 2);
    assert!(!settings.rate_limit.attestation && settings.rate_limit.signing);

    let settings = server(&text("server-chart.json")).unwrap().settings;
    assert_eq!(settings.federation.relationships[0].profile, BundleEndpointProfile::HttpsWeb);
    assert_eq!(settings.telemetry.statsd.len(), 2);
    assert_eq!(settings.health_checks.listen.port, 8080);
    assert_eq!(settings.plugins_of("NodeAttestor").count(), 2);

    let settings = agent(&text("agent-k8s.conf")).unwrap().settings;
    assert_eq!(settings.sds.default_svid_name, "server");
    assert_eq!(settings.rate_limits.fetch_x509_svid, 100);
}
