//! A cluster of which everything can be broken: its network, clocks, disks and processes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use steeple_api::steeple::server::RemoveRequest;
use steeple_testkit::{
    Binaries, Cluster, ClusterRole, ExtraLines, NodeCertificateAuthority, Preload, Scratch, Server, ServerSpec,
    WallClock, preload_env,
};
use tokio::process::Command;

use crate::faults::{Namespaces, Network, SyncLog, Volume};
use crate::signing::Signing;

pub(crate) const TRUST_DOMAIN: &str = "chaos.test";
/// Few, so that a replica that was away for seconds needs a snapshot.
const SNAPSHOT_ENTRIES: u32 = 100;
/// Room for a WAL, the ballast and some; all of it can be filled in a moment.
const VOLUME_BYTES: u64 = 256 * 1024 * 1024;

pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) network: Network,
    /// One for each replica; `None` where there can be none, and all are on loopback.
    pub(crate) namespaces: Option<Namespaces>,
    pub(crate) clocks: Vec<WallClock>,
    pub(crate) disks: Vec<SyncLog>,
    /// Under the last replica's data; `None` where it cannot be mounted.
    pub(crate) volume: Option<Volume>,
    pub(crate) binaries: Binaries,
    pub(crate) nodes: NodeCertificateAuthority,
    sources: Vec<Preload>,
    signing: Signing,
    extra: Vec<ExtraLines>,
    // Behind all that lives in it, so that it is removed last.
    pub(crate) scratch: Scratch,
}

impl Site {
    pub(crate) async fn found(size: usize, signing: Signing) -> anyhow::Result<Self> {
        let extra = ExtraLines { server: SLOW_SIGNATURES.to_owned(), ..ExtraLines::default() };
        let namespaces = Namespaces::are_possible().then(|| Namespaces::open(size)).transpose()?;
        Self::found_in(namespaces, signing, vec![extra; size]).await
    }

    /// On loopback, a replica for each of `extra`, with these lines in its configuration.
    pub(crate) async fn found_with(signing: Signing, extra: Vec<ExtraLines>) -> anyhow::Result<Self> {
        Self::found_in(None, signing, extra).await
    }

    async fn found_in(
        namespaces: Option<Namespaces>,
        signing: Signing,
        extra: Vec<ExtraLines>,
    ) -> anyhow::Result<Self> {
        let size = extra.len();
        let scratch = Scratch::new()?;
        let network = match &namespaces {
            Some(namespaces) => Network::open_at(namespaces.hub(), namespaces.hosts()).await?,
            None => Network::open(size).await?,
        };
        let (mut clocks, mut disks, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for position in 0..size {
            let dir = scratch.join(format!("preload-{}", position + 1));
            std::fs::create_dir(&dir)?;
            clocks.push(WallClock::new(&dir)?);
            disks.push(SyncLog::new(&dir, false)?);
            sources.push(network.source(position, &dir)?);
        }
        let volume = match Volume::is_possible() {
            true => {
                let data = scratch.join(name(size - 1)).join("data");
                Some(Volume::mount_disk(&data, scratch.path(), VOLUME_BYTES)?)
            }
            false => None,
        };
        let nodes = NodeCertificateAuthority::new(scratch.path())?;
        let cluster = Cluster { servers: Vec::with_capacity(size) };
        let binaries = Binaries::find()?;
        let mut site = Self {
            cluster,
            network,
            namespaces,
            clocks,
            disks,
            volume,
            binaries,
            nodes,
            sources,
            signing,
            extra,
            scratch,
        };
        for position in 0..size {
            let join = (0..position).map(|member| site.network.front(member)).collect();
            let mut server = site.start(position, join)?;
            server.ready().await?;
            site.cluster.servers.push(server);
        }
        site.cluster.all_vote().await?;
        Ok(site)
    }

    pub(crate) fn size(&self) -> usize {
        self.cluster.servers.len()
    }

    pub(crate) fn server(&mut self, position: usize) -> &mut Server {
        &mut self.cluster.servers[position]
    }

    /// Takes a replica out of the membership, wipes its disk, and lets it join as a new one.
    pub(crate) async fn replace(&mut self, position: usize, node_id: u64) -> anyhow::Result<()> {
        let leader = self.cluster.leader().await?;
        let mut members = self.cluster.servers[leader].admin().cluster();
        members.remove(RemoveRequest { node_id }).await.context("taking a replica out")?;
        self.server(position).kill9().await?;
        wipe(&self.server(position).data_dir())?;
        let others = (0..self.size()).filter(|other| *other != position);
        let join = others.map(|other| self.network.front(other)).collect();
        // Where it was: agents know no other addresses.
        let (spec, extra) = self.described(position, join);
        self.server(position).launch_anew(&spec, &extra)?;
        self.server(position).ready().await?;
        self.cluster.all_vote().await
    }

    /// Of replicas that are dead.
    pub(crate) fn wipe_all(&self) -> anyhow::Result<()> {
        self.cluster.servers.iter().try_for_each(|server| wipe(&server.data_dir()))
    }

    /// Makes a new cluster of a backup, on the first replica, and lets the others join.
    pub(crate) async fn restore(&mut self, backup: &Path) -> anyhow::Result<()> {
        let (spec, extra) = self.described(0, Vec::new());
        self.server(0).configure(&spec, &extra)?;
        let server = self.server(0);
        let mut command = Command::new(server.program());
        command.args(["restore", "-path"]).arg(backup).arg("-config").arg(server.config());
        let output = command.output().await.context("cannot start the operator's command")?;
        ensure!(output.status.success(), "restore: {}", String::from_utf8_lossy(&output.stderr));
        self.server(0).launch()?;
        self.server(0).ready().await?;
        for position in 1..self.size() {
            let (spec, extra) = self.described(position, vec![self.network.front(0)]);
            self.server(position).launch_anew(&spec, &extra)?;
            self.server(position).ready().await?;
        }
        self.cluster.all_vote().await
    }

    /// All that a replica has said.
    pub(crate) fn log(&self, position: usize) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.cluster.servers[position].log())?).into_owned())
    }

    /// What stands in a log now is before this mark.
    pub(crate) fn log_mark(&self, position: usize) -> u64 {
        std::fs::metadata(self.cluster.servers[position].log()).map_or(0, |log| log.len())
    }

    /// The first line behind the mark that holds these words.
    pub(crate) fn log_line(&self, position: usize, mark: u64, words: &str) -> anyhow::Result<String> {
        let log = std::fs::read(self.cluster.servers[position].log())?;
        let new = log.get(usize::try_from(mark)?..).unwrap_or_default();
        let text = String::from_utf8_lossy(new);
        let line = text.lines().find(|line| line.contains(words));
        line.map(str::to_owned).with_context(|| format!("{} does not say {words:?}", name(position)))
    }

    fn start(&self, position: usize, join: Vec<String>) -> anyhow::Result<Server> {
        let (spec, extra) = self.described(position, join);
        let dir = self.scratch.path();
        let server = match &self.namespaces {
            Some(namespaces) => {
                let program = namespaces.program(position, &self.binaries.server, dir)?;
                let binaries = Binaries { server: program, ..self.binaries.clone() };
                Server::start_at(namespaces.hosts()[position], &binaries, dir, &spec, &extra)?
            }
            None => Server::start_with(&self.binaries, dir, &spec, &extra)?,
        };
        self.network.leads_to(position, &server.peer_address())?;
        Ok(server)
    }

    /// The configuration of a replica.
    fn described(&self, position: usize, join: Vec<String>) -> (ServerSpec, ExtraLines) {
        let preloads = [&self.sources[position], self.clocks[position].preload(), self.disks[position].preload()];
        let spec = ServerSpec {
            name: name(position),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: Some(ClusterRole { join, sealing_key_path: self.scratch.join("sealing-key") }),
            x509pop_root: Some(self.nodes.root_path().to_owned()),
            jwt_issuer: None,
            log_level: "INFO".to_owned(),
            env: preload_env(&preloads),
        };
        let front = self.network.front(position);
        let signing = self.signing.line();
        let extra = self.extra[position].clone();
        let own = &extra.cluster;
        let cluster =
            format!("peer_advertise_address = \"{front}\"\nsnapshot_entries = {SNAPSHOT_ENTRIES}\n{signing}\n{own}");
        (spec, ExtraLines { cluster, ..extra })
    }
}

/// A token takes milliseconds to sign, so that a pause can meet one between the checks before and after.
const SLOW_SIGNATURES: &str = "jwt_key_type = \"rsa-4096\"";

pub(crate) fn name(position: usize) -> String {
    format!("server-{}", position + 1)
}

/// Leaves the directory itself, which may be where a volume is mounted.
fn wipe(dir: &Path) -> anyhow::Result<()> {
    let entries: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    for path in entries {
        if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }
            .with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
