//! Agents: each joins with a token for which two contend, syncs, has SVIDs signed and renews its own, until it is
//! banned.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::*;
use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::entry::BatchCreateEntryRequest;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::svid::{BatchNewX509svidRequest, NewX509svidParams};
use steeple_api::types::{AttestationData, Entry, Selector, Spiffeid, X509svid};
use steeple_core::Timestamp;
use steeple_testkit::Dice;
use steeple_transport::tls::IdentityStore;
use tokio::time::sleep;
use tonic::Status;
use tonic::transport::Channel;

use super::call::{Answer, answered};
use super::channel::{admin, any_server, api};
use super::identity::{Key, Trust, authority_of};
use crate::node::TRUST_DOMAIN;
use crate::world::{Phase, World};

pub async fn run(world: Arc<World>, mut dice: Dice) -> turmoil::Result {
    world.until(Phase::Load).await;
    let mut agent: Option<Agent> = None;
    while world.is_loaded() {
        match &mut agent {
            None => agent = join(&world, &mut dice).await?,
            Some(attested) => {
                if attested.turn(&mut dice).await?.is_none() {
                    world.ledger().agents.left(&attested.id);
                    agent = None;
                }
            }
        }
        sleep(Duration::from_millis(500 + dice.below(4_000))).await;
    }
    Ok(())
}

struct Agent {
    world: Arc<World>,
    id: String,
    entry_id: String,
    key: Key,
    trust: Trust,
    shown: Arc<IdentityStore>,
    /// With its connection, which is kept until a call fails.
    channel: Option<Channel>,
}

/// A new identity in the cluster, unless something fails on the way.
async fn join(world: &Arc<World>, dice: &mut Dice) -> anyhow::Result<Option<Agent>> {
    let trust = Trust::new(world)?;
    let server = any_server(world, dice);
    let Answer::Done(bundle) = answered(BundleClient::new(admin(server)).get_bundle(GetBundleRequest::default())).await
    else {
        return Ok(None);
    };
    // Its servers do not know yet whose this is: from its first sync on it counts.
    let held = trust.take(world, &bundle, None)?;
    let request = CreateJoinTokenRequest { ttl: TOKEN_TTL_SECS, ..CreateJoinTokenRequest::default() };
    let Answer::Done(token) = answered(AgentClient::new(admin(server)).create_join_token(request)).await else {
        return Ok(None);
    };
    let keys = [Key::new()?, Key::new()?];
    let tls = trust.tls(None)?;
    let asked_at = trust.now();
    let attempts = keys.each_ref().map(|key| {
        let channel = api(any_server(world, dice), &tls);
        attest(channel, token.value.clone(), key.csr.clone())
    });
    let answers = futures::future::join_all(attempts).await;
    let mut joined = None;
    for (key, answer) in keys.into_iter().zip(answers) {
        match answer {
            Answer::Done(svid) => {
                let mut ledger = world.ledger();
                ledger.count("attestations");
                let known = ledger.attested(&token.value, &hex::encode(&key.csr[..]));
                drop(ledger);
                world.find("join tokens", known);
                joined = Some((key, svid));
            }
            Answer::Refused(_) => world.ledger().count("attestations refused"),
            Answer::Unknown => world.ledger().count("attestations without an answer"),
        }
    }
    let Some((key, svid)) = joined else { return Ok(None) };
    let shown = trust.store();
    world.find("verifiable SVIDs", trust.verify(&svid, asked_at).map(drop));
    if trust.show(&shown, &svid, &key).is_err() {
        // Its server's clock may be ahead of ours.
        return Ok(None);
    }
    let path = svid.id.map(|id| id.path).context("an agent's SVID without an ID")?;
    let id = format!("spiffe://{TRUST_DOMAIN}{path}");
    let entry_id = format!("of-{}", token.value);
    let request = BatchCreateEntryRequest { entries: vec![workload(&entry_id, &path)], output_mask: None };
    if !matches!(answered(EntryClient::new(admin(server)).batch_create_entry(request)).await, Answer::Done(_)) {
        return Ok(None);
    }
    world.find("bundles", world.ledger().agents.took(&id, held));
    Ok(Some(Agent { world: Arc::clone(world), id, entry_id, key, trust, shown, channel: None }))
}

async fn attest(channel: Channel, token: String, csr: Vec<u8>) -> Answer<X509svid> {
    let data = AttestationData { r#type: "join_token".to_owned(), payload: token.into_bytes() };
    let params = attest_agent_request::Params { data: Some(data), params: Some(AgentX509svidParams { csr }) };
    let request = AttestAgentRequest { step: Some(attest_agent_request::Step::Params(params)) };
    let call = async {
        let requests = tokio_stream::once(request);
        let mut responses = AgentClient::new(channel).attest_agent(requests).await?.into_inner();
        match responses.message().await?.and_then(|response| response.step) {
            Some(attest_agent_response::Step::Result(result)) => {
                result.svid.map(tonic::Response::new).ok_or_else(|| Status::internal("a result without an SVID"))
            }
            _ => Err(Status::unavailable("the stream ended")),
        }
    };
    answered(call).await
}

impl Agent {
    /// Some calls over the connection it has. `None`: it is not let in any more, and begins anew.
    async fn turn(&mut self, dice: &mut Dice) -> anyhow::Result<Option<()>> {
        if self.channel.is_none() {
            let tls = self.trust.tls(Some(Arc::clone(&self.shown)))?;
            self.channel = Some(api(any_server(&self.world, dice), &tls));
        }
        let Some(channel) = self.channel.clone() else { return Ok(Some(())) };
        let outcome = match dice.below(5) {
            0 => self.renew(channel).await?,
            1 | 2 => self.mint(channel).await?,
            _ => self.sync(channel).await?,
        };
        match outcome {
            Answer::Done(()) => Ok(Some(())),
            Answer::Unknown => {
                self.channel = None;
                Ok(Some(()))
            }
            Answer::Refused(_) => {
                self.world.ledger().count("agents turned away");
                Ok(None)
            }
        }
    }

    /// Takes the bundle and says so.
    async fn sync(&self, channel: Channel) -> anyhow::Result<Answer<()>> {
        let heard_at = self.world.elapsed();
        let bundle = match answered(BundleClient::new(channel.clone()).get_bundle(GetBundleRequest::default())).await {
            Answer::Done(bundle) => bundle,
            Answer::Refused(status) => return Ok(Answer::Refused(status)),
            Answer::Unknown => return Ok(Answer::Unknown),
        };
        let held = self.trust.take(&self.world, &bundle, Some(heard_at))?;
        let current_bundle_serial = held.sequence;
        let took = self.world.ledger().agents.took(&self.id, held);
        self.world.find("bundles", took);
        let request = PostStatusRequest { current_bundle_serial, agent_version: "simulated".to_owned() };
        Ok(match answered(AgentClient::new(channel).post_status(request)).await {
            Answer::Done(_) => Answer::Done(()),
            Answer::Refused(status) => Answer::Refused(status),
            Answer::Unknown => Answer::Unknown,
        })
    }

    async fn mint(&self, channel: Channel) -> anyhow::Result<Answer<()>> {
        let key = Key::new()?;
        let params = vec![NewX509svidParams { entry_id: self.entry_id.clone(), csr: key.csr.clone() }];
        let (was_banned, asked_at) = (self.world.ledger().agents.is_banned(&self.id), self.trust.now());
        let call = answered(SvidClient::new(channel).batch_new_x509svid(BatchNewX509svidRequest { params })).await;
        let response = match call {
            Answer::Done(response) => response,
            Answer::Refused(status) => return Ok(Answer::Refused(status)),
            Answer::Unknown => return Ok(Answer::Unknown),
        };
        if let Some(svid) = response.results.into_iter().next().and_then(|result| result.svid) {
            self.issued(&svid, was_banned, asked_at);
        }
        Ok(Answer::Done(()))
    }

    async fn renew(&mut self, channel: Channel) -> anyhow::Result<Answer<()>> {
        let key = Key::new()?;
        let request = RenewAgentRequest { params: Some(AgentX509svidParams { csr: key.csr.clone() }) };
        let (was_banned, asked_at) = (self.world.ledger().agents.is_banned(&self.id), self.trust.now());
        let svid = match answered(AgentClient::new(channel).renew_agent(request)).await {
            Answer::Done(response) => response.svid.context("a renewal without an SVID")?,
            Answer::Refused(status) => return Ok(Answer::Refused(status)),
            Answer::Unknown => return Ok(Answer::Unknown),
        };
        self.issued(&svid, was_banned, asked_at);
        if self.trust.show(&self.shown, &svid, &key).is_ok() {
            self.key = key;
        }
        self.channel = None;
        Ok(Answer::Done(()))
    }

    fn issued(&self, svid: &X509svid, was_banned: bool, asked_at: Timestamp) {
        let world = &self.world;
        world.ledger().count("SVIDs issued");
        if was_banned {
            world.find("bans", Err(format!("{} was given an SVID after its ban had been acknowledged", self.id)));
        }
        match self.trust.verify(svid, asked_at) {
            // The bundle of a moment ago may lack an authority that is in the one of now: others are asked below.
            Err(text) => {
                let (authority, now) = (authority_of(svid).unwrap_or_default(), world.elapsed());
                if !world.ledger().agents.is_behind(&self.id, &authority, now, LATELY) {
                    world.find("verifiable SVIDs", Err(text));
                }
            }
            Ok(seen) => {
                let mut ledger = world.ledger();
                let unique = ledger.issued(&seen.serial);
                let verified = ledger.agents.verify(&seen, world.elapsed(), LATELY);
                drop(ledger);
                world.find("unique serial numbers", unique);
                world.find("verifiable SVIDs", verified);
            }
        }
    }
}

fn workload(id: &str, parent: &str) -> Entry {
    let spiffe_id = |path: String| Some(Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path });
    Entry {
        id: id.to_owned(),
        spiffe_id: spiffe_id(format!("/workload/{id}")),
        parent_id: spiffe_id(parent.to_owned()),
        selectors: vec![Selector { r#type: "unix".to_owned(), value: format!("user:{id}") }],
        ..Entry::default()
    }
}

const TOKEN_TTL_SECS: i32 = 3600;
/// No activation goes ahead without an agent that was heard from within this time: the shortest bound of a wait is five
/// twelfths of the life of an authority.
const LATELY: Duration = Duration::from_secs(15);
