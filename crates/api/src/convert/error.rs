//! Why a message is not a value of the core type.

use std::fmt;

/// The text that a client reads, without SPIRE's outer part. The status code is always `InvalidArgument`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConvertError {
    pub message: String,
}

impl ConvertError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// Puts SPIRE's next outer part before the text.
    #[must_use]
    pub fn within(self, outer: impl fmt::Display) -> Self {
        Self { message: format!("{outer}: {}", self.message) }
    }
}

impl From<steeple_core::IdError> for ConvertError {
    fn from(error: steeple_core::IdError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<steeple_core::SelectorError> for ConvertError {
    fn from(error: steeple_core::SelectorError) -> Self {
        Self::new(error.to_string())
    }
}
