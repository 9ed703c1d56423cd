//! Real servers under each kind of seal, and seals that do not open. Transit is played by a protocol double.

use std::path::{Path, PathBuf};

use steeple_api::server::entry::ListEntriesRequest;
use steeple_testkit::{ClusterRole, DoubleAnswer, ExtraLines, Server, ServerSpec, SoftHsm, TransitDouble};
use tokio::process::Command;

use crate::bench::{
    Bench, assert_says, assert_unharmed, create, health_on, private, program, relaunch, spec, until_probe_says,
};

const PASSPHRASE: &str = "canary correct horse battery staple";

/// A replica whose configuration is changed between its lives.
struct Sealed {
    bench: Bench,
    server: Server,
    health: u16,
    env: Vec<(String, String)>,
}

impl Sealed {
    async fn founded(bench: Bench, seal: &str, env: Vec<(String, String)>) -> Self {
        let health = bench.port();
        let spec = ServerSpec { env: env.clone(), ..replica(&bench, "sealed", Vec::new()) };
        let extra = ExtraLines { server: cluster(seal), top: health_on(health), ..ExtraLines::default() };
        let mut server = bench.launch_with(&spec, &extra);
        server.ready().await.expect("the server becomes ready");
        create(&server, "kept").await;
        server.stop().await.expect("it stops");
        Self { bench, server, health, env }
    }

    fn key(&self) -> PathBuf {
        self.bench.scratch.join("sealed.key")
    }

    fn config(&self) -> PathBuf {
        self.bench.config_of(&self.server)
    }

    fn reconfigure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).expect("a configuration");
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(self.config(), text.replace(from, to)).expect("a configuration");
    }

    /// Whether `steeple-server seal …` succeeds, and what it says.
    async fn seal(&self, args: &[&str]) -> (bool, String) {
        let mut command = Command::new(program());
        command.arg("seal").args(args).arg("-config").arg(self.config()).envs(self.env.clone());
        let output = command.output().await.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    async fn comes_back(&mut self) {
        relaunch(&mut self.server).await;
    }

    async fn is_sealed_because(&self, parts: &[&str]) {
        let parts = [&["the server is sealed"], parts].concat();
        until_probe_says(self.health, &parts).await;
    }

    /// Starts it, waits until it is sealed because of `parts`, and ends it.
    async fn starts_sealed(&mut self, parts: &[&str]) {
        self.server.launch().expect("it starts");
        self.is_sealed_because(parts).await;
        self.server.stop().await.expect("it stops in order");
    }
}

fn replica(bench: &Bench, name: &str, join: Vec<String>) -> ServerSpec {
    let sealing_key_path = bench.scratch.join(format!("{name}.key"));
    ServerSpec { cluster: Some(ClusterRole { join, sealing_key_path }), ..spec(name) }
}

fn cluster(seal: &str) -> String {
    format!("cluster {{ {seal} }}")
}

fn passphrase_block(path: &Path) -> String {
    format!("seal \"passphrase\" {{ passphrase_path = \"{}\" }}", path.display())
}

#[tokio::test]
async fn a_passphrase_opens_the_key_and_a_wrong_one_is_told() {
    let bench = Bench::new();
    let path = bench.scratch.join("passphrase");
    private(&path, PASSPHRASE);
    let block = passphrase_block(&path);
    let mut sealed = Sealed::founded(bench, &block, Vec::new()).await;
    let file = std::fs::read_to_string(sealed.key()).expect("a key file");
    assert!(file.contains("steeple-wrapped-sealing-key-v1:passphrase:"), "{file}");
    let (opens, text) = sealed.seal(&["status"]).await;
    assert!(opens, "{text}");
    assert_says(&text, &["Sealed by         : passphrase", "Opens             : yes"]);

    private(&path, "canary correct horse battery stapler");
    sealed.starts_sealed(&["does not open", "the passphrase is wrong, or the file was altered"]).await;
    let (opens, text) = sealed.seal(&["status"]).await;
    assert!(!opens && text.contains("Opens             : no"), "{text}");
    std::fs::remove_file(&path).expect("it was there");
    sealed.reconfigure(&block, "");
    sealed.starts_sealed(&["is sealed by", "the configuration names", "seal migrate"]).await;

    let whole = std::fs::read_to_string(sealed.config()).expect("a configuration");
    std::fs::write(sealed.config(), whole.replace("cluster {  }", &cluster(&block))).expect("a configuration");
    sealed.server.launch().expect("it starts");
    sealed.is_sealed_because(&["cannot read", &path.display().to_string()]).await;
    private(&path, PASSPHRASE);
    sealed.server.ready().await.expect("it is unsealed by itself");
    assert_unharmed(&sealed.server, &["kept"]).await;
    assert_eq!(found_below(sealed.bench.scratch.path(), PASSPHRASE.as_bytes()), [path]);
}

#[tokio::test]
async fn a_sealed_replica_says_so_serves_nothing_and_comes_back_by_itself() {
    let bench = Bench::new();
    let double = TransitDouble::start(bench.scratch.path()).await.expect("a double");
    let mut sealed = Sealed::founded(bench, &double.seal_block(), Vec::new()).await;
    let answer = r#"{"errors":["Vault is sealed"]}"#.to_owned();
    double.trouble(Some(DoubleAnswer::Status(503, answer)));
    sealed.server.launch().expect("it starts");
    sealed.is_sealed_because(&["503 Service Unavailable: Vault is sealed"]).await;
    let refused = sealed.server.admin().entries().list_entries(ListEntriesRequest::default()).await;
    assert_says(refused.expect_err("it serves no list").message(), &["the server is sealed"]);
    double.trouble(None);
    sealed.server.ready().await.expect("it is unsealed by itself");
    assert_unharmed(&sealed.server, &["kept"]).await;
    let (socket, backup) = (sealed.server.admin_socket(), sealed.bench.scratch.join("canary.backup"));
    let mut command = Command::new(program());
    command.args(["backup", "create", "-socketPath"]).arg(socket).arg("-path").arg(&backup);
    assert!(command.status().await.expect("the program runs").success() && backup.exists());
    sealed.server.stop().await.expect("it stops");

    // In log, write-ahead log, tables and backup.
    let plain = double.plaintexts();
    assert_eq!(plain.len(), 1, "one key was ever sealed");
    assert_eq!(found_below(sealed.bench.scratch.path(), &plain[0]), Vec::<PathBuf>::new());
    let token = std::fs::read(double.token_path()).expect("a token");
    assert_eq!(found_below(sealed.bench.scratch.path(), &token), [double.token_path()]);
}

#[tokio::test]
async fn a_key_moves_from_seal_to_seal_and_the_cluster_does_not_notice() {
    let bench = Bench::new();
    let double = TransitDouble::start(bench.scratch.path()).await.expect("a double");
    let path = bench.scratch.join("passphrase");
    private(&path, PASSPHRASE);
    let (passphrase, transit) = (passphrase_block(&path), double.seal_block());
    let mut sealed = Sealed::founded(bench, "seal \"file\" {}", Vec::new()).await;
    let founder_key = std::fs::read(sealed.key()).expect("a key");
    let earlier = sealed.bench.scratch.join("earlier.conf");
    let from = earlier.display().to_string();

    sealed.reconfigure("seal \"file\" {}", &passphrase);
    let (done, text) = sealed.seal(&["migrate"]).await;
    assert!(done, "{text}");
    assert_says(&text, &["was sealed by file, and is sealed by passphrase", "Whoever read the key"]);
    std::fs::copy(sealed.config(), &earlier).expect("a copy");
    sealed.reconfigure(&passphrase, &transit);
    let (done, text) = sealed.seal(&["migrate"]).await;
    assert!(!done && text.contains("name with -fromConfig"), "{text}");
    let before = std::fs::read(sealed.key()).expect("a key");
    double.trouble(Some(DoubleAnswer::Status(403, "{}".to_owned())));
    let (done, text) = sealed.seal(&["migrate", "-fromConfig", &from]).await;
    assert!(!done && text.contains("renew the token"), "{text}");
    assert_eq!(std::fs::read(sealed.key()).expect("a key"), before, "nothing is lost");
    double.trouble(None);
    let (done, text) = sealed.seal(&["migrate", "-fromConfig", &from]).await;
    assert!(done && text.contains("was sealed by passphrase, and is sealed by transit"), "{text}");
    sealed.comes_back().await;
    assert_unharmed(&sealed.server, &["kept"]).await;

    // Seals are each server's own affair: the key is the same.
    let joiner = replica(&sealed.bench, "joiner", vec![sealed.server.peer_address()]);
    let key = sealed.bench.scratch.join("joiner.key");
    private(&key, &String::from_utf8(founder_key).expect("text"));
    let mut joiner = sealed.bench.launch_with(&joiner, &ExtraLines::default());
    joiner.ready().await.expect("it joins with the plain key");
}

#[tokio::test]
async fn a_token_holds_the_key_and_a_wrong_pin_is_told_at_once() {
    let bench = Bench::new();
    let Some(hsm) = SoftHsm::start(bench.scratch.path()).expect("a token") else { return };
    let env = vec![hsm.environment()];
    let mut sealed = Sealed::founded(bench, &hsm.seal_block(), env).await;
    let (opens, text) = sealed.seal(&["status"]).await;
    assert!(opens && text.contains("Sealed by         : pkcs11"), "{text}");
    hsm.set_pin("canary-wrong").expect("a PIN");
    let (opens, text) = sealed.seal(&["status"]).await;
    assert!(!opens && text.contains("does not take the PIN") && !text.contains("canary-wrong"), "{text}");
    hsm.set_pin(SoftHsm::PIN).expect("a PIN");
    sealed.reconfigure("key_label = \"seal\"", "key_label = \"other\"");
    let (opens, text) = sealed.seal(&["status"]).await;
    assert!(!opens && text.contains("has 0 AES keys \"other\""), "{text}");
    sealed.reconfigure("key_label = \"other\"", "key_label = \"seal\"");
    sealed.reconfigure("token_label = \"steeple\"", "token_label = \"unplugged\"");
    sealed.server.launch().expect("it starts");
    sealed.is_sealed_because(&["knows no token", "unplugged"]).await;
    sealed.server.kill9().await.expect("it ends");
    sealed.reconfigure("token_label = \"unplugged\"", "token_label = \"steeple\"");
    sealed.comes_back().await;
    assert_unharmed(&sealed.server, &["kept"]).await;
    let scratch = &sealed.bench.scratch;
    assert_eq!(found_below(scratch.path(), SoftHsm::PIN.as_bytes()), [scratch.join("pin")]);
}

/// Files that hold `secret` as it is, in base64 or in hexadecimal digits.
fn found_below(dir: &Path, secret: &[u8]) -> Vec<PathBuf> {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
    let forms = [secret.to_vec(), base64.trim_end_matches('=').into(), hex::encode(secret).into_bytes()];
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).expect("a directory") {
        let path = item.expect("an item").path();
        let kind = std::fs::symlink_metadata(&path).expect("a file").file_type();
        if kind.is_dir() {
            found.extend(found_below(&path, secret));
        } else if kind.is_file() {
            let content = std::fs::read(&path).expect("content");
            if forms.iter().any(|form| content.windows(form.len()).any(|part| part == form.as_slice())) {
                found.push(path);
            }
        }
    }
    found
}
