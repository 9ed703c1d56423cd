//! The name in a peer certificate: `steeple-peer://<cluster>/<node>/<storage>`, UUIDs in hex.

use std::fmt;

use steeple_state::Uuid;

/// Who a peer is: which cluster, which node, which disk. All three must agree with the membership.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    pub cluster_uuid: Uuid,
    pub node_id: u64,
    pub storage_uuid: Uuid,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{uri:?} is not a peer's name: expected {SCHEME}<cluster>/<node>/<storage>")]
pub struct PeerIdError {
    pub uri: String,
}

/// Not `spiffe://`, so that neither kind of certificate is ever taken for the other.
const SCHEME: &str = "steeple-peer://";

impl PeerId {
    /// Accepts exactly what [`fmt::Display`] writes.
    pub fn parse(uri: &str) -> Result<Self, PeerIdError> {
        let refused = || PeerIdError { uri: uri.chars().take(URI_CHARS_SHOWN).collect() };
        let mut parts = uri.strip_prefix(SCHEME).ok_or_else(refused)?.split('/');
        let (Some(cluster), Some(node), Some(storage), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refused());
        };
        let id = Self {
            cluster_uuid: uuid(cluster).ok_or_else(refused)?,
            node_id: node.parse().map_err(|_| refused())?,
            storage_uuid: uuid(storage).ok_or_else(refused)?,
        };
        if id.to_string() == uri { Ok(id) } else { Err(refused()) }
    }
}

/// Enough to recognise what came, not enough to fill a log.
const URI_CHARS_SHOWN: usize = 128;

fn uuid(text: &str) -> Option<Uuid> {
    let mut uuid = Uuid::default();
    hex::decode_to_slice(text, &mut uuid).ok()?;
    Some(uuid)
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cluster, storage) = (hex::encode(self.cluster_uuid), hex::encode(self.storage_uuid));
        write!(f, "{SCHEME}{cluster}/{}/{storage}", self.node_id)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: PeerId = PeerId { cluster_uuid: [0xab; 16], node_id: 12, storage_uuid: [1; 16] };

    #[test]
    fn a_name_is_read_back() {
        assert_eq!(PeerId::parse(&ID.to_string()), Ok(ID));
    }

    #[test]
    fn other_spellings_are_refused() {
        let name = ID.to_string();
        for uri in [
            name.replace("steeple-peer", "spiffe"),
            name.to_uppercase(),
            name.replace("/12/", "/012/"),
            format!("{name}/"),
            format!("{name}/more"),
            "steeple-peer://".to_owned(),
        ] {
            assert!(PeerId::parse(&uri).is_err(), "{uri}");
        }
    }
}
