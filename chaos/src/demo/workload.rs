//! The workload: a TLS server that gets its identity from one agent and a client that gets it from another. Both use
//! the `spiffe` and `spiffe-rustls` crates, as any program might.
//!
//! The client keeps one connection going, replaces it whenever its SVID rotates, and opens further ones all the time,
//! so that every SVID in use is shown in a handshake. Whatever fails is an event, and so is every rotation.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use spiffe::{X509Source, X509SourceBuilder};
use spiffe_rustls::{authorizer, mtls_client, mtls_server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};
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
    let config = mtls_server(server.clone()).authorize(authorizer::exact([args.client_id.as_str()])?).build()?;
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
    tokio::spawn(tell_rotations("server", server));
    tokio::spawn(tell_rotations("client", client.clone()));
    exchange_for_ever(client, &args.server_id, port).await
}

async fn source(socket: &Path) -> anyhow::Result<X509Source> {
    let endpoint = format!("unix:{}", socket.display());
    Ok(X509SourceBuilder::new().endpoint(endpoint).build().await?)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => return emit(&Event::Failed { reason: format!("accept: {error}") }),
        };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor.accept(connection).await {
                Ok(mut tls) => {
                    let mut message = [0; MESSAGE.len()];
                    while tls.read_exact(&mut message).await.is_ok() && tls.write_all(&message).await.is_ok() {}
                }
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

async fn exchange_for_ever(source: X509Source, server_id: &str, port: u16) -> anyhow::Result<()> {
    let config = mtls_client(source.clone()).authorize(authorizer::exact([server_id])?).build()?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut kept = connect(&connector, port).await?;
    let mut svid_of_kept = leaf(&source);
    let (mut exchanges, mut connections, mut pause_max) = (0, 1, Duration::ZERO);
    let mut last = Instant::now();
    let mut ticks = interval(TICK);
    for tick in 1_u64.. {
        ticks.tick().await;
        let outcome = async {
            if tick.is_multiple_of(CONNECT_EVERY) {
                exchange(&mut connect(&connector, port).await?).await?;
                connections += 1;
            }
            let current = leaf(&source);
            if current != svid_of_kept {
                kept = connect(&connector, port).await?;
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

async fn connect(connector: &TlsConnector, port: u16) -> anyhow::Result<TlsStream<TcpStream>> {
    let connected = async {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        // The SPIFFE ID authenticates the server, its name does not.
        Ok::<_, anyhow::Error>(connector.connect(ServerName::try_from("workload")?, tcp).await?)
    };
    timeout(CALL_MAX, connected).await.context("a handshake hangs")?.context("handshake")
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
const CALL_MAX: Duration = Duration::from_secs(2);
