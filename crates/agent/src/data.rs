//! `agent-data.json`, as SPIRE's agent writes it: the agent's SVID and the bundle, each certificate as base64 of a PEM
//! block. An agent of either kind can take over the directory of the other.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use steeple_cli::parse_rfc3339;
use steeple_core::Timestamp;
use steeple_files::write_private_file;

/// What survives a restart. Keys are the key manager's business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentData {
    /// DER, leaf first; empty before the first attestation and after a ban.
    pub svid: Vec<Vec<u8>>,
    /// Roots of the own trust domain, DER; empty before the first contact.
    pub bundle: Vec<Vec<u8>>,
    pub reattestable: bool,
    /// Since when the server has not been trusted; see `rebootstrap_mode`.
    pub untrusted_since: Option<Timestamp>,
}

/// Where [`AgentData`] is kept.
#[derive(Clone, Debug)]
pub struct DataFile {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    /// Names the file.
    #[error(transparent)]
    Write(io::Error),
    #[error("{path} is damaged ({reason}): remove it, and the agent attests anew")]
    Damaged { path: PathBuf, reason: String },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    svid: Option<Vec<String>>,
    #[serde(default)]
    bundle: Option<Vec<String>>,
    #[serde(default)]
    reattestable: bool,
    /// RFC 3339; the year 1, Go's zero time, is none.
    #[serde(default)]
    bootstrap_start_time: Option<String>,
    /// What else SPIRE keeps for its rebootstrapping, carried along unread.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl DataFile {
    pub fn in_dir(data_dir: &Path) -> Self {
        Self { path: data_dir.join("agent-data.json") }
    }

    /// A missing file is an agent that never attested.
    pub fn load(&self) -> Result<AgentData, DataError> {
        let Some(text) = self.text()? else { return Ok(AgentData::default()) };
        AgentData::parse(&text).map_err(|reason| DataError::Damaged { path: self.path.clone(), reason })
    }

    pub fn store(&self, data: &AgentData) -> Result<(), DataError> {
        let text = data.to_text(self.text().ok().flatten().as_deref());
        let text = text.map_err(|error| DataError::Write(error.into()))?;
        write_private_file(&self.path, &text).map_err(DataError::Write)
    }

    fn text(&self) -> Result<Option<Vec<u8>>, DataError> {
        match fs::read(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataError::Read { path: self.path.clone(), source }),
        }
    }
}

impl AgentData {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let decode = |list: Option<Vec<String>>| -> Result<Vec<Vec<u8>>, String> {
            list.unwrap_or_default().iter().map(|text| der(text)).collect()
        };
        Ok(Self {
            svid: decode(stored.svid)?,
            bundle: decode(stored.bundle)?,
            reattestable: stored.reattestable,
            untrusted_since: stored.bootstrap_start_time.as_deref().and_then(start_time),
        })
    }

    /// With what `before`, the text that it takes the place of, says of other things.
    pub(crate) fn to_text(&self, before: Option<&[u8]>) -> serde_json::Result<Vec<u8>> {
        let encode = |list: &[Vec<u8>]| Some(list.iter().map(|der| encoded(der)).collect());
        let before = before.and_then(|text| serde_json::from_slice(text).ok());
        serde_json::to_vec_pretty(&Stored {
            svid: encode(&self.svid),
            bundle: encode(&self.bundle),
            reattestable: self.reattestable,
            bootstrap_start_time: Some(self.untrusted_since.map_or(ZERO_TIME.to_owned(), |since| since.to_string())),
            rest: before.map(|stored: Stored| stored.rest).unwrap_or_default(),
        })
    }
}

/// Base64 of a PEM block; some versions wrote bare DER.
fn der(text: &str) -> Result<Vec<u8>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(bytes);
    }
    let block = pem::parse(&bytes).map_err(|error| error.to_string())?;
    if block.tag() == CERTIFICATE { Ok(block.into_contents()) } else { Err("a PEM block is no certificate".into()) }
}

fn encoded(der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    STANDARD.encode(pem::encode_config(&pem::Pem::new(CERTIFICATE, der), config))
}

/// A time that cannot be read is none: it only makes a delay start over.
fn start_time(text: &str) -> Option<Timestamp> {
    let secs = parse_rfc3339(text).filter(|secs| *secs > 0)?;
    Some(Timestamp::from_secs(secs))
}

/// What Go writes for a time that is not set.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";
const CERTIFICATE: &str = "CERTIFICATE";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn survives_a_restart_with_mode_0600() {
        let dir = tempfile::tempdir().unwrap();
        let file = DataFile::in_dir(dir.path());
        assert_eq!(file.load().unwrap(), AgentData::default());
        let data = AgentData {
            svid: vec![vec![1, 2]],
            bundle: vec![vec![3], vec![4]],
            reattestable: true,
            untrusted_since: Some(Timestamp::from_secs(1_708_497_925)),
        };
        file.store(&data).unwrap();
        assert_eq!(file.load().unwrap(), data);
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn keeps_members_that_only_spire_reads() {
        let dir = tempfile::tempdir().unwrap();
        let file = DataFile::in_dir(dir.path());
        let text = br#"{"svid":null,"bundle":["AQ=="],"reattestable":false,"bootstrap_use":1,
                       "bootstrap_start_time":"2024-02-21T07:45:25.123456789+01:00"}"#;
        fs::write(&file.path, text).unwrap();
        let data = file.load().unwrap();
        assert_eq!(data.bundle, [[1]]);
        assert_eq!(data.untrusted_since.map(Timestamp::as_secs), Some(1_708_497_925));
        file.store(&data).unwrap();
        let stored: Value = serde_json::from_slice(&fs::read(&file.path).unwrap()).unwrap();
        assert_eq!(stored["bootstrap_use"], 1);
        file.store(&AgentData { untrusted_since: None, ..data }).unwrap();
        let stored: Value = serde_json::from_slice(&fs::read(&file.path).unwrap()).unwrap();
        assert_eq!(stored["bootstrap_start_time"], ZERO_TIME);
        assert_eq!(file.load().unwrap().untrusted_since, None);
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = DataFile::in_dir(dir.path());
        fs::write(&file.path, b"{\"svid\":[\"!\"]}").unwrap();
        assert!(file.load().unwrap_err().to_string().contains("remove it"));
    }
}
