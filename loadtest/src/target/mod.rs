//! The server under load: started for the run, or running already.

mod descriptors;
mod options;
mod seed;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use steeple_core::TrustDomain;
use steeple_testkit::{Admin, Binaries, Cluster, NodeCertificateAuthority, Scratch, Server, ServerSpec};
use steeple_transport::tls::TrustRoots;
use tokio::net::lookup_host;

use crate::fleet::{Agent, Domain, Sync, Traffic, attest_all};
use crate::report::{Progress, Report};
use crate::usage::resident_bytes;

pub(crate) use descriptors::raise_open_files;
pub use options::Options;
pub(crate) use seed::{Wanted, batch_create, create_all, until_authorized};

/// A server with what a fleet needs to attest to it.
pub(crate) struct Target {
    pub(crate) domain: Domain,
    pub(crate) nodes: NodeCertificateAuthority,
    pub(crate) options: Options,
    pub(crate) progress: Arc<Progress>,
    servers: Servers,
    sockets: Vec<PathBuf>,
    // Behind the servers, so that it is removed when they have ended.
    scratch: Scratch,
}

enum Servers {
    Started(Cluster),
    Elsewhere(Vec<i32>),
}

impl Target {
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        raise_open_files(options.agents.unwrap_or_default())?;
        let (scratch, progress) = (Scratch::new()?, Arc::new(Progress::new()));
        let (nodes, servers, addresses, sockets) = if options.address.is_empty() {
            progress.step("starting the server", 0);
            let nodes = NodeCertificateAuthority::new(scratch.path())?;
            let cluster = start(options, &scratch, &nodes).await?;
            let (addresses, sockets) = (cluster.api_addresses(), cluster.admin_sockets());
            (nodes, Servers::Started(cluster), addresses, sockets)
        } else {
            let dir = options.nodes_ca.as_ref().context("--nodes-ca is missing")?;
            let nodes = NodeCertificateAuthority::open(dir)?;
            let servers = Servers::Elsewhere(options.pid.clone());
            (nodes, servers, options.address.clone(), options.admin_socket.clone())
        };
        let mut resolved: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
        for address in &addresses {
            let found = lookup_host(address).await.with_context(|| format!("cannot resolve {address}"))?;
            resolved.extend(found.take(1));
        }
        let admin = Admin::at(sockets.first().context("no admin socket")?);
        let bundle = admin.bundle().await.context("asking the admin socket for the bundle")?;
        let trust_domain = TrustDomain::from_name(&bundle.trust_domain)?;
        let roots: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.asn1.as_slice()).collect();
        let roots = TrustRoots::empty().with(trust_domain.clone(), &roots)?.into_shared();
        let (addresses, traffic) = (resolved.into(), Arc::new(Traffic::default()));
        let domain = Domain { trust_domain, roots, addresses, group: options.group, traffic };
        Ok(Self { domain, nodes, options: options.clone(), progress, servers, sockets, scratch })
    }

    /// `name` gives the common name of each node.
    pub(crate) async fn agents(&self, count: usize, name: impl Fn(usize) -> String) -> anyhow::Result<Vec<Arc<Agent>>> {
        raise_open_files(count)?;
        attest_all(count, name, &self.nodes, &self.domain, &self.progress).await
    }

    /// The admin socket of the first replica, over a new connection.
    pub(crate) fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::at(self.sockets.first().context("no admin socket")?))
    }

    /// New connections to the admin sockets of all replicas.
    pub(crate) fn admins(&self) -> Vec<Admin> {
        self.sockets.iter().map(|socket| Admin::at(socket)).collect()
    }

    pub(crate) fn trust_domain(&self) -> &TrustDomain {
        &self.domain.trust_domain
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Of the servers that run.
    pub(crate) fn pids(&self) -> Vec<i32> {
        match &self.servers {
            Servers::Started(cluster) => {
                cluster.servers.iter().filter_map(|server| Some(server.process()?.pid())).collect()
            }
            Servers::Elsewhere(pids) => pids.clone(),
        }
    }

    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.pids().into_iter().map(resident_bytes).sum()
    }

    /// For what only the one who started the server may do to it.
    pub(crate) fn started(&mut self) -> anyhow::Result<&mut Cluster> {
        match &mut self.servers {
            Servers::Started(cluster) => Ok(cluster),
            Servers::Elsewhere(_) => bail!("this scenario kills servers: it starts its own (--program), not --address"),
        }
    }

    /// The only server.
    pub(crate) fn started_alone(&mut self) -> anyhow::Result<&mut Server> {
        let servers = &mut self.started()?.servers;
        ensure!(servers.len() == 1, "this scenario is of one server: leave --replicas at 1");
        servers.first_mut().context("no server")
    }

    pub(crate) fn report(&self, scenario: &str, options: &str) -> Report {
        let target = match &self.servers {
            Servers::Started(cluster) => {
                let program = cluster.servers.first().map(|server| server.program().display().to_string());
                format!("{} ({} replica(s))", program.unwrap_or_default(), cluster.servers.len())
            }
            Servers::Elsewhere(_) => self.options.address.join(", "),
        };
        let mut command = format!("loadtest {scenario}");
        let replicas = (self.options.replicas > 1).then(|| format!("--replicas {}", self.options.replicas));
        let sync = if self.options.sync == Sync::Push { "--sync push" } else { "" };
        for part in replicas.iter().map(String::as_str).chain([sync, options]).filter(|part| !part.is_empty()) {
            command.push(' ');
            command.push_str(part);
        }
        Report::new(scenario, command, target)
    }

    /// Ends what was started; whatever does not end well is an error.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.progress.end();
        if let Servers::Started(mut cluster) = self.servers {
            cluster.stop().await?;
        }
        self.scratch.remove()
    }
}

async fn start(options: &Options, scratch: &Scratch, nodes: &NodeCertificateAuthority) -> anyhow::Result<Cluster> {
    let binaries = match &options.program {
        // Only the server is started.
        Some(server) => Binaries { server: server.clone(), agent: PathBuf::new() },
        None => Binaries::find()?,
    };
    let spec = ServerSpec {
        name: "server".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: Some(nodes.root_path().to_owned()),
        jwt_issuer: None,
        log_level: "WARN".to_owned(),
        env: Vec::new(),
    };
    if options.replicas > 1 {
        return Cluster::start(&binaries, scratch.path(), options.replicas.into(), &spec).await;
    }
    let mut server = Server::start(&binaries, scratch.path(), &spec)?;
    server.ready().await?;
    Ok(Cluster { servers: vec![server] })
}

const TRUST_DOMAIN: &str = "load.test";
