//! Records that come from another server with all that they were there: ids, revisions, serials, bans. What becomes of
//! each is decided here, for a dry run and for `apply` alike.

use std::sync::Arc;

use steeple_core::{AttestedAgent, Bundle, Entry, FederationRelationship, JoinToken};

use crate::join_token::{AGENT_PATH_PREFIX, UsedTokens};
use crate::{Rejection, State, validate};

/// One record of another server's store.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportRecord {
    Agent(Box<AttestedAgent>),
    /// The own one is added to what is here; one of another trust domain is written whole.
    Bundle(Arc<Bundle>),
    Entry(Arc<Entry>),
    JoinToken(JoinToken),
    Relationship(FederationRelationship),
}

/// What became of a record, or would become of it. When one record of a command is in conflict, none is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportResult {
    Created,
    /// It is here already, as it was there.
    Unchanged,
    /// What is here is later than what comes, and stays: why.
    Kept(String),
    /// Something else is here under the same id: what differs.
    Conflict(String),
    /// No server may hold this: why.
    Refused(String),
}

impl ImportResult {
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

impl State {
    /// What [`crate::CommandKind::Import`] would make of `record` now. Bundles that an entry federates with are looked
    /// for only when it is applied: a dry run has not brought them.
    pub fn import_result(&self, record: &ImportRecord) -> ImportResult {
        self.import_result_beside(record, &self.used_tokens(std::slice::from_ref(record)))
    }

    /// `used` is known for all records of one command: to look through all agents for each would take long.
    pub(crate) fn import_result_beside(&self, record: &ImportRecord, used: &UsedTokens) -> ImportResult {
        let judged = match record {
            ImportRecord::Agent(agent) => self.import_agent(agent),
            ImportRecord::Bundle(bundle) => self.import_bundle(bundle),
            ImportRecord::Entry(entry) => self.import_entry(entry),
            ImportRecord::JoinToken(token) => self.import_join_token(token, used),
            ImportRecord::Relationship(relationship) => self.import_relationship(relationship),
        };
        judged.unwrap_or_else(|rejection| ImportResult::Refused(rejection.message))
    }

    fn import_entry(&self, entry: &Entry) -> Result<ImportResult, Rejection> {
        let trust_domain = self.trust_domain().ok_or_else(Rejection::uninitialised)?;
        let Some(stored) = self.entry(&entry.id) else {
            validate::convertible(entry, crate::EntryMask::ALL, trust_domain)?;
            validate::creatable(entry)?;
            return Ok(ImportResult::Created);
        };
        let differing = differing_fields(stored, entry);
        Ok(if differing.is_empty() {
            ImportResult::Unchanged
        } else if stored.created_at == entry.created_at && stored.revision > entry.revision {
            ImportResult::Kept(format!("it was updated here since: revision {}", stored.revision))
        } else {
            ImportResult::Conflict(format!("another entry has this id here: other {}", differing.join(", ")))
        })
    }

    fn import_agent(&self, agent: &AttestedAgent) -> Result<ImportResult, Rejection> {
        let trust_domain = self.trust_domain().ok_or_else(Rejection::uninitialised)?;
        validate::agent_id(&agent.id, trust_domain).map_err(|error| Rejection::invalid(error.to_string()))?;
        let Some(stored) = self.agent(&agent.id) else { return Ok(ImportResult::Created) };
        let version_apart = AttestedAgent { agent_version: agent.agent_version.clone(), ..(**stored).clone() };
        let promoted = !agent.new_serial.is_empty() && stored.serial == agent.new_serial;
        Ok(if **stored == *agent {
            ImportResult::Unchanged
        } else if stored.is_banned() {
            ImportResult::Kept("it is banned here".to_owned())
        } else if agent.is_banned() {
            ImportResult::Conflict("it is banned there and not here: ban it here, or evict it there".to_owned())
        } else if version_apart == *agent {
            ImportResult::Kept("it reported another version here".to_owned())
        } else if promoted || expires_last(stored) > expires_last(agent) {
            ImportResult::Kept("it has attested or renewed here since".to_owned())
        } else {
            ImportResult::Conflict("another agent has this SPIFFE ID here, with a certificate of its own".to_owned())
        })
    }

    fn import_join_token(&self, token: &JoinToken, used: &UsedTokens) -> Result<ImportResult, Rejection> {
        let trust_domain = self.trust_domain().ok_or_else(Rejection::uninitialised)?;
        if token.value.is_empty() {
            return Err(Rejection::invalid("the token is empty"));
        }
        // A token works once, wherever it was used.
        let was_used = if self.is_digest(&token.value) {
            used.has(&token.value)
        } else {
            let agent = trust_domain.member(&format!("{AGENT_PATH_PREFIX}{}", token.value));
            let unfit = |error| Rejection::invalid(format!("the token cannot be part of an ID: {error}"));
            self.agent(&agent.map_err(unfit)?).is_some()
        };
        Ok(match self.join_tokens.get(&self.held_name(&token.value)) {
            _ if was_used => ImportResult::Kept("it has been used".to_owned()),
            Some(expires_at) if *expires_at == token.expires_at => ImportResult::Unchanged,
            Some(_) => ImportResult::Conflict("the same token is here with another expiry".to_owned()),
            None if token.expires_at < self.now().as_secs() => ImportResult::Refused("it has expired".to_owned()),
            None => ImportResult::Created,
        })
    }

    fn import_bundle(&self, bundle: &Arc<Bundle>) -> Result<ImportResult, Rejection> {
        let trust_domain = self.trust_domain().ok_or_else(Rejection::uninitialised)?;
        let stored = self.bundle(&bundle.trust_domain);
        if bundle.trust_domain == *trust_domain {
            return Ok(match merged_bundle(stored.map(|stored| &**stored), bundle) {
                Err(key_id) => ImportResult::Conflict(format!("another JWT authority has key ID \"{key_id}\" here")),
                Ok(merged) if stored.is_some_and(|stored| **stored == merged) => ImportResult::Unchanged,
                Ok(_) => ImportResult::Created,
            });
        }
        Ok(match stored {
            None => ImportResult::Created,
            Some(stored) if stored == bundle => ImportResult::Unchanged,
            Some(stored) if stored.sequence > bundle.sequence => {
                ImportResult::Kept(format!("a later one is here: sequence {}", stored.sequence))
            }
            Some(_) => ImportResult::Conflict("another bundle is here".to_owned()),
        })
    }

    fn import_relationship(&self, wanted: &FederationRelationship) -> Result<ImportResult, Rejection> {
        if self.trust_domain().ok_or_else(Rejection::uninitialised)? == &wanted.trust_domain {
            return Err(Rejection::invalid("a trust domain does not federate with itself"));
        }
        Ok(match self.relationships.get(&wanted.trust_domain) {
            None => ImportResult::Created,
            Some(stored) if stored == wanted => ImportResult::Unchanged,
            Some(_) => ImportResult::Conflict("a relationship with another endpoint is here".to_owned()),
        })
    }
}

/// The own bundle with what it lacks of `incoming`; what is tainted there is tainted here. Fails with the id of a JWT
/// key that stands for two keys. The sequence passes both when anything changes.
pub(crate) fn merged_bundle(stored: Option<&Bundle>, incoming: &Bundle) -> Result<Bundle, String> {
    let Some(stored) = stored else { return Ok(incoming.clone()) };
    let mut merged = stored.clone();
    for root in &incoming.x509_authorities {
        match merged.x509_authorities.iter_mut().find(|known| known.der == root.der) {
            Some(known) => known.tainted |= root.tainted,
            None => merged.x509_authorities.push(root.clone()),
        }
    }
    for key in &incoming.jwt_authorities {
        match merged.jwt_authorities.iter_mut().find(|known| known.key_id == key.key_id) {
            Some(known) if known.public_key != key.public_key => return Err(key.key_id.clone()),
            Some(known) => known.tainted |= key.tainted,
            None => merged.jwt_authorities.push(key.clone()),
        }
    }
    if merged.refresh_hint == 0 {
        merged.refresh_hint = incoming.refresh_hint;
    }
    if merged != *stored {
        merged.sequence = stored.sequence.max(incoming.sequence).saturating_add(1);
    }
    Ok(merged)
}

/// When the last certificate that the agent was given ends, in Unix seconds.
fn expires_last(agent: &AttestedAgent) -> i64 {
    agent.not_after.max(agent.new_not_after)
}

fn differing_fields(stored: &Entry, wanted: &Entry) -> Vec<&'static str> {
    let attributes = |entry: &Entry| (entry.disable_x509_svid_prefetch, entry.jwt_svid_include_jti);
    let fields = [
        ("SPIFFE ID", stored.spiffe_id != wanted.spiffe_id),
        ("parent ID", stored.parent_id != wanted.parent_id),
        ("selectors", stored.selectors != wanted.selectors),
        ("X509-SVID TTL", stored.x509_svid_ttl != wanted.x509_svid_ttl),
        ("JWT-SVID TTL", stored.jwt_svid_ttl != wanted.jwt_svid_ttl),
        ("federated trust domains", stored.federates_with != validate::sorted(&wanted.federates_with)),
        ("admin flag", stored.admin != wanted.admin),
        ("downstream flag", stored.downstream != wanted.downstream),
        ("expiry", stored.expires_at != wanted.expires_at),
        ("DNS names", stored.dns_names != wanted.dns_names),
        ("revision", stored.revision != wanted.revision),
        ("store flag", stored.store_svid != wanted.store_svid),
        ("hint", stored.hint != wanted.hint),
        ("time of creation", stored.created_at != wanted.created_at),
        ("attributes", attributes(stored) != attributes(wanted)),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
