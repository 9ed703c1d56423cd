//! Blocks of container attestors, and the settings that come of them.

use std::path::PathBuf;
use std::time::Duration;

use steeple_config::{PluginBlock, Span, parse};
use steeple_core::SpiffeId;
use steeple_plugins::container::{HostPid, Locator};
use steeple_plugins::k8s::{KubeletAccess, KubeletAuthentication};

use super::{docker_settings, k8s_settings};

fn block(name: &str, data: &str) -> PluginBlock {
    PluginBlock {
        kind: "WorkloadAttestor".to_owned(),
        name: name.to_owned(),
        span: Span::default(),
        enabled: true,
        plugin_cmd: None,
        args: Vec::new(),
        checksum: None,
        data: Some(parse(data.as_bytes()).unwrap()),
        data_file: None,
    }
}

#[test]
fn an_empty_k8s_block_has_spires_defaults() {
    let settings = k8s_settings(&block("k8s", "node_name_env = \"STEEPLE_TEST_NO_SUCH_VARIABLE\"")).unwrap();
    let service_account = PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(settings.kubelet.port, 10_250);
    assert_eq!(settings.kubelet.reload_interval, Duration::from_secs(60));
    let access = KubeletAccess::Secure {
        node_name: None,
        ca_path: Some(service_account.join("ca.crt")),
        authentication: KubeletAuthentication::TokenFile(service_account.join("token")),
    };
    assert_eq!(settings.kubelet.access, access);
    assert_eq!((settings.poll_attempts_max, settings.poll_interval), (60, Duration::from_millis(500)));
    assert_eq!((settings.locator, settings.host_pid), (Locator::New { verbose: false }, HostPid::Refuse));
    assert!(!settings.disable_container_selectors && settings.namespace_labels.is_none());
}

#[test]
fn every_key_of_k8s_is_honoured() {
    let data = r#"
        kubelet_secure_port = 1 kubelet_ca_path = "/ca" certificate_path = "/c" private_key_path = "/k"
        token_path = "/t"
        node_name = "n" node_name_env = "PATH" max_poll_attempts = 7 poll_retry_interval = "1s" reload_interval = "2s"
        disable_container_selectors = true use_new_container_locator = false verbose_container_locator_logs = true
        host_pid = "allow" experimental {}
    "#;
    let settings = k8s_settings(&block("k8s", data)).unwrap();
    let access = KubeletAccess::Secure {
        node_name: Some("n".to_owned()),
        ca_path: Some("/ca".into()),
        authentication: KubeletAuthentication::Certificate { certificate_path: "/c".into(), key_path: "/k".into() },
    };
    assert_eq!((settings.kubelet.port, &settings.kubelet.access), (1, &access));
    assert_eq!(settings.kubelet.reload_interval, Duration::from_secs(2));
    assert_eq!((settings.poll_attempts_max, settings.poll_interval), (7, Duration::from_secs(1)));
    assert_eq!((settings.locator, settings.host_pid), (Locator::Legacy, HostPid::Allow));
    assert!(settings.disable_container_selectors);

    let read_only = k8s_settings(&block("k8s", "kubelet_read_only_port = 10255")).unwrap().kubelet;
    assert_eq!((read_only.port, read_only.access), (10_255, KubeletAccess::ReadOnly));
    let data = "use_anonymous_authentication = true skip_kubelet_verification = true node_name_env = \"PATH\"";
    let KubeletAccess::Secure { node_name, ca_path, authentication } =
        k8s_settings(&block("k8s", data)).unwrap().kubelet.access
    else {
        panic!("the secure port is the default");
    };
    assert_eq!((node_name, ca_path), (std::env::var("PATH").ok(), None));
    assert_eq!(authentication, KubeletAuthentication::Anonymous);
}

#[test]
fn every_key_of_docker_is_honoured() {
    let settings = docker_settings(&block("docker", "")).unwrap();
    assert_eq!(settings.docker_socket, PathBuf::from("/var/run/docker.sock"));
    assert_eq!(settings.podman_socket, PathBuf::from("/run/podman/podman.sock"));
    assert_eq!((settings.docker_version, settings.matchers, settings.host_pid), (None, None, HostPid::Refuse));
    let data = r#"
        docker_socket_path = "unix:///d" docker_version = "1.41" podman_socket_path = "unix:///p"
        podman_socket_path_template = "unix:///%d" use_new_container_locator = false
        container_id_cgroup_matchers = ["/x/<id>"] verbose_container_locator_logs = true host_pid = "allow"
    "#;
    let settings = docker_settings(&block("docker", data)).unwrap();
    assert_eq!((settings.docker_socket, settings.podman_socket), (PathBuf::from("/d"), PathBuf::from("/p")));
    assert_eq!(settings.docker_version.as_deref(), Some("1.41"));
    assert!(settings.matchers.is_some() && settings.verbose && settings.host_pid == HostPid::Allow);
}

fn brokers(list: &str) -> String {
    format!("experimental {{ broker {{ access_policy = \"permissive\" brokers = [ {list} ] }} }}")
}

#[test]
fn brokers_that_k8s_answers_are_named() {
    let access = |data: &str| k8s_settings(&block("k8s", data)).unwrap().brokers;
    let read = access(&brokers(
        "{ id = \"spiffe://a.test/b\" pod_reference_scope = \"agent_node\" }, { id = \"spiffe://b.test/c\" }",
    ));
    let read = read.unwrap();
    let ids: Vec<&str> = read.brokers.iter().map(SpiffeId::as_str).collect();
    assert_eq!(ids, ["spiffe://a.test/b", "spiffe://b.test/c"]);
    assert!(read.review.is_none());
    assert!(access("experimental {}").is_none() && access("").is_none());
}

#[test]
fn blocks_of_container_attestors_that_cannot_be_used_are_named() {
    for (data, part) in [
        ("kubelet_secure_port = 1 kubelet_read_only_port = 2", "cannot use both the read-only and secure port"),
        ("kubelet_secure_port = 70000", "kubelet_secure_port: 70000 is no port"),
        ("certificate_path = \"/c\"", "the private key path is required with the certificate path"),
        ("private_key_path = \"/k\"", "the certificate path is required with the private key path"),
        ("poll_retry_interval = \"1\"", "unable to parse poll_retry_interval: time: missing unit"),
        ("host_pid = \"maybe\"", "host_pid is \"refuse\" or \"allow\", not \"maybe\""),
        ("sigstore {}", "k8s: sigstore is not supported"),
        ("experimental { api_server {} }", "k8s: experimental.api_server is not supported"),
        ("experimental { borker {} }", "(did you mean \"broker\"?)"),
        (
            "experimental { broker {} }",
            "experimental.broker.access_policy: must be specified as one of [permissive, enforced]",
        ),
        ("experimental { broker { access_policy = \"x\" } }", "access_policy: unsupported value \"x\""),
        (
            "experimental { broker { access_policy = \"permissive\" } }",
            "experimental.broker.brokers: at least one broker is required",
        ),
        (brokers("{}").as_str(), "experimental.broker.brokers[0].id: must be specified"),
        (brokers("{ id = \"x\" }").as_str(), "experimental.broker.brokers[x].id: "),
        (
            brokers("{ id = \"spiffe://a.test/b\" }, { id = \"spiffe://a.test/b\" }").as_str(),
            "experimental.broker.brokers[spiffe://a.test/b].id: duplicate broker id",
        ),
        (
            brokers("{ id = \"spiffe://a.test/b\" pod_reference_scope = \"cluster\" }").as_str(),
            "pod_reference_scope: \"cluster\" is not supported",
        ),
        (
            brokers("{ id = \"spiffe://a.test/b\" pod_reference_scope = \"x\" }").as_str(),
            "pod_reference_scope: unsupported value \"x\"; must be one of [agent_node, cluster]",
        ),
        (brokers("{ id = \"spiffe://a.test/b\" pod_scope = 1 }").as_str(), "pod_scope"),
        ("disable_kubelet_client = true", "disable_kubelet_client leaves only references of brokers"),
        ("kubelet_secure_prot = 1", "(did you mean \"kubelet_secure_port\"?)"),
    ] {
        let error = k8s_settings(&block("k8s", data)).map(|_| ()).unwrap_err();
        assert!(format!("{error:#}").contains(part), "{data}: {error:#}");
    }
    for (data, part) in [
        ("docker_socket_path = \"tcp://x:1\"", "docker_socket_path: \"tcp://x:1\" is not supported"),
        ("docker_version = \"1/../2\"", "is no version of the engine's API"),
        ("podman_socket_path_template = \"unix:///x\"", "template must contain exactly one %d UID placeholder"),
        ("container_id_cgroup_matchers = [\"/a/<id>\"]", "set use_new_container_locator = false"),
        (
            "use_new_container_locator = false container_id_cgroup_matchers = [\"/a\"]",
            "must contain the container id token",
        ),
        ("sigstore {}", "docker: sigstore is not supported"),
        ("docker_sokcet_path = \"unix:///x\"", "(did you mean \"docker_socket_path\"?)"),
    ] {
        let error = docker_settings(&block("docker", data)).map(|_| ()).unwrap_err();
        assert!(format!("{error:#}").contains(part), "{data}: {error:#}");
    }
}
