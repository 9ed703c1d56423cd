//! Signing authorities: the journals say which there are, the key files hold what they sign with.
//!
//! Each old server has an authority of its own, and here one signs. The one that lasts longest is taken, with the one
//! that is prepared to follow it. The roots of all of them are in the bundle, so that what they signed verifies.

use prost::Message as _;
use steeple_ca::certificate;
use steeple_core::{Authority, AuthorityKind, AuthorityStatus, SealedKey, Secret, Timestamp};

use super::{Noun, Plan};
use crate::wire::{self, STATUS_ACTIVE, STATUS_PREPARED};
use crate::{Database, KeyFile, StoredKey};

/// An authority with its private key, which only the server may keep, and sealed.
#[derive(Debug)]
pub struct ImportedAuthority {
    /// `Active` or `Prepared`; its `key` is empty.
    pub authority: Authority,
    pub pkcs8: Secret,
}

/// One entry of a journal, whatever its kind.
struct Candidate {
    /// Which server's.
    journal: i64,
    authority: Authority,
}

pub(super) fn read(database: &Database, key_files: &[KeyFile], now: Timestamp, plan: &mut Plan) {
    let mut candidates = Vec::new();
    for row in &database.journals {
        match wire::Journal::decode(row.data.as_slice()) {
            Ok(journal) => candidates.extend(of_journal(row.row, &journal, plan)),
            Err(_) => plan.leave(Noun::Authority, format!("journal {}", row.row), "its content is damaged"),
        }
    }
    candidates.retain(|candidate| candidate.authority.not_after > now);
    for kind in [AuthorityKind::X509, AuthorityKind::Jwt] {
        let of_kind: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.authority.kind == kind).collect();
        choose(kind, &of_kind, key_files, plan);
    }
}

fn choose(kind: AuthorityKind, candidates: &[&Candidate], key_files: &[KeyFile], plan: &mut Plan) {
    let key = |candidate: &Candidate| {
        let mut keys = key_files.iter().flat_map(|file| &file.keys);
        keys.find(|key| key.public_key == candidate.authority.public_key)
    };
    let status = |status| move |candidate: &&&Candidate| candidate.authority.status == status;
    let active = candidates.iter().filter(status(AuthorityStatus::Active)).filter(|candidate| key(candidate).is_some());
    let active = active.max_by_key(|candidate| candidate.authority.not_after);
    for candidate in candidates.iter().filter(status(AuthorityStatus::Active)) {
        if key(candidate).is_none() {
            plan.leave(Noun::Authority, describe(&candidate.authority), "its private key is in no file given by -keys");
        } else if Some(candidate.authority.id.as_str()) != active.map(|active| active.authority.id.as_str()) {
            plan.leave(
                Noun::Authority,
                describe(&candidate.authority),
                "another one signs: it verifies, as its root stays",
            );
        }
    }
    let Some(active) = active else {
        plan.notes.push(format!(
            "no {} signing key comes along: agents and verifiers must know this server's own authority before the \
             switch (docs/migration.md, \"Keys that cannot be read\")",
            kind.profile()
        ));
        return;
    };
    let next = candidates.iter().filter(status(AuthorityStatus::Prepared));
    let next = next.filter(|candidate| candidate.journal == active.journal).max_by_key(|next| next.authority.issued_at);
    for chosen in [Some(active), next].into_iter().flatten() {
        if let Some(key) = key(chosen) {
            plan.authorities.push(imported(&chosen.authority, key));
        }
    }
}

fn imported(authority: &Authority, key: &StoredKey) -> ImportedAuthority {
    let authority = Authority { key_type: key.key_type, ..authority.clone() };
    ImportedAuthority { authority, pkcs8: key.pkcs8.duplicate() }
}

fn of_journal(row: i64, journal: &wire::Journal, plan: &mut Plan) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for record in &journal.x509_cas {
        let Some(status) = status(record.status) else { continue };
        match x509(record, status) {
            Some(authority) => candidates.push(Candidate { journal: row, authority }),
            None => plan.leave(Noun::Authority, format!("journal {row}"), "an X.509 authority without a certificate"),
        }
    }
    for record in &journal.jwt_keys {
        let Some(status) = status(record.status) else { continue };
        candidates.push(Candidate { journal: row, authority: jwt(record, status) });
    }
    candidates
}

/// `None` for what does not sign any more.
fn status(number: i32) -> Option<AuthorityStatus> {
    match number {
        STATUS_ACTIVE => Some(AuthorityStatus::Active),
        STATUS_PREPARED => Some(AuthorityStatus::Prepared),
        _ => None,
    }
}

fn x509(record: &wire::JournalX509Ca, status: AuthorityStatus) -> Option<Authority> {
    let facts = certificate::facts(&record.certificate)?;
    let chain = record.upstream_chain.iter().filter(|der| **der != record.certificate);
    Some(Authority {
        id: hex::encode(facts.subject_key_id?),
        kind: AuthorityKind::X509,
        not_after: facts.not_after,
        certificate: record.certificate.clone(),
        upstream_chain: chain.cloned().collect(),
        upstream_authority_id: record.upstream_authority_id.clone(),
        public_key: facts.public_key,
        ..blank(status, record.issued_at)
    })
}

fn jwt(record: &wire::JournalJwtKey, status: AuthorityStatus) -> Authority {
    Authority {
        id: record.kid.clone(),
        kind: AuthorityKind::Jwt,
        not_after: Timestamp::from_secs(record.not_after),
        public_key: record.public_key.clone(),
        ..blank(status, record.issued_at)
    }
}

fn blank(status: AuthorityStatus, issued_at: i64) -> Authority {
    Authority {
        id: String::new(),
        kind: AuthorityKind::X509,
        status,
        key_type: Default::default(),
        issued_at: Timestamp::from_secs(issued_at),
        not_after: Timestamp::default(),
        certificate: Vec::new(),
        upstream_chain: Vec::new(),
        upstream_authority_id: String::new(),
        public_key: Vec::new(),
        key: SealedKey { keyring_term: 0, ciphertext: Vec::new() },
        restored: false,
    }
}

fn describe(authority: &Authority) -> String {
    format!("{} {}", authority.kind.name(), authority.id)
}
