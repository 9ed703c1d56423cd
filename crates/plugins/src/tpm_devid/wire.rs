//! The JSON that crosses the wire.

use serde::{Deserialize, Serialize};

use crate::json::{Bytes, or_empty};

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    /// Leaf first.
    #[serde(rename = "DevIDCert", default, deserialize_with = "or_empty")]
    pub devid_certificates: Vec<Bytes>,
    /// Public areas are TPMT_PUBLIC.
    #[serde(rename = "DevIDPub", default)]
    pub devid_public: Bytes,
    #[serde(rename = "EKCert", default)]
    pub endorsement_certificate: Bytes,
    #[serde(rename = "EKPub", default)]
    pub endorsement_public: Bytes,
    #[serde(rename = "AKPub", default)]
    pub attestation_public: Bytes,
    /// TPMS_ATTEST.
    #[serde(rename = "CertifiedDevID", default)]
    pub certified_devid: Bytes,
    /// TPMT_SIGNATURE.
    #[serde(rename = "CertificationSignature", default)]
    pub certification_signature: Bytes,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Challenge {
    /// To be signed.
    #[serde(rename = "DevID", default)]
    pub devid: Bytes,
    #[serde(rename = "CredActivation", default)]
    pub activation: Option<Activation>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Activation {
    /// TPMS_ID_OBJECT.
    #[serde(default)]
    pub credential: Bytes,
    /// TPMU_ENCRYPTED_SECRET.
    #[serde(default)]
    pub secret: Bytes,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Response {
    /// PKCS #1, version 1.5, or an ECDSA signature in DER.
    #[serde(rename = "DevID", default)]
    pub devid: Bytes,
    /// What was in the credential.
    #[serde(rename = "CredActivation", default)]
    pub activation: Bytes,
}
