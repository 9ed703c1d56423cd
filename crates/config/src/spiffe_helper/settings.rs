//! What a spiffe-helper does, complete and checked.

use std::path::PathBuf;

use crate::HealthSettings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeHelperSettings {
    /// `unix:` with a path from the root, or `tcp:` with an IP address and a port.
    pub agent_address: String,
    /// Follows the Workload API until it is told to end; otherwise it fetches once.
    pub daemon_mode: bool,
    pub x509: Option<X509Places>,
    pub jwt_svids: Vec<JwtSvidPlace>,
    pub jwt_bundle: Option<FilePlace>,
    /// Which identity is written, by its entry's hint; the first one without.
    pub hint: Option<String>,
    /// Only in daemon mode, and so are the next two.
    pub command: Option<HelperCommand>,
    pub pid_file: Option<PathBuf>,
    /// A name such as `SIGHUP`.
    pub renew_signal: Option<String>,
    pub health: HealthSettings,
}

/// A file that is written, and the mode that it gets whatever the umask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePlace {
    pub path: PathBuf,
    pub mode: u32,
}

/// Where an X.509-SVID, its key and the bundle go, and what goes into them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Places {
    pub svid: FilePlace,
    pub key: FilePlace,
    pub bundle: FilePlace,
    /// Intermediates go into the bundle's file instead of the SVID's, as MySQL wants it.
    pub add_intermediates_to_bundle: bool,
    /// The bundle's file also has the authorities of the domains that the workload federates with.
    pub include_federated_domains: bool,
    pub omit_expired: bool,
}

/// One token that is kept fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSvidPlace {
    /// At least one; the token names all of them.
    pub audience: Vec<String>,
    pub file: FilePlace,
}

/// A program that uses the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperCommand {
    pub program: String,
    pub args: Vec<String>,
}
