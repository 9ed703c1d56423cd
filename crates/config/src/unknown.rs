//! Keys that nobody asked for, by section.

use std::fmt;

use crate::Span;

/// The unknown keys of one section. SPIRE logs one line for each with the fields `section` and `keys`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{section}: unknown {}; correct or remove what is not meant", self.hints().collect::<Vec<_>>().join(", "))]
pub struct UnknownKeys {
    /// SPIRE's name for the section, for instance `top-level`, `server` or `health check`.
    pub section: String,
    /// Sorted by name.
    pub keys: Vec<UnknownKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    pub name: String,
    pub span: Span,
    /// The known key that was probably meant.
    pub suggestion: Option<&'static str>,
}

/// Every section with unknown keys. The text is SPIRE's; the sections belong into the log before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown configuration detected")]
pub struct UnknownConfiguration(pub Vec<UnknownKeys>);

impl UnknownKeys {
    /// The names as SPIRE's log field `keys` has them.
    pub fn joined_names(&self) -> String {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name.as_str()).collect();
        names.join(",")
    }

    /// One remark for each key: where it stands and what was probably meant.
    pub fn hints(&self) -> impl Iterator<Item = String> + '_ {
        self.keys.iter().map(|key| key.to_string())
    }
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        if self.span.is_known() {
            write!(f, " at {}", self.span)?;
        }
        match self.suggestion {
            Some(known) => write!(f, " (did you mean {known:?}?)"),
            None => Ok(()),
        }
    }
}
