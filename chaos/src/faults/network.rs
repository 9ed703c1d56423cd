//! The network between replicas: each is reached at a front of its own, and callers are told apart by their source
//! address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use steeple_testkit::{Dice, Port, Preload};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::link::Link;
use super::relay::{Way, carry};

/// Connections that one front carries at once. Replicas have a few to each other.
const CONNECTIONS_MAX: usize = 128;

/// It ends with the value, and every connection through it.
pub(crate) struct Network {
    links: Arc<Links>,
    fronts: Vec<Front>,
    _relays: JoinSet<()>,
}

struct Front {
    port: Port,
    /// Where the replica really listens.
    server: watch::Sender<Option<SocketAddr>>,
}

struct Links {
    /// Where each replica calls from.
    sources: Vec<Ipv4Addr>,
    /// By sender, then by receiver.
    by_pair: Vec<watch::Sender<Link>>,
    troubled: Arc<AtomicU64>,
}

impl Network {
    /// Fronts for `size` replicas on loopback, with all links open.
    pub(crate) async fn open(size: usize) -> anyhow::Result<Self> {
        Self::open_at(Ipv4Addr::LOCALHOST, (0..size).map(source_address).collect()).await
    }

    /// Fronts at `hub` for replicas that call from `sources`.
    pub(crate) async fn open_at(hub: Ipv4Addr, sources: Vec<Ipv4Addr>) -> anyhow::Result<Self> {
        let size = sources.len();
        let links = Arc::new(Links {
            sources,
            by_pair: (0..size * size).map(|_| watch::Sender::new(Link::OPEN)).collect(),
            troubled: Arc::default(),
        });
        let (mut fronts, mut relays) = (Vec::with_capacity(size), JoinSet::new());
        for position in 0..size {
            let port = Port::reserve()?.on(hub);
            let listener = TcpListener::bind(port.address()).await.context("a front of the network")?;
            let (server, known) = watch::channel(None);
            relays.spawn(accept(listener, position, known, Arc::clone(&links)));
            fronts.push(Front { port, server });
        }
        Ok(Self { links, fronts, _relays: relays })
    }

    /// What peers dial to reach the replica at `position`.
    pub(crate) fn front(&self, position: usize) -> String {
        self.fronts[position].port.address()
    }

    /// Tells where the replica at `position` listens, `host:port`.
    pub(crate) fn leads_to(&self, position: usize, server: &str) -> anyhow::Result<()> {
        let address = server.parse().with_context(|| format!("{server} is no address"))?;
        self.fronts[position].server.send_replace(Some(address));
        Ok(())
    }

    /// For the process of the replica at `position`, compiled into `dir`: it calls from an address of its own.
    pub(crate) fn source(&self, position: usize, dir: &Path) -> anyhow::Result<Preload> {
        let variables = vec![("STEEPLE_SOURCE_ADDRESS".to_owned(), source_address(position).to_string())];
        Preload::compile(dir, "source", SOURCE, variables)
    }

    pub(crate) fn set(&self, from: usize, to: usize, link: Link) {
        self.links.between(from, to).send_replace(link);
    }

    /// Both directions.
    pub(crate) fn set_both(&self, one: usize, other: usize, link: Link) {
        self.set(one, other, link);
        self.set(other, one, link);
    }

    /// All links of one replica, there and back.
    pub(crate) fn set_all_of(&self, position: usize, link: Link) {
        for other in (0..self.links.sources.len()).filter(|other| *other != position) {
            self.set_both(position, other, link);
        }
    }

    pub(crate) fn heal(&self) {
        for link in &self.links.by_pair {
            link.send_replace(Link::OPEN);
        }
    }

    /// Pieces that links have held up since this was last asked.
    pub(crate) fn take_troubled(&self) -> u64 {
        self.links.troubled.swap(0, Ordering::Relaxed)
    }
}

impl Links {
    fn between(&self, from: usize, to: usize) -> &watch::Sender<Link> {
        &self.by_pair[from * self.sources.len() + to]
    }

    /// `None` for who is no replica.
    fn position_of(&self, address: IpAddr) -> Option<usize> {
        self.sources.iter().position(|source| address == IpAddr::V4(*source))
    }

    fn way(&self, from: usize, to: usize, connection: u64) -> Way {
        Way {
            link: self.between(from, to).subscribe(),
            troubled: Arc::clone(&self.troubled),
            dice: Dice::new(connection),
        }
    }
}

async fn accept(listener: TcpListener, to: usize, server: watch::Receiver<Option<SocketAddr>>, links: Arc<Links>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((caller, address)) = accepted else { return };
        let (Some(from), Some(server)) = (links.position_of(address.ip()), *server.borrow()) else { continue };
        connections.spawn(relay(caller, server, links.way(from, to, number), links.way(to, from, number)));
    }
}

/// Ends when the connection does, whoever ended it and why.
async fn relay(caller: TcpStream, server: SocketAddr, there: Way, back: Way) {
    let _ = carry(caller, server, there, back).await;
}

/// On loopback, 127.0.1.1 calls for the first replica.
fn source_address(position: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(position + 1).unwrap_or(u8::MAX))
}

const SOURCE: &str = include_str!("source.c");

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use steeple_testkit::{compile_program, preload_env};
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpSocket;
    use tokio::process::Command;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    /// Long enough for what is not cut to arrive, nearly always; a test never fails because it was too short.
    const WHILE: Duration = Duration::from_millis(100);

    /// A connection from the first replica to the second, and its other end.
    async fn connected() -> (Network, TcpStream, TcpStream) {
        let network = Network::open(2).await.unwrap();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        network.leads_to(1, &server.local_addr().unwrap().to_string()).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source_address(0), 0))).unwrap();
        let caller = socket.connect(network.front(1).parse().unwrap()).await.unwrap();
        let (accepted, _) = timeout(LONG, server.accept()).await.unwrap().unwrap();
        (network, caller, accepted)
    }

    async fn read_two(stream: &mut TcpStream) -> [u8; 2] {
        let mut read = [0; 2];
        timeout(LONG, stream.read_exact(&mut read)).await.expect("it arrives").unwrap();
        read
    }

    #[tokio::test]
    async fn an_open_link_carries_both_ways_and_ends() {
        let (network, mut caller, mut server) = connected().await;
        caller.write_all(b"to").await.unwrap();
        assert_eq!(read_two(&mut server).await, *b"to");
        server.write_all(b"me").await.unwrap();
        assert_eq!(read_two(&mut caller).await, *b"me");
        assert_eq!(network.take_troubled(), 0);
        drop(caller);
        assert_eq!(timeout(LONG, server.read(&mut [0])).await.expect("it ends").unwrap(), 0);
    }

    #[tokio::test]
    async fn a_cut_link_holds_one_direction_until_it_is_mended() {
        let (network, mut caller, mut server) = connected().await;
        network.set(0, 1, Link::CUT);
        caller.write_all(b"to").await.unwrap();
        server.write_all(b"me").await.unwrap();
        assert_eq!(read_two(&mut caller).await, *b"me", "the other direction is open");
        let mut nothing = [0; 2];
        assert!(timeout(WHILE, server.read_exact(&mut nothing)).await.is_err(), "it was cut: {nothing:?}");
        network.heal();
        assert_eq!(read_two(&mut server).await, *b"to", "what was sent arrives in the end");
        assert!(network.take_troubled() > 0);
    }

    #[tokio::test]
    async fn the_end_of_a_connection_does_not_pass_a_cut() {
        let (network, caller, mut server) = connected().await;
        network.set_all_of(0, Link::CUT);
        drop(caller);
        assert!(timeout(WHILE, server.read(&mut [0])).await.is_err(), "nobody knows that the caller is gone");
        network.heal();
        assert_eq!(timeout(LONG, server.read(&mut [0])).await.expect("it ends").unwrap(), 0);
    }

    #[tokio::test]
    async fn a_process_with_the_library_calls_from_its_own_address() {
        const CALLER: &str = r#"
            #include <arpa/inet.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <sys/socket.h>
            int main(int count, char **words) {
                struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[count - 1]))};
                to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                struct sockaddr_in own;
                socklen_t length = sizeof own;
                int fd = socket(AF_INET, SOCK_STREAM, 0);
                if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) return 1;
                if (getsockname(fd, (struct sockaddr *)&own, &length) != 0) return 2;
                puts(inet_ntoa(own.sin_addr));
                return 0;
            }
        "#;
        let dir = tempfile::tempdir().unwrap();
        let network = Network::open(2).await.unwrap();
        let source = network.source(1, dir.path()).unwrap();
        let front = network.front(0);
        let mut command = Command::new(compile_program(dir.path(), "caller", CALLER).unwrap());
        command.envs(preload_env(&[&source])).arg(front.rsplit(':').next().unwrap()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = timeout(LONG, lines.next_line()).await.expect("it says so").unwrap();
        assert_eq!(told.as_deref(), Some("127.0.1.2"));
    }
}
