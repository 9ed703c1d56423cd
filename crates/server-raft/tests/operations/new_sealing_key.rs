//! Another sealing key for a cluster that serves: members that are away, a leader that goes, members that missed it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::steeple::server::seal_client::SealClient;
use steeple_api::steeple::server::{NewSealingKey, NewSealingKeyRequest, SealStatusRequest, SealStatusResponse};
use steeple_ca::seal::KeyFile;
use steeple_testkit::{Cluster, ClusterRole, ExtraLines, Server, ServerSpec, until};
use tonic::transport::Channel;

use crate::site::{Said, Site, binaries, create, entries, refused, run, spec, text};

/// A few elections and attempts on a busy machine.
const STEP_MAX: Duration = Duration::from_secs(90);
const PASSPHRASE: &str = "correct horse battery staple";

/// Replicas with a key file each, as on hosts of their own.
struct Hosts {
    site: Site,
    cluster: Cluster,
}

impl Hosts {
    /// `seal` gives what a replica has in its `cluster` section.
    async fn three(seal: impl Fn(&Site, &str) -> String) -> Self {
        let mut hosts = Self { site: Site::new(), cluster: Cluster { servers: Vec::new() } };
        for name in ["server-1", "server-2", "server-3"] {
            let seal = seal(&hosts.site, name);
            hosts.add(name, &seal).await;
        }
        hosts.cluster.all_vote().await.expect("three voters");
        hosts
    }

    async fn add(&mut self, name: &str, seal: &str) {
        if let Some(first) = self.cluster.servers.first() {
            copy_private(&self.key(first), &self.site.scratch.join(format!("{name}.key")));
        }
        let mut server = self.launch(name, seal);
        server.ready().await.expect("it becomes ready");
        self.cluster.servers.push(server);
    }

    fn launch(&self, name: &str, seal: &str) -> Server {
        let join = self.cluster.servers.iter().map(Server::peer_address).collect();
        let sealing_key_path = self.site.scratch.join(format!("{name}.key"));
        let spec = ServerSpec { cluster: Some(ClusterRole { join, sealing_key_path }), ..spec(name) };
        let extra = ExtraLines { cluster: seal.to_owned(), ..ExtraLines::default() };
        Server::start_with(&binaries(), self.site.scratch.path(), &spec, &extra).expect("it starts")
    }

    fn key(&self, server: &Server) -> PathBuf {
        self.site.scratch.join(format!("{}.key", server.name()))
    }

    fn seal(&self, position: usize) -> SealClient<Channel> {
        SealClient::new(steeple_cli::connect(&self.cluster.servers[position].admin_socket()))
    }

    async fn status(&self, position: usize) -> Result<SealStatusResponse, String> {
        let status = self.seal(position).status(SealStatusRequest {}).await;
        status.map(tonic::Response::into_inner).map_err(|status| status.to_string())
    }

    /// Asks for a new key at `position`, and returns which one is in force until then.
    async fn ask(&self, position: usize) -> String {
        let old = self.status(position).await.expect("a status").sealing_key_id;
        let request = NewSealingKeyRequest { sealing_key_id: old.clone() };
        self.seal(position).new_key(request).await.expect("a new key is wanted");
        old
    }

    /// Waits until the replica at `position` says this of the change.
    async fn until_new_key(&self, position: usize, what: &str, holds: impl Fn(&NewSealingKey) -> bool) {
        until(what, STEP_MAX, async || match self.status(position).await?.new_key {
            Some(new_key) if holds(&new_key) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
        .expect(what);
    }

    /// Runs `seal new-key` until it is done.
    async fn new_key(&self, position: usize) -> Said {
        let socket = self.cluster.servers[position].admin_socket();
        let said = run(&["seal", "new-key", "-socketPath", text(&socket), "-output", "json"]).await;
        assert!(said.ok, "{}", said.text);
        said
    }

    async fn says(&self, position: usize) -> Said {
        run(&["seal", "status", "-config", &self.site.config(&self.cluster.servers[position])]).await
    }

    /// Every replica has that key alone, in its own file.
    async fn until_all_have(&self, id: &str) {
        for server in &self.cluster.servers {
            let path = self.key(server);
            until("the file has the new key alone", STEP_MAX, async || match (key_id(&path), next(&path).exists()) {
                (now, false) if now == id => Ok(()),
                other => Err(format!("{}: {other:?}", path.display())),
            })
            .await
            .expect("it has");
        }
    }

    async fn restart_all(&mut self) {
        self.cluster.stop().await.expect("all stop");
        for server in &mut self.cluster.servers {
            server.launch().expect("it starts");
        }
        for server in &mut self.cluster.servers {
            server.ready().await.expect("it opens the keyring");
        }
    }
}

fn waits(new_key: &NewSealingKey, reason: &str) -> bool {
    let (waiting, keeping): (Vec<_>, Vec<_>) = new_key.members.iter().partition(|member| !member.holds);
    keeping.len() == 2 && waiting.len() == 1 && waiting[0].waits_because.contains(reason)
}

fn next(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

/// As the file says.
fn key_id(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a key file");
    match KeyFile::parse(&text).expect("a sealing key") {
        KeyFile::Plain(key) => key.id().expect("a name"),
        KeyFile::Wrapped(wrapped) => wrapped.key_id,
    }
}

fn private(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, content).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

fn copy_private(from: &Path, to: &Path) {
    private(to, &std::fs::read_to_string(from).expect("a file"));
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

#[tokio::test]
async fn a_new_key_waits_for_who_is_away_and_outlives_the_leader() {
    let mut hosts = Hosts::three(|_, _| String::new()).await;
    create(&hosts.cluster.servers[0], "before").await;
    let backup = hosts.site.backup(&hosts.cluster.servers[0], "before.backup").await;
    let old_file = hosts.site.scratch.join("old.key");
    copy_private(&hosts.key(&hosts.cluster.servers[0]), &old_file);

    // One is away: nothing is put in force, and everybody says for whom it waits.
    let away = hosts.cluster.follower().await.expect("a follower");
    hosts.cluster.servers[away].stop().await.expect("it stops");
    let leader = hosts.cluster.leader().await.expect("a leader");
    let old = hosts.ask(leader).await;
    hosts.until_new_key(leader, "it waits for the one that is away", |now| waits(now, "does not answer")).await;
    let other = (0..3).find(|position| *position != away && *position != leader).expect("a third one");
    hosts.until_new_key(other, "a follower says so too", |now| waits(now, "does not answer")).await;
    let said = hosts.says(other).await;
    let name = hosts.cluster.servers[away].name();
    let parts = ["Kept beside it", "2 of 3 members keep", &format!("({name}): it does not answer"), "-cancel"];
    assert!(said.ok && parts.iter().all(|part| said.text.contains(part)), "{}", said.text);
    assert_eq!(key_id(&hosts.key(&hosts.cluster.servers[leader])), old);

    // Who made the key is gone; the others have it, and whoever leads goes on where it was.
    hosts.cluster.servers[leader].kill9().await.expect("it ends");
    hosts.cluster.servers[away].launch().expect("it starts");
    hosts.cluster.servers[away].ready().await.expect("two are a quorum");
    hosts.until_new_key(away, "it has the key from the other one", |now| waits(now, "does not answer")).await;
    let new = hosts.status(away).await.expect("a status").new_key.expect("it is under way").key_id;
    hosts.cluster.servers[leader].launch().expect("it starts");
    hosts.cluster.servers[leader].ready().await.expect("it starts with both keys");
    until("the new key is in force", STEP_MAX, async || match hosts.status(leader).await?.sealing_key_id {
        id if id == new => Ok(()),
        other => Err(other),
    })
    .await
    .expect("all keep it");
    hosts.until_all_have(&new).await;
    assert_ne!(new, old);

    hosts.restart_all().await;
    create(&hosts.cluster.servers[0], "after").await;
    assert_eq!(entries(&hosts.cluster.servers[leader]).await, ["after", "before"]);

    // Who joins needs the key in force, and is told which one that is.
    private(&hosts.site.scratch.join("stale.key"), &std::fs::read_to_string(&old_file).expect("the old key"));
    let mut stale = hosts.launch("stale", "");
    let text_of = format!("{:#}", stale.ready().await.expect_err("it has the old key"));
    let told = ["does not prove that it holds the same sealing key", &format!("it wants the key {new}"), old.as_str()];
    assert!(told.iter().all(|part| text_of.contains(part)), "{text_of}");
    hosts.add("server-4", "").await;
    hosts.cluster.all_vote().await.expect("four voters");
    hosts.cluster.converged().await.expect("one state");

    // A backup is restored with the key that it was made under.
    let later = hosts.site.backup(&hosts.cluster.servers[0], "after.backup").await;
    let config = hosts.site.config(&hosts.cluster.servers[0]);
    let verified = run(&["backup", "verify", "-config", &config, "-path", text(&later)]).await;
    assert!(verified.ok, "{}", verified.text);
    let refusal = refused(&["backup", "verify", "-config", &config, "-path", text(&backup)]).await;
    assert!(refusal.contains(&format!("which was sealed with {old}")) && refusal.contains(&new), "{refusal}");
    let with_old = ["backup", "verify", "-config", &config, "-path", text(&backup), "-sealingKeyPath", text(&old_file)];
    let verified = run(&with_old).await;
    assert!(verified.ok, "{}", verified.text);
}

#[tokio::test]
async fn a_new_key_goes_under_each_replicas_own_passphrase_and_waits_for_who_is_sealed() {
    let block = |site: &Site, _: &str| {
        let path = site.scratch.join("passphrase");
        private(&path, PASSPHRASE);
        format!("seal \"passphrase\" {{ passphrase_path = \"{}\" }}", path.display())
    };
    let mut hosts = Hosts::three(block).await;
    let passphrase = hosts.site.scratch.join("passphrase");
    let sealed = hosts.cluster.follower().await.expect("a follower");
    hosts.cluster.servers[sealed].stop().await.expect("it stops");
    private(&passphrase, "another passphrase");
    hosts.cluster.servers[sealed].launch().expect("it starts");
    let leader = hosts.cluster.leader().await.expect("a leader");
    until("it is sealed", STEP_MAX, async || match hosts.status(sealed).await?.sealed_because {
        why if why.contains("does not open") => Ok(()),
        other => Err(other),
    })
    .await
    .expect("its passphrase is wrong");

    // With the wrong passphrase in its place a key could not be opened again, so it stays the common one.
    private(&passphrase, PASSPHRASE);
    std::fs::rename(hosts.key(&hosts.cluster.servers[sealed]), hosts.site.scratch.join("elsewhere")).expect("moved");
    hosts.cluster.servers[sealed].kill9().await.expect("it ends");
    hosts.cluster.servers[sealed].launch().expect("it starts");
    until("it is sealed", STEP_MAX, async || match hosts.status(sealed).await?.sealed_because {
        why if why.contains("no sealing key at") => Ok(()),
        other => Err(other),
    })
    .await
    .expect("it has no key");
    let old = hosts.ask(leader).await;
    hosts.until_new_key(leader, "it waits for the sealed one", |now| waits(now, "it is sealed")).await;

    // Given up, everything is as it was.
    let follower = (0..3).find(|position| *position != sealed && *position != leader).expect("a third one");
    let socket = hosts.cluster.servers[follower].admin_socket();
    let said = run(&["seal", "new-key", "-cancel", "-socketPath", text(&socket)]).await;
    assert!(said.ok && said.text.contains(&format!("{old} stays in force")), "{}", said.text);
    for position in [leader, follower] {
        let path = next(&hosts.key(&hosts.cluster.servers[position]));
        until("the other key is gone", STEP_MAX, async || if path.exists() { Err("not yet") } else { Ok(()) })
            .await
            .expect("it is dropped");
    }
    let again = refused(&["seal", "new-key", "-cancel", "-socketPath", text(&socket)]).await;
    assert!(again.contains("no new sealing key is under way") && again.contains(&old), "{again}");

    // Whole again, it takes the next one with the others.
    std::fs::rename(hosts.site.scratch.join("elsewhere"), hosts.key(&hosts.cluster.servers[sealed])).expect("moved");
    hosts.cluster.servers[sealed].ready().await.expect("it is unsealed by itself");
    let said = hosts.new_key(follower).await;
    let new = said.json["sealing_key_id"].as_str().expect("a name").to_owned();
    assert_ne!(new, old);
    assert!(said.text.contains("keep a copy of it") && said.text.contains("100% "), "{}", said.text);
    hosts.until_all_have(&new).await;
    let file = std::fs::read_to_string(hosts.key(&hosts.cluster.servers[sealed])).expect("a key file");
    assert!(file.contains("steeple-wrapped-sealing-key-v1:passphrase:"), "{file}");
    hosts.restart_all().await;
    create(&hosts.cluster.servers[sealed], "after").await;
    hosts.cluster.converged().await.expect("one state");

    // Two at once: one of them has an effect.
    let request = NewSealingKeyRequest { sealing_key_id: old.clone() };
    let stale = hosts.seal(leader).new_key(request).await.expect_err("that was a key ago");
    assert_eq!(stale.code(), tonic::Code::Aborted, "{stale}");
}

#[tokio::test]
async fn a_replica_from_an_old_disk_says_which_key_it_missed() {
    let mut hosts = Hosts::three(|_, _| String::new()).await;
    let restored = hosts.cluster.follower().await.expect("a follower");
    hosts.cluster.servers[restored].stop().await.expect("it stops");
    let (data, key) = (hosts.cluster.servers[restored].data_dir(), hosts.key(&hosts.cluster.servers[restored]));
    let (old_data, old_key) = (hosts.site.scratch.join("old-data"), hosts.site.scratch.join("old.key"));
    copy_dir(&data, &old_data);
    copy_private(&key, &old_key);
    hosts.cluster.servers[restored].launch().expect("it starts");
    hosts.cluster.servers[restored].ready().await.expect("it comes back");

    let old = key_id(&key);
    hosts.new_key(restored).await;
    let new = hosts.status(restored).await.expect("a status").sealing_key_id;
    hosts.until_all_have(&new).await;
    hosts.cluster.servers[restored].stop().await.expect("it stops");
    // A leader ends when a disk forgets what it has acknowledged to it, so it is another one that finds this.
    let leader = hosts.cluster.leader().await.expect("a leader");
    hosts.cluster.servers[leader].kill9().await.expect("it ends");
    hosts.cluster.servers[leader].launch().expect("it starts");
    hosts.cluster.servers[leader].ready().await.expect("two are a quorum");
    std::fs::remove_dir_all(&data).expect("its disk");
    copy_dir(&old_data, &data);
    copy_private(&old_key, &key);
    hosts.cluster.servers[restored].launch().expect("it starts");
    let parts =
        [format!("replaced its sealing key by {new}"), format!("whose file still has {old}"), "copy the file".into()];
    until("it says which key it missed", STEP_MAX, async || {
        let admin = hosts.cluster.servers[restored].admin();
        match admin.entries().list_entries(ListEntriesRequest::default()).await {
            Err(status) if parts.iter().all(|part| status.message().contains(part)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("it is sealed");

    let leader = hosts.cluster.leader().await.expect("a leader");
    copy_private(&hosts.key(&hosts.cluster.servers[leader]), &key);
    hosts.cluster.servers[restored].ready().await.expect("it is whole without a restart");
    hosts.cluster.converged().await.expect("one state");
}
