//! What the engine tells of containers and images, as far as selectors need it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::json::or_empty;

/// `GET /containers/<id>/json`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerInspect {
    #[serde(default, deserialize_with = "or_empty")]
    pub id: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub config: ContainerConfig,
    #[serde(default, deserialize_with = "or_empty")]
    pub host_config: HostConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerConfig {
    #[serde(default, deserialize_with = "or_empty")]
    pub labels: BTreeMap<String, String>,
    /// `NAME=value`
    #[serde(default, deserialize_with = "or_empty")]
    pub env: Vec<String>,
    /// As it was named when the container was made.
    #[serde(default, deserialize_with = "or_empty")]
    pub image: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    /// Empty, `private`, `host`, or `container:<id>`.
    #[serde(default, deserialize_with = "or_empty")]
    pub pid_mode: String,
}

/// `GET /images/<name>/json`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageInspect {
    #[serde(default, deserialize_with = "or_empty")]
    pub id: String,
}

impl ContainerConfig {
    pub(super) fn selectors(&self) -> Vec<String> {
        let labels = self.labels.iter().map(|(key, value)| format!("label:{key}:{value}"));
        let env = self.env.iter().map(|variable| format!("env:{variable}"));
        let image = Some(&self.image).filter(|image| !image.is_empty()).map(|image| format!("image_id:{image}"));
        labels.chain(env).chain(image).collect()
    }
}

impl ImageInspect {
    pub(super) fn selector(&self) -> Option<String> {
        (!self.id.is_empty()).then(|| format!("image_config_digest:{}", self.id))
    }
}

impl HostConfig {
    pub(super) fn shares_host_pid(&self) -> bool {
        self.pid_mode == "host"
    }

    /// The container whose pid namespace this one joined.
    pub(super) fn joined_container(&self) -> Option<&str> {
        self.pid_mode.strip_prefix("container:")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_environment_and_image() {
        let json = br#"{
            "Id": "abc", "State": {"Pid": 7},
            "Config": {"Labels": {"b": "2", "a": "1:x"}, "Env": ["A=1", "B=x=y"], "Image": "nginx:1.27", "Cmd": null},
            "HostConfig": {"PidMode": "container:def"}
        }"#;
        let found: ContainerInspect = serde_json::from_slice(json).unwrap();
        let expected = ["label:a:1:x", "label:b:2", "env:A=1", "env:B=x=y", "image_id:nginx:1.27"];
        assert_eq!(found.config.selectors(), expected);
        assert_eq!((found.id.as_str(), found.host_config.joined_container()), ("abc", Some("def")));
        let image: ImageInspect = serde_json::from_slice(br#"{"Id": "sha256:aa"}"#).unwrap();
        assert_eq!(image.selector().unwrap(), "image_config_digest:sha256:aa");
        assert_eq!(ImageInspect::default().selector(), None);
    }

    #[test]
    fn nothing_is_nothing() {
        let found: ContainerInspect =
            serde_json::from_slice(br#"{"Config": {"Labels": null, "Env": null}, "HostConfig": null}"#).unwrap();
        assert!(found.config.selectors().is_empty());
        assert!(!found.host_config.shares_host_pid() && found.host_config.joined_container().is_none());
    }
}
