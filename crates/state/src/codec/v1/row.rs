//! Messages that only rows use. A row's identity is part of the value too, so that a row under a wrong key is found.

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Meta {
    #[prost(sint64, tag = "1")]
    pub(crate) now_ms: i64,
    #[prost(uint64, tag = "2")]
    pub(crate) number_last: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EntryRow {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) entry: Option<super::Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BundleRow {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) bundle: Option<super::Bundle>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RelationshipRow {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) relationship: Option<super::Relationship>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AuthorityRow {
    #[prost(bool, tag = "1")]
    pub(crate) next: bool,
    #[prost(message, optional, tag = "2")]
    pub(crate) authority: Option<super::Authority>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Member {
    #[prost(uint64, tag = "1")]
    pub(crate) node_id: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) facts: Option<super::MemberFacts>,
    #[prost(uint32, tag = "3")]
    pub(crate) suffrage: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RequestRow {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) id: Vec<u8>,
    #[prost(sint64, tag = "3")]
    pub(crate) applied_at_ms: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) outcome: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SealedRow {
    #[prost(bool, tag = "1")]
    pub(crate) peer_ca: bool,
    #[prost(uint64, tag = "2")]
    pub(crate) revision: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) content: Vec<u8>,
}
