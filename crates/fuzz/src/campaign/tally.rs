//! The figures so far, on disk after each slice.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::Figures;

#[derive(Debug)]
pub struct Tally {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    commit: String,
    targets: BTreeMap<String, Figures>,
}

impl Tally {
    /// Figures of another commit are of other code: they begin anew.
    pub fn open(path: &Path, commit: &str) -> Result<Self> {
        let stored: Option<Content> = match fs::read(path) {
            Ok(text) => Some(serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let content = stored.filter(|stored| stored.commit == commit);
        let content = content.unwrap_or_else(|| Content { commit: commit.to_owned(), targets: BTreeMap::new() });
        Ok(Self { path: path.to_owned(), content })
    }

    pub fn commit(&self) -> &str {
        &self.content.commit
    }

    pub fn of(&self, target: &str) -> Figures {
        self.content.targets.get(target).copied().unwrap_or_default()
    }

    pub fn add(&mut self, target: &str, more: Figures) -> Result<()> {
        *self.content.targets.entry(target.to_owned()).or_default() += more;
        let text = serde_json::to_vec_pretty(&self.content)?;
        fs::write(&self.path, text).with_context(|| format!("writing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_with_its_commit_and_begins_anew_with_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tally.json");
        let more = Figures { executions: 5, cpu_ms: 1500, findings: 0, peak_rss_mib: 40 };
        Tally::open(&path, "one").unwrap().add("csr", more).unwrap();
        let mut tally = Tally::open(&path, "one").unwrap();
        tally.add("csr", Figures { peak_rss_mib: 30, ..more }).unwrap();
        let expected = Figures { executions: 10, cpu_ms: 3000, findings: 0, peak_rss_mib: 40 };
        assert_eq!(Tally::open(&path, "one").unwrap().of("csr"), expected);
        assert_eq!(Tally::open(&path, "two").unwrap().of("csr"), Figures::default());
    }
}
