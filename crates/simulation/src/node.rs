//! A server of the simulation: its address, clock and disk, and what runs on them, if anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use steeple_config::{ServerOverrides, ServerSettings, Supported, load_server};
use steeple_server_raft::raft::{Replica, Status};
use steeple_testkit::Dice;
use tokio::time::sleep;

use crate::Plan;
use crate::clock::{NodeClock, Time};
use crate::disk::Disk;
use crate::wire::{API_PORT, PEER_PORT};

pub struct Node {
    pub number: usize,
    pub clock: Arc<NodeClock>,
    pub disk: Disk,
    pub settings: ServerSettings,
    pub sync_max: Duration,
    /// Of its syncs. Each start goes on with it.
    dice: Mutex<Dice>,
    replica: Mutex<Option<Replica>>,
    /// Who leads and answers, as the replica said last.
    leader: Mutex<Option<u64>>,
    ended: Mutex<Option<String>>,
}

impl Node {
    pub fn new(number: usize, plan: &Plan, time: &Arc<Time>, dir: &Path) -> anyhow::Result<Self> {
        let own = dir.join(format!("server-{number}"));
        std::fs::create_dir_all(&own)?;
        Ok(Self {
            number,
            clock: Arc::new(NodeClock::new(time)),
            settings: settings(number, plan, dir, &own)?,
            disk: Disk::new(own.join("data")),
            sync_max: plan.sync_max,
            dice: Mutex::new(Dice::new(plan.seed ^ (number as u64) << 32)),
            replica: Mutex::default(),
            leader: Mutex::default(),
            ended: Mutex::default(),
        })
    }

    pub fn ip(&self) -> IpAddr {
        server_ip(self.number)
    }

    pub fn dice(&self) -> Dice {
        let mut dice = self.dice.lock();
        Dice::new(dice.below(u64::MAX))
    }

    /// A replica serves here from now on.
    pub fn runs(&self, replica: Replica) {
        *self.replica.lock() = Some(replica);
    }

    pub fn replica(&self) -> Option<Replica> {
        self.replica.lock().clone()
    }

    /// Goes on for as long as the node has power: how long a leader has been silent can only be told in this node's
    /// time, which nobody outside of it sees.
    pub async fn follow_leader(&self, replica: Replica) {
        loop {
            *self.leader.lock() = replica.status().leader_id;
            sleep(LOOK_AGAIN).await;
        }
    }

    /// What the replica says of itself, if one runs.
    pub fn status(&self) -> Option<Status> {
        let replica = self.replica()?;
        Some(Status { leader_id: *self.leader.lock(), ..replica.status() })
    }

    /// Nothing runs here any more. Without this the store would stay open.
    pub fn stopped(&self) {
        if let Some(replica) = self.replica.lock().take() {
            replica.let_go();
        }
        self.leader.lock().take();
        self.ended.lock().take();
    }

    /// The server ended by itself.
    pub fn ends(&self, why: String) {
        *self.ended.lock() = Some(why);
    }

    pub fn ended(&self) -> Option<String> {
        self.ended.lock().clone().or_else(|| self.disk.failure())
    }
}

pub fn server_ip(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last_octet(number)))
}

pub fn client_ip(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, last_octet(number)))
}

fn last_octet(number: usize) -> u8 {
    u8::try_from(number + 1).unwrap_or(u8::MAX)
}

fn settings(number: usize, plan: &Plan, dir: &Path, own: &Path) -> anyhow::Result<ServerSettings> {
    let peers: Vec<String> = (0..plan.servers)
        .filter(|peer| *peer != number)
        .map(|peer| format!("\"{}\"", SocketAddr::new(server_ip(peer), PEER_PORT)))
        .collect();
    let (ip, own_path, key) = (server_ip(number), own.display(), dir.join("sealing-key"));
    let text = format!(
        r#"server {{
            trust_domain = "{TRUST_DOMAIN}" bind_address = "{ip}" bind_port = {API_PORT}
            data_dir = "{own_path}/data" socket_path = "{own_path}/api.sock"
            ratelimit {{ attestation = false signing = false }}
            cluster {{
                name = "server-{number}" bootstrap = {founds} join = [{join}]
                peer_bind_address = "{ip}" peer_bind_port = {PEER_PORT} sealing_key_path = "{key}"
                promote_after = "0s"
            }}
        }}
        plugins {{ NodeAttestor "join_token" {{ plugin_data {{ }} }} }}"#,
        founds = number == 0,
        join = peers.join(", "),
        key = key.display(),
    );
    let path = own.join("server.conf");
    std::fs::write(&path, text)?;
    let loaded = load_server(Some(&path), false, &ServerOverrides::default(), &Supported::default())
        .with_context(|| path.display().to_string())?;
    let mut settings = loaded.settings;
    // Shorter than a configuration may say, so that a run of a minute sees rotations and snapshots.
    settings.cluster.snapshot_entries = plan.snapshot_entries;
    settings.ttl.ca = plan.ca_ttl;
    settings.ttl.x509_svid = plan.ca_ttl / 6;
    settings.ttl.jwt_svid = plan.ca_ttl / 6;
    settings.ttl.agent = plan.ca_ttl / 3;
    Ok(settings)
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);
pub const TRUST_DOMAIN: &str = "simulated.test";
