//! The protobuf messages that SPIRE keeps in blobs (`spire.common`, and its CA journal).

/// `spire.common.Bundle`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Bundle {
    #[prost(string, tag = "1")]
    pub(crate) trust_domain_id: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) root_cas: Vec<Certificate>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) jwt_signing_keys: Vec<PublicKey>,
    #[prost(int64, tag = "4")]
    pub(crate) refresh_hint: i64,
    #[prost(uint64, tag = "5")]
    pub(crate) sequence_number: u64,
    #[prost(message, repeated, tag = "6")]
    pub(crate) wit_signing_keys: Vec<PublicKey>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Certificate {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) der_bytes: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub(crate) tainted_key: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PublicKey {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) pkix_bytes: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) kid: String,
    /// Unix seconds; 0 for never.
    #[prost(int64, tag = "3")]
    pub(crate) not_after: i64,
    #[prost(bool, tag = "4")]
    pub(crate) tainted_key: bool,
}

/// `spire.common.RegistrationEntry.AdditionalAttributes`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct AdditionalAttributes {
    #[prost(bool, tag = "1")]
    pub(crate) disable_x509_svid_prefetch: bool,
    #[prost(bool, tag = "2")]
    pub(crate) jwt_svid_include_jti: bool,
}

/// The authorities of one server.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Journal {
    #[prost(message, repeated, tag = "1")]
    pub(crate) x509_cas: Vec<JournalX509Ca>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) jwt_keys: Vec<JournalJwtKey>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JournalX509Ca {
    /// Unix seconds.
    #[prost(int64, tag = "2")]
    pub(crate) issued_at: i64,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) certificate: Vec<u8>,
    /// Under an authority above: the certificate itself, then what stands above it without the root.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(crate) upstream_chain: Vec<Vec<u8>>,
    #[prost(int32, tag = "5")]
    pub(crate) status: i32,
    #[prost(string, tag = "8")]
    pub(crate) upstream_authority_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JournalJwtKey {
    /// Unix seconds.
    #[prost(int64, tag = "2")]
    pub(crate) issued_at: i64,
    /// Unix seconds.
    #[prost(int64, tag = "3")]
    pub(crate) not_after: i64,
    #[prost(string, tag = "4")]
    pub(crate) kid: String,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) public_key: Vec<u8>,
    #[prost(int32, tag = "6")]
    pub(crate) status: i32,
}

pub(crate) const STATUS_PREPARED: i32 = 2;
pub(crate) const STATUS_ACTIVE: i32 = 3;
