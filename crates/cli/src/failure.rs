//! Why a command failed, as one line for standard error.

use std::fmt::Display;
use std::io;

use tonic::Status;

use crate::{JsonError, rpc_error};

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// `Display` gives the whole line; `context` names what was attempted.
    #[error("{context}: {cause}")]
    During { context: String, cause: Box<Failure> },
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("{0}")]
    Message(String),
    #[error(transparent)]
    Output(#[from] io::Error),
    #[error("{}", rpc_error(.0))]
    Rpc(Box<Status>),
}

impl Failure {
    pub fn message(text: impl Display) -> Self {
        Self::Message(text.to_string())
    }

    /// The reader of standard output has gone, as `head` does: there is nothing to complain about.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Rpc(Box::new(status))
    }
}

/// Names what was attempted when something fails.
pub trait Context<T> {
    fn context(self, text: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn context(self, text: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::During { context: text.to_string(), cause: Box::new(error.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_stands_before_the_cause() {
        let failed: Result<(), Status> = Err(Status::not_found("entry not found"));
        let failure = failed.context("error fetching entry ID x").unwrap_err();
        let text = "error fetching entry ID x: rpc error: code = NotFound desc = entry not found";
        assert_eq!(failure.to_string(), text);
    }
}
