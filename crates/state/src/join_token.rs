//! How commands and rows name a join token: from a cluster version on by a digest, from which nobody who reads the log,
//! the store or a backup learns the token. docs/adr/0045-join-tokens-as-digests.md.
//!
//! A token that was stored before keeps its form until it is used or pruned.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use steeple_core::TrustDomain;

use crate::{CLUSTER_VERSION_TOKEN_DIGESTS, CommandKind, ImportRecord, State};

/// `sha256:` and 64 hexadecimal digits. The trust domain is in it, so that what one cluster holds says nothing about
/// the tokens of another.
pub fn join_token_digest(trust_domain: &TrustDomain, token: &str) -> String {
    // No name has a zero byte in it: neither half can pass for a part of the other.
    let parts = [DOMAIN, trust_domain.name().as_bytes(), b"\0", token.as_bytes()];
    let digest = parts.into_iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    digest.iter().fold(PREFIX.to_owned(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl State {
    /// How a command names `token`, in whatever form a client shows it.
    pub fn join_token_name(&self, token: &str) -> String {
        match self.trust_domain() {
            Some(trust_domain) if self.names_by_digest() && !token.is_empty() && !self.holds_readable(token) => {
                join_token_digest(trust_domain, token)
            }
            _ => token.to_owned(),
        }
    }

    /// Under which name the token is held, or would be, that a command names so. A command may be older than the
    /// cluster version under which it is applied: the log had it on its way.
    pub(crate) fn held_name(&self, named: &str) -> String {
        if self.is_digest(named) { named.to_owned() } else { self.join_token_name(named) }
    }

    /// Whether a command that names a token so names it by its digest.
    pub(crate) fn is_digest(&self, named: &str) -> bool {
        self.names_by_digest() && has_form_of_digest(named)
    }

    /// Tokens that were used, if a record asks for them: they stand in their agents' IDs, here and among `records`.
    pub(crate) fn used_tokens(&self, records: &[ImportRecord]) -> UsedTokens {
        let asks = |record: &ImportRecord| matches!(record, ImportRecord::JoinToken(it) if self.is_digest(&it.value));
        let Some(trust_domain) = self.trust_domain().filter(|_| records.iter().any(asks)) else {
            return UsedTokens::default();
        };
        let brought = records.iter().filter_map(|record| match record {
            ImportRecord::Agent(agent) => Some(&agent.id),
            _ => None,
        });
        let ids = self.agents.rows().map(|row| &row.agent.id).chain(brought);
        let tokens = ids.filter_map(|id| id.path().strip_prefix(AGENT_PATH_PREFIX));
        UsedTokens(tokens.map(|token| join_token_digest(trust_domain, token)).collect())
    }

    fn names_by_digest(&self) -> bool {
        self.cluster_version() >= CLUSTER_VERSION_TOKEN_DIGESTS
    }

    /// From before. Who knows only a digest does not get in with it.
    fn holds_readable(&self, token: &str) -> bool {
        !has_form_of_digest(token) && self.join_tokens.contains_key(token)
    }
}

impl CommandKind {
    /// The same command with join tokens named as `state` names them: what may go into the log.
    pub fn naming_join_tokens(self, state: &State) -> Self {
        match self {
            Self::AttestAgent(mut attestation) => {
                attestation.join_token = attestation.join_token.map(|token| state.join_token_name(&token));
                Self::AttestAgent(attestation)
            }
            Self::CreateJoinToken { mut token, alias } => {
                token.value = state.join_token_name(&token.value);
                Self::CreateJoinToken { token, alias }
            }
            Self::Import { mut records } => {
                for record in &mut records {
                    if let ImportRecord::JoinToken(token) = record
                        && can_attest(state, &token.value)
                    {
                        token.value = state.join_token_name(&token.value);
                    }
                }
                Self::Import { records }
            }
            other => other,
        }
    }
}

/// Digests of tokens that let an agent in.
#[derive(Default)]
pub(crate) struct UsedTokens(BTreeSet<String>);

impl UsedTokens {
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.0.contains(digest)
    }
}

/// What becomes no agent's ID lets nobody in; an import refuses it by what it is.
fn can_attest(state: &State, token: &str) -> bool {
    let of_agent = |trust_domain: &TrustDomain| trust_domain.member(&format!("{AGENT_PATH_PREFIX}{token}")).is_ok();
    state.trust_domain().is_some_and(of_agent)
}

fn has_form_of_digest(named: &str) -> bool {
    let digits = named.strip_prefix(PREFIX).map(str::as_bytes);
    digits.is_some_and(|digits| digits.len() == 64 && digits.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')))
}

/// Of the IDs of agents that came by a join token.
pub(crate) const AGENT_PATH_PREFIX: &str = "/spire/agent/join_token/";
const DOMAIN: &[u8] = b"steeple join token v1\0";
const PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(trust_domain: &str, token: &str) -> String {
        join_token_digest(&TrustDomain::from_name(trust_domain).unwrap(), token)
    }

    /// What is in stores may not change: `printf 'steeple join token v1\0example.org\0t' | sha256sum`.
    #[test]
    fn a_digest_is_of_this_use_this_trust_domain_and_this_token() {
        assert_eq!(
            digest("example.org", "t"),
            "sha256:e5e76fbd270b0151c6de90dc91ed03f437ded9c0e963666b1cdcae5429acd69b"
        );
        assert!(has_form_of_digest(&digest("example.org", "t")));
        assert_ne!(digest("example.org", "t"), digest("example.com", "t"));
        assert_ne!(digest("example.org", "t"), digest("example.org", "t2"));
    }

    #[test]
    fn little_looks_like_a_digest() {
        let digits = "0".repeat(64);
        assert!(has_form_of_digest(&format!("sha256:{digits}")));
        for other in [&digits, "sha256:", &format!("sha256:{digits}0"), &format!("sha256:{}A", &digits[1..])] {
            assert!(!has_form_of_digest(other), "{other}");
        }
    }
}
