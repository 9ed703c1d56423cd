//! A run: load and faults on a cluster; then the checker.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use steeple_core::TrustDomain;
use steeple_testkit::{Admin, Binaries, Cluster, Dice, ExtraLines, Scratch, ServerSpec, preload_env};
use tokio::sync::watch;

use super::history::{Fault, Recorder};
use super::judge::Verdict;
use super::kept::{Checking, Kept};
use super::kill::Faults;
use super::load::Load;
use super::options::RunArgs;
use super::progress::Progress;
use super::self_test::self_test;
use super::signing::Trust;
use crate::faults::SyncLog;
use crate::sample::sample;

pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    if args.self_test {
        return self_test(&args).await;
    }
    let mut stage = Stage::set(&args).await?;
    stage.drive(&args).await?;
    let passed = stage.check(Checking::Whole).await?;
    println!("  history   {}\n  report    {}", stage.kept.history.display(), stage.kept.report.display());
    ensure!(passed, "the run did not keep its promises");
    Ok(())
}

/// A cluster under test, and where its story is kept.
pub(super) struct Stage {
    pub(super) kept: Kept,
    cluster: Cluster,
    syncs: Option<SyncLog>,
    // Behind the cluster, so that it is removed when the processes have ended.
    _scratch: Scratch,
}

impl Stage {
    pub(super) async fn set(args: &RunArgs) -> anyhow::Result<Self> {
        let kept = Kept::new(args.out.clone())?;
        let scratch = Scratch::new()?;
        let syncs = match args.power_cuts {
            0 => None,
            _ => Some(SyncLog::new(scratch.path(), args.late_syncs)?),
        };
        let template = ServerSpec {
            name: String::new(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: None,
            jwt_issuer: None,
            log_level: "INFO".to_owned(),
            env: syncs.as_ref().map(|syncs| preload_env(&[syncs.preload()])).unwrap_or_default(),
        };
        let extra = ExtraLines { cluster: args.signing.line().to_owned(), ..ExtraLines::default() };
        let cluster = Cluster::start_with(&Binaries::find()?, scratch.path(), REPLICAS, &template, &extra).await?;
        Ok(Self { kept, cluster, syncs, _scratch: scratch })
    }

    /// Load and faults, until all faults are over and every client has its answer. The servers' logs are kept.
    pub(super) async fn drive(&mut self, args: &RunArgs) -> anyhow::Result<()> {
        let outcome = self.load_and_faults(args).await;
        self.kept.copy_logs(&self.cluster.servers)?;
        outcome
    }

    /// Whether the checker is content.
    pub(super) async fn check(&self, checking: Checking) -> anyhow::Result<bool> {
        self.kept.check(&self.cluster.admin_sockets(), checking).await
    }

    /// What the checker found in the answers.
    pub(super) async fn judged(&self) -> anyhow::Result<Verdict> {
        self.kept.judged(&self.cluster.admin_sockets()).await
    }

    async fn load_and_faults(&mut self, args: &RunArgs) -> anyhow::Result<()> {
        let trust_domain = TrustDomain::from_name(TRUST_DOMAIN)?;
        let recorder = Arc::new(Recorder::create(&self.kept.history)?);
        let trust = Trust::new(&trust_domain, &self.cluster.servers[0].admin().bundle().await?)?;
        let sockets = self.cluster.admin_sockets();
        let connect = || sockets.iter().map(|socket| Admin::at(socket)).collect::<Vec<_>>();
        let load = Load::start(connect, &trust_domain, trust, &recorder, args.seed, args.rate)?;
        let (stop, stopped) = watch::channel(false);
        let written = Arc::clone(&recorder);
        let sampler = tokio::spawn(sample(connect(), stopped, move |position, index, hash| {
            written.sample(position, index, hash)
        }));

        let faults = self.faults(args, &recorder).await;
        // The history ends in order, whatever the faults met.
        load.stop().await?;
        recorder.fault(Fault::LoadEnded)?;
        stop.send_replace(true);
        sampler.await??;
        recorder.flush()?;
        faults?;
        // A difference is for the checker to judge; here the replicas have to come to rest.
        if let Err(error) = self.cluster.converged().await {
            eprintln!("{error:#}");
        }
        Ok(())
    }

    async fn faults(&mut self, args: &RunArgs, recorder: &Arc<Recorder>) -> anyhow::Result<()> {
        let mut faults =
            Faults { cluster: &mut self.cluster, recorder: Arc::clone(recorder), dice: Dice::new(args.seed) };
        let progress = Progress::new(recorder);
        for number in 1..=args.count {
            faults.kill_leader().await.with_context(|| format!("leader kill {number}"))?;
            progress.tell("leader kill", number, args.count);
        }
        let Some(syncs) = &self.syncs else { return Ok(()) };
        syncs.slow_down()?;
        for number in 1..=args.power_cuts {
            faults.cut_power(syncs).await.with_context(|| format!("power cut {number}"))?;
            progress.tell("power cut", number, args.power_cuts);
        }
        Ok(())
    }
}

const TRUST_DOMAIN: &str = "chaos.test";
const REPLICAS: usize = 3;
