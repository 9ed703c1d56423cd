//! What the one build of the workspace leaves behind. Everything is built with one set of features, in one profile, so
//! that nothing is compiled twice.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

#[derive(Debug, Default, PartialEq)]
pub struct Artifacts {
    /// Name of the program -> its path.
    pub programs: BTreeMap<String, PathBuf>,
    /// File name of a test program, such as `bounds-0f3c…` -> crate, without the prefix.
    pub crate_of_test: BTreeMap<String, String>,
}

/// `--all-targets` brings the features that tests ask for, so that `cargo test` finds all of it fresh.
pub const BUILD: [&str; 4] = ["build", "--workspace", "--all-targets", "--message-format=json-render-diagnostics"];

impl Artifacts {
    /// From cargo's messages, one JSON object a line among lines for people.
    pub fn read(output: &str) -> Self {
        let messages = output.lines().filter(|line| line.starts_with('{'));
        let mut artifacts = Self::default();
        for message in messages.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            artifacts.add(&message);
        }
        artifacts
    }

    pub fn program(&self, name: &str) -> Result<&PathBuf> {
        self.programs.get(name).with_context(|| format!("the workspace builds no program called {name}"))
    }

    fn add(&mut self, message: &Value) -> Option<()> {
        let path = PathBuf::from(message["executable"].as_str()?);
        if message["profile"]["test"] == true {
            let file = path.file_name()?.to_string_lossy().into_owned();
            self.crate_of_test.insert(file, crate_name(message["manifest_path"].as_str()?)?);
        } else {
            self.programs.insert(message["target"]["name"].as_str()?.to_owned(), path);
        }
        Some(())
    }
}

/// The folder that holds Cargo.toml.
fn crate_name(manifest: &str) -> Option<String> {
    let folder = manifest.strip_suffix("/Cargo.toml")?;
    folder.rsplit('/').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_tests_are_told_apart() {
        let manifest = r#""manifest_path":"/c/crates/agent/Cargo.toml""#;
        let program =
            r#""target":{"name":"steeple-agent"},"profile":{"test":false},"executable":"/t/debug/steeple-agent""#;
        let test = r#""target":{"name":"x"},"profile":{"test":true},"executable":"/t/debug/deps/steeple_agent-1f""#;
        let library = r#""target":{"name":"steeple_agent"},"profile":{"test":false},"executable":null"#;
        let messages = [program, test, library].map(|message| format!("{{{manifest},{message}}}\n")).concat();
        let output = format!("   Compiling steeple-agent v0.1.0\n{messages}");
        let artifacts = Artifacts::read(&output);
        assert_eq!(artifacts.program("steeple-agent").unwrap(), &PathBuf::from("/t/debug/steeple-agent"));
        assert_eq!(artifacts.crate_of_test, BTreeMap::from([("steeple_agent-1f".to_owned(), "agent".to_owned())]));
        assert!(artifacts.program("steeple-server").is_err());
    }
}
