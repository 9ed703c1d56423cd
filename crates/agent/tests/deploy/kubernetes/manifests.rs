//! What the files say of each other, of the programs, and of the cluster that they are meant for.

use std::collections::BTreeSet;
use std::process::Command;

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::{Container, PodSpec, Probe, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use steeple_testkit::{Binaries, Scratch};

use super::objects::{faults, folder, parse, settings, shipped, the};
use super::pod::environment;

#[test]
fn every_object_is_of_its_type() {
    let mut checked = 0;
    for object in shipped() {
        let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
        if let Some(faults) = faults(&object) {
            assert_eq!(faults, [""; 0], "{name}");
            checked += 1;
        } else {
            // kustomize's own, and the Prometheus Operator's, which Kubernetes does not define.
            let others =
                ["kustomize.config.k8s.io/v1beta1", "kustomize.config.k8s.io/v1alpha1", "monitoring.coreos.com/v1"];
            assert!(others.iter().any(|version| object["apiVersion"] == *version), "{name} is of no known type");
        }
    }
    assert!(checked >= 18, "{checked}");
}

#[test]
fn overlays_and_components_make_whole_objects() {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        println!("not run: there is no kubectl");
        return;
    }
    for (name, replicas) in [("three", 3), ("five", 5)] {
        let objects = rendered(&format!("resources: [../overlays/{name}]\n"));
        assert_eq!(of(&objects, "StatefulSet")["spec"]["replicas"], replicas);
        assert_eq!(of(&objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"], IMAGE);
        let trust_domains = objects.iter().filter_map(|object| object["data"]["TRUST_DOMAIN"].as_str());
        assert_eq!(trust_domains.collect::<Vec<_>>(), ["example.org"; 2], "of servers and of agents");
    }
    let components = "resources: [../overlays/five]\ncomponents: [../components/three-zones, \
                      ../components/kubelet-before-1.33, ../monitoring]\n";
    let objects = rendered(components);
    let spread = &of(&objects, "StatefulSet")["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!((&spread["whenUnsatisfiable"], &spread["minDomains"]), (&"DoNotSchedule".into(), &3.into()));
    let kubelet = objects.iter().filter(|object| object["kind"] == "ClusterRole");
    assert!(
        kubelet.clone().any(|role| role["rules"][0]["resources"] == serde_json::json!(["nodes/pods", "nodes/proxy"]))
    );
    assert_eq!(objects.iter().filter(|object| object["apiVersion"] == "monitoring.coreos.com/v1").count(), 3);
}

const IMAGE: &str = "registry.example.org/steeple:0.1.0";

/// By kubectl, with the lines of a kustomization in a folder beside the shipped ones.
fn rendered(lines: &str) -> Vec<Value> {
    let scratch = tempfile::tempdir().expect("a directory");
    let copied = Command::new("cp").arg("-r").arg(folder()).arg(scratch.path().join("kubernetes")).status();
    assert!(copied.expect("cp").success());
    let here = scratch.path().join("kubernetes/here");
    std::fs::create_dir(&here).expect("a folder");
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    std::fs::write(here.join("kustomization.yaml"), format!("{head}{lines}")).expect("a file");
    let output = Command::new("kubectl").arg("kustomize").arg(&here).output().expect("kubectl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects = parse(&String::from_utf8(output.stdout).expect("text"));
    for object in &objects {
        assert_eq!(faults(object).unwrap_or_default(), [""; 0], "{object}");
    }
    objects
}

fn of<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).expect("one of that kind")
}

#[test]
fn the_programs_take_their_configuration_with_the_pods_environment() {
    let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
    let (servers, agents): (StatefulSet, DaemonSet) =
        (the("StatefulSet", "steeple-server"), the("DaemonSet", "steeple-agent"));
    let pods = [
        (
            &binaries.server,
            "server/server.conf",
            template(servers.spec.expect("a spec").template.spec),
            "steeple-server-1",
        ),
        (&binaries.agent, "agent/agent.conf", template(agents.spec.expect("a spec").template.spec), "steeple-agent-x1"),
    ];
    for (program, config, spec, pod) in pods {
        let path = folder().join(config);
        let validate = |address: &str, leave_out: Option<&str>| {
            let mut environment = environment(&spec.containers[0], pod, address);
            environment.retain(|(name, _)| Some(name.as_str()) != leave_out);
            let mut command = Command::new(program);
            command.env_clear().envs(environment).current_dir(scratch.path());
            command.arg("validate").arg("-config").arg(&path).arg("-expandEnv");
            let output = command.output().expect("it runs");
            let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
            (output.status.success(), said)
        };
        for address in ["10.244.1.7", "fd00:10:244::17"] {
            let (valid, said) = validate(address, None);
            assert!(valid, "{config} at {address}: {said}");
        }
        // Each variable of the file is one of the pod's.
        let text = std::fs::read_to_string(&path).expect("a file");
        let used: BTreeSet<&str> =
            text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
        let given: BTreeSet<String> =
            environment(&spec.containers[0], pod, "10.0.0.1").into_iter().map(|(name, _)| name).collect();
        assert!(used.iter().all(|name| given.contains(*name)), "{used:?} of {given:?}");
        assert!(!validate("10.244.1.7", Some("TRUST_DOMAIN")).0, "{config} without its trust domain");
    }
}

fn template(spec: Option<PodSpec>) -> PodSpec {
    spec.expect("a template with a spec")
}

#[test]
fn servers_are_spread_confined_probed_and_stopped_as_they_need_it() {
    let set: StatefulSet = the("StatefulSet", "steeple-server");
    let set = set.spec.expect("a spec");
    assert_eq!((set.replicas, set.pod_management_policy.as_deref()), (Some(3), Some("Parallel")));
    assert_eq!(set.service_name.as_deref(), Some("steeple-server-peers"));
    let retained = set.persistent_volume_claim_retention_policy.expect("a policy");
    assert_eq!([retained.when_deleted.as_deref(), retained.when_scaled.as_deref()], [Some("Retain"); 2]);
    let labels = set.template.metadata.expect("metadata").labels.expect("labels");
    let spec = template(set.template.spec);

    // What selects pods selects these.
    for (kind, name, selector) in [
        ("Service", "steeple-server", "/spec/selector"),
        ("Service", "steeple-server-peers", "/spec/selector"),
        ("PodDisruptionBudget", "steeple-server", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "steeple-server", "/spec/podSelector/matchLabels"),
        ("PodMonitor", "steeple-server", "/spec/selector/matchLabels"),
        ("StatefulSet", "steeple-server", "/spec/selector/matchLabels"),
        ("StatefulSet", "steeple-server", "/spec/template/spec/topologySpreadConstraints/0/labelSelector/matchLabels"),
    ] {
        let object: Value = the(kind, name);
        let selected = object.pointer(selector).unwrap_or_else(|| panic!("{kind} {name} has no {selector}"));
        assert_eq!(*selected, serde_json::to_value(&labels).expect("JSON"), "{kind} {name}");
    }
    let apart = spec.affinity.clone().and_then(|affinity| affinity.pod_anti_affinity).expect("anti-affinity");
    let apart = apart.required_during_scheduling_ignored_during_execution.expect("required");
    assert_eq!(apart[0].topology_key, "kubernetes.io/hostname");
    assert_eq!(apart[0].label_selector.clone().and_then(|selector| selector.match_labels), Some(labels));
    let peers: Service = the("Service", "steeple-server-peers");
    let peers = peers.spec.expect("a spec");
    assert_eq!((peers.cluster_ip.as_deref(), peers.publish_not_ready_addresses), (Some("None"), Some(true)));

    // Kubernetes' "restricted" level, and a file system that cannot be written.
    let pod = spec.security_context.clone().expect("a security context");
    assert_eq!((pod.run_as_non_root, pod.fs_group), (Some(true), pod.run_as_user));
    assert_eq!(pod.seccomp_profile.map(|profile| profile.type_).as_deref(), Some("RuntimeDefault"));
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    for container in containers() {
        let confined = container.security_context.clone().expect("a security context");
        assert_eq!(confined.read_only_root_filesystem, Some(true), "{}", container.name);
        assert_eq!(confined.allow_privilege_escalation, Some(false), "{}", container.name);
        let capabilities = confined.capabilities.expect("capabilities");
        assert_eq!((capabilities.drop, capabilities.add), (Some(vec!["ALL".to_owned()]), None), "{}", container.name);
        let limits = container.resources.clone().and_then(|resources| resources.limits).expect("limits");
        assert_eq!(limits.keys().collect::<Vec<_>>(), ["memory"], "a limit on the CPU makes heartbeats late");
    }

    let server = &spec.containers[0];
    for (probe, path) in
        [(&server.startup_probe, "/live"), (&server.liveness_probe, "/live"), (&server.readiness_probe, "/ready")]
    {
        asks(server, probe.as_ref(), path);
    }
    // The server's own bounds on an orderly end, and some.
    let sleep = server.lifecycle.clone().and_then(|hooks| hooks.pre_stop).and_then(|hook| hook.sleep).expect("a sleep");
    assert!(spec.termination_grace_period_seconds.expect("a grace period") >= sleep.seconds + 3 + 10 + 10);
    assert_eq!(sealing_key_mode(&spec), 0o400);
}

fn asks(container: &Container, probe: Option<&Probe>, path: &str) {
    let asked = probe.and_then(|probe| probe.http_get.as_ref()).expect("a probe over HTTP");
    assert_eq!(asked.path.as_deref(), Some(path));
    let IntOrString::String(port) = &asked.port else { panic!("a port by its number: {:?}", asked.port) };
    let ports = container.ports.as_ref().expect("ports");
    assert!(ports.iter().any(|named| named.name.as_ref() == Some(port)), "{port}");
    // A check may take three seconds before it counts as failed.
    assert!(probe.and_then(|probe| probe.timeout_seconds).is_some_and(|timeout| timeout > 3));
}

fn sealing_key_mode(spec: &PodSpec) -> i32 {
    let secrets = spec.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref());
    secrets.filter_map(|secret| secret.default_mode).next().expect("a secret with a mode")
}

#[test]
fn ports_and_names_are_those_of_the_configuration() {
    let text = std::fs::read_to_string(folder().join("server/server.conf")).expect("a file");
    let set: StatefulSet = the("StatefulSet", "steeple-server");
    let set = set.spec.expect("a spec");
    let server = template(set.template.spec).containers.swap_remove(0);
    let port = |name: &str| {
        let mut ports = server.ports.iter().flatten().filter(|port| port.name.as_deref() == Some(name));
        ports.next().unwrap_or_else(|| panic!("no port {name}")).container_port
    };
    for line in [
        format!("    bind_port = {}\n", port("api")),
        format!("peer_bind_port = {}\n", port("peers")),
        format!("bind_port = \"{}\"\n", port("health")),
        format!("port = {}\n", port("metrics")),
    ] {
        assert!(text.contains(&line), "{line}");
    }
    let service = set.service_name.expect("a service");
    let joined: Vec<String> = (0..3)
        .map(|ordinal| format!("\"steeple-server-{ordinal}.{service}.${{POD_NAMESPACE}}.svc:{}\"", port("peers")))
        .collect();
    for name in &joined {
        assert_eq!(text.matches(name.as_str()).count(), 1, "{name}");
    }
    assert_eq!(text.matches(".svc:").count(), joined.len() + 2, "what it joins, and what it is told as");
    assert!(text.contains("founder = \"steeple-server-0\""));

    // What the servers may do is what their configuration makes them do.
    let agent = std::fs::read_to_string(folder().join("agent/agent.conf")).expect("a file");
    assert!(agent.contains("server_address = \"steeple-server.steeple.svc\"\n    server_port = 8081"));
    for (kind, name, rights) in [
        ("ConfigMap", "steeple-bundle", "configmap_name = \"steeple-bundle\""),
        ("ServiceAccount", "steeple-agent", "service_account_allow_list = [\"steeple-agent:steeple-agent\"]"),
    ] {
        let _: Value = the(kind, name);
        assert!(text.contains(rights), "{rights}");
    }
    assert_eq!(settings().keys().collect::<Vec<_>>(), ["KUBERNETES_CLUSTER", "TRUST_DOMAIN"]);
}
