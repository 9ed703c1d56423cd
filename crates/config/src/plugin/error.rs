//! Why a `plugins` section is refused.

use crate::quote::go_quoted;

/// The texts are SPIRE's, with what to do next behind them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    #[error("plugin {}/{} declared more than once", go_quoted(.kind), go_quoted(.name))]
    Repeated { kind: String, name: String },
    #[error(
        "failed to create plugin config for {}/{}: only one of [plugin_data, plugin_data_file] can be used",
        go_quoted(.kind), go_quoted(.name)
    )]
    DataTwice { kind: String, name: String },
    /// `validate` has the plugin as the heading over SPIRE's note, which is the rest.
    #[error("{kind} {}: failed to read plugin configuration: {reason}", go_quoted(.name))]
    DataFile { kind: String, name: String, reason: String },
    #[error("unknown plugin_data of {} {}: {}", .kind, go_quoted(.name), .hints.join(", "))]
    UnknownData { kind: String, name: String, hints: Vec<String> },
    #[error("unsupported plugin type {}; types are {}", go_quoted(.kind), .known.join(", "))]
    UnknownKind { kind: String, known: &'static [&'static str] },
    #[error(
        "failed to load plugin {}: no built-in plugin {} for type {}{hint}",
        go_quoted(.name), go_quoted(.name), go_quoted(.kind)
    )]
    NotBuiltIn { kind: String, name: String, hint: String },
    #[error("failed to load plugin {}: {reason}", go_quoted(.name))]
    Checksum { name: String, reason: String },
    #[error(
        "failed to load plugin {}: external plugins (plugin_cmd) are not supported for type {}{hint}",
        go_quoted(.name), go_quoted(.kind)
    )]
    External { kind: String, name: String, hint: String },
    #[error("the built-in join_token node attestor cannot be overridden by an external plugin")]
    ExternalJoinToken,
    #[error("plugin type {} constraint not satisfied: {expected} but got {found}{hint}", go_quoted(.kind))]
    Count { kind: &'static str, expected: &'static str, found: usize, hint: &'static str },
    #[error("expecting a DataStore plugin (a file with a cluster {{}} section needs none: the store is built in)")]
    NoDataStore,
    #[error("only one DataStore plugin is allowed")]
    DataStores,
    #[error("pluggability for the DataStore is deprecated; only the built-in \"sql\" plugin is supported")]
    DataStoreNotSql { name: String },
}

impl PluginError {
    /// What SPIRE's `validate` prints as a note under a plugin type instead of as an error: missing plugins.
    ///
    /// The first is the heading, the second the note.
    pub fn validation_note(&self) -> Option<(String, String)> {
        match self {
            Self::Count { kind, expected, found, .. } => {
                Some(((*kind).to_owned(), format!("constraint not satisfied: {expected} but got {found}")))
            }
            Self::NoDataStore => Some(("DataStore \"sql\"".into(), "'datastore' must be configured".into())),
            _ => None,
        }
    }

    /// Whether SPIRE would only notice this when it loads the plugins, not when it reads the file.
    pub(crate) fn is_about_loading(&self) -> bool {
        !matches!(self, Self::Repeated { .. } | Self::DataTwice { .. })
    }
}
