//! What the tests of the machine share: short ways to name things, and a replica that keeps its rows as storage would.
#![allow(dead_code)] // Each test binary uses a part.

pub mod arbitrary;

use std::collections::BTreeMap;
use std::sync::Arc;

use steeple_core::{
    AttestedAgent, Authority, AuthorityKind, AuthorityStatus, Bundle, Entry, KeyType, SealedKey, Selector, SelectorSet,
    SpiffeId, Timestamp, TrustDomain, X509Authority,
};
use steeple_state::{
    Applied, CLUSTER_VERSION_FIRST, ClusterInit, Command, CommandKind, Event, MemberFacts, NO_REQUEST, Outcome, State,
    Table,
};

pub const OWN: &str = "example.org";

/// A state and the rows that its changes left, kept side by side.
#[derive(Clone, Default)]
pub struct Replica {
    pub state: State,
    pub rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pub events: Vec<Event>,
    pub at: Timestamp,
    index: u64,
}

impl Replica {
    /// A new cluster for `example.org`, its clock at 1,000 s.
    pub fn new() -> Self {
        let mut replica = Self { at: Timestamp::from_secs(1000), ..Self::default() };
        replica.run(CommandKind::InitCluster(Box::new(cluster_init())));
        replica
    }

    pub fn run(&mut self, kind: CommandKind) -> Outcome {
        let command = Command { request_id: NO_REQUEST, at: self.at, actor: "test".to_owned(), kind };
        self.apply(&command).outcome
    }

    pub fn apply(&mut self, command: &Command) -> Applied {
        self.index += 1;
        let applied = self.state.apply(self.index, command);
        for change in &applied.changes {
            let key = (change.table, change.key.clone());
            match &change.value {
                Some(value) => self.rows.insert(key, value.clone()),
                None => self.rows.remove(&key),
            };
        }
        self.events.extend(applied.events.iter().cloned());
        applied
    }

    /// The state as a restart would find it.
    pub fn reloaded(&self) -> State {
        let rows = self.rows.iter().map(|((table, key), value)| (*table, key, value));
        State::from_rows(self.index, rows).expect("rows that the machine wrote")
    }
}

pub fn cluster_init() -> ClusterInit {
    ClusterInit {
        cluster_uuid: [7; 16],
        trust_domain: trust_domain(OWN),
        keyring: b"keyring".to_vec(),
        peer_ca: b"peer-ca".to_vec(),
        first: member(1),
        version: CLUSTER_VERSION_FIRST,
    }
}

pub fn member(number: u8) -> MemberFacts {
    MemberFacts {
        storage_uuid: [number; 16],
        name: format!("node-{number}"),
        peer_address: format!("node-{number}:8082"),
        api_address: format!("node-{number}:8081"),
    }
}

pub fn trust_domain(name: &str) -> TrustDomain {
    TrustDomain::from_name(name).expect("a trust domain")
}

/// `path` in the own trust domain.
pub fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://{OWN}{path}")).expect("a SPIFFE ID")
}

/// `kind:value` texts.
pub fn selectors<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> SelectorSet {
    let parse = |text: S| {
        let (kind, value) = text.as_ref().split_once(':').expect("kind:value");
        Selector::new(kind, value).expect("a selector")
    };
    texts.into_iter().map(parse).collect()
}

pub fn entry(entry_id: &str, spiffe_id: &str, parent_id: &str) -> Entry {
    Entry {
        id: entry_id.to_owned(),
        spiffe_id: id(spiffe_id),
        parent_id: id(parent_id),
        selectors: selectors(["unix:uid:1"]),
        x509_svid_ttl: 0,
        jwt_svid_ttl: 0,
        federates_with: Vec::new(),
        admin: false,
        downstream: false,
        expires_at: 0,
        dns_names: Vec::new(),
        revision: 0,
        store_svid: false,
        hint: String::new(),
        created_at: 0,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
    }
}

pub fn agent(path: &str, serial: &str) -> AttestedAgent {
    AttestedAgent {
        id: id(path),
        attestation_type: "x509pop".to_owned(),
        serial: serial.to_owned(),
        not_after: 5000,
        new_serial: String::new(),
        new_not_after: 0,
        can_reattest: false,
        selectors: SelectorSet::default(),
        agent_version: String::new(),
    }
}

pub fn bundle(name: &str) -> Bundle {
    let root = X509Authority { der: format!("root of {name}").into_bytes(), tainted: false };
    Bundle { x509_authorities: vec![root], ..Bundle::empty(trust_domain(name)) }
}

pub fn authority(kind: AuthorityKind, authority_id: &str) -> Authority {
    Authority {
        id: authority_id.to_owned(),
        kind,
        status: AuthorityStatus::Prepared,
        key_type: KeyType::EcP256,
        issued_at: Timestamp::from_secs(1000),
        not_after: Timestamp::from_secs(87_400),
        certificate: match kind {
            AuthorityKind::X509 => format!("certificate {authority_id}").into_bytes(),
            AuthorityKind::Jwt | AuthorityKind::Wit => Vec::new(),
        },
        upstream_chain: Vec::new(),
        upstream_authority_id: String::new(),
        public_key: format!("public key {authority_id}").into_bytes(),
        key: SealedKey { keyring_term: 1, ciphertext: b"sealed".to_vec() },
        restored: false,
    }
}

pub fn create(entries: impl IntoIterator<Item = Entry>) -> CommandKind {
    CommandKind::CreateEntries { entries: entries.into_iter().map(Arc::new).collect() }
}
