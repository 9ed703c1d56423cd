//! New nodes, each over a fresh connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use clap::Args;
use parking_lot::Mutex;
use steeple_api::server::agent::GetAgentRequest;
use steeple_api::types;

use super::stages::Stages;
use crate::fleet::Node;
use crate::gates::{SvidCheck, Trust};
use crate::report::{Gate, Report};
use crate::target::{Options, Target};

/// AttestAgent with x509pop, 64 at a time for 10 s: each a new identity over a fresh connection, with certificate, key
/// and CSR made beforehand. W4.
#[derive(Args, Clone, Debug)]
pub struct AttestArgs {
    /// Identities made beforehand; the run ends when they are used.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub identities: u32,
    /// Attestations at one time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub outstanding: u16,
}

pub(crate) async fn run(options: &Options, args: &AttestArgs) -> anyhow::Result<Report> {
    let duration = options.seconds(SECONDS)?;
    let target = Target::start(options).await?;
    target.progress.step(format!("making {} identities", args.identities), u64::from(args.identities));
    let nodes = (0..args.identities as usize).map(|number| {
        target.progress.add(1);
        Node::new(number, &format!("node-{number}"), &target.nodes, &target.domain)
    });
    let nodes: Arc<Vec<Node>> = Arc::new(nodes.collect::<anyhow::Result<_>>()?);
    let check = Arc::new(SvidCheck::new(Trust::new(target.trust_domain(), &target.admin()?.bundle().await?)?));
    let (next, attested) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));

    let shown = format!("--seconds {} --outstanding {}", duration.as_secs(), args.outstanding);
    let mut report = target.report("attest", &shown);
    let outstanding = usize::from(args.outstanding);
    let stages = Stages { noun: "attestations", batch: 1, outstanding, duration, seed: options.seed };
    let attest = {
        let (check, attested) = (Arc::clone(&check), Arc::clone(&attested));
        move |_, _| {
            let (nodes, check, attested) = (Arc::clone(&nodes), Arc::clone(&check), Arc::clone(&attested));
            let number = next.fetch_add(1, Ordering::Relaxed) as usize;
            async move {
                let node = nodes.get(number).context("all identities are used: raise --identities")?;
                let svid = node.attest().await?;
                let id = svid.id.clone().context("an SVID without an ID")?;
                check.x509(&svid, &id.path, &node.key.public_key());
                attested.lock().push(id);
                Ok(())
            }
        }
    };
    stages.run(&target, &mut report, attest).await?;
    report.gates.extend(check.gates());
    let attested = std::mem::take(&mut *attested.lock());
    report.gates.push(read_back(&target, &attested).await?);
    target.stop().await?;
    Ok(report)
}

/// 1 % of the agents are asked for.
async fn read_back(target: &Target, attested: &[types::Spiffeid]) -> anyhow::Result<Gate> {
    let admin = target.admin()?;
    let (mut asked, mut lost) = (0, 0);
    for id in attested.iter().step_by(READ_BACK_EVERY) {
        let request = GetAgentRequest { id: Some(id.clone()), output_mask: None };
        asked += 1;
        match admin.agents().get_agent(request).await {
            Ok(answer) => ensure!(answer.into_inner().id.as_ref() == Some(id), "another agent was returned"),
            Err(status) if status.code() == tonic::Code::NotFound => lost += 1,
            Err(status) => return Err(status.into()),
        }
    }
    let detail = format!("{asked} of {} attested agents asked for, {lost} lost", attested.len());
    Ok(Gate::new("attested agents read back", lost == 0 && asked > 0, detail))
}

const SECONDS: u16 = 10;
const READ_BACK_EVERY: usize = 100;
