//! The workload: a TLS server that gets its identity from one agent and a client that gets it from another. Both use
//! the `spiffe` and `spiffe-rustls` crates, as any program might.
//!
//! The client keeps one connection going, replaces it whenever its SVID rotates, and opens further ones all the time,
//! so that every SVID in use is shown in a handshake. Whatever fails is an event, and so is every rotation.
//!
//! `spiffe-rustls` refuses handshakes from when its source has a new SVID until it has made rustls' form of it. What
//! meets that moment is tried again: it tells nothing about the agent.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use spiffe::{X509Source, X509SourceBuilder};
use spiffe_rustls::{TlsStatus, authorizer, mtls_client, mtls_server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[derive(Args, Clone, Debug)]
pub struct WorkloadArgs {
    /// Workload API socket of the client's agent.
    #[arg(long)]
    pub client_socket: PathBuf,
    /// Workload API socket of the server's agent.
    #[arg(long)]
    pub server_socket: PathBuf,
    /// SPIFFE ID that the server demands.
    #[arg(long)]
    pub client_id: String,
    /// SPIFFE ID that the client demands.
    #[arg(long)]
    pub server_id: String,
}

/// One line of the workload's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// `side` uses a new SVID from now on.
    Rotated {
        side: String,
    },
    /// Counts since the start.
    Alive {
        exchanges: u64,
        connections: u64,
        pause_max_ms: u64,
    },
    Failed {
        reason: String,
    },
}

/// Runs until it is killed.
pub async fn run_workload(args: WorkloadArgs) -> anyhow::Result<()> {
    let (client, server) = tokio::try_join!(source(&args.client_socket), source(&args.server_socket))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let accepts = mtls_server(server.clone()).authorize(authorizer::exact([args.client_id.as_str()])?);
    let connects = mtls_client(client.clone()).authorize(authorizer::exact([args.server_id.as_str()])?);
    let (accepts, connects) = (accepts.build_with_status()?, connects.build_with_status()?);
    let material = Material(vec![accepts.1, connects.1]);
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(accepts.0)), material.clone()));
    tokio::spawn(tell_rotations("server", server));
    tokio::spawn(tell_rotations("client", client.clone()));
    let connector = Connector { tls: TlsConnector::from(Arc::new(connects.0)), port, material };
    exchange_for_ever(client, connector).await
}

/// What both sides' handshakes are made with.
#[derive(Clone)]
struct Material(Vec<TlsStatus>);

impl Material {
    /// The revisions in use; `None` while one is being converted.
    fn revisions(&self) -> Option<Vec<u64>> {
        let current = self.0.iter().map(TlsStatus::current);
        current.map(|status| status.available.then_some(status.source_revision)).collect()
    }

    async fn settled(&self) -> Vec<u64> {
        loop {
            match self.revisions() {
                Some(revisions) => return revisions,
                None => sleep(LOOK_AGAIN).await,
            }
        }
    }
}

struct Connector {
    tls: TlsConnector,
    port: u16,
    material: Material,
}

async fn source(socket: &Path) -> anyhow::Result<X509Source> {
    let endpoint = format!("unix:{}", socket.display());
    Ok(X509SourceBuilder::new().endpoint(endpoint).build().await?)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, material: Material) {
    loop {
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => return emit(&Event::Failed { reason: format!("accept: {error}") }),
        };
        let (acceptor, material) = (acceptor.clone(), material.clone());
        tokio::spawn(async move {
            let revisions = material.revisions();
            match acceptor.accept(connection).await {
                Ok(mut tls) => {
                    let mut message = [0; MESSAGE.len()];
                    while tls.read_exact(&mut message).await.is_ok() && tls.write_all(&message).await.is_ok() {}
                }
                Err(_) if revisions.is_none() || material.revisions() != revisions => {}
                Err(error) => emit(&Event::Failed { reason: format!("server's handshake: {error}") }),
            }
        });
    }
}

async fn tell_rotations(side: &str, source: X509Source) {
    let mut updates = source.updated();
    let mut shown = leaf(&source);
    while updates.changed().await.is_ok() {
        let current = leaf(&source);
        if current.is_some() && current != shown {
            shown = current;
            emit(&Event::Rotated { side: side.to_owned() });
        }
    }
    emit(&Event::Failed { reason: format!("the {side}'s source of SVIDs has ended") });
}

async fn exchange_for_ever(source: X509Source, connector: Connector) -> anyhow::Result<()> {
    let mut kept = connector.connect().await?;
    let mut svid_of_kept = leaf(&source);
    let (mut exchanges, mut connections, mut pause_max) = (0, 1, Duration::ZERO);
    let mut last = Instant::now();
    let mut ticks = interval(TICK);
    for tick in 1_u64.. {
        ticks.tick().await;
        let outcome = async {
            if tick.is_multiple_of(CONNECT_EVERY) {
                connector.connect().await?;
                connections += 1;
            }
            let current = leaf(&source);
            if current != svid_of_kept {
                kept = connector.connect().await?;
                svid_of_kept = current;
                connections += 1;
            }
            exchange(&mut kept).await
        };
        match outcome.await {
            Ok(()) => {
                exchanges += 1;
                pause_max = pause_max.max(last.elapsed());
                last = Instant::now();
            }
            Err(error) => emit(&Event::Failed { reason: format!("{error:#}") }),
        }
        if tick.is_multiple_of(TELL_EVERY) {
            let pause_max_ms = u64::try_from(pause_max.as_millis()).unwrap_or(u64::MAX);
            emit(&Event::Alive { exchanges, connections, pause_max_ms });
        }
    }
    Ok(())
}

impl Connector {
    /// Of handshakes that fail, one has to count that both sides made with what they have now.
    async fn connect(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let connected = async {
            loop {
                let revisions = self.material.settled().await;
                let outcome = self.handshake().await;
                if outcome.is_ok() || self.material.revisions() == Some(revisions) {
                    return outcome;
                }
            }
        };
        timeout(CALL_MAX, connected).await.context("a handshake hangs")?.context("handshake")
    }

    /// With TLS 1.3 a client has its stream before the server has judged its certificate; an exchange tells.
    async fn handshake(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        // The SPIFFE ID authenticates the server, its name does not.
        let mut tls = self.tls.connect(ServerName::try_from("workload")?, tcp).await?;
        exchange(&mut tls).await?;
        Ok(tls)
    }
}

async fn exchange(tls: &mut TlsStream<TcpStream>) -> anyhow::Result<()> {
    let exchanged = async {
        tls.write_all(MESSAGE).await?;
        tls.flush().await?;
        let mut answer = [0; MESSAGE.len()];
        tls.read_exact(&mut answer).await?;
        ensure!(answer == *MESSAGE, "the answer is not what was sent");
        Ok(())
    };
    timeout(CALL_MAX, exchanged).await.context("an exchange hangs")?.context("exchange")
}

fn leaf(source: &X509Source) -> Option<Vec<u8>> {
    let svid = source.try_svid()?;
    Some(svid.cert_chain().first()?.as_bytes().to_vec())
}

/// A line that is there as a whole or not at all, so that whoever reads along can parse it.
fn emit(event: &Event) {
    let Ok(mut line) = serde_json::to_string(event) else { return };
    line.push('\n');
    // Nobody is left to be told when standard output is gone.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

const MESSAGE: &[u8; 8] = b"steeple\n";
const TICK: Duration = Duration::from_millis(50);
/// In ticks.
const CONNECT_EVERY: u64 = 5;
const TELL_EVERY: u64 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const CALL_MAX: Duration = Duration::from_secs(2);
