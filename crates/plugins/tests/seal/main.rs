//! The transit seal against a protocol double over real TLS. No Vault and no OpenBao takes part.

use std::sync::Arc;

use steeple_core::plugin::{Seal, SealFailure, SecretSource};
use steeple_core::{Secret, SystemClock};
use steeple_plugins::seal::{TransitKey, TransitSeal};
use steeple_testkit::{DoubleAnswer, Scratch, TransitDouble};

struct Bench {
    scratch: Scratch,
    double: TransitDouble,
    key: TransitKey,
}

impl Bench {
    async fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let double = TransitDouble::start(scratch.path()).await.unwrap();
        let key = TransitKey {
            address: double.address(),
            mount_path: "transit".to_owned(),
            name: "steeple".to_owned(),
            token: SecretSource::File(double.token_path().to_owned()),
            namespace: Some("team".to_owned()),
            ca_cert_path: Some(double.ca_path().to_owned()),
        };
        Self { scratch, double, key }
    }

    fn seal(&self) -> TransitSeal {
        TransitSeal::new(self.key.clone(), Arc::new(SystemClock))
    }

    async fn wrapped(&self) -> Vec<u8> {
        self.seal().wrap(&canary(), b"here").await.unwrap()
    }

    async fn refusal(&self, wrapped: &[u8]) -> SealFailure {
        self.seal().unwrap(wrapped, b"here").await.unwrap_err()
    }
}

fn canary() -> Secret {
    Secret::new(b"canary in a coal mine".to_vec())
}

#[tokio::test]
async fn what_the_transit_key_wraps_opens_only_in_its_place() {
    let bench = Bench::new().await;
    let wrapped = bench.wrapped().await;
    assert!(wrapped.starts_with(b"vault:v1:"));
    assert_eq!(bench.seal().unwrap(&wrapped, b"here").await.unwrap().expose(), canary().expose());
    assert_eq!(bench.double.plaintexts(), [canary().expose()]);
    for refused in [bench.seal().unwrap(&wrapped, b"there").await, bench.seal().unwrap(b"vault:v1:OTk=", b"here").await]
    {
        let refused = refused.unwrap_err();
        assert!(matches!(&refused, SealFailure::Refused(text) if text.contains("authentication failed")), "{refused}");
    }
}

#[tokio::test]
async fn a_service_that_may_answer_later_is_told_from_one_that_refuses() {
    let bench = Bench::new().await;
    let wrapped = bench.wrapped().await;
    let sealed = r#"{"errors":["Vault is sealed"]}"#;
    for (status, body, passes) in [
        (503, sealed, true),
        (429, "", true),
        (500, "<html>", true),
        (403, "{}", true),
        (400, r#"{"errors":["invalid ciphertext"]}"#, false),
        (404, "", false),
        (307, "", false),
    ] {
        bench.double.trouble(Some(DoubleAnswer::Status(status, body.to_owned())));
        let failure = bench.refusal(&wrapped).await;
        assert_eq!(matches!(failure, SealFailure::NotNow(_)), passes, "{status}: {failure}");
        assert!(failure.to_string().contains(&status.to_string()), "{failure}");
    }
    for (answer, passes) in [
        (DoubleAnswer::Garbage, true),
        (DoubleAnswer::Endless(1 << 20), true),
        (DoubleAnswer::Json("{}".to_owned()), false),
        (DoubleAnswer::Json(r#"{"data":{"plaintext":"%canary%"}}"#.to_owned()), false),
    ] {
        bench.double.trouble(Some(answer));
        let failure = bench.refusal(&wrapped).await;
        assert_eq!(matches!(failure, SealFailure::NotNow(_)), passes, "{failure}");
        assert!(!failure.to_string().contains("canary"), "{failure}");
    }
    bench.double.trouble(None);
    assert_eq!(bench.seal().unwrap(&wrapped, b"here").await.unwrap().expose(), canary().expose());
}

#[tokio::test]
async fn a_token_is_read_anew_and_never_told() {
    let bench = Bench::new().await;
    let wrapped = bench.wrapped().await;
    let right = std::fs::read(bench.double.token_path()).unwrap();
    std::fs::write(bench.double.token_path(), "hvs.outdated").unwrap();
    let seal = bench.seal();
    let refused = seal.unwrap(&wrapped, b"here").await.unwrap_err();
    assert!(matches!(&refused, SealFailure::NotNow(text) if text.contains("renew the token")), "{refused}");
    assert!(!refused.to_string().contains("hvs."), "{refused}");
    std::fs::write(bench.double.token_path(), right).unwrap();
    assert_eq!(seal.unwrap(&wrapped, b"here").await.unwrap().expose(), canary().expose());
}

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_gets_no_token() {
    let bench = Bench::new().await;
    let wrapped = bench.wrapped().await;
    let other = bench.scratch.join("other");
    std::fs::create_dir(&other).unwrap();
    let stranger = TransitDouble::start(&other).await.unwrap();
    let key = TransitKey { ca_cert_path: Some(stranger.ca_path().to_owned()), ..bench.key.clone() };
    let seal = TransitSeal::new(key, Arc::new(SystemClock));
    let failure = seal.unwrap(&wrapped, b"here").await.unwrap_err();
    assert!(matches!(failure, SealFailure::NotNow(_)), "{failure}");
    let key = TransitKey { ca_cert_path: Some(bench.scratch.join("none.pem")), ..bench.key.clone() };
    let failure = TransitSeal::new(key, Arc::new(SystemClock)).unwrap(&wrapped, b"here").await.unwrap_err();
    assert!(matches!(&failure, SealFailure::Refused(text) if text.contains("none.pem")), "{failure}");
}
