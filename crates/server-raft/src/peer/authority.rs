//! The peers' certificate authority: made once at bootstrap, sealed in the replicated state, opened by every replica.

use std::time::Duration;

use aws_lc_rs::rand::SecureRandom;
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use steeple_api::steeple::peer as pb;
use steeple_ca::seal::{Keyring, RecordType, SealError};
use steeple_ca::{KeyError, generate_pkcs8, random_bytes};
use steeple_core::{KeyType, SealedKey, Secret, Timestamp};
use time::OffsetDateTime;

use super::PeerId;

/// Far longer than any outage: the CA is replaced by rotation, never by expiry.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A running replica renews at half of this from its own state, without asking anybody.
pub(super) const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Peers' clocks may differ by more than the bound for stamping while they find out that they do.
const BACKDATE: Duration = Duration::from_secs(24 * 3600);

/// The public half of the stored peer CA, and the sealed keys that come with it.
#[derive(Clone, Debug)]
pub struct PeerCaContent(pb::PeerCa);

/// The issuing authority, opened.
pub struct PeerAuthority {
    issuer: Issuer<'static, KeyPair>,
}

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the stored peer CA is not readable: {0}")]
    Malformed(String),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the peer certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the system's random source failed")]
    Random,
}

impl PeerCaContent {
    /// A new CA, sealed under `keyring`.
    pub fn create(keyring: &Keyring, now: Timestamp, random: &dyn SecureRandom) -> Result<Self, AuthorityError> {
        Ok(Self(pb::PeerCa { authorities: vec![new_authority(keyring, now, random)?] }))
    }

    /// With one more authority, which is trusted from now on and issues nothing yet.
    pub fn with_successor(
        &self,
        keyring: &Keyring,
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<Self, AuthorityError> {
        let mut content = self.0.clone();
        content.authorities.push(new_authority(keyring, now, random)?);
        Ok(Self(content))
    }

    /// The youngest authority issues; the others are still trusted.
    pub fn activated(&self) -> Self {
        let mut content = self.0.clone();
        content.authorities.sort_by_key(|authority| std::cmp::Reverse(authority.created_at_ms));
        Self(content)
    }

    /// Only the issuing authority is left.
    pub fn retired(&self) -> Self {
        let mut content = self.0.clone();
        content.authorities.truncate(1);
        Self(content)
    }

    /// Under which data keys its private keys are sealed.
    pub fn keyring_terms(&self) -> impl Iterator<Item = u64> {
        self.0.authorities.iter().map(|authority| authority.keyring_term)
    }

    /// Every private key sealed with the data key of `keyring` that seals now.
    pub fn resealed(&self, keyring: &Keyring) -> Result<Self, AuthorityError> {
        let mut content = self.0.clone();
        for authority in &mut content.authorities {
            let sealed = SealedKey {
                keyring_term: authority.keyring_term,
                ciphertext: std::mem::take(&mut authority.sealed_key),
            };
            let key = keyring.open(RecordType::PeerCaKey, &authority.id, &sealed)?;
            let sealed = keyring.seal(RecordType::PeerCaKey, &authority.id, &key)?;
            (authority.keyring_term, authority.sealed_key) = (sealed.keyring_term, sealed.ciphertext);
        }
        Ok(Self(content))
    }

    /// When each authority was made, the issuing one first.
    pub fn created_at(&self) -> Vec<Timestamp> {
        self.0.authorities.iter().map(|authority| Timestamp::from_ms(authority.created_at_ms)).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    pub fn decode(content: &[u8]) -> Result<Self, AuthorityError> {
        let content = pb::PeerCa::decode(content).map_err(|error| AuthorityError::Malformed(error.to_string()))?;
        if content.authorities.is_empty() {
            return Err(AuthorityError::Malformed("it has no authority".to_owned()));
        }
        Ok(Self(content))
    }

    /// The certificates to trust, each DER.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.0.authorities.iter().map(|authority| authority.certificate.clone()).collect()
    }

    pub fn open(&self, keyring: &Keyring) -> Result<PeerAuthority, AuthorityError> {
        let authority = self.0.authorities.first();
        let authority = authority.ok_or_else(|| AuthorityError::Malformed("it has no authority".to_owned()))?;
        let sealed = SealedKey { keyring_term: authority.keyring_term, ciphertext: authority.sealed_key.clone() };
        let key = keyring.open(RecordType::PeerCaKey, &authority.id, &sealed)?;
        let certificate = CertificateDer::from(authority.certificate.clone());
        Ok(PeerAuthority { issuer: Issuer::from_ca_cert_der(&certificate, key_pair(&key)?)? })
    }
}

impl PeerAuthority {
    /// A certificate for `id` over `public_key` (PKIX DER), in DER. The caller has checked who asks.
    pub fn issue(
        &self,
        id: &PeerId,
        public_key: &[u8],
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, AuthorityError> {
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue_for(usages, id, public_key, now, random)
    }

    /// As [`Self::issue`], for a replica that only answers: no peer takes a call under it.
    pub fn issue_to_answer(
        &self,
        id: &PeerId,
        public_key: &[u8],
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.issue_for(vec![ExtendedKeyUsagePurpose::ServerAuth], id, public_key, now, random)
    }

    fn issue_for(
        &self,
        usages: Vec<ExtendedKeyUsagePurpose>,
        id: &PeerId,
        public_key: &[u8],
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("Steeple node {}", id.node_id));
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.serial_number = Some(serial(random)?);
        (params.not_before, params.not_after) = validity(now, CERTIFICATE_LIFETIME);
        let certificate = params.signed_by(&SubjectPublicKeyInfo::from_der(public_key)?, &self.issuer)?;
        Ok(certificate.der().to_vec())
    }
}

fn new_authority(
    keyring: &Keyring,
    now: Timestamp,
    random: &dyn SecureRandom,
) -> Result<pb::PeerCaAuthority, AuthorityError> {
    let id = hex::encode(random_bytes::<16>(random).map_err(|_| AuthorityError::Random)?);
    let key = generate_pkcs8(KeyType::EcP256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Steeple peers");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(serial(random)?);
    (params.not_before, params.not_after) = validity(now, CA_LIFETIME);
    let certificate = params.self_signed(&key_pair(&key)?)?;
    let sealed = keyring.seal(RecordType::PeerCaKey, &id, &key)?;
    Ok(pb::PeerCaAuthority {
        id,
        certificate: certificate.der().to_vec(),
        sealed_key: sealed.ciphertext,
        keyring_term: sealed.keyring_term,
        created_at_ms: now.as_ms(),
    })
}

fn key_pair(pkcs8: &Secret) -> Result<KeyPair, rcgen::Error> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.expose()));
    KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// rcgen derives serials from keys; two certificates over one key must differ.
fn serial(random: &dyn SecureRandom) -> Result<SerialNumber, AuthorityError> {
    let mut bytes = random_bytes::<16>(random).map_err(|_| AuthorityError::Random)?;
    // Positive and of constant length (RFC 5280, section 4.1.2.2).
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn validity(now: Timestamp, lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let at =
        |time: Timestamp| OffsetDateTime::from_unix_timestamp(time.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (at(now.saturating_sub(BACKDATE)), at(now.saturating_add(lifetime)))
}
