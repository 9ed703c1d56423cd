//! A real agent, and a workload of it that watches its SVIDs.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use steeple_api::server::entry::BatchDeleteEntryRequest;
use steeple_api::types;
use steeple_api::workload;
use steeple_ca::certificate;
use steeple_testkit::{
    Admin, Agent, AgentSpec, Attestation, Binaries, WorkloadStream, own_uid_selector, until, workload_entry,
};
use tokio::task::JoinHandle;

use super::hands::Hands;
use crate::target::{Target, batch_create};

/// Its entries are for all processes of our user, so this process is the workload.
pub(super) struct Workload {
    agent: Agent,
    parent: types::Spiffeid,
    /// Id and path, oldest first.
    entries: Mutex<VecDeque<(String, String)>>,
    hands: Arc<Hands>,
    watching: JoinHandle<()>,
}

impl Workload {
    pub(super) async fn start(target: &Target, program: &Path, hands: &Arc<Hands>) -> anyhow::Result<Self> {
        target.progress.step("starting the agent", 0);
        let admin = target.admin()?;
        let token = admin.create_join_token(TOKEN_TTL).await?;
        let trust_domain = target.trust_domain().name().to_owned();
        let path = format!("/spire/agent/join_token/{token}");
        let parent = types::Spiffeid { trust_domain: trust_domain.clone(), path };
        // With nothing to be had a stream would be refused.
        batch_create(&admin, vec![workload_entry("", &parent, FIRST, vec![own_uid_selector()])]).await?;

        let roots = admin.bundle().await?.x509_authorities.into_iter();
        let roots: Vec<_> = roots.map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let trust_bundle = target.scratch().join("bundle.pem");
        std::fs::write(&trust_bundle, pem::encode_many(&roots))?;
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: trust_domain.clone(),
            servers: target.domain.addresses.iter().map(ToString::to_string).collect(),
            trust_bundle,
            attestation: Attestation::JoinToken(token),
            log_level: "WARN".to_owned(),
            lines: Vec::new(),
        };
        let binaries = Binaries { server: PathBuf::new(), agent: program.to_owned() };
        let mut agent = Agent::start(&binaries, target.scratch().path(), &spec)?;
        agent.ready().await?;
        let first = format!("spiffe://{trust_domain}{FIRST}");
        let stream = until("the workload has its first SVID", FIRST_MAX, async || {
            let mut stream = WorkloadStream::open(&agent.socket()).await?;
            stream.wait_for(&first, FIRST_MAX).await?;
            anyhow::Ok(stream)
        });
        let watching = tokio::spawn(watch(stream.await?, Arc::clone(hands), format!("spiffe://{trust_domain}")));
        Ok(Self { agent, parent, entries: Mutex::default(), hands: Arc::clone(hands), watching })
    }

    /// An entry for the workload. Old ones are deleted, so that an update stays small.
    pub(super) async fn create(&self, admin: &Admin, path: &str) -> anyhow::Result<()> {
        let entry = workload_entry("", &self.parent, path, vec![own_uid_selector()]);
        let id = batch_create(admin, vec![entry]).await?.pop().context("no id of the entry")?;
        let old: Vec<String> = {
            let mut entries = self.entries.lock();
            entries.push_back((id, path.to_owned()));
            let some_are_old = entries.len() > KEPT_MAX;
            let old = entries.iter().take(if some_are_old { DELETED_AT_ONCE } else { 0 });
            let old = old.take_while(|(_, path)| !self.hands.is_on_its_way(path)).count();
            entries.drain(..old).map(|(id, _)| id).collect()
        };
        if !old.is_empty() {
            admin.entries().batch_delete_entry(BatchDeleteEntryRequest { ids: old }).await?;
        }
        Ok(())
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.watching.abort();
        self.agent.stop().await
    }
}

async fn watch(mut stream: WorkloadStream, hands: Arc<Hands>, trust_domain: String) {
    loop {
        let update = match stream.next().await {
            Ok(update) => update,
            Err(error) => return hands.fail(format!("the workload's stream: {error:#}")),
        };
        for svid in update.svids {
            let path = svid.spiffe_id.strip_prefix(&trust_domain).unwrap_or_default().to_owned();
            if hands.is_on_its_way(&path) {
                match taken(svid) {
                    Some((svid, public_key)) => hands.arrived(&svid, &path, &public_key),
                    None => hands.fail(format!("{path}: no certificate on the workload's stream")),
                }
            }
        }
    }
}

/// The SVID as a server sends it, and its key (PKIX DER).
fn taken(svid: workload::X509svid) -> Option<(types::X509svid, Vec<u8>)> {
    let cert_chain = certificate::split(&svid.x509_svid)?;
    let leaf = certificate::facts(cert_chain.first()?)?;
    let expires_at = leaf.not_after.as_secs();
    Some((types::X509svid { cert_chain, expires_at, ..types::X509svid::default() }, leaf.public_key))
}

const FIRST: &str = "/first";
const TOKEN_TTL: Duration = Duration::from_secs(600);
/// A stock pair needs two polls.
const FIRST_MAX: Duration = Duration::from_secs(60);
const KEPT_MAX: usize = 120;
const DELETED_AT_ONCE: usize = 60;
