//! What an agent keeps on its disk, for `crates/fuzz`.

pub use crate::data::AgentData;
pub use crate::persist::fuzzing::{kept_of, restore, unseal};

/// Of `agent-data.json`.
pub fn read_agent_data(text: &[u8]) -> Result<AgentData, String> {
    AgentData::parse(text)
}

/// In the place of `before`.
pub fn write_agent_data(data: &AgentData, before: &[u8]) -> serde_json::Result<Vec<u8>> {
    data.to_text(Some(before))
}
