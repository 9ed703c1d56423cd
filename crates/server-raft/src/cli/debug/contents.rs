//! What a bundle holds, and what it could not get.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use prost::{Message, Name};
use serde_json::{Value, json};
use steeple_cli::{Failure, Progress, proto_json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The end of the log that is taken along: some hours of a busy server.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// What a scrape of the largest server has, several times over.
const METRICS_BYTES_MAX: u64 = 16 << 20;
const SCRAPE_MAX: Duration = Duration::from_secs(10);
/// As many as a bundle can have, for whoever waits for it.
const FILES_MAX: u64 = 9;

pub(super) struct Contents {
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// By file name, why it is missing.
    pub(super) missing: Vec<(String, String)>,
    progress: Option<Progress>,
}

impl Contents {
    pub(super) fn new(mut progress: Progress) -> Self {
        progress.at(0, FILES_MAX);
        Self { files: Vec::new(), missing: Vec::new(), progress: Some(progress) }
    }

    pub(super) fn add(&mut self, name: &str, content: Result<Vec<u8>, String>) {
        match content {
            Ok(content) => self.files.push((name.to_owned(), content)),
            Err(why) => self.missing.push((name.to_owned(), why)),
        }
        if let Some(progress) = &mut self.progress {
            progress.at((self.files.len() + self.missing.len()) as u64, FILES_MAX);
        }
    }

    /// Nothing more is waited for.
    pub(super) fn is_complete(&mut self) {
        self.progress = None;
    }

    pub(super) fn add_json(&mut self, name: &str, value: &Value) {
        self.add(name, Ok(format!("{value:#}\n").into_bytes()));
    }

    pub(super) fn add_answer<M: Message + Name>(
        &mut self,
        name: &str,
        answer: Result<tonic::Response<M>, tonic::Status>,
    ) -> Result<(), Failure> {
        match answer {
            Ok(answer) => self.add_json(name, &proto_json(answer.get_ref())?),
            Err(status) => self.add(name, Err(status.message().to_owned())),
        }
        Ok(())
    }

    pub(super) fn missing_json(&self) -> Value {
        self.missing.iter().map(|(name, why)| (name.clone(), json!(why))).collect::<serde_json::Map<_, _>>().into()
    }
}

/// The end of a log, from the beginning of a line.
pub(super) fn tail(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        let mut file = File::open(path)?;
        let skipped = file.metadata()?.len().saturating_sub(LOG_BYTES_MAX);
        file.seek(SeekFrom::Start(skipped))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
        let line = bytes.iter().position(|byte| *byte == b'\n').filter(|_| skipped > 0);
        Ok::<_, std::io::Error>(bytes.split_off(line.map_or(0, |end| end + 1)))
    };
    read().map_err(|error| format!("{}: {error}", path.display()))
}

/// What a Prometheus would get from `address`, `host:port`.
pub(super) async fn scrape(address: &str) -> Result<Vec<u8>, String> {
    let get = async {
        let mut stream = TcpStream::connect(address).await?;
        // HTTP/1.0: the answer is whole when the connection ends.
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(METRICS_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(SCRAPE_MAX, get).await;
    let mut answer = answer
        .map_err(|_| format!("{address} gave no complete answer within {SCRAPE_MAX:?}"))?
        .map_err(|error| format!("{address}: {error}"))?;
    let head = answer.windows(4).position(|part| part == b"\r\n\r\n").map(|end| end + 4);
    match head {
        Some(head) if answer.starts_with(b"HTTP/1.") && answer[8..].starts_with(b" 200") => Ok(answer.split_off(head)),
        _ => Err(format!("{address} did not answer with metrics")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_cut_at_a_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = "0123456789\n";
        let lines = LOG_BYTES_MAX as usize / line.len() + 100;
        std::fs::write(file.path(), line.repeat(lines)).unwrap();
        let kept = tail(file.path()).unwrap();
        assert!(kept.len() as u64 <= LOG_BYTES_MAX && kept.len().is_multiple_of(line.len()));
        assert!(kept.starts_with(line.as_bytes()));
        std::fs::write(file.path(), line).unwrap();
        assert_eq!(tail(file.path()).unwrap(), line.as_bytes());
        assert!(tail(Path::new("/nonexistent/log")).unwrap_err().contains("/nonexistent/log"));
    }
}
