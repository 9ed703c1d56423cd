//! A TPM with the three keys of an attestation loaded. A bare device has place for three.

use std::path::Path;

use steeple_core::Secret;
use steeple_core::plugin::AttestError;
use steeple_tpm::command::{
    ActivateCredential, Certification, Certify, Create, ENDORSEMENT, HashData, Load, NvBufferBytes, NvDataBytes,
    NvRead, OWNER, PolicySecret, Sign,
};
use steeple_tpm::{
    Hash, Parameters, PublicArea, Signature, WireError, attestation_key, endorsement_key, storage_root_key_ecc,
    storage_root_key_rsa,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::nonce::random;
use super::tpm::{Tpm, TpmError};
use crate::ecdsa::der_signature;

/// Of the TPM's hierarchies, and of the DevID key; each may be empty.
pub struct TpmPasswords {
    pub devid: Secret,
    pub owner_hierarchy: Secret,
    pub endorsement_hierarchy: Secret,
}

/// The DevID key as it was provisioned, encrypted for the storage root key of its TPM.
pub(super) struct DevIdKey {
    /// TPMT_PUBLIC.
    pub(super) public: Vec<u8>,
    pub(super) area: PublicArea,
    pub(super) private: Vec<u8>,
}

pub(super) struct Session<'a> {
    tpm: Tpm,
    passwords: &'a TpmPasswords,
    devid: u32,
    attestation_key: u32,
    attestation_password: Secret,
    /// TPMT_PUBLIC.
    attestation_public: Vec<u8>,
    endorsement_key: u32,
    endorsement_public: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("{step} failed: {why}")]
    Step { step: &'static str, why: TpmError },
    #[error("no random bytes")]
    Random,
    #[error("it has {bytes} bytes, more than {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("the TPM read nothing")]
    Nothing,
    #[error("malformed certificate")]
    Certificate,
    #[error("malformed signature: {0}")]
    Signature(#[from] WireError),
}

impl<'a> Session<'a> {
    pub(super) fn open(device: &Path, key: &DevIdKey, passwords: &'a TpmPasswords) -> Result<Self, AttestError> {
        let failed = |what: &str, why: &dyn std::fmt::Display| {
            AttestError::internal(format!("unable to start a new TPM session: {what}: {why}"))
        };
        let mut tpm = Tpm::open(device).map_err(|why| failed(&format!("cannot open TPM at {device:?}"), &why))?;
        // Storage root keys are made anew, so their password is nobody's to know.
        let storage_password = fresh_password().map_err(|why| failed("cannot generate random password", &why))?;
        let attestation_password = fresh_password().map_err(|why| failed("cannot generate random password", &why))?;

        let mut storage = Storage { tpm: &mut tpm, owner: &passwords.owner_hierarchy, password: &storage_password };
        let template = match key.area.parameters {
            Parameters::Rsa { .. } => storage_root_key_rsa(),
            Parameters::Ecc { .. } => storage_root_key_ecc(),
        };
        let devid = storage.with_root(&template, |storage, root| storage.load(root, &key.public, &key.private));
        let devid = devid.map_err(|why| failed("cannot load DevID key on TPM", &why))?;
        let loaded = storage.with_root(&storage_root_key_rsa(), |storage, root| {
            storage.create_attestation_key(root, &attestation_password)
        });
        let (attestation_key, attestation_public) =
            loaded.map_err(|why| failed("cannot create attestation key", &why))?;
        let password = passwords.endorsement_hierarchy.expose();
        let endorsement = tpm.create_primary(ENDORSEMENT, password, &[], &endorsement_key());
        let endorsement = endorsement.map_err(|why| failed("cannot create endorsement key", &why))?;
        Ok(Self {
            tpm,
            passwords,
            devid,
            attestation_key,
            attestation_password,
            attestation_public,
            endorsement_key: endorsement.handle,
            endorsement_public: endorsement.public,
        })
    }

    /// TPMT_PUBLIC.
    pub(super) fn attestation_public(&self) -> &[u8] {
        &self.attestation_public
    }

    /// TPMT_PUBLIC.
    pub(super) fn endorsement_public(&self) -> &[u8] {
        &self.endorsement_public
    }

    /// The manufacturer's, DER.
    pub(super) fn endorsement_certificate(&mut self) -> Result<Vec<u8>, SessionError> {
        let index = ENDORSEMENT_CERTIFICATE;
        let bytes = self.tpm.run(&NvDataBytes { index }).map_err(step("TPM2_NV_ReadPublic"))?;
        if usize::from(bytes) > CERTIFICATE_BYTES_MAX {
            return Err(SessionError::TooLong { bytes: bytes.into(), max: CERTIFICATE_BYTES_MAX });
        }
        let at_once = self.tpm.run(&NvBufferBytes).map_err(step("TPM2_GetCapability"))?;
        let at_once = u16::try_from(at_once).unwrap_or(NV_BUFFER_BYTES_MAX).clamp(1, NV_BUFFER_BYTES_MAX);
        let mut read: Vec<u8> = Vec::with_capacity(bytes.into());
        while read.len() < usize::from(bytes) {
            // Below 8 KiB, as `bytes` is.
            let offset = read.len() as u16;
            let part = NvRead { index, bytes: (bytes - offset).min(at_once), offset };
            let part = self.tpm.run(&part).map_err(step("TPM2_NV_Read"))?;
            if part.is_empty() || part.len() > usize::from(bytes - offset) {
                return Err(SessionError::Nothing);
            }
            read.extend_from_slice(&part);
        }
        // Some indices are longer than their certificates.
        let (rest, _) = X509Certificate::from_der(&read).map_err(|_| SessionError::Certificate)?;
        let length = read.len() - rest.len();
        read.truncate(length);
        Ok(read)
    }

    /// The attestation key states that the DevID key is in its TPM.
    pub(super) fn certify_devid(&mut self) -> Result<Certification, SessionError> {
        let certify = Certify {
            object: self.devid,
            object_password: self.passwords.devid.expose(),
            signer: self.attestation_key,
            signer_password: self.attestation_password.expose(),
        };
        self.tpm.run(&certify).map_err(step("TPM2_Certify"))
    }

    /// As certificates have it: PKCS #1, or an ECDSA signature in DER.
    pub(super) fn sign_with_devid(&mut self, nonce: &[u8]) -> Result<Vec<u8>, SessionError> {
        if nonce.len() > HashData::BYTES_MAX {
            return Err(SessionError::TooLong { bytes: nonce.len(), max: HashData::BYTES_MAX });
        }
        // The TPM hashes it itself, since a restricted key signs nothing else.
        let data = HashData { data: nonce, hash: Hash::Sha256, hierarchy: OWNER };
        let hashed = self.tpm.run(&data).map_err(step("TPM2_Hash"))?;
        let sign = Sign { key: self.devid, password: self.passwords.devid.expose(), hashed: &hashed };
        let signature = self.tpm.run(&sign).map_err(step("TPM2_Sign"))?;
        match Signature::decode(&signature)? {
            Signature::Rsa { signature, .. } => Ok(signature),
            Signature::Ecdsa { r, s, .. } => der_signature(&r, &s).ok_or(SessionError::Nothing),
        }
    }

    /// What is in the credential, if it was made for these keys.
    pub(super) fn activate(&mut self, blob: &[u8], secret: &[u8]) -> Result<Vec<u8>, SessionError> {
        let session = self.tpm.start_policy_session().map_err(step("TPM2_StartAuthSession"))?;
        let password = self.passwords.endorsement_hierarchy.expose();
        let policy = PolicySecret { hierarchy: ENDORSEMENT, password, session };
        self.tpm.run(&policy).map_err(step("TPM2_PolicySecret"))?;
        let activate = ActivateCredential {
            activated: self.attestation_key,
            activated_password: self.attestation_password.expose(),
            endorsement_key: self.endorsement_key,
            policy_session: session,
            blob,
            secret,
        };
        let activated = self.tpm.run(&activate).map_err(step("TPM2_ActivateCredential"))?;
        // The session ended with the command that it was for.
        self.tpm.forget(session);
        Ok(activated)
    }
}

/// What is under the storage root keys.
struct Storage<'s> {
    tpm: &'s mut Tpm,
    owner: &'s Secret,
    password: &'s Secret,
}

impl Storage<'_> {
    /// The root takes its place only as long as it is needed.
    fn with_root<T>(
        &mut self,
        template: &PublicArea,
        work: impl FnOnce(&mut Self, u32) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        let (owner, password) = (self.owner.expose(), self.password.expose());
        let root = self.tpm.create_primary(OWNER, owner, password, template).map_err(step("TPM2_CreatePrimary"))?;
        let done = work(self, root.handle)?;
        self.tpm.flush(root.handle).map_err(step("TPM2_FlushContext"))?;
        Ok(done)
    }

    fn load(&mut self, parent: u32, public: &[u8], private: &[u8]) -> Result<u32, SessionError> {
        let parent_password = self.password.expose();
        self.tpm.load(&Load { parent, parent_password, private, public }).map_err(step("TPM2_Load"))
    }

    fn create_attestation_key(&mut self, parent: u32, password: &Secret) -> Result<(u32, Vec<u8>), SessionError> {
        let (parent_password, password) = (self.password.expose(), password.expose());
        let create = Create { parent, parent_password, password, template: &attestation_key() };
        let created = self.tpm.run(&create).map_err(step("TPM2_Create"))?;
        let handle = self.load(parent, &created.public, &created.private)?;
        Ok((handle, created.public))
    }
}

fn fresh_password() -> Result<Secret, SessionError> {
    random(PASSWORD_BYTES).map(Secret::new).ok_or(SessionError::Random)
}

fn step(step: &'static str) -> impl FnOnce(TpmError) -> SessionError {
    move |why| SessionError::Step { step, why }
}

/// The certificate of the RSA endorsement key (TCG EK Credential Profile, section 2.2.1.4).
pub(super) const ENDORSEMENT_CERTIFICATE: u32 = 0x01c0_0002;
/// Manufacturers' have one to two KiB.
const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// Less than a reply.
const NV_BUFFER_BYTES_MAX: u16 = 2048;
/// As long as SHA-256, the most that a key with that hash takes.
const PASSWORD_BYTES: usize = 32;
