//! The engine's answer, for `crates/fuzz`.

use super::inspect::ContainerInspect;

/// The values of a container's selectors.
pub fn selector_values(json: &[u8]) -> Option<Vec<String>> {
    let container: ContainerInspect = serde_json::from_slice(json).ok()?;
    Some(container.config.selectors())
}
