//! The keyring, closed as the replicated state holds it and open as a server uses it.

use std::collections::BTreeMap;

use aws_lc_rs::rand::SecureRandom;
use steeple_core::{SealedKey, Secret};
use zeroize::Zeroizing;

use super::envelope::EnvelopeKey;
use super::sealing_key::{KEY_BYTES, Purpose};
use super::{Binding, ClusterUuid, RecordType, SealError, SealingKey, TERMS_MAX};
use crate::random_bytes;

/// Wrapped keys. Public in the sense that it may be stored, sent and printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKeyring {
    /// [`SealingKey::id`] of the key that wraps the root key.
    sealing_key_id: String,
    /// Only named here: the key itself goes from member to member and never into the log.
    next: Option<NextSealingKey>,
    root: Vec<u8>,
    /// Wrapped data keys by term; the highest term seals.
    data_keys: BTreeMap<u64, Vec<u8>>,
}

/// The sealing key that is to take the place of the one in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextSealingKey {
    /// The leader makes one.
    Wanted,
    /// [`SealingKey::id`] of the one that every member is to keep.
    Offered(String),
}

/// Opened data keys.
pub struct Keyring {
    cluster: ClusterUuid,
    data_keys: BTreeMap<u64, EnvelopeKey>,
}

impl SealedKeyring {
    /// Makes a root key and the data key of term 1, once per cluster.
    pub fn create(
        sealing_key: &SealingKey,
        cluster: &ClusterUuid,
        random: &dyn SecureRandom,
    ) -> Result<Self, SealError> {
        let root = new_key(random)?;
        let mut keyring = Self {
            sealing_key_id: sealing_key.id()?,
            next: None,
            root: wrap_root(sealing_key, cluster, &root)?,
            data_keys: BTreeMap::new(),
        };
        keyring.add_data_key(&root, cluster, random)?;
        Ok(keyring)
    }

    /// Opens every data key. A wrong sealing key is told from a damaged keyring.
    pub fn open(&self, sealing_key: &SealingKey, cluster: &ClusterUuid) -> Result<Keyring, SealError> {
        let root = EnvelopeKey::new(&self.open_root(sealing_key, cluster)?)?;
        let open = |(term, wrapped): (&u64, &Vec<u8>)| {
            let data_key = root.open(data_key_binding(cluster), *term, wrapped)?;
            Ok((*term, EnvelopeKey::new(&data_key)?))
        };
        let data_keys = self.data_keys.iter().map(open).collect::<Result<_, SealError>>()?;
        Ok(Keyring { cluster: *cluster, data_keys })
    }

    /// Makes a new root key, and a data key of a new term, which seals from now on. What older terms sealed can be
    /// opened until [`Self::without_older`].
    pub fn rotate(
        &self,
        sealing_key: &SealingKey,
        cluster: &ClusterUuid,
        random: &dyn SecureRandom,
    ) -> Result<Self, SealError> {
        let (earlier, root) = (EnvelopeKey::new(&self.open_root(sealing_key, cluster)?)?, new_key(random)?);
        let now = EnvelopeKey::new(&root)?;
        let wrap_anew = |(term, wrapped): (&u64, &Vec<u8>)| {
            let data_key = earlier.open(data_key_binding(cluster), *term, wrapped)?;
            Ok((*term, now.seal(data_key_binding(cluster), *term, &data_key)?))
        };
        let mut rotated = Self {
            sealing_key_id: self.sealing_key_id.clone(),
            next: self.next.clone(),
            root: wrap_root(sealing_key, cluster, &root)?,
            data_keys: self.data_keys.iter().map(wrap_anew).collect::<Result<_, SealError>>()?,
        };
        rotated.add_data_key(&root, cluster, random)?;
        Ok(rotated)
    }

    /// Only the data key that seals is left: what an older one sealed cannot be opened any more.
    pub fn without_older(&self) -> Self {
        let mut newest = self.clone();
        while newest.data_keys.len() > 1 {
            newest.data_keys.pop_first();
        }
        newest
    }

    /// The same keys, and what is known of a sealing key to come.
    pub fn with_next(&self, next: Option<NextSealingKey>) -> Self {
        Self { next, ..self.clone() }
    }

    /// Wraps the same root key with another sealing key, which is in force from then on.
    pub fn rewrap(&self, from: &SealingKey, to: &SealingKey, cluster: &ClusterUuid) -> Result<Self, SealError> {
        let root = self.open_root(from, cluster)?;
        let root = wrap_root(to, cluster, &root)?;
        Ok(Self { sealing_key_id: to.id()?, next: None, root, data_keys: self.data_keys.clone() })
    }

    /// Which sealing key opens this keyring.
    pub fn sealing_key_id(&self) -> &str {
        &self.sealing_key_id
    }

    /// The one that is to take its place.
    pub fn next(&self) -> Option<&NextSealingKey> {
        self.next.as_ref()
    }

    /// The term of the data key that seals.
    pub fn newest_term(&self) -> u64 {
        // A keyring has at least one data key, or it could not have been made or decoded.
        self.data_keys.last_key_value().map_or(0, |(term, _)| *term)
    }

    /// The terms of the data keys, ascending.
    pub fn terms(&self) -> impl Iterator<Item = u64> {
        self.data_keys.keys().copied()
    }

    /// The stored form: version, the id of a key to come in [`FORMAT_WITH_NEXT`], id and root key, then each term with
    /// its key, all behind their lengths.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = match &self.next {
            None => vec![FORMAT_FIRST],
            Some(next) => {
                let mut bytes = vec![FORMAT_WITH_NEXT];
                put(&mut bytes, next.id().unwrap_or_default().as_bytes());
                bytes
            }
        };
        put(&mut bytes, self.sealing_key_id.as_bytes());
        put(&mut bytes, &self.root);
        for (term, data_key) in &self.data_keys {
            bytes.extend_from_slice(&term.to_be_bytes());
            put(&mut bytes, data_key);
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let (version, mut rest) = bytes.split_first().ok_or(SealError::Malformed("empty keyring"))?;
        let next = match *version {
            FORMAT_FIRST => None,
            FORMAT_WITH_NEXT => Some(NextSealingKey::parse(take(&mut rest)?)?),
            other => return Err(SealError::UnknownVersion(other)),
        };
        let sealing_key_id = String::from_utf8(take(&mut rest)?.to_vec())
            .map_err(|_| SealError::Malformed("sealing key id is not text"))?;
        let root = take(&mut rest)?.to_vec();
        let mut data_keys = BTreeMap::new();
        while !rest.is_empty() {
            let (term, after) = rest.split_first_chunk().ok_or(SealError::Malformed("short term"))?;
            rest = after;
            let term = u64::from_be_bytes(*term);
            if data_keys.last_key_value().is_some_and(|(last, _)| *last >= term) {
                return Err(SealError::Malformed("terms do not ascend"));
            }
            if data_keys.len() == TERMS_MAX {
                return Err(SealError::TooManyTerms);
            }
            data_keys.insert(term, take(&mut rest)?.to_vec());
        }
        if data_keys.is_empty() {
            return Err(SealError::Malformed("keyring without data key"));
        }
        Ok(Self { sealing_key_id, next, root, data_keys })
    }

    fn open_root(&self, sealing_key: &SealingKey, cluster: &ClusterUuid) -> Result<Secret, SealError> {
        let actual = sealing_key.id()?;
        if actual != self.sealing_key_id {
            return Err(SealError::WrongSealingKey { expected: self.sealing_key_id.clone(), actual });
        }
        let key = EnvelopeKey::new(&sealing_key.derive(Purpose::WrapRoot)?)?;
        key.open(root_binding(cluster), ROOT_TERM, &self.root).map_err(|error| match error {
            SealError::Altered { .. } => SealError::ForeignKeyring,
            other => other,
        })
    }

    fn add_data_key(
        &mut self,
        root: &Secret,
        cluster: &ClusterUuid,
        random: &dyn SecureRandom,
    ) -> Result<(), SealError> {
        if self.data_keys.len() == TERMS_MAX {
            return Err(SealError::TooManyTerms);
        }
        let last = self.data_keys.last_key_value().map_or(0, |(term, _)| *term);
        let term = last.checked_add(1).ok_or(SealError::TooManyTerms)?;
        let wrapped = EnvelopeKey::new(root)?.seal(data_key_binding(cluster), term, &new_key(random)?)?;
        self.data_keys.insert(term, wrapped);
        Ok(())
    }
}

impl NextSealingKey {
    /// `None` before there is one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Wanted => None,
            Self::Offered(id) => Some(id),
        }
    }

    fn parse(id: &[u8]) -> Result<Self, SealError> {
        match std::str::from_utf8(id) {
            Ok("") => Ok(Self::Wanted),
            Ok(id) if SealingKey::is_id(id) => Ok(Self::Offered(id.to_owned())),
            _ => Err(SealError::Malformed("id of the next sealing key")),
        }
    }
}

impl Keyring {
    /// Seals a private key with the newest data key.
    pub fn seal(&self, record: RecordType, key_id: &str, secret: &Secret) -> Result<SealedKey, SealError> {
        // A keyring has at least one data key, or it could not have been made or decoded.
        let (term, data_key) = self.data_keys.last_key_value().ok_or(SealError::UnknownTerm { term: 0 })?;
        let ciphertext = data_key.seal(self.binding(record, key_id), *term, secret)?;
        Ok(SealedKey { keyring_term: *term, ciphertext })
    }

    /// Opens what was sealed for the same record and id in this cluster.
    pub fn open(&self, record: RecordType, key_id: &str, sealed: &SealedKey) -> Result<Secret, SealError> {
        let term = sealed.keyring_term;
        let data_key = self.data_keys.get(&term).ok_or(SealError::UnknownTerm { term })?;
        data_key.open(self.binding(record, key_id), term, &sealed.ciphertext)
    }

    fn binding<'a>(&'a self, record: RecordType, key_id: &'a str) -> Binding<'a> {
        Binding { cluster: &self.cluster, record, key_id }
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring(terms {:?})", self.data_keys.keys())
    }
}

fn wrap_root(sealing_key: &SealingKey, cluster: &ClusterUuid, root: &Secret) -> Result<Vec<u8>, SealError> {
    let key = EnvelopeKey::new(&sealing_key.derive(Purpose::WrapRoot)?)?;
    key.seal(root_binding(cluster), ROOT_TERM, root)
}

fn root_binding(cluster: &ClusterUuid) -> Binding<'_> {
    Binding { cluster, record: RecordType::RootKey, key_id: "" }
}

fn data_key_binding(cluster: &ClusterUuid) -> Binding<'_> {
    Binding { cluster, record: RecordType::DataKey, key_id: "" }
}

fn new_key(random: &dyn SecureRandom) -> Result<Secret, SealError> {
    let bytes = Zeroizing::new(random_bytes::<KEY_BYTES>(random)?);
    Ok(Secret::new(bytes.to_vec()))
}

/// Fields are far shorter than their length prefix allows.
fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    debug_assert!(u16::try_from(field.len()).is_ok());
    bytes.extend_from_slice(&(field.len() as u16).to_be_bytes());
    bytes.extend_from_slice(field);
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], SealError> {
    let short = SealError::Malformed("keyring is cut off");
    let (len, after) = rest.split_first_chunk().ok_or(short.clone())?;
    let (field, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(short)?;
    *rest = after;
    Ok(field)
}

const FORMAT_FIRST: u8 = 1;
/// While a sealing key is to come; releases before cluster version 5 cannot read it.
const FORMAT_WITH_NEXT: u8 = 2;
/// The root key has no terms of its own: it is replaced together with the keyring.
const ROOT_TERM: u64 = 0;
