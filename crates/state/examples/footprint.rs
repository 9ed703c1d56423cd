//! Prints what entries cost in memory and how fast commands apply: `cargo run --release -p steeple-state --example
//! footprint -- 100000`.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use steeple_core::{Entry, Selector, SpiffeId, Timestamp, TrustDomain};
use steeple_state::{ClusterInit, Command, CommandKind, MemberFacts, State, codec};

fn main() -> Result<(), Box<dyn Error>> {
    let entries: usize = env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    let mut state = State::new();
    state.apply(1, &command(0, init()?));
    let resident_before = resident_bytes()?;
    let mut log_bytes = 0;
    let mut elapsed = Duration::ZERO;
    for number in 0..entries {
        let bytes = codec::encode_commands(&[command(number + 1, create(number)?)]);
        log_bytes += bytes.len();
        let start = Instant::now();
        for command in codec::decode_commands(&bytes)? {
            state.apply(number as u64 + 2, &command);
        }
        elapsed += start.elapsed();
    }
    let resident = resident_bytes()?.saturating_sub(resident_before);
    println!("entries                  {entries}");
    println!("log bytes per entry      {}", log_bytes / entries.max(1));
    println!("resident bytes per entry {}", resident / entries.max(1));
    println!("decode + apply           {:.0} entries/s", entries as f64 / elapsed.as_secs_f64());

    let agent = SpiffeId::parse("spiffe://example.org/spire/agent/x509pop/0000000000000000000000000000000000000000")?;
    let start = Instant::now();
    let seen = state.authorized_entries(&agent).len();
    println!("authorized entries       {seen} in {:?}", start.elapsed());
    println!("state hash               {}", state.hash());
    Ok(())
}

fn command(number: usize, kind: CommandKind) -> Command {
    let mut request_id = [1; 16];
    request_id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Command { request_id, at: Timestamp::from_secs(1_700_000_000), actor: "local".to_owned(), kind }
}

fn init() -> Result<CommandKind, Box<dyn Error>> {
    let first = MemberFacts {
        storage_uuid: [1; 16],
        name: "node-1".to_owned(),
        peer_address: "node-1:8082".to_owned(),
        api_address: "node-1:8081".to_owned(),
    };
    Ok(CommandKind::InitCluster(Box::new(ClusterInit {
        version: steeple_state::CLUSTER_VERSION_MAX,
        cluster_uuid: [1; 16],
        trust_domain: TrustDomain::from_name("example.org")?,
        keyring: Vec::new(),
        peer_ca: Vec::new(),
        first,
    })))
}

/// A typical entry of a Kubernetes cluster, a thousand for each node.
fn create(number: usize) -> Result<CommandKind, Box<dyn Error>> {
    let entry = Entry {
        id: format!("{number:08x}-0000-4000-8000-000000000000"),
        spiffe_id: SpiffeId::parse(&format!("spiffe://example.org/ns/team-{}/sa/workload-{number}", number % 50))?,
        parent_id: SpiffeId::parse(&format!(
            "spiffe://example.org/spire/agent/x509pop/{:040x}",
            number / ENTRIES_PER_AGENT
        ))?,
        selectors: [
            Selector::new("k8s", format!("ns:team-{}", number % 50))?,
            Selector::new("k8s", format!("sa:workload-{number}"))?,
        ]
        .into_iter()
        .collect(),
        x509_svid_ttl: 0,
        jwt_svid_ttl: 0,
        federates_with: Vec::new(),
        admin: false,
        downstream: false,
        expires_at: 0,
        dns_names: Vec::new(),
        revision: 0,
        store_svid: false,
        hint: String::new(),
        created_at: 0,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
    };
    Ok(CommandKind::CreateEntries { entries: vec![Arc::new(entry)] })
}

fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split_whitespace().nth(1).ok_or("an unexpected /proc/self/statm")?.parse()?;
    Ok(pages * PAGE_BYTES)
}

const ENTRIES_PER_AGENT: usize = 1_000;
const PAGE_BYTES: usize = 4096;
