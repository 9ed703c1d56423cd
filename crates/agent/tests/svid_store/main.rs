//! SVIDs in a directory: entries with `store_svid`, a real server, a real agent and real disks.

mod disk;
mod external;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::CertificateDer;
use steeple_api::server::entry::{BatchDeleteEntryRequest, BatchUpdateEntryRequest};
use steeple_api::types::{Entry, Selector, Spiffeid};
use steeple_ca::{SigningKey, certificate};
use steeple_core::{Clock as _, Secret, SystemClock, TrustDomain};
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, NodeCertificateAuthority, Scratch, Server, ServerSpec, WorkloadStream,
    own_uid_selector, until, workload_entry,
};
use steeple_transport::tls::{TrustRoots, Usage, verify_chain};

const TRUST_DOMAIN: &str = "example.org";
/// A sync every five seconds and a retry: all within this, also on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(120);

struct World {
    scratch: Scratch,
    binaries: Binaries,
    server: Server,
    nodes: NodeCertificateAuthority,
}

impl World {
    async fn new() -> Self {
        let scratch = Scratch::new().expect("a directory");
        let binaries = Binaries::find().expect("the programs");
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root");
        let spec = ServerSpec {
            name: "server".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: Some(nodes.root_path().to_owned()),
            jwt_issuer: None,
            log_level: "info".to_owned(),
            env: Vec::new(),
        };
        let mut server = Server::start(&binaries, scratch.path(), &spec).expect("the server starts");
        server.ready().await.expect("the server becomes ready");
        let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        std::fs::write(scratch.join("bundle.pem"), pem::encode_many(&blocks)).expect("a file");
        Self { scratch, binaries, server, nodes }
    }

    /// Where SVIDs go.
    fn base(&self) -> PathBuf {
        self.scratch.join("svids")
    }

    fn start(&self, binaries: &Binaries, base: &Path) -> Agent {
        self.start_with(binaries, base, &[])
    }

    /// With more blocks of the `plugins` section.
    fn start_with(&self, binaries: &Binaries, base: &Path, blocks: &[String]) -> Agent {
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: vec![self.server.api_address()],
            trust_bundle: self.scratch.join("bundle.pem"),
            attestation: Attestation::X509Pop(self.nodes.issue(self.scratch.path(), "node-1").expect("a certificate")),
            log_level: "debug".to_owned(),
            lines: Vec::new(),
        };
        let store = format!("SVIDStore \"directory\" {{ plugin_data {{ base_dir = {base:?} }} }}");
        let blocks = [&[store], blocks].concat();
        Agent::start_with(binaries, self.scratch.path(), &spec, &blocks).expect("the agent starts")
    }

    async fn agent(&self) -> Agent {
        let mut agent = self.start(&self.binaries, &self.base());
        agent.ready().await.expect("the agent attests");
        agent
    }

    async fn agent_id(&self) -> Spiffeid {
        self.server.admin().agent_ids("x509pop").await.expect("a list").remove(0)
    }

    /// An entry whose SVID is stored, with `seconds` to live.
    async fn store(&self, path: &str, selectors: &[&str], seconds: i32) -> Entry {
        let entry = workload_entry("", &self.agent_id().await, path, selectors_of(selectors));
        let entry = Entry { store_svid: true, x509_svid_ttl: seconds, ..entry };
        self.server.admin().create_entry(entry).await.expect("an entry")
    }

    async fn delete(&self, entry: Entry) {
        let request = BatchDeleteEntryRequest { ids: vec![entry.id] };
        self.server.admin().entries().batch_delete_entry(request).await.expect("it is gone");
    }
}

fn selectors_of(selectors: &[&str]) -> Vec<Selector> {
    let selector = |text: &&str| {
        let (kind, value) = text.split_once(':').expect("a selector");
        Selector { r#type: kind.to_owned(), value: value.to_owned() }
    };
    selectors.iter().map(selector).collect()
}

/// What one folder has.
#[derive(Clone, Debug, PartialEq)]
struct Files {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
    bundle: Vec<Vec<u8>>,
}

impl Files {
    /// Read as a program would, one after the other.
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let blocks = |name: &str| -> anyhow::Result<Vec<Vec<u8>>> {
            let text = std::fs::read(folder.join(name)).with_context(|| name.to_owned())?;
            Ok(pem::parse_many(text)?.into_iter().map(pem::Pem::into_contents).collect())
        };
        let [chain, key, bundle] = [blocks("svid.pem")?, blocks("svid_key.pem")?, blocks("bundle.pem")?];
        Ok(Self { chain, key: key.into_iter().next().context("an empty key")?, bundle })
    }

    /// The SPIFFE ID, once the bundle vouches for it and the key belongs to it.
    fn verified(&self) -> anyhow::Result<String> {
        let chain: Vec<CertificateDer<'_>> =
            self.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let roots = TrustRoots::empty().with(TrustDomain::parse(TRUST_DOMAIN)?, &self.bundle)?;
        let id = verify_chain(&chain, &roots, SystemClock.now(), Usage::Server)?;
        let key = SigningKey::from_pkcs8(&Secret::new(self.key.clone()))?;
        let leaf = certificate::facts(&self.chain[0]).context("a leaf")?;
        ensure!(key.public_key().spki() == leaf.public_key, "the key is another's");
        Ok(id.to_string())
    }
}

async fn stored(folder: &Path, id: &str) -> Files {
    let there = until("files", EVENT_MAX, async || {
        let files = Files::read(folder)?;
        let found = files.verified()?;
        ensure!(found == format!("spiffe://{TRUST_DOMAIN}{id}"), "{found}");
        anyhow::Ok(files)
    });
    there.await.expect("an SVID in files")
}

async fn renewed(folder: &Path, id: &str, before: &Files) -> Files {
    let there = until("a renewal", EVENT_MAX, async || {
        let files = stored(folder, id).await;
        ensure!(files.chain != before.chain && files.key != before.key, "it is the old one");
        anyhow::Ok(files)
    });
    there.await.expect("a new SVID in files")
}

async fn gone(path: &Path) {
    let gone = until("files to go", EVENT_MAX, async || {
        ensure!(!path.exists(), "{} is there", path.display());
        anyhow::Ok(())
    });
    gone.await.expect("they are gone");
}

async fn says(agent: &Agent, part: &str) {
    let said = until(part, EVENT_MAX, async || {
        let log = agent.log().unwrap_or_default();
        if log.contains(part) { Ok(()) } else { Err(log) }
    });
    said.await.expect("the agent says so");
}

fn names(folder: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.into_string().expect("UTF-8")).filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test]
async fn an_entrys_svid_is_in_files_that_verify_are_renewed_move_and_go_with_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let mut agent = world.agent().await;
    let (web, moved) = (world.base().join("team/web"), world.base().join("moved"));
    let entry = world.store("/web", &["directory:path:team/web"], 20).await;
    let first = stored(&web, "/web").await;
    assert_eq!(names(&web), ["bundle.pem", "svid.pem", "svid_key.pem"].map(str::to_owned).into());
    let mode = |name: &str| std::fs::metadata(web.join(name)).expect("a file").permissions().mode() & 0o7777;
    assert_eq!((mode("svid_key.pem"), mode("svid.pem"), mode("bundle.pem")), (0o600, 0o644, 0o644));
    renewed(&web, "/web", &first).await;

    let request = BatchUpdateEntryRequest {
        entries: vec![Entry { selectors: selectors_of(&["directory:path:moved"]), ..entry.clone() }],
        ..BatchUpdateEntryRequest::default()
    };
    world.server.admin().entries().batch_update_entry(request).await.expect("an update");
    stored(&moved, "/web").await;
    gone(&web).await;
    world.delete(entry).await;
    gone(&moved).await;
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_is_stored_is_no_workloads_and_what_cannot_be_is_named() {
    let world = World::new().await;
    let mut agent = world.agent().await;
    let own = own_uid_selector();
    world.store("/unix", &[&format!("unix:{}", own.value)], 0).await;
    says(&agent, "Error storing SVID: SVIDStore \\\"unix\\\" not found").await;
    world.store("/out", &["directory:path:../out"], 0).await;
    says(&agent, "no folder may be empty or begin with a dot").await;
    world.store("/web", &["directory:path:web"], 0).await;
    stored(&world.base().join("web"), "/web").await;
    world.store("/other", &["directory:path:web"], 0).await;
    says(&agent, "directory:web is already for entry ").await;
    world.store("/nobody", &["directory:path:nobody", "directory:owner:no-such-user"], 0).await;
    says(&agent, "this node has no user no-such-user").await;
    assert_eq!(names(&world.base()), ["web".to_owned()].into());
    assert!(!world.scratch.join("out").exists());

    // The caller's selectors are those of the first entry, and yet it is nobody.
    let mut stream = WorkloadStream::open(&agent.socket()).await.expect("a stream");
    let refused = stream.next().await.expect_err("no identity");
    assert!(format!("{refused:#}").contains("no identity issued"), "{refused:#}");
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn after_a_restart_files_are_current_and_those_of_entries_that_went_are_gone() {
    let world = World::new().await;
    let mut agent = world.agent().await;
    let (kept, left) = (world.base().join("kept"), world.base().join("left"));
    world.store("/kept", &["directory:path:kept"], 0).await;
    let leaving = world.store("/left", &["directory:path:left"], 0).await;
    let before = stored(&kept, "/kept").await;
    stored(&left, "/left").await;
    std::fs::create_dir(world.base().join("somebody-elses")).expect("a folder");
    agent.stop().await.expect("it stops");
    assert_eq!(Files::read(&kept).expect("they stay"), before);

    world.delete(leaving).await;
    agent.restart(&world.binaries).expect("it starts");
    agent.ready().await.expect("it is ready");
    gone(&left).await;
    renewed(&kept, "/kept", &before).await;
    assert_eq!(names(&world.base()), ["kept", "somebody-elses"].map(str::to_owned).into());

    // A second agent would remove what the first one writes.
    agent.process_mut().kill9().await.expect("it ends");
    let held = std::fs::File::open(world.base()).expect("a directory");
    held.try_lock().expect("nobody has it");
    agent.restart(&world.binaries).expect("it starts");
    let status = tokio::time::timeout(EVENT_MAX, agent.process_mut().exited()).await.expect("it ends by itself");
    assert_eq!(status.expect("a status").code(), Some(1));
    says(&agent, "is another agent's: two of them would remove each other's files").await;
}
