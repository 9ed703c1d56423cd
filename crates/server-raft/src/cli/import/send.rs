//! A plan to the server, batch by batch.

use std::sync::Arc;

use steeple_api::steeple::server::import_client::ImportClient;
use steeple_api::steeple::server::import_result::Verdict;
use steeple_api::steeple::server::{ImportAuthorityRequest, ImportRecord, ImportRecordsRequest, ImportResult};
use steeple_cli::{Context, Failure, Progress, as_told};
use steeple_core::{AuthorityStatus, TrustDomain};
use steeple_import::{ImportedAuthority, Noun, Plan};
use steeple_state as state;
use tonic::transport::Channel;

use super::batches::batches;
use super::report::{Line, Report};
use crate::import::wire::record_to_wire;

pub(super) struct Sender {
    channel: Channel,
    trust_domain: String,
    /// What each record is called, in their order.
    names: Vec<(Noun, String)>,
    batches: Vec<Vec<ImportRecord>>,
    authorities: Vec<ImportedAuthority>,
}

impl Sender {
    pub(super) fn new(channel: Channel, trust_domain: &TrustDomain, plan: Plan) -> Self {
        let (names, records) = named_records(&plan).into_iter().unzip();
        Self {
            channel,
            trust_domain: trust_domain.name().to_owned(),
            names,
            batches: batches(records),
            authorities: plan.authorities,
        }
    }

    /// All of it, in the order in which one thing needs another. Authorities come last: with them agents come.
    pub(super) async fn send(&self, dry_run: bool, report: &mut Report) -> Result<(), Failure> {
        let mut client = ImportClient::new(self.channel.clone());
        let mut progress = Progress::new(if dry_run { "compare" } else { "import" });
        let total = (self.names.len() + self.authorities.len()) as u64;
        let mut names = self.names.iter();
        let mut done = 0;
        for batch in &self.batches {
            progress.at(done, total);
            let request =
                ImportRecordsRequest { trust_domain: self.trust_domain.clone(), dry_run, records: batch.clone() };
            let response = as_told(async || client.records(request.clone()).await).await;
            let response = response.context("could not import records")?.into_inner();
            if response.results.len() != batch.len() {
                return Err(Failure::message("the server answered for another number of records than were sent"));
            }
            for ((noun, name), result) in names.by_ref().zip(response.results) {
                report.count(*noun, name, &result);
            }
            done += batch.len() as u64;
            if !dry_run && !report.conflicts.is_empty() {
                return Err(Failure::message("records changed on the server in the meantime"));
            }
        }
        for imported in &self.authorities {
            progress.at(done, total);
            let name = format!("{} {}", imported.authority.kind.name(), imported.authority.id);
            let response = as_told(async || client.authority(self.authority_request(imported, dry_run)).await).await;
            let response = response.context(format!("could not import authority {name}"))?;
            let result = response.into_inner().result.unwrap_or_default();
            report.count(Noun::Authority, &name, &result);
            done += 1;
        }
        Ok(())
    }

    fn authority_request(&self, imported: &ImportedAuthority, dry_run: bool) -> ImportAuthorityRequest {
        let authority = &imported.authority;
        ImportAuthorityRequest {
            trust_domain: self.trust_domain.clone(),
            dry_run,
            kind: authority.kind.name().to_owned(),
            authority_id: authority.id.clone(),
            active: authority.status == AuthorityStatus::Active,
            issued_at: authority.issued_at.as_secs(),
            not_after: authority.not_after.as_secs(),
            certificate: authority.certificate.clone(),
            upstream_chain: authority.upstream_chain.clone(),
            upstream_authority_id: authority.upstream_authority_id.clone(),
            private_key: imported.pkcs8.expose().to_vec(),
        }
    }
}

/// Bundles before the entries that federate with them.
fn named_records(plan: &Plan) -> Vec<((Noun, String), ImportRecord)> {
    let bundles = plan.bundles.iter().map(|bundle| {
        let record = state::ImportRecord::Bundle(Arc::new(bundle.clone()));
        (Noun::Bundle, bundle.trust_domain.to_string(), record)
    });
    let relationships = plan.relationships.iter().map(|relationship| {
        let record = state::ImportRecord::Relationship(relationship.clone());
        (Noun::Relationship, relationship.trust_domain.to_string(), record)
    });
    let agents = plan
        .agents
        .iter()
        .map(|agent| (Noun::Agent, agent.id.to_string(), state::ImportRecord::Agent(Box::new(agent.clone()))));
    let entries = plan
        .entries
        .iter()
        .map(|entry| (Noun::Entry, entry.id.clone(), state::ImportRecord::Entry(Arc::new(entry.clone()))));
    // A token is a credential, and its expiry tells it apart well enough.
    let tokens = plan.join_tokens.iter().map(|token| {
        let name = format!("expires at {}", token.expires_at);
        (Noun::JoinToken, name, state::ImportRecord::JoinToken(token.clone()))
    });
    let all = bundles.chain(relationships).chain(agents).chain(entries).chain(tokens);
    all.map(|(noun, name, record)| ((noun, name), record_to_wire(&record))).collect()
}

impl Report {
    /// One result of the server.
    fn count(&mut self, noun: Noun, name: &str, result: &ImportResult) {
        let line = || Line { noun, name: name.to_owned(), reason: result.reason.clone() };
        let counts = self.counts_of(noun);
        match result.verdict() {
            Verdict::Created => counts.created += 1,
            Verdict::Unchanged => counts.unchanged += 1,
            Verdict::Kept => {
                counts.kept += 1;
                self.kept.push(line());
            }
            Verdict::Conflict => {
                counts.conflicts += 1;
                self.conflicts.push(line());
            }
            Verdict::Refused | Verdict::Unspecified => {
                counts.refused += 1;
                self.refused.push(line());
            }
        }
    }
}
