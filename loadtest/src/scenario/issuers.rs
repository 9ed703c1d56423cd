//! A fleet whose agents may have SVIDs, with a CSR made beforehand for each of their entries.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::svid::{BatchNewX509svidRequest, NewJwtsvidRequest, NewX509svidParams};
use steeple_api::types;
use steeple_testkit::Dice;
use tonic::Code;
use tonic::transport::Channel;

use crate::fleet::{Agent, KeyAndCsr, repeated};
use crate::gates::{SvidCheck, Trust};
use crate::target::{Target, Wanted, create_all, until_authorized};

/// Agents with their connections and entries.
pub(super) struct Issuers {
    pub(super) agents: Vec<Arc<Agent>>,
    /// By agent.
    tickets: Vec<Vec<Ticket>>,
    pub(super) check: SvidCheck,
}

/// An entry, and the key that its SVID is to have.
pub(super) struct Ticket {
    pub(super) entry_id: String,
    pub(super) path: String,
    pub(super) csr: Vec<u8>,
    /// PKIX DER.
    pub(super) public_key: Vec<u8>,
}

/// What one agent asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    agent: usize,
    first: usize,
}

impl Issuers {
    pub(super) async fn set_up(target: &Target, agents: usize, entries: usize) -> anyhow::Result<Arc<Self>> {
        let agents = target.agents(agents, |number| format!("node-{number}")).await?;
        let parents: Vec<types::Spiffeid> = agents.iter().map(|agent| agent.id.clone()).collect();
        let wanted = move |number: u64| {
            let (agent, entry) = (number as usize / entries, number as usize % entries);
            Wanted { path: path(agent, entry), parent: parents[agent].clone() }.entry()
        };
        let count = (agents.len() * entries) as u64;
        let ids = create_all(|| target.admin(), count, wanted, &target.progress).await?;
        until_authorized(&agents, entries, &target.progress).await?;
        target.progress.step(format!("making {count} keys and CSRs"), 0);
        let mut tickets = Vec::with_capacity(agents.len());
        for (agent, ids) in ids.chunks(entries).enumerate() {
            let ticket = |(entry, id): (usize, &String)| Ticket::new(target, id.clone(), path(agent, entry));
            tickets.push(ids.iter().enumerate().map(ticket).collect::<anyhow::Result<Vec<_>>>()?);
        }
        let check = SvidCheck::new(Trust::new(target.trust_domain(), &target.admin()?.bundle().await?)?);
        let issuers = Arc::new(Self { agents, tickets, check });
        // Handshakes are not what is measured.
        for agent in 0..issuers.agents.len() {
            issuers.x509(Choice { agent, first: 0 }, 1).await?;
        }
        Ok(issuers)
    }

    /// Any agent, any of its entries.
    pub(super) fn choose(&self, dice: &mut Dice) -> Choice {
        let agent = dice.below(self.agents.len() as u64) as usize;
        Choice { agent, first: dice.below(self.tickets[agent].len() as u64) as usize }
    }

    /// The same agent always.
    pub(super) fn of_agent(&self, agent: usize, number: u64) -> Choice {
        let agent = agent % self.agents.len();
        Choice { agent, first: number as usize % self.tickets[agent].len() }
    }

    /// One BatchNewX509SVID for `batch` of the agent's entries, repeated where it has fewer.
    pub(super) async fn x509(&self, choice: Choice, batch: usize) -> anyhow::Result<()> {
        let tickets = &self.tickets[choice.agent];
        let asked: Vec<&Ticket> = tickets.iter().cycle().skip(choice.first).take(batch).collect();
        x509_svids(&self.agents[choice.agent].channel(), &asked, |ticket, svid| {
            self.check.x509(svid, &ticket.path, &ticket.public_key);
        })
        .await
    }

    /// One NewJWTSVID.
    pub(super) async fn jwt(&self, choice: Choice) -> anyhow::Result<()> {
        let ticket = &self.tickets[choice.agent][choice.first];
        let ask = |channel| async move {
            let request = NewJwtsvidRequest { entry_id: ticket.entry_id.clone(), audience: vec![AUDIENCE.to_owned()] };
            SvidClient::new(channel).new_jwtsvid(request).await
        };
        let answer = repeated(&self.agents[choice.agent].channel(), ask).await?.into_inner();
        self.check.jwt(&answer.svid.context("no token in the answer")?.token, &ticket.path, AUDIENCE);
        Ok(())
    }
}

impl Ticket {
    pub(super) fn new(target: &Target, entry_id: String, path: String) -> anyhow::Result<Self> {
        let key = KeyAndCsr::new(target.trust_domain())?;
        Ok(Self { entry_id, path, public_key: key.public_key(), csr: key.csr })
    }
}

/// One BatchNewX509SVID; every item has to succeed. `take` sees each SVID.
pub(super) async fn x509_svids(
    channel: &Channel,
    tickets: &[&Ticket],
    mut take: impl FnMut(&Ticket, &types::X509svid),
) -> anyhow::Result<()> {
    let ask = |channel| async move {
        let params = tickets
            .iter()
            .map(|ticket| NewX509svidParams { entry_id: ticket.entry_id.clone(), csr: ticket.csr.clone() });
        let request = BatchNewX509svidRequest { params: params.collect() };
        SvidClient::new(channel).batch_new_x509svid(request).await
    };
    let results = repeated(channel, ask).await?.into_inner().results;
    ensure!(results.len() == tickets.len(), "{} results for {} CSRs", results.len(), tickets.len());
    for (result, ticket) in results.iter().zip(tickets) {
        let status = result.status.clone().unwrap_or_default();
        ensure!(status.code == Code::Ok as i32, "an SVID was refused: {} (code {})", status.message, status.code);
        take(ticket, result.svid.as_ref().context("no SVID in a result")?);
    }
    Ok(())
}

fn path(agent: usize, entry: usize) -> String {
    format!("/load/{agent}/{entry}")
}

const AUDIENCE: &str = "loadtest";
