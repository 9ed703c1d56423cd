//! The private keys of the active authorities, opened on first use and dropped when the authority changes.

use std::sync::Arc;

use parking_lot::Mutex;
use steeple_ca::seal::{Keyring, SealError, SealedKeyring};
use steeple_ca::{CaIssuer, IssueError, JwtIssuer, SigningKey, WitIssuer};
use steeple_core::{Authority, AuthorityId, AuthorityKind, Secret};
use steeple_state::State;

use crate::seal::{KeyInUse, ServerSealed};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("the server has no active {} authority yet: it is initializing", .0.profile())]
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
    token_issuers: TokenIssuers,
    opened: Mutex<Opened>,
}

/// The `iss` claims of tokens: `jwt_issuer` and `wit_issuer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIssuers {
    pub jwt: Option<String>,
    pub wit: Option<String>,
}

#[derive(Default)]
struct Opened {
    keyring: Option<(u64, Arc<Keyring>)>,
    x509: Slot<CaIssuer>,
    jwt: Slot<JwtIssuer>,
    wit: Slot<WitIssuer>,
}

/// The authority that was active last, and what signs with its key.
type Slot<T> = Option<(AuthorityId, Arc<T>)>;

impl AuthorityKeys {
    pub fn new(sealing_key: KeyInUse, token_issuers: TokenIssuers) -> Self {
        Self { sealing_key, token_issuers, opened: Mutex::default() }
    }

    /// The keyring of the cluster, for sealing new keys.
    pub fn keyring(&self, state: &State) -> Result<Arc<Keyring>, KeysError> {
        self.keyring_locked(&mut self.opened.lock(), state)
    }

    pub fn x509(&self, state: &State) -> Result<(AuthorityId, Arc<CaIssuer>), KeysError> {
        self.issuer(state, AuthorityKind::X509, |opened| &mut opened.x509, CaIssuer::from_authority)
    }

    pub fn jwt(&self, state: &State) -> Result<(AuthorityId, Arc<JwtIssuer>), KeysError> {
        let iss = self.token_issuers.jwt.clone();
        let make = |authority: &Authority, key| Ok(JwtIssuer::new(key, &authority.id, authority.not_after, iss));
        self.issuer(state, AuthorityKind::Jwt, |opened| &mut opened.jwt, make)
    }

    pub fn wit(&self, state: &State) -> Result<(AuthorityId, Arc<WitIssuer>), KeysError> {
        let iss = self.token_issuers.wit.clone();
        let make = |authority: &Authority, key| Ok(WitIssuer::new(key, &authority.id, authority.not_after, iss));
        self.issuer(state, AuthorityKind::Wit, |opened| &mut opened.wit, make)
    }

    /// Drops every opened key: a replica that no longer leads holds none.
    pub fn forget(&self) {
        *self.opened.lock() = Opened::default();
    }

    /// What signs for the active authority of `kind`, from its place among the opened ones, or made and put there.
    fn issuer<T>(
        &self,
        state: &State,
        kind: AuthorityKind,
        place: fn(&mut Opened) -> &mut Slot<T>,
        make: impl FnOnce(&Authority, SigningKey) -> Result<T, IssueError>,
    ) -> Result<(AuthorityId, Arc<T>), KeysError> {
        let authority = state.active_authority(kind).ok_or(KeysError::NoAuthority(kind))?;
        let mut opened = self.opened.lock();
        if let Some((id, issuer)) = place(&mut opened)
            && *id == authority.id
        {
            return Ok((id.clone(), Arc::clone(issuer)));
        }
        let key = self.open(&mut opened, state, authority)?;
        let issuer = Arc::new(make(authority, key)?);
        *place(&mut opened) = Some((authority.id.clone(), Arc::clone(&issuer)));
        Ok((authority.id.clone(), issuer))
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
        let key = self.sealing_key.of(state)?;
        let keyring = Arc::new(SealedKeyring::decode(&stored.content)?.open(&key, &cluster.uuid)?);
        opened.keyring = Some((stored.revision, Arc::clone(&keyring)));
        Ok(keyring)
    }
}
