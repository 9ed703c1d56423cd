//! `experimental { broker {} }` of the agent: who may ask for the identities of workloads that it refers to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use steeple_core::SpiffeId;

use crate::common::{absolute, given};
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, HostPort};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerFile {
    pub socket_path: Option<String>,
    pub bind_address: Option<String>,
    pub brokers: Vec<BrokerEntry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerEntry {
    pub id: String,
    pub allowed_reference_types: Vec<ReferenceTypeEntry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceTypeEntry {
    pub type_url: String,
    pub allow_over_tcp: bool,
}

/// At least one of the two addresses is there, and at least one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// Absolute.
    pub socket_path: Option<PathBuf>,
    pub bind_address: Option<HostPort>,
    pub brokers: BTreeMap<SpiffeId, ReferenceTypes>,
}

/// Which workloads a broker may refer to, by the type URLs of its references; each with whether it may do so over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceTypes {
    All { over_tcp: bool },
    These(BTreeMap<String, bool>),
}

impl BrokerFile {
    pub(super) fn read(
        experimental: &mut Section<'_>,
        unknown: &mut Vec<UnknownKeys>,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(mut section) = experimental.section("broker")? else { return Ok(None) };
        let mut brokers = Vec::new();
        for (at, mut broker) in section.sections("brokers")?.into_iter().enumerate() {
            let name = format!("experimental.broker.brokers[{at}]");
            let mut types = Vec::new();
            for (at, mut allowed) in broker.sections("allowed_reference_types")?.into_iter().enumerate() {
                types.push(ReferenceTypeEntry {
                    type_url: allowed.text("type_url")?.unwrap_or_default(),
                    allow_over_tcp: allowed.flag("allow_over_tcp")?.unwrap_or_default(),
                });
                allowed.finish(format!("{name}.allowed_reference_types[{at}]"), unknown);
            }
            brokers.push(BrokerEntry { id: broker.text("id")?.unwrap_or_default(), allowed_reference_types: types });
            broker.finish(name, unknown);
        }
        let read =
            Self { socket_path: section.text("socket_path")?, bind_address: section.text("bind_address")?, brokers };
        section.finish("experimental.broker", unknown);
        Ok(Some(read))
    }

    /// `public` is the socket that every process of the node may call on. SPIRE's texts, where SPIRE refuses it too.
    pub(super) fn resolve(&self, public: Option<&Path>, working_dir: &Path) -> Result<BrokerSettings, ConfigError> {
        let socket_path = given(&self.socket_path).map(|path| absolute(Path::new(path), working_dir));
        let bind_address = given(&self.bind_address);
        if socket_path.is_none() && bind_address.is_none() {
            return Err(invalid("experimental.broker requires socket_path, bind_address, or both".into()));
        }
        let is_public = |path: &PathBuf| public.and_then(Path::parent).is_some_and(|public| path.starts_with(public));
        if socket_path.as_ref().is_some_and(is_public) {
            let why = "broker socket cannot be in the same directory or a subdirectory as that containing the Workload \
                       API socket";
            return Err(invalid(why.into()));
        }
        let bind_address = bind_address.map(|text| {
            let why = |why| invalid(format!("invalid experimental.broker.bind_address {text:?}: {why}"));
            HostPort::parse(text, None).map_err(why)
        });
        Ok(BrokerSettings { socket_path, bind_address: bind_address.transpose()?, brokers: self.brokers()? })
    }

    fn brokers(&self) -> Result<BTreeMap<SpiffeId, ReferenceTypes>, ConfigError> {
        let of = |id: &str, what: &str| invalid(format!("experimental.broker.brokers[{id}].{what}"));
        if self.brokers.is_empty() {
            return Err(invalid("experimental.broker: at least one broker is required".into()));
        }
        for (at, broker) in self.brokers.iter().enumerate() {
            if broker.id.is_empty() {
                return Err(of(&at.to_string(), "id: must be specified"));
            }
            if self.brokers[..at].iter().any(|other| other.id == broker.id) {
                return Err(of(&broker.id, "id: duplicate broker id"));
            }
        }
        let read = |broker: &BrokerEntry| {
            let id = SpiffeId::parse(&broker.id).map_err(|error| of(&broker.id, &format!("id: {error}")))?;
            let types = ReferenceTypes::of(&broker.allowed_reference_types);
            Ok((id, types.map_err(|why| of(&broker.id, &format!("allowed_reference_types{why}")))?))
        };
        self.brokers.iter().map(read).collect()
    }
}

impl ReferenceTypes {
    fn of(entries: &[ReferenceTypeEntry]) -> Result<Self, String> {
        if entries.is_empty() {
            return Err(": must list at least one reference type URL".into());
        }
        if let Some(at) = entries.iter().position(|entry| entry.type_url.is_empty()) {
            return Err(format!("[{at}].type_url: must be specified"));
        }
        match entries {
            [ReferenceTypeEntry { type_url, allow_over_tcp }] if type_url == ALL => {
                Ok(Self::All { over_tcp: *allow_over_tcp })
            }
            _ if entries.iter().any(|entry| entry.type_url == ALL) => {
                Err(": wildcard \"*\" must be the only allowed reference type".into())
            }
            _ => Ok(Self::These(entries.iter().map(|entry| (entry.type_url.clone(), entry.allow_over_tcp)).collect())),
        }
    }

    /// Whether it may be referred to over TCP; `None` where it may not be at all.
    pub fn over_tcp(&self, type_url: &str) -> Option<bool> {
        match self {
            Self::All { over_tcp } => Some(*over_tcp),
            Self::These(types) => types.get(type_url).copied(),
        }
    }
}

fn invalid(message: String) -> ConfigError {
    ConfigError::invalid("experimental.broker", message)
}

const ALL: &str = "*";
