//! `ca status`.

use std::io::{self, Write};

use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::steeple::server::{
    Acknowledgements, AcknowledgingReplica, Authority, AuthorityStatusRequest, AuthorityStatusResponse,
};
use steeple_api::types::Bundle;
use steeple_ca::rotation::Slot;
use steeple_cli::{Call, Context, Failure, utc_time};
use steeple_core::{AuthorityKind, Clock as _, SystemClock};
use tonic::transport::Channel;

use super::out_of_reach::out_of_reach;
use crate::cli::columns::print_table;

pub(super) async fn status(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = AuthoritiesClient::new(channel.clone()).status(AuthorityStatusRequest { allow_stale: true }).await;
    let response = response.context("could not get the state of the authorities")?.into_inner();
    if call.is_json() {
        return call.print(&response, |_, _| Ok(()));
    }
    let out = &mut call.streams.stdout;
    print_stale(out, response.stale)?;
    print_status(out, &response)?;
    if response.stale {
        return Ok(());
    }
    let bundle = BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await;
    let bundle = bundle.context("could not get the bundle")?.into_inner();
    Ok(print_out_of_reach(out, &response, &bundle)?)
}

pub(super) fn print_stale(out: &mut dyn Write, is_stale: bool) -> io::Result<()> {
    match is_stale {
        true => writeln!(out, "There is no quorum: this is what this replica knew last, and nothing moves on.\n"),
        false => Ok(()),
    }
}

/// What is trusted besides: it was replaced, and left its slot before its end.
fn print_out_of_reach(out: &mut dyn Write, status: &AuthorityStatusResponse, bundle: &Bundle) -> io::Result<()> {
    for kind in [AuthorityKind::X509, AuthorityKind::Jwt] {
        for slot in out_of_reach(kind, status, bundle, SystemClock.now()) {
            writeln!(
                out,
                "  in no slot (replaced, or of a server below), trusted {}: {} {}",
                until(&slot),
                kind.name(),
                slot.id
            )?;
        }
    }
    Ok(())
}

fn until(slot: &Slot) -> String {
    match slot.not_after.as_secs() {
        i64::MAX => "without an end".to_owned(),
        secs => format!("until {}", utc_time(secs)),
    }
}

pub(super) fn print_status(out: &mut dyn Write, status: &AuthorityStatusResponse) -> io::Result<()> {
    let mut rows = vec![["KIND", "SLOT", "AUTHORITY ID", "NOT AFTER", "STATE"].map(str::to_owned)];
    rows.extend(status.authorities.iter().map(|authority| {
        let (kind, slot, id) = (authority.kind.clone(), authority.slot.clone(), authority.authority_id.clone());
        [kind, slot, id, utc_time(authority.not_after), state(authority)]
    }));
    print_table(out, &rows)?;
    match &status.acknowledgements {
        Some(known) => print_acknowledgements(out, known),
        None => Ok(()),
    }
}

fn state(authority: &Authority) -> String {
    match (authority.slot.as_str(), authority.published, authority.tainted) {
        (_, false, _) => "revoked".to_owned(),
        (_, _, true) => "tainted".to_owned(),
        ("active", ..) => "signs".to_owned(),
        ("prepared", ..) => {
            let (from, until) = (utc_time(authority.activates_at), utc_time(authority.activates_until));
            format!("signs from {from} on if all know it, from {until} on in any case")
        }
        _ => "verifies".to_owned(),
    }
}

fn print_acknowledgements(out: &mut dyn Write, known: &Acknowledgements) -> io::Result<()> {
    let missing_replicas = known.replicas.iter().filter(|replica| replica.missing).count();
    writeln!(
        out,
        "\nBundle {}: {} of {} agents and {} of {} replicas hold it.",
        known.bundle_sequence,
        known.live_agents.saturating_sub(known.missing_agents),
        known.live_agents,
        known.replicas.len() - missing_replicas,
        known.replicas.len()
    )?;
    if known.untracked {
        return writeln!(out, "No agent acknowledges anything: activation goes by time alone.");
    }
    for line in missing(known) {
        writeln!(out, "  missing: {line}")?;
    }
    for line in silent(known) {
        writeln!(out, "  silent, not waited for: {line}")?;
    }
    Ok(())
}

/// A line for each agent that was not heard from lately although its SVID holds, as far as the server named them.
pub(super) fn silent(known: &Acknowledgements) -> impl Iterator<Item = String> {
    let unnamed = known.silent_agents.saturating_sub(known.silent_agent_ids.len() as u64);
    let unnamed = (unnamed > 0).then(|| format!("{unnamed} more agents"));
    known.silent_agent_ids.iter().cloned().chain(unnamed)
}

/// A line for each replica and agent that does not hold the bundle, as far as the server named them.
pub(super) fn missing(known: &Acknowledgements) -> impl Iterator<Item = String> {
    let replicas = known.replicas.iter().filter(|replica| replica.missing);
    let replicas = replicas.map(|replica| format!("replica {} ({}), {}", replica.node_id, replica.name, why(replica)));
    let unnamed = known.missing_agents.saturating_sub(known.missing_agent_ids.len() as u64);
    let unnamed = (unnamed > 0).then(|| format!("{unnamed} more agents"));
    replicas.chain(known.missing_agent_ids.iter().cloned()).chain(unnamed)
}

fn why(replica: &AcknowledgingReplica) -> String {
    match (replica.answers, replica.complete) {
        (false, _) => "which does not answer: there may be agents that only it knows".to_owned(),
        (true, false) => "which started less than a minute ago and may not know all its agents".to_owned(),
        (true, true) => format!("which has bundle {}", replica.bundle_sequence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_sees_who_is_missing_and_until_when_it_matters() {
        let authority = |slot: &str, id: &str| Authority {
            kind: "x509".to_owned(),
            authority_id: id.to_owned(),
            slot: slot.to_owned(),
            not_after: 86_400,
            published: true,
            ..Authority::default()
        };
        let replica = |node_id, missing: bool| AcknowledgingReplica {
            node_id,
            name: format!("server-{node_id}"),
            answers: !missing,
            complete: !missing,
            bundle_sequence: 7,
            missing,
            ..AcknowledgingReplica::default()
        };
        let prepared = Authority { activates_at: 3600, activates_until: 7200, ..authority("prepared", "bb") };
        let status = AuthorityStatusResponse {
            stale: false,
            authorities: vec![authority("active", "aa"), prepared],
            acknowledgements: Some(Acknowledgements {
                bundle_sequence: 7,
                missing: 4,
                live_agents: 5,
                missing_agents: 3,
                missing_agent_ids: vec!["spiffe://example.org/spire/agent/a".to_owned()],
                replicas: vec![replica(1, false), replica(2, true)],
                ..Acknowledgements::default()
            }),
        };
        let mut text = Vec::new();
        print_status(&mut text, &status).unwrap();
        let expected = "\
KIND  SLOT      AUTHORITY ID  NOT AFTER                      STATE
x509  active    aa            1970-01-02 00:00:00 +0000 UTC  signs
x509  prepared  bb            1970-01-02 00:00:00 +0000 UTC  signs from 1970-01-01 01:00:00 +0000 UTC on if all know \
it, from 1970-01-01 02:00:00 +0000 UTC on in any case

Bundle 7: 2 of 5 agents and 1 of 2 replicas hold it.
  missing: replica 2 (server-2), which does not answer: there may be agents that only it knows
  missing: spiffe://example.org/spire/agent/a
  missing: 2 more agents
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
