//! Objects out of files, by Kubernetes' own types. Those ignore fields that they do not know; here nothing is ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(crate::DEPLOY).join("kubernetes")
}

/// Every object in the files below `folder()`.
pub fn shipped() -> Vec<Value> {
    let mut folders = vec![folder()];
    let mut objects = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                objects.extend(parse(&std::fs::read_to_string(&path).expect("a file")));
            }
        }
    }
    objects
}

/// As kubectl reads it, in which 0400 is a number in octal.
pub fn parse(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_multiple_with_options(text, options).expect("YAML")
}

/// The one shipped object of this kind and name.
pub fn the<T: DeserializeOwned>(kind: &str, name: &str) -> T {
    let mut found = shipped();
    found.retain(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let [object] = &found[..] else { panic!("{} of {kind} {name}", found.len()) };
    serde_json::from_value(object.clone()).expect("an object of its type")
}

/// What stands in `NAME=value` lines.
pub fn settings() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder().join("overlays/three/settings.env")).expect("a file");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What is wrong with an object, by the type of its kind. `None`: its type is not Kubernetes' own.
pub fn faults(object: &Value) -> Option<Vec<String>> {
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let check = match (version.unwrap_or_default(), kind.unwrap_or_default()) {
        ("apps/v1", "DaemonSet") => faults_as::<DaemonSet>,
        ("apps/v1", "StatefulSet") => faults_as::<StatefulSet>,
        ("networking.k8s.io/v1", "NetworkPolicy") => faults_as::<NetworkPolicy>,
        ("policy/v1", "PodDisruptionBudget") => faults_as::<PodDisruptionBudget>,
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => faults_as::<ClusterRole>,
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => faults_as::<ClusterRoleBinding>,
        ("rbac.authorization.k8s.io/v1", "Role") => faults_as::<Role>,
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => faults_as::<RoleBinding>,
        ("v1", "ConfigMap") => faults_as::<ConfigMap>,
        ("v1", "Namespace") => faults_as::<Namespace>,
        ("v1", "Service") => faults_as::<Service>,
        ("v1", "ServiceAccount") => faults_as::<ServiceAccount>,
        _ => return None,
    };
    Some(check(object))
}

fn faults_as<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(object.clone()) {
        Ok(typed) => lost("", object, &serde_json::to_value(typed).expect("JSON")),
        Err(error) => vec![error.to_string()],
    }
}

/// What of `given` is not in `kept`, what the type made of it.
fn lost(path: &str, given: &Value, kept: &Value) -> Vec<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            let fields = given.iter().map(|(key, value)| (format!("{path}.{key}"), value, kept.get(key)));
            let faults = fields.map(|(path, value, kept)| match kept {
                Some(kept) => lost(&path, value, kept),
                None => vec![format!("{path} is no field")],
            });
            faults.flatten().collect()
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            let items = given.iter().zip(kept).enumerate();
            items.flat_map(|(at, (given, kept))| lost(&format!("{path}[{at}]"), given, kept)).collect()
        }
        (given, kept) if given == kept => Vec::new(),
        (given, kept) => vec![format!("{path} is {given}, and became {kept}")],
    }
}

#[test]
fn what_a_type_does_not_know_is_found() {
    let object = parse("apiVersion: v1\nkind: Service\nspec: {ports: [{port: 1, prot: TCP}], clusterIp: None}\n");
    assert_eq!(faults(&object[0]).unwrap(), [".spec.ports[0].prot is no field", ".spec.clusterIp is no field"]);
    let object = parse("apiVersion: v1\nkind: Service\nspec: {ports: [{port: x}]}\n");
    assert!(faults(&object[0]).unwrap()[0].contains("invalid type"));
}
