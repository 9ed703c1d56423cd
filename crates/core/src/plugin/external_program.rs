//! Which program an external plugin is.

use std::path::PathBuf;
use std::sync::Arc;

use super::BoxFuture;

/// A plugin that is a process of its own and speaks the protocol of hashicorp/go-plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalProgram {
    /// The type of the block, for instance `WorkloadAttestor`.
    pub kind: String,
    pub name: String,
    pub path: PathBuf,
    pub args: Vec<String>,
    /// What the program has to be; any is started without.
    pub sha256: Option<[u8; 32]>,
}

/// A plugin that takes its settings as text, and takes them anew while it runs.
pub trait Configurable: Send + Sync {
    /// `None` where there are none. On an error it goes on with what it had.
    fn configure(self: Arc<Self>, settings: Option<String>) -> BoxFuture<'static, Result<(), String>>;
}

impl ExternalProgram {
    /// SPIRE names the plugin before what it says: `workloadattestor(name): message`.
    pub fn prefixed(&self, message: &str) -> String {
        let prefix = format!("{}({}): ", self.kind.to_lowercase(), self.name);
        if message.starts_with(&prefix) {
            return message.to_owned();
        }
        let own = format!("{}: ", self.name);
        prefix + message.strip_prefix(&own).unwrap_or(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_prefixed_once() {
        let program = ExternalProgram {
            kind: "NodeAttestor".into(),
            name: "mine".into(),
            path: PathBuf::from("/bin/mine"),
            args: Vec::new(),
            sha256: None,
        };
        for message in ["no", "mine: no", "nodeattestor(mine): no"] {
            assert_eq!(program.prefixed(message), "nodeattestor(mine): no");
        }
    }
}
