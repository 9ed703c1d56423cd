//! Real servers under a seal, and seals that do not open.

use std::path::{Path, PathBuf};

use steeple_testkit::{Canary, ClusterRole, ExtraLines, Server, ServerSpec, SoftHsm, until};
use tokio::process::Command;

use crate::bench::{
    Bench, READY_AGAIN_MAX, assert_says, assert_unharmed, create, health_on, private, program, relaunch, spec,
    until_probe_says,
};

pub const PASSPHRASE: &str = "canary correct horse battery staple";

/// A replica whose configuration is changed between its lives.
pub struct Sealed {
    pub bench: Bench,
    pub server: Server,
    health: u16,
    env: Vec<(String, String)>,
}

impl Sealed {
    pub async fn founded(bench: Bench, seal: &str, env: Vec<(String, String)>) -> Self {
        let health = bench.port();
        let spec = ServerSpec { env: env.clone(), ..replica(&bench, "sealed", Vec::new()) };
        let extra = ExtraLines { server: cluster(seal), top: health_on(health), ..ExtraLines::default() };
        let mut server = bench.launch_with(&spec, &extra);
        server.ready().await.expect("the server becomes ready");
        create(&server, "kept").await;
        server.stop().await.expect("it stops");
        Self { bench, server, health, env }
    }

    pub fn key(&self) -> PathBuf {
        self.bench.scratch.join("sealed.key")
    }

    pub fn config(&self) -> PathBuf {
        self.bench.config_of(&self.server)
    }

    pub fn reconfigure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).expect("a configuration");
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(self.config(), text.replace(from, to)).expect("a configuration");
    }

    /// Whether `steeple-server seal …` succeeds, and what it says.
    pub async fn seal(&self, args: &[&str]) -> (bool, String) {
        let mut command = Command::new(program());
        command.arg("seal").args(args).arg("-config").arg(self.config()).envs(self.env.clone());
        let output = command.output().await.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs `seal new-key` to its end at the running server.
    pub async fn new_key(&self) -> (bool, String) {
        let mut command = Command::new(program());
        command.args(["seal", "new-key", "-socketPath"]).arg(self.server.admin_socket()).kill_on_drop(true);
        let output = command.output().await.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    pub async fn comes_back(&mut self) {
        relaunch(&mut self.server).await;
    }

    pub async fn is_sealed_because(&self, parts: &[&str]) {
        let parts = [&["the server is sealed"], parts].concat();
        until_probe_says(self.health, &parts).await;
    }

    /// Starts it, waits until it is sealed because of `parts`, and ends it.
    pub async fn starts_sealed(&mut self, parts: &[&str]) {
        self.server.launch().expect("it starts");
        self.is_sealed_because(parts).await;
        self.server.stop().await.expect("it stops in order");
    }
}

pub fn replica(bench: &Bench, name: &str, join: Vec<String>) -> ServerSpec {
    let sealing_key_path = bench.scratch.join(format!("{name}.key"));
    ServerSpec { cluster: Some(ClusterRole { join, sealing_key_path }), ..spec(name) }
}

/// The files that hold `secret`.
pub fn found(bench: &Bench, secret: &[u8]) -> Vec<PathBuf> {
    Canary::new("secret", secret).found_below(bench.scratch.path())
}

fn cluster(seal: &str) -> String {
    format!("cluster {{ {seal} }}")
}

pub fn passphrase_block(path: &Path) -> String {
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
    assert_eq!(found(&sealed.bench, PASSPHRASE.as_bytes()), [path]);
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
    assert_eq!(found(&sealed.bench, SoftHsm::PIN.as_bytes()), [sealed.bench.scratch.join("pin")]);
}

#[tokio::test]
async fn a_token_takes_a_new_sealing_key() {
    let bench = Bench::new();
    let Some(hsm) = SoftHsm::start(bench.scratch.path()).expect("a token") else { return };
    let mut sealed = Sealed::founded(bench, &hsm.seal_block(), vec![hsm.environment()]).await;
    let before = std::fs::read_to_string(sealed.key()).expect("a key file");
    sealed.comes_back().await;

    // A PIN that the token does not take is tried once, and said.
    hsm.set_pin("canary-wrong").expect("a PIN");
    let waiting = async {
        until("it says why the change waits", READY_AGAIN_MAX, async || {
            let (_, said) = sealed.seal(&["status"]).await;
            if said.contains("does not take the PIN") && said.contains("0 of 1 members keep") {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await
        .expect("it does");
        hsm.set_pin(SoftHsm::PIN).expect("a PIN");
    };
    let ((done, text), ()) = tokio::join!(sealed.new_key(), waiting);
    assert!(done, "{text}");
    assert_says(&text, &["is in force", "seal rotate"]);
    until("its file has the new key", READY_AGAIN_MAX, async || {
        let file = std::fs::read_to_string(sealed.key()).map_err(|error| error.to_string())?;
        if file != before && file.contains(":pkcs11:") { Ok(()) } else { Err(file) }
    })
    .await
    .expect("it has");
    sealed.server.stop().await.expect("it stops");
    sealed.comes_back().await;
    assert_unharmed(&sealed.server, &["kept"]).await;
}
