//! `pkcs11`: an AES key that never leaves its token wraps, with AES-GCM.
//!
//! `nonce ‖ ciphertext ‖ tag`. The nonce is ours: tokens differ in whether they make one, and the key wraps a handful
//! of messages in its life.

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use steeple_ca::random_bytes;
use steeple_core::Secret;
use steeple_core::plugin::{BoxFuture, Seal, SealFailure, SecretSource};

use super::secret;

/// Which key of which token.
#[derive(Clone, Debug)]
pub struct Pkcs11Token {
    /// The library of the hardware's maker.
    pub module_path: PathBuf,
    pub token_label: String,
    pub key_label: String,
    pub pin: SecretSource,
}

/// Opens a session for each call: at a start there is one, and a token that was away is found again.
#[derive(Clone, Debug)]
pub struct Pkcs11Seal {
    token: Pkcs11Token,
}

impl Pkcs11Seal {
    pub fn new(token: Pkcs11Token) -> Self {
        Self { token }
    }

    /// Hardware takes its time, and the library's calls block.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session, ObjectHandle) -> Result<T, SealFailure> + Send + 'static,
    ) -> Result<T, SealFailure> {
        let token = self.token.clone();
        let done = tokio::task::spawn_blocking(move || {
            let session = token.log_in()?;
            work(&session, token.key(&session)?)
        });
        done.await.map_err(|error| SealFailure::refused(error.to_string()))?
    }
}

impl Pkcs11Token {
    fn log_in(&self) -> Result<Session, SealFailure> {
        let module = self.module_path.display();
        let library = Pkcs11::new(&self.module_path).map_err(|error| {
            SealFailure::refused(format!("{module} is no PKCS#11 library that can be loaded: {error}"))
        })?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // By an earlier call: a library is initialized once in a process.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(SealFailure::not_now(format!("{module} does not start: {error}"))),
        }
        let away = |error: Error| SealFailure::not_now(format!("token {:?}: {error}", self.token_label));
        let mut slot = None;
        for candidate in library.get_slots_with_token().map_err(away)? {
            if library.get_token_info(candidate).map_err(away)?.label() == self.token_label {
                slot = Some(candidate);
            }
        }
        let slot = slot.ok_or_else(|| {
            SealFailure::not_now(format!("{module} knows no token {:?}: insert or connect it", self.token_label))
        })?;
        let session = library.open_ro_session(slot).map_err(away)?;
        let pin = secret::read(&self.pin)?;
        let pin = std::str::from_utf8(pin.expose()).map_err(|_| SealFailure::refused("the PIN is not text"))?;
        match session.login(UserType::User, Some(&AuthPin::from(pin))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            // Trying again by itself would use up the attempts that the token allows.
            Err(error @ Error::Pkcs11(RvError::PinIncorrect | RvError::PinLocked | RvError::PinExpired, _)) => {
                Err(SealFailure::refused(format!("token {:?} does not take the PIN: {error}", self.token_label)))
            }
            Err(error) => Err(away(error)),
        }
    }

    fn key(&self, session: &Session) -> Result<ObjectHandle, SealFailure> {
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.key_label.clone().into_bytes()),
        ];
        let found = session.find_objects(&wanted);
        match found.map_err(|error| SealFailure::not_now(error.to_string()))?.as_slice() {
            [key] => Ok(*key),
            found => Err(SealFailure::refused(format!(
                "token {:?} has {} AES keys {:?}: exactly one is needed",
                self.token_label,
                found.len(),
                self.key_label
            ))),
        }
    }
}

impl Seal for Pkcs11Seal {
    fn kind(&self) -> &'static str {
        "pkcs11"
    }

    fn secret_path(&self) -> Option<PathBuf> {
        secret::path(&self.token.pin)
    }

    fn wrap<'a>(&'a self, key: &'a Secret, associated: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealFailure>> {
        let (secret, associated) = (key.duplicate(), associated.to_vec());
        Box::pin(self.on_a_thread(move |session, key| {
            let mut nonce = random_bytes::<NONCE_BYTES>(&SystemRandom::new())
                .map_err(|error| SealFailure::refused(error.to_string()))?;
            let kept = nonce;
            let mechanism = Mechanism::AesGcm(parameters(&mut nonce, &associated)?);
            let ciphertext = session.encrypt(&mechanism, key, secret.expose());
            let ciphertext = ciphertext.map_err(|error| {
                SealFailure::refused(format!("the token does not encrypt with its key (AES-GCM): {error}"))
            })?;
            Ok([kept.as_slice(), &ciphertext].concat())
        }))
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8], associated: &'a [u8]) -> BoxFuture<'a, Result<Secret, SealFailure>> {
        let (wrapped, associated) = (wrapped.to_vec(), associated.to_vec());
        Box::pin(self.on_a_thread(move |session, key| {
            let (nonce, ciphertext) = wrapped
                .split_first_chunk::<NONCE_BYTES>()
                .ok_or_else(|| SealFailure::refused("what is wrapped is cut off"))?;
            let mut nonce = *nonce;
            let mechanism = Mechanism::AesGcm(parameters(&mut nonce, &associated)?);
            session.decrypt(&mechanism, key, ciphertext).map(Secret::new).map_err(|error| {
                SealFailure::refused(format!("the key on the token does not open the file, or it was altered: {error}"))
            })
        }))
    }
}

fn parameters<'a>(nonce: &'a mut [u8; NONCE_BYTES], associated: &'a [u8]) -> Result<GcmParams<'a>, SealFailure> {
    GcmParams::new(nonce, associated, TAG_BITS.into()).map_err(|error| SealFailure::refused(error.to_string()))
}

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
