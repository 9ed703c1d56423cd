//! Ways to the servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use steeple_testkit::Dice;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::node::server_ip;
use crate::wire::{ADMIN_PORT, API_PORT, connect};
use crate::world::World;

/// A number of a server.
pub fn any_server(world: &World, dice: &mut Dice) -> usize {
    usize::try_from(dice.below(world.plan.servers as u64)).unwrap_or(0)
}

/// To the admin socket of a server, over a connection of its own.
pub fn admin(server: usize) -> Channel {
    let address = SocketAddr::new(server_ip(server), ADMIN_PORT);
    let dial = tower::service_fn(move |_: Uri| async move { in_time(connect(address)).await.map(TokioIo::new) });
    Endpoint::from_static("http://server").connect_with_connector_lazy(dial)
}

/// To the port for agents.
pub fn api(server: usize, tls: &Arc<ClientConfig>) -> Channel {
    let (address, tls) = (SocketAddr::new(server_ip(server), API_PORT), Arc::clone(tls));
    let dial = tower::service_fn(move |_: Uri| {
        let tls = Arc::clone(&tls);
        async move {
            let name = ServerName::IpAddress(address.ip().into());
            let connected = async { TlsConnector::from(tls).connect(name, connect(address).await?).await };
            in_time(connected).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("https://server").connect_with_connector_lazy(dial)
}

async fn in_time<T>(connect: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT_MAX, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

const CONNECT_MAX: Duration = Duration::from_secs(3);
