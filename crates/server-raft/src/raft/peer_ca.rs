//! From the replicated state and the sealing key to the peers' authority.

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::seal::{Keyring, SealError, SealedKeyring, SealingKey};
use steeple_core::Timestamp;
use steeple_state::{State, Uuid};

use crate::peer::{AuthorityError, PeerAuthority, PeerCaContent};

/// The two sealed documents that a cluster is born with.
pub(super) struct Founding {
    pub(super) keyring: Vec<u8>,
    pub(super) peer_ca: Vec<u8>,
}

pub(super) fn found(cluster: &Uuid, sealing_key: &SealingKey, now: Timestamp) -> Result<Founding, AuthorityError> {
    let random = SystemRandom::new();
    let sealed = SealedKeyring::create(sealing_key, cluster, &random)?;
    let peer_ca = PeerCaContent::create(&sealed.open(sealing_key, cluster)?, now, &random)?;
    Ok(Founding { keyring: sealed.encode(), peer_ca: peer_ca.encode() })
}

/// The peers' authority, ready to issue, and the certificates (DER) that peers are to trust.
pub(super) struct OpenPeerCa {
    pub(super) authority: PeerAuthority,
    pub(super) certificates: Vec<Vec<u8>>,
}

/// The keyring of an initialised state, opened. `None` before the state knows one.
pub fn open_keyring(state: &State, sealing_key: &SealingKey) -> Result<Option<Keyring>, SealError> {
    let (Some(cluster), Some(sealed)) = (state.cluster(), state.keyring()) else { return Ok(None) };
    SealedKeyring::decode(&sealed.content)?.open(sealing_key, &cluster.uuid).map(Some)
}

/// `None` before the state knows a peer CA.
pub(super) fn open_peer_ca(state: &State, sealing_key: &SealingKey) -> Result<Option<OpenPeerCa>, AuthorityError> {
    let (Some(keyring), Some(content)) = (open_keyring(state, sealing_key)?, peer_ca(state)?) else { return Ok(None) };
    Ok(Some(OpenPeerCa { authority: content.open(&keyring)?, certificates: content.certificates() }))
}

/// Its public half needs no key.
pub(super) fn peer_ca(state: &State) -> Result<Option<PeerCaContent>, AuthorityError> {
    state.peer_ca().map(|sealed| PeerCaContent::decode(&sealed.content)).transpose()
}
