//! Anchors of audit chains: messages of rows and commands, and their conversions.

use steeple_core::Timestamp;

use super::super::DecodeError;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuditAnchor {
    #[prost(uint64, tag = "1")]
    pub(crate) node_id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) epoch: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) sequence: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) hash: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeptAnchor {
    #[prost(message, optional, tag = "1")]
    pub(crate) anchor: Option<AuditAnchor>,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
    #[prost(sint64, tag = "3")]
    pub(crate) at_ms: i64,
}

impl From<&crate::AuditAnchor> for AuditAnchor {
    fn from(anchor: &crate::AuditAnchor) -> Self {
        Self { node_id: anchor.node_id, epoch: anchor.epoch, sequence: anchor.sequence, hash: anchor.hash.to_vec() }
    }
}

impl TryFrom<AuditAnchor> for crate::AuditAnchor {
    type Error = DecodeError;

    fn try_from(anchor: AuditAnchor) -> Result<Self, DecodeError> {
        let found = anchor.hash.len();
        let hash = anchor.hash.as_slice().try_into();
        let hash = hash.map_err(|_| DecodeError::invalid("hash of an audit anchor", format!("{found} bytes")))?;
        Ok(Self { node_id: anchor.node_id, epoch: anchor.epoch, sequence: anchor.sequence, hash })
    }
}

impl From<&crate::KeptAnchor> for KeptAnchor {
    fn from(kept: &crate::KeptAnchor) -> Self {
        Self { anchor: Some((&kept.anchor).into()), index: kept.index, at_ms: kept.at.as_ms() }
    }
}

impl TryFrom<KeptAnchor> for crate::KeptAnchor {
    type Error = DecodeError;

    fn try_from(kept: KeptAnchor) -> Result<Self, DecodeError> {
        let anchor = kept.anchor.ok_or(DecodeError::Missing { what: "audit anchor" })?;
        Ok(Self { anchor: anchor.try_into()?, index: kept.index, at: Timestamp::from_ms(kept.at_ms) })
    }
}
