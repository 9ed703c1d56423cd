//! Why a configuration is refused. Texts that SPIRE has too are SPIRE's, because scripts match on them.

use std::path::PathBuf;

use steeple_core::IdError;

use crate::quote::go_quoted;
use crate::unknown::UnknownKeys;
use crate::{DurationError, PluginError, Span, SyntaxError, UnknownConfiguration};

/// A refused configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("could not find config file {}: please use the -config flag", .path.display())]
    NotFound { path: PathBuf },
    #[error("unable to read configuration at {}: {reason}", go_quoted(&.path.to_string_lossy()))]
    Unreadable { path: PathBuf, reason: String },
    #[error("unable to decode configuration at {}: {error}", go_quoted(&.path.to_string_lossy()))]
    Decode { path: PathBuf, error: DecodeError },
    #[error("{what} must be configured")]
    Missing { what: &'static str },
    #[error(
        "trust_bundle_path, trust_bundle_url, or trust_bundle_spiffe_workload_api must be configured unless \
         insecure_bootstrap is set"
    )]
    NoBootstrap,
    /// What is complained of may be missed because of a typo, so the unknown keys are told as well. The first line is
    /// SPIRE's.
    #[error("{error}")]
    Beside { error: Box<Self>, unknown: UnknownConfiguration },
    /// A value that SPIRE refuses; `message` is SPIRE's text.
    #[error("{message}")]
    Invalid { key: &'static str, message: String },
    /// `what` is SPIRE's name for the setting, not the key.
    #[error("could not parse {what} {}: {error}", go_quoted(.value))]
    Duration { what: &'static str, value: String, error: DurationError },
    #[error("could not parse {what} {}: {error}", go_quoted(.value))]
    Id { what: &'static str, value: String, error: IdError },
    #[error("could not start logger: {0}")]
    Logger(String),
    /// A value that SPIRE might take and that would hurt here.
    #[error("{key} = {value} is not safe: {safe}")]
    Unsafe { key: &'static str, value: String, safe: String },
    /// A key of SPIRE's that is refused by name.
    #[error("{key} is not supported: {instead}")]
    NotSupported { key: String, instead: String },
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Unknown(#[from] UnknownConfiguration),
}

/// Why a file's content is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// `key` is dotted, for instance `server.bind_port`.
    #[error("{}{key}: {expected} is expected, not {found}", at(.span))]
    WrongKind { span: Span, key: String, expected: &'static str, found: &'static str },
    /// Go's text for a number that is none.
    #[error("{}{key}: strconv.ParseInt: parsing {}: invalid syntax", at(.span), go_quoted(.value))]
    NotANumber { span: Span, key: String, value: String },
    #[error("{key} stands at the top level and within server: keep one of the two")]
    InTwoPlaces { key: &'static str },
    /// A value of a file of ours; `reason` says what to do.
    #[error("{}{key}: {reason}", at(.span))]
    Invalid { span: Span, key: String, reason: String },
    #[error("{}{key} holds one labelled block, not {found}", at(.span))]
    NotOneLabel { span: Span, key: String, found: usize },
}

impl ConfigError {
    /// One line for each unknown key, with its place and what was probably meant; empty for other errors.
    pub fn hints(&self) -> Vec<String> {
        let (Self::Unknown(UnknownConfiguration(sections))
        | Self::Beside { unknown: UnknownConfiguration(sections), .. }) = self
        else {
            return Vec::new();
        };
        let lines = sections.iter().flat_map(|keys| keys.hints().map(move |hint| format!("{}: {hint}", keys.section)));
        lines.collect()
    }

    /// The text for a person: SPIRE's line, and the hints under it.
    pub fn explained(&self) -> String {
        let hints: String = self.hints().iter().map(|hint| format!("\n  {hint}")).collect();
        self.to_string() + &hints
    }

    /// The hints that stand beside another fault: scripts compare standard error with SPIRE's one line.
    pub fn hints_beside(&self) -> Vec<String> {
        if matches!(self, Self::Beside { .. }) { self.hints() } else { Vec::new() }
    }

    /// What SPIRE's `validate` prints on standard error for this; `program` is `server` or `agent`.
    pub fn validation_report(&self, program: &str) -> String {
        let plain = if let Self::Beside { error, .. } = self { &**error } else { self };
        if let Self::Plugin(error) = plain {
            if let Some((heading, note)) = error.validation_note() {
                return validation_notes(program, &[(heading, note)]);
            }
            if error.is_about_loading() {
                return format!("Could not validate configuration file: {error}\n");
            }
        }
        format!("SPIRE {program} configuration file is invalid: {}\n", plain.explained())
    }

    /// The error with those of the unknown keys that were probably meant as others.
    pub(crate) fn beside(self, mut unknown: Vec<UnknownKeys>) -> Self {
        unknown.iter_mut().for_each(|section| section.keys.retain(|key| key.suggestion.is_some()));
        unknown.retain(|section| !section.keys.is_empty());
        match self {
            Self::Unknown(_) => self,
            _ if unknown.is_empty() => self,
            _ => Self::Beside { error: Box::new(self), unknown: UnknownConfiguration(unknown) },
        }
    }

    pub(crate) fn invalid(key: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { key, message: message.into() }
    }

    pub(crate) fn not_supported(key: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::NotSupported { key: key.into(), instead: instead.into() }
    }
}

/// What SPIRE's `validate` prints for parts that cannot be used: a heading for each, and what is wrong.
pub fn validation_notes(program: &str, notes: &[(String, String)]) -> String {
    let lines: String = notes.iter().map(|(heading, note)| format!("\t{heading}:\n\t\t{note}\n")).collect();
    format!("SPIRE {program} configuration file is invalid.\nValidation errors:\n{lines}")
}

fn at(span: &Span) -> String {
    if span.is_known() { format!("At {span}: ") } else { String::new() }
}
