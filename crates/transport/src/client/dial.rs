//! Dialling a server by SPIFFE ID at whichever of its addresses answers.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use super::order::{Failures, random};
use crate::tls::VerifyError;

/// Connects to the first address that answers and passes TLS. Clones share what they learned about addresses.
#[derive(Clone, Debug)]
pub struct ServerDialer {
    /// `host:port` each; names are resolved at every dial.
    targets: Arc<[String]>,
    tls: Arc<ClientConfig>,
    attempt_timeout: Duration,
    failures: Arc<Mutex<Failures>>,
    /// Dialled last: the one that is connected, or that does not answer.
    current: Arc<Mutex<Option<SocketAddr>>>,
}

/// Why no address could be used. [`VerifyError::find`] looks into it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Of several failures the most telling is kept: a refused certificate before a refused connection.
    #[error("cannot connect to {address} ({tried} addresses tried): {}", reason(.source))]
    Failed { tried: usize, address: SocketAddr, source: io::Error },
    #[error("cannot resolve {target}: {source}")]
    Resolve { target: String, source: io::Error },
    #[error("{targets} resolves to no address")]
    NoAddress { targets: String },
}

impl ServerDialer {
    /// `targets` are `host:port`, one DNS name or several replicas. `tls` comes from [`crate::tls::client_config`].
    pub fn new(targets: impl IntoIterator<Item = String>, tls: Arc<ClientConfig>) -> Self {
        let targets = targets.into_iter().collect();
        let (failures, current) = Default::default();
        Self { targets, tls, attempt_timeout: ATTEMPT_TIMEOUT, failures, current }
    }

    /// Dials the same addresses in another way, and knows which of them failed.
    pub fn with_tls(&self, tls: Arc<ClientConfig>) -> Self {
        Self { tls, current: Arc::default(), ..self.clone() }
    }

    /// For one address, TCP and TLS together; 5 s unless set.
    pub fn with_attempt_timeout(self, attempt_timeout: Duration) -> Self {
        Self { attempt_timeout, ..self }
    }

    /// The address that was dialled last.
    pub fn current(&self) -> Option<SocketAddr> {
        *self.current.lock()
    }

    /// Says that the current server cannot serve, whether it answers or not, so that the next dial prefers the others.
    pub fn avoid_current(&self) {
        if let Some(address) = self.current() {
            self.failures.lock().failed(address, Instant::now());
        }
    }

    /// One dial over all addresses.
    pub async fn dial(&self) -> Result<TlsStream<TcpStream>, DialError> {
        let found = self.resolve().await?;
        let addresses: Vec<SocketAddr> = found.iter().map(|(address, _)| *address).collect();
        let ordered = self.failures.lock().order(&addresses, random() as usize, Instant::now());
        let mut failure: Option<(SocketAddr, io::Error)> = None;
        for address in &ordered {
            let host = found.iter().find(|(found, _)| found == address).map_or("", |(_, host)| host);
            *self.current.lock() = Some(*address);
            let outcome = timeout(self.attempt_timeout, self.connect(*address, host)).await;
            let error = match outcome {
                Ok(Ok(stream)) => {
                    self.failures.lock().succeeded(*address);
                    return Ok(stream);
                }
                Ok(Err(error)) => error,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
            };
            debug!(%address, %error, "server address failed");
            self.failures.lock().failed(*address, Instant::now());
            let more_telling =
                |kept: &io::Error| VerifyError::find(kept).is_none() && VerifyError::find(&error).is_some();
            if failure.as_ref().is_none_or(|(_, kept)| more_telling(kept)) {
                failure = Some((*address, error));
            }
        }
        Err(match failure {
            Some((address, source)) => DialError::Failed { tried: ordered.len(), address, source },
            None => DialError::NoAddress { targets: self.targets.join(", ") },
        })
    }

    /// A name that cannot be resolved matters only when no other gives an address.
    async fn resolve(&self) -> Result<Vec<(SocketAddr, &str)>, DialError> {
        let (mut addresses, mut failure) = (Vec::new(), None);
        for target in &*self.targets {
            match timeout(self.attempt_timeout, lookup_host(target.as_str())).await {
                Ok(Ok(found)) => addresses.extend(found.map(|address| (address, host(target)))),
                Ok(Err(source)) => failure = Some(DialError::Resolve { target: target.clone(), source }),
                Err(_) => {
                    let source = io::Error::new(io::ErrorKind::TimedOut, "name server does not answer");
                    failure = Some(DialError::Resolve { target: target.clone(), source });
                }
            }
        }
        match failure {
            Some(failure) if addresses.is_empty() => Err(failure),
            _ => Ok(addresses),
        }
    }

    /// The SPIFFE ID authenticates, the host name does not. It goes into SNI, by which some load balancers route.
    async fn connect(&self, address: SocketAddr, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        detect_dead_peer(&tcp)?;
        let name = ServerName::try_from(host.to_owned()).unwrap_or(ServerName::IpAddress(address.ip().into()));
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await
    }
}

impl tower::Service<Uri> for ServerDialer {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial().await.map(TokioIo::new) })
    }
}

/// A refused certificate in the words of who refused it, without the layers that carried them.
fn reason(error: &io::Error) -> String {
    VerifyError::find(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// `host` of `host:port` or `[host]:port`.
fn host(target: &str) -> &str {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// A server that vanished without a FIN is noticed in about 20 s, whether we wait for it or have sent something.
fn detect_dead_peer(tcp: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(tcp, 2)?;
    sockopt::set_tcp_user_timeout(tcp, 20_000)?;
    Ok(())
}

/// The acceptor's limit for a handshake too.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
