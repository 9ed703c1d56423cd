//! A cluster as its founder leaves it.

use steeple_core::{Timestamp, TrustDomain};
use steeple_state::{CLUSTER_VERSION_MAX, ClusterInit, CommandKind, MemberFacts, State};

use crate::machine::driven;

const TRUST_DOMAIN: &str = "example.org";

/// With one member, at the highest cluster version.
pub fn founded(at: Timestamp) -> State {
    let mut state = State::new();
    let init = ClusterInit {
        cluster_uuid: CLUSTER_UUID,
        trust_domain: trust_domain(),
        keyring: b"keyring".to_vec(),
        peer_ca: b"peer ca".to_vec(),
        first: facts(FIRST_STORAGE, "a"),
        version: CLUSTER_VERSION_MAX,
    };
    run(&mut state, at, CommandKind::InitCluster(Box::new(init)));
    state
}

/// One more command of what was before the model begins.
pub fn run(state: &mut State, at: Timestamp, kind: CommandKind) {
    state.apply(state.applied_index() + 1, &driven(at, kind));
}

pub fn facts(storage_uuid: [u8; 16], name: &str) -> MemberFacts {
    MemberFacts {
        storage_uuid,
        name: name.to_owned(),
        peer_address: format!("{name}:8082"),
        api_address: format!("{name}:8081"),
    }
}

pub fn trust_domain() -> TrustDomain {
    TrustDomain::from_name(TRUST_DOMAIN).expect("a constant")
}

pub const CLUSTER_UUID: [u8; 16] = [7; 16];
pub const FIRST_STORAGE: [u8; 16] = [1; 16];
