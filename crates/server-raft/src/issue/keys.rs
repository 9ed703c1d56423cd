//! The private keys of the active authorities, opened on first use and dropped when the authority changes.

use std::sync::Arc;

use parking_lot::Mutex;
use steeple_ca::seal::{Keyring, SealError, SealedKeyring};
use steeple_ca::{CaIssuer, IssueError, JwtIssuer, SigningKey};
use steeple_core::{Authority, AuthorityId, AuthorityKind, Secret};
use steeple_state::State;

use crate::seal::{KeyInUse, ServerSealed};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("the server has no active {} authority yet: it is initializing", kind_name(*.0))]
    NoAuthority(AuthorityKind),
    #[error("the cluster has no keyring yet: it is initializing")]
    NoKeyring,
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("private key of authority {id} cannot be used: {reason}")]
    Key { id: AuthorityId, reason: String },
}

/// Opens what `state` holds sealed. One per replica; only a replica that may sign calls it.
pub struct AuthorityKeys {
    sealing_key: KeyInUse,
    jwt_issuer: Option<String>,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    keyring: Option<(u64, Arc<Keyring>)>,
    x509: Option<(AuthorityId, Arc<CaIssuer>)>,
    jwt: Option<(AuthorityId, Arc<JwtIssuer>)>,
}

impl AuthorityKeys {
    pub fn new(sealing_key: KeyInUse, jwt_issuer: Option<String>) -> Self {
        Self { sealing_key, jwt_issuer, opened: Mutex::default() }
    }

    /// The keyring of the cluster, for sealing new keys.
    pub fn keyring(&self, state: &State) -> Result<Arc<Keyring>, KeysError> {
        self.keyring_locked(&mut self.opened.lock(), state)
    }

    pub fn x509(&self, state: &State) -> Result<(AuthorityId, Arc<CaIssuer>), KeysError> {
        let kind = AuthorityKind::X509;
        let authority = state.active_authority(kind).ok_or(KeysError::NoAuthority(kind))?;
        let mut opened = self.opened.lock();
        if let Some((id, issuer)) = &opened.x509
            && *id == authority.id
        {
            return Ok((id.clone(), Arc::clone(issuer)));
        }
        let key = self.open(&mut opened, state, authority)?;
        let issuer = Arc::new(CaIssuer::from_authority(authority, key)?);
        opened.x509 = Some((authority.id.clone(), Arc::clone(&issuer)));
        Ok((authority.id.clone(), issuer))
    }

    pub fn jwt(&self, state: &State) -> Result<(AuthorityId, Arc<JwtIssuer>), KeysError> {
        let kind = AuthorityKind::Jwt;
        let authority = state.active_authority(kind).ok_or(KeysError::NoAuthority(kind))?;
        let mut opened = self.opened.lock();
        if let Some((id, issuer)) = &opened.jwt
            && *id == authority.id
        {
            return Ok((id.clone(), Arc::clone(issuer)));
        }
        let key = self.open(&mut opened, state, authority)?;
        let issuer = Arc::new(JwtIssuer::new(key, &authority.id, authority.not_after, self.jwt_issuer.clone()));
        opened.jwt = Some((authority.id.clone(), Arc::clone(&issuer)));
        Ok((authority.id.clone(), issuer))
    }

    /// Drops every opened key: a replica that no longer leads holds none.
    pub fn forget(&self) {
        *self.opened.lock() = Opened::default();
    }

    fn open(&self, opened: &mut Opened, state: &State, authority: &Authority) -> Result<SigningKey, KeysError> {
        let keyring = self.keyring_locked(opened, state)?;
        let pkcs8: Secret = keyring.open(authority.kind.into(), &authority.id, &authority.key)?;
        SigningKey::from_pkcs8(&pkcs8)
            .map_err(|error| KeysError::Key { id: authority.id.clone(), reason: error.to_string() })
    }

    fn keyring_locked(&self, opened: &mut Opened, state: &State) -> Result<Arc<Keyring>, KeysError> {
        let (Some(stored), Some(cluster)) = (state.keyring(), state.cluster()) else {
            return Err(KeysError::NoKeyring);
        };
        if let Some((revision, keyring)) = &opened.keyring
            && *revision == stored.revision
        {
            return Ok(Arc::clone(keyring));
        }
        let keyring =
            Arc::new(SealedKeyring::decode(&stored.content)?.open(self.sealing_key.get()?.as_ref(), &cluster.uuid)?);
        opened.keyring = Some((stored.revision, Arc::clone(&keyring)));
        Ok(keyring)
    }
}

fn kind_name(kind: AuthorityKind) -> &'static str {
    match kind {
        AuthorityKind::Jwt => "JWT",
        AuthorityKind::X509 => "X.509",
    }
}
