//! Keys that a plugin keeps, and what it may say of them that cannot be.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use steeple_core::KeyType;
use steeple_core::plugin::{KeyElsewhere, KeyError, KeyManager as _, PrivateKey, RsaPadding};
use steeple_plugins::external::ExternalKeyManager;

use super::*;

const MESSAGE: &[u8] = b"message";

struct Keys {
    catalog: Catalog,
    plugin: Arc<Plugin>,
    manager: ExternalKeyManager,
    dir: tempfile::TempDir,
}

impl Keys {
    async fn start(plugins: &GoPlugins) -> Self {
        let catalog = catalog(BOUNDS);
        let program = ExternalProgram { kind: "KeyManager".into(), ..workload_attestor(plugins.path("keymanager")) };
        let plugin = catalog.load(&program, ExternalKeyManager::INTERFACE).await.expect("it is loaded");
        let dir = tempfile::tempdir().expect("a directory");
        Self { catalog, manager: ExternalKeyManager::new(Arc::clone(&plugin)), plugin, dir }
    }

    async fn configure(&self, settings: &str) {
        let settings = format!("directory = {:?}\n{settings}", self.dir.path().display().to_string());
        Arc::clone(&self.plugin).configure(Some(settings)).await.expect("it takes them");
    }

    async fn generate(&self, id: &str, kind: KeyType) -> Result<Arc<dyn KeyElsewhere>, KeyError> {
        match self.manager.generate(id, kind).await? {
            PrivateKey::Elsewhere(key) => Ok(key),
            PrivateKey::Here(_) => panic!("nobody is given a key"),
        }
    }

    async fn ids(&self) -> Vec<String> {
        self.manager.keys().await.expect("a list").into_iter().map(|(id, _)| id).collect()
    }
}

fn verifies(key: &dyn KeyElsewhere, padding: RsaPadding, algorithm: &'static dyn VerificationAlgorithm) {
    let signature = key.sign(MESSAGE, padding).expect("a signature");
    UnparsedPublicKey::new(algorithm, key.public_key()).verify(MESSAGE, &signature).expect("it is this key's");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_plugin_sign_as_certificates_and_handshakes_want_it() {
    let Some(plugins) = GoPlugins::build() else { return };
    let keys = Keys::start(plugins).await;
    keys.configure("").await;
    let p256 = keys.generate("a", KeyType::EcP256).await.expect("a key");
    let p384 = keys.generate("b", KeyType::EcP384).await.expect("a key");
    // A plugin may have keys of RSA alone.
    keys.configure("rsa = true").await;
    let rsa = keys.generate("c", KeyType::EcP256).await.expect("a key");
    assert_eq!([p256.kind(), p384.kind(), rsa.kind()], [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048]);
    for padding in [RsaPadding::Pkcs1, RsaPadding::Pss] {
        verifies(&*p256, padding, &ECDSA_P256_SHA256_ASN1);
        verifies(&*p384, padding, &ECDSA_P384_SHA384_ASN1);
    }
    verifies(&*rsa, RsaPadding::Pkcs1, &RSA_PKCS1_2048_8192_SHA256);
    verifies(&*rsa, RsaPadding::Pss, &RSA_PSS_2048_8192_SHA256);
    // One of P-521 beside them is left out.
    keys.configure("foreign = true").await;
    assert!(keys.dir.path().join("foreign").exists());
    assert_eq!(keys.ids().await, ["a", "b", "c"]);
    keys.catalog.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_says_of_keys_is_not_believed() {
    let Some(plugins) = GoPlugins::build() else { return };
    let keys = Keys::start(plugins).await;
    for (mode, why) in [
        ("no_key", "plugin response empty for key \"a\""),
        ("other_id", "plugin response has unexpected key id \"other\" for key \"a\""),
        ("garbage", "unable to parse public key PKIX data for key \"a\""),
    ] {
        keys.configure(&format!("mode = {mode:?}")).await;
        let Err(refused) = keys.generate("a", KeyType::EcP256).await else { panic!("{mode} is believed") };
        let start = format!("rpc error: code = Internal desc = keymanager(demo): {why}");
        assert!(refused.0.starts_with(&start), "{refused}");
    }
    keys.configure("").await;
    let key = keys.generate("a", KeyType::EcP256).await.expect("a key");
    for (mode, why) in
        [("no_signature", "plugin returned empty signature data"), ("other_key", "does not match \"other\"")]
    {
        keys.configure(&format!("mode = {mode:?}")).await;
        let refused = key.sign(MESSAGE, RsaPadding::Pkcs1).expect_err("it is no signature");
        assert!(refused.0.ends_with(why), "{refused}");
    }
    // Another key under its id.
    keys.configure("").await;
    keys.generate("a", KeyType::EcP256).await.expect("a key");
    let refused = key.sign(MESSAGE, RsaPadding::Pkcs1).expect_err("that key is gone");
    assert!(refused.0.contains("fingerprint"), "{refused}");
    keys.catalog.unload().await;
    let refused = key.sign(MESSAGE, RsaPadding::Pkcs1).expect_err("the plugin is gone");
    assert!(refused.0.contains("the plugin has ended (exit status 0)"), "{refused}");
}
