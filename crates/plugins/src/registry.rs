//! The visible list of what is built in: a missing plugin is one line away.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    BundlePublisher,
    CredentialComposer,
    DataStore,
    KeyManager,
    NodeAttestor,
    SvidStore,
    UpstreamAuthority,
    WorkloadAttestor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    pub kind: Kind,
    pub name: &'static str,
}

/// What a server configuration may name. DataStore and KeyManager blocks are accepted with a notice: the log holds
/// both.
pub const SERVER_PLUGINS: &[BuiltIn] = &[
    BuiltIn { kind: Kind::BundlePublisher, name: "file" },
    BuiltIn { kind: Kind::BundlePublisher, name: "k8s_configmap" },
    BuiltIn { kind: Kind::CredentialComposer, name: "common_name" },
    BuiltIn { kind: Kind::CredentialComposer, name: "uniqueid" },
    BuiltIn { kind: Kind::DataStore, name: "sql" },
    BuiltIn { kind: Kind::KeyManager, name: "disk" },
    BuiltIn { kind: Kind::KeyManager, name: "memory" },
    BuiltIn { kind: Kind::NodeAttestor, name: "http_challenge" },
    BuiltIn { kind: Kind::NodeAttestor, name: "join_token" },
    BuiltIn { kind: Kind::NodeAttestor, name: "k8s_psat" },
    BuiltIn { kind: Kind::NodeAttestor, name: "sshpop" },
    BuiltIn { kind: Kind::NodeAttestor, name: "tpm_devid" },
    BuiltIn { kind: Kind::NodeAttestor, name: "x509pop" },
    BuiltIn { kind: Kind::UpstreamAuthority, name: "disk" },
    BuiltIn { kind: Kind::UpstreamAuthority, name: "spire" },
];

/// What an agent configuration may name.
pub const AGENT_PLUGINS: &[BuiltIn] = &[
    BuiltIn { kind: Kind::KeyManager, name: "disk" },
    BuiltIn { kind: Kind::KeyManager, name: "memory" },
    BuiltIn { kind: Kind::NodeAttestor, name: "http_challenge" },
    BuiltIn { kind: Kind::NodeAttestor, name: "join_token" },
    BuiltIn { kind: Kind::NodeAttestor, name: "k8s_psat" },
    BuiltIn { kind: Kind::NodeAttestor, name: "sshpop" },
    BuiltIn { kind: Kind::NodeAttestor, name: "tpm_devid" },
    BuiltIn { kind: Kind::NodeAttestor, name: "x509pop" },
    BuiltIn { kind: Kind::SvidStore, name: "directory" },
    BuiltIn { kind: Kind::WorkloadAttestor, name: "docker" },
    BuiltIn { kind: Kind::WorkloadAttestor, name: "k8s" },
    BuiltIn { kind: Kind::WorkloadAttestor, name: "slurm" },
    BuiltIn { kind: Kind::WorkloadAttestor, name: "systemd" },
    BuiltIn { kind: Kind::WorkloadAttestor, name: "unix" },
];

/// Types of a server's plugins that may be programs of their own. A server's keys are nobody else's: KeyManager is not
/// one of them.
pub const EXTERNAL_SERVER_KINDS: &[&str] =
    &["BundlePublisher", "CredentialComposer", "NodeAttestor", "Notifier", "UpstreamAuthority"];

/// The same for an agent.
pub const EXTERNAL_AGENT_KINDS: &[&str] = &["KeyManager", "NodeAttestor", "SVIDStore", "WorkloadAttestor"];

pub fn is_built_in(list: &[BuiltIn], kind: &str, name: &str) -> bool {
    list.iter().any(|plugin| plugin.kind.config_name() == kind && plugin.name == name)
}

impl Kind {
    /// The block's type in a configuration file.
    pub fn config_name(self) -> &'static str {
        match self {
            Self::BundlePublisher => "BundlePublisher",
            Self::CredentialComposer => "CredentialComposer",
            Self::DataStore => "DataStore",
            Self::KeyManager => "KeyManager",
            Self::NodeAttestor => "NodeAttestor",
            Self::SvidStore => "SVIDStore",
            Self::UpstreamAuthority => "UpstreamAuthority",
            Self::WorkloadAttestor => "WorkloadAttestor",
        }
    }
}
