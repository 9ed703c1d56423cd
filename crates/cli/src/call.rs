//! One run of a command: its flags, the process around it, and where its output goes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use prost::{Message, Name};

use crate::{Failure, OutputFormat, Streams, Values, proto_json, read_file};

pub struct Call {
    pub values: Values,
    pub environment: Environment,
    pub streams: Streams,
}

/// The environment variables, as a value so that tests need not change the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Call {
    /// For an invocation within this process.
    pub fn of_process(values: Values) -> Self {
        Self { values, environment: Environment::of_process(), streams: Streams::of_process() }
    }

    pub fn is_json(&self) -> bool {
        self.values.output("output") == OutputFormat::Json
    }

    /// Prints a message as `-output` asks. A command's own failures (an item of a batch, say) belong into `pretty`:
    /// with JSON the exit code stays 0, as in SPIRE.
    pub fn print<M: Message + Name>(
        &mut self,
        message: &M,
        pretty: impl FnOnce(&mut Streams, &M) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.is_json() {
            let line = proto_json(message)?;
            return Ok(writeln!(self.streams.stdout, "{line}")?);
        }
        pretty(&mut self.streams, message)
    }

    /// The content of a file, or of standard input when `path` is `stdin_name` (SPIRE uses `-` or nothing).
    pub fn read(&mut self, path: &str, stdin_name: &str) -> io::Result<Vec<u8>> {
        if path != stdin_name {
            return read_file(path);
        }
        let mut bytes = Vec::new();
        self.streams.stdin.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Environment {
    pub fn of_process() -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
