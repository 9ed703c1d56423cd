//! What of the replicated state is sealed under which data key, and what is to be done about it: pure, so that a new
//! leader goes on where the last one was.

use steeple_ca::seal::{NextSealingKey, SealError, SealedKeyring};
use steeple_core::{AuthorityId, AuthorityKind};
use steeple_state::{State, WebKey};

use crate::peer::{AuthorityError, PeerCaContent};

/// Where private keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Authority { kind: AuthorityKind, id: AuthorityId },
    PeerCa,
    Web(WebKey),
}

/// The next command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// What lies here is sealed under an older data key than the newest.
    Reseal(Place),
    /// Nothing is.
    DropOlder,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub sealing_key_id: String,
    /// To take the place of that one.
    pub next_sealing_key: Option<NextSealingKey>,
    /// Of the data key that seals.
    pub term: u64,
    /// Of all data keys, ascending.
    pub terms: Vec<u64>,
    /// Each private key, and the term that it is sealed in.
    pub private_keys: Vec<(Place, u64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    #[error("the cluster has no keyring yet: it is initializing")]
    NoKeyring,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    PeerCa(#[from] AuthorityError),
}

impl Standing {
    pub fn of(state: &State) -> Result<Self, StandingError> {
        let keyring = SealedKeyring::decode(&state.keyring().ok_or(StandingError::NoKeyring)?.content)?;
        let mut private_keys = Vec::new();
        for kind in AuthorityKind::ALL {
            let set = state.authorities(kind);
            let with_key = [&set.active, &set.next].into_iter().flatten();
            private_keys.extend(
                with_key
                    .filter(|authority| !authority.key.ciphertext.is_empty())
                    .map(|authority| (Place::Authority { kind, id: authority.id.clone() }, authority.key.keyring_term)),
            );
        }
        if let Some(sealed) = state.peer_ca() {
            let content = PeerCaContent::decode(&sealed.content)?;
            private_keys.extend(content.keyring_terms().map(|term| (Place::PeerCa, term)));
        }
        private_keys.extend(state.web_keys().map(|(name, key)| (Place::Web(name), key.keyring_term)));
        Ok(Self {
            sealing_key_id: keyring.sealing_key_id().to_owned(),
            next_sealing_key: keyring.next().cloned(),
            term: keyring.newest_term(),
            terms: keyring.terms().collect(),
            private_keys,
        })
    }

    /// Nothing is left of an earlier rotation.
    pub fn is_settled(&self) -> bool {
        self.next().is_none()
    }

    pub fn next(&self) -> Option<Step> {
        let older = self.private_keys.iter().find(|(_, term)| *term < self.term);
        match older {
            Some((place, _)) => Some(Step::Reseal(place.clone())),
            None if self.terms.len() > 1 => Some(Step::DropOlder),
            None => None,
        }
    }

    pub fn sealed_in_term(&self) -> usize {
        self.private_keys.iter().filter(|(_, term)| *term == self.term).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(terms: &[u64], private_keys: &[u64]) -> Standing {
        Standing {
            sealing_key_id: String::new(),
            next_sealing_key: None,
            term: *terms.last().unwrap(),
            terms: terms.to_vec(),
            private_keys: private_keys.iter().map(|term| (Place::PeerCa, *term)).collect(),
        }
    }

    #[test]
    fn the_old_data_key_goes_when_nothing_lies_under_it() {
        assert_eq!(standing(&[1], &[1, 1]).next(), None);
        assert_eq!(standing(&[1, 2], &[2, 1]).next(), Some(Step::Reseal(Place::PeerCa)));
        assert_eq!(standing(&[1, 2], &[2, 1]).sealed_in_term(), 1);
        assert_eq!(standing(&[1, 2], &[2, 2]).next(), Some(Step::DropOlder));
        assert!(standing(&[2], &[2, 2]).is_settled());
    }
}
