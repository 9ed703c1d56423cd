//! An agent's set by reference, and its hash.

use aws_lc_rs::digest::{Context, SHA256};
use steeple_core::{Bundle, TrustDomain};

/// SHA-256.
pub const HASH_BYTES: usize = 32;
/// Stands for a set: see [`set_hash`].
pub type SetHash = [u8; HASH_BYTES];
/// Stands for a bundle: see [`bundle_digest`].
pub type BundleDigest = [u8; HASH_BYTES];

/// Tells one state of an entry from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryVersion {
    pub revision: i64,
    /// Unix seconds; tells a deleted and recreated entry from the old one.
    pub created_at: i64,
}

/// Everything that an agent may see, or holds.
pub trait AgentSet {
    /// By ascending id, each once.
    fn entries(&self) -> impl Iterator<Item = (&str, EntryVersion)>;

    /// By ascending name, each once.
    fn bundles(&self) -> impl Iterator<Item = (&TrustDomain, BundleDigest)>;
}

/// SHA-256 over the number of entries, then of each its id, revision and time of creation, then of each bundle its
/// trust domain's name and digest. Texts come with their length before them; numbers have eight bytes, the highest
/// first.
pub fn set_hash(set: &impl AgentSet) -> SetHash {
    let mut hash = Context::new(&SHA256);
    hash.update(&(set.entries().count() as u64).to_be_bytes());
    for (id, version) in set.entries() {
        text(&mut hash, id.as_bytes());
        hash.update(&version.revision.to_be_bytes());
        hash.update(&version.created_at.to_be_bytes());
    }
    for (trust_domain, digest) in set.bundles() {
        text(&mut hash, trust_domain.name().as_bytes());
        hash.update(&digest);
    }
    bytes(hash)
}

/// SHA-256 over everything that the bundle says, in the form of [`set_hash`]. Without keys for WIT-SVIDs: agents keep
/// none.
pub fn bundle_digest(bundle: &Bundle) -> BundleDigest {
    let mut hash = Context::new(&SHA256);
    text(&mut hash, bundle.trust_domain.name().as_bytes());
    hash.update(&bundle.sequence.to_be_bytes());
    hash.update(&bundle.refresh_hint.to_be_bytes());
    hash.update(&(bundle.x509_authorities.len() as u64).to_be_bytes());
    for root in &bundle.x509_authorities {
        text(&mut hash, &root.der);
        hash.update(&[u8::from(root.tainted)]);
    }
    hash.update(&(bundle.jwt_authorities.len() as u64).to_be_bytes());
    for key in &bundle.jwt_authorities {
        text(&mut hash, key.key_id.as_bytes());
        text(&mut hash, &key.public_key);
        hash.update(&key.expires_at.to_be_bytes());
        hash.update(&[u8::from(key.tainted)]);
    }
    bytes(hash)
}

fn text(hash: &mut Context, text: &[u8]) {
    hash.update(&(text.len() as u64).to_be_bytes());
    hash.update(text);
}

fn bytes(hash: Context) -> [u8; HASH_BYTES] {
    // SHA-256 has that many bytes; a wrong hash would be noticed as one.
    hash.finish().as_ref().try_into().unwrap_or([0; HASH_BYTES])
}
