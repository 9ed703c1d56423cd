//! ConfigMaps as the double of the API server has them: server-side apply, with one owner for each key, and creation.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

/// By path.
#[derive(Default)]
pub(crate) struct ConfigMaps(BTreeMap<String, BTreeMap<String, Owned>>);

struct Owned {
    value: String,
    manager: String,
}

/// What becomes a `Status`.
pub(crate) struct Refusal {
    pub(crate) code: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl ConfigMaps {
    /// Without `force`: a key with another value that somebody else owns is a conflict, and nothing changes.
    pub(crate) fn apply(&mut self, path: &str, manager: &str, body: &[u8]) -> Result<Value, Refusal> {
        let invalid = |message: &str| Refusal {
            code: StatusCode::BAD_REQUEST,
            reason: "BadRequest",
            message: message.to_owned(),
        };
        if manager.is_empty() {
            return Err(invalid("fieldManager is required for apply patch"));
        }
        let wanted: Value = serde_json::from_slice(body).map_err(|_| invalid("the body is neither YAML nor JSON"))?;
        let is_named = path.ends_with(&format!("/{}", wanted["metadata"]["name"].as_str().unwrap_or_default()));
        if wanted["kind"] != json!("ConfigMap") || wanted["apiVersion"] != json!("v1") || !is_named {
            return Err(invalid("the body is not the ConfigMap of this path"));
        }
        let data = wanted["data"].as_object().cloned().unwrap_or_default();
        let held = self.0.entry(path.to_owned()).or_default();
        for (key, value) in &data {
            let other =
                held.get(key).filter(|owned| owned.manager != manager && Some(owned.value.as_str()) != value.as_str());
            if let Some(other) = other {
                return Err(Refusal {
                    code: StatusCode::CONFLICT,
                    reason: "Conflict",
                    message: format!("Apply failed with 1 conflict: conflict with {:?}: .data.{key}", other.manager),
                });
            }
        }
        for (key, value) in data {
            let value = value.as_str().unwrap_or_default().to_owned();
            held.insert(key, Owned { value, manager: manager.to_owned() });
        }
        let data: BTreeMap<&String, &String> = held.iter().map(|(key, owned)| (key, &owned.value)).collect();
        Ok(json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": wanted["metadata"], "data": data }))
    }

    /// Below `path`, which is that of the ConfigMaps of a namespace. One that is there is a conflict.
    pub(crate) fn create(&mut self, path: &str, manager: &str, body: &[u8]) -> Result<Value, Refusal> {
        let wanted: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(name) = wanted["metadata"]["name"].as_str().filter(|_| wanted["kind"] == json!("ConfigMap")) else {
            let message = "the body is no ConfigMap with a name".to_owned();
            return Err(Refusal { code: StatusCode::BAD_REQUEST, reason: "BadRequest", message });
        };
        let path = format!("{path}/{name}");
        if self.0.contains_key(&path) {
            let message = format!("configmaps \"{name}\" already exists");
            return Err(Refusal { code: StatusCode::CONFLICT, reason: "AlreadyExists", message });
        }
        let data = wanted["data"].as_object().cloned().unwrap_or_default();
        let owned =
            |value: Value| Owned { value: value.as_str().unwrap_or_default().to_owned(), manager: manager.to_owned() };
        self.0.insert(path, data.into_iter().map(|(key, value)| (key, owned(value))).collect());
        Ok(wanted)
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let data: BTreeMap<&String, &String> =
            self.0.get(path)?.iter().map(|(key, owned)| (key, &owned.value)).collect();
        let name = path.rsplit('/').next().unwrap_or_default();
        Some(json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": name }, "data": data }))
    }

    pub(crate) fn put(&mut self, path: String, key: &str, value: &str, manager: &str) {
        let owned = Owned { value: value.to_owned(), manager: manager.to_owned() };
        self.0.entry(path).or_default().insert(key.to_owned(), owned);
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    pub(crate) fn value(&self, path: &str, key: &str) -> Option<String> {
        self.0.get(path)?.get(key).map(|owned| owned.value.clone())
    }
}
