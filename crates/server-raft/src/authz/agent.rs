//! Is this certificate still the agent's? A pure decision over the agent's record.

use steeple_api::types::permission_denied_details::Reason;
use steeple_core::{AttestedAgent, SpiffeId, Timestamp};
use steeple_state::State;
use steeple_transport::tls::PeerIdentity;

use super::Caller;

/// Why an agent is turned away: `spire.api.types.PermissionDeniedDetails.Reason`. Agents react to the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    Banned,
    /// The certificate ran out on a connection that outlived it.
    Expired,
    /// Renewal is not for agents that can attest again.
    MustReattest,
    /// The serial is neither the current nor the pending one.
    NotActive,
    NotAttested,
}

impl From<Denial> for Reason {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Banned => Self::AgentBanned,
            Denial::Expired => Self::AgentExpired,
            Denial::MustReattest => Self::AgentMustReattest,
            Denial::NotActive => Self::AgentNotActive,
            Denial::NotAttested => Self::AgentNotAttested,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentDecision {
    /// The current SVID.
    Allow,
    /// The renewed SVID is used for the first time: it becomes the current one, then the call goes on.
    Promote,
    Deny(Denial),
}

/// SPIRE's agent authorizer (`spire-server.md` 1.3): expiry, record, ban, serial, in this order.
pub fn decide(record: Option<&AttestedAgent>, serial: &str, not_after: Timestamp, now: Timestamp) -> AgentDecision {
    if not_after < now {
        return AgentDecision::Deny(Denial::Expired);
    }
    let Some(agent) = record else { return AgentDecision::Deny(Denial::NotAttested) };
    if agent.is_banned() {
        return AgentDecision::Deny(Denial::Banned);
    }
    if agent.serial == serial {
        AgentDecision::Allow
    } else if !agent.new_serial.is_empty() && agent.new_serial == serial {
        AgentDecision::Promote
    } else {
        AgentDecision::Deny(Denial::NotActive)
    }
}

/// The agent that calls with a certificate which is still its own; for calls that anyone may make.
fn calling_agent<'a>(state: &State, caller: &'a Caller, now: Timestamp) -> Option<(&'a SpiffeId, &'a PeerIdentity)> {
    let (id, identity) = (caller.id.as_ref()?, caller.identity()?);
    match decide(state.agent(id).map(AsRef::as_ref), &identity.serial, identity.not_after, now) {
        AgentDecision::Allow | AgentDecision::Promote => Some((id, identity)),
        AgentDecision::Deny(_) => None,
    }
}

/// Who hands the bundle on to others, and has to have it before it is used: an agent, or a server below this one.
pub fn calling_holder<'a>(
    state: &State,
    caller: &'a Caller,
    now: Timestamp,
) -> Option<(&'a SpiffeId, &'a PeerIdentity)> {
    let (id, identity) = (caller.id.as_ref()?, caller.identity()?);
    let is_downstream = || state.caller_flags(id).downstream && identity.not_after >= now;
    calling_agent(state, caller, now).or_else(|| is_downstream().then_some((id, identity)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_core::{SelectorSet, SpiffeId};

    fn agent(serial: &str, new_serial: &str) -> AttestedAgent {
        AttestedAgent {
            id: SpiffeId::parse("spiffe://td/spire/agent/x").unwrap(),
            attestation_type: "x509pop".into(),
            serial: serial.into(),
            not_after: 100,
            new_serial: new_serial.into(),
            new_not_after: 200,
            can_reattest: true,
            selectors: SelectorSet::default(),
            agent_version: String::new(),
        }
    }

    #[test]
    fn every_outcome() {
        let at = Timestamp::from_secs;
        let (record, banned) = (agent("1", "2"), agent("", ""));
        let cases = [
            (Some(&record), "1", 10, AgentDecision::Allow),
            (Some(&record), "2", 10, AgentDecision::Promote),
            (Some(&record), "3", 10, AgentDecision::Deny(Denial::NotActive)),
            (Some(&record), "", 10, AgentDecision::Deny(Denial::NotActive)),
            (Some(&banned), "1", 10, AgentDecision::Deny(Denial::Banned)),
            (Some(&banned), "", 10, AgentDecision::Deny(Denial::Banned)),
            (None, "1", 10, AgentDecision::Deny(Denial::NotAttested)),
            (Some(&record), "1", 51, AgentDecision::Deny(Denial::Expired)),
            (Some(&record), "1", 50, AgentDecision::Allow),
        ];
        for (record, serial, now, expected) in cases {
            assert_eq!(decide(record, serial, at(50), at(now)), expected, "{serial} at {now}");
        }
        // No pending serial: an empty one must not match it.
        assert_eq!(decide(Some(&agent("1", "")), "", at(50), at(10)), AgentDecision::Deny(Denial::NotActive));
    }
}
