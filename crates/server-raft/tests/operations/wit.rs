//! WIT-SVIDs, as an operator has them: behind a flag in the configuration, and one in the environment of commands.

use std::path::Path;
use std::process::Output;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use steeple_api::server::svid::MintWitsvidRequest;
use steeple_api::types;
use steeple_ca::{PublicKey, SigningKey};
use steeple_core::KeyType;
use steeple_testkit::{ExtraLines, Server};
use tokio::process::Command;
use tonic::Code;

use crate::site::{Site, binaries, run, spec, text};

const ISSUER: &str = "https://issuer.test";
const ID: &str = "spiffe://example.org/w";

fn flagged() -> ExtraLines {
    let server =
        format!("experimental {{ feature_flags = [\"wit-svid\"] wit_key_type = \"ec-p384\" wit_issuer = {ISSUER:?} }}");
    ExtraLines { server, ..ExtraLines::default() }
}

/// `wit mint` with the flag in the environment.
async fn mint(server: &Server, args: &[&str]) -> Output {
    let mut command = Command::new(server.program());
    command.args(["wit", "mint", "-spiffeID", ID, "-socketPath", text(&server.admin_socket())]).args(args);
    command.env("SPIRE_SERVER_FFLAGS", "wit-svid").kill_on_drop(true);
    command.output().await.expect("the program runs")
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

async fn started(site: &Site, extra: &ExtraLines) -> Server {
    let mut server = Server::start_with(&binaries(), site.scratch.path(), &spec("server"), extra).expect("it starts");
    server.ready().await.expect("it becomes ready");
    server
}

async fn published(server: &Server) -> Vec<types::WitKey> {
    server.admin().bundle().await.expect("a bundle").wit_authorities
}

#[tokio::test]
async fn the_flag_makes_a_key_that_signs_what_is_minted() {
    let site = Site::new();
    let mut server = started(&site, &flagged()).await;
    let [key] = &published(&server).await[..] else { panic!("one key is published") };

    let output = mint(&server, &["-output", "json", "-ttl", "60s"]).await;
    assert!(output.status.success(), "{output:?}");
    let minted: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let svid = &minted["svid"];
    let token = svid["token"].as_str().expect("a token");
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let verifier = PublicKey::from_spki(&key.public_key).expect("a key");
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, verifier.bits())
        .verify(signed.as_bytes(), &signature)
        .expect("signed with the key that is published");
    let parts: Vec<&str> = signed.split('.').collect();
    let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
    let expected = [("alg", "ES384"), ("kid", &key.key_id), ("typ", "wit+jwt")];
    expected.into_iter().for_each(|(name, value)| assert_eq!(header[name], value));
    assert_eq!((claims["sub"].as_str(), claims["iss"].as_str()), (Some(ID), Some(ISSUER)));
    assert_eq!(claims["exp"].as_i64().expect("a number") - claims["iat"].as_i64().expect("a number"), 60);
    assert_eq!(svid["expires_at"], claims["exp"]);
    assert_eq!(svid["id"]["path"], "/w");
    // The private key is that of the holder whom the token names.
    let private: Value = serde_json::from_str(minted["private_key"].as_str().expect("text")).expect("a JWK");
    let named = &claims["cnf"]["jwk"];
    assert_eq!((named["alg"].as_str(), &named["x"], &named["y"]), (Some("ES256"), &private["x"], &private["y"]));
    assert!(private["d"].is_string());

    let dir = site.scratch.join("minted");
    std::fs::create_dir(&dir).expect("a directory");
    let keys = ["-keyType", "rsa-2048", "-signingAlgorithm", "PS256", "-write", text(&dir)];
    let output = mint(&server, &keys).await;
    assert!(output.status.success(), "{output:?}");
    let said = format!("WIT-SVID written to {0}/token\nPrivate key written to {0}/key\n", dir.display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), said);
    assert_eq!(mode(&dir.join("key")), 0o600);

    // The key outlives the process, and the flag.
    server.stop().await.expect("it stops");
    server.launch().expect("it starts");
    server.ready().await.expect("it becomes ready");
    assert_eq!(published(&server).await[0].key_id, key.key_id);
    server.stop().await.expect("it stops");
}

#[tokio::test]
async fn without_the_flag_nothing_is_signed() {
    let site = Site::new();
    let mut server = started(&site, &ExtraLines::default()).await;
    assert!(published(&server).await.is_empty());
    let refused = server.admin().svids().mint_witsvid(MintWitsvidRequest::default()).await.expect_err("refused");
    assert_eq!((refused.code(), refused.message()), (Code::Unimplemented, "WIT functionality is disabled"));
    let unknown = run(&["wit", "mint", "-spiffeID", ID]).await;
    assert!(!unknown.ok && unknown.text.starts_with("Usage: "), "{}", unknown.text);
    server.stop().await.expect("it stops");
}

/// In SPIRE's order, and in its words up to what a decoder adds.
#[tokio::test]
async fn what_cannot_be_minted_is_refused_in_spires_words() {
    let site = Site::new();
    let mut server = started(&site, &flagged()).await;
    let own = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/w".to_owned() };
    let foreign = types::Spiffeid { trust_domain: "other.test".to_owned(), ..own.clone() };
    let key = SigningKey::generate(KeyType::EcP256).expect("a key").public_key().spki().to_vec();
    let request = |id: Option<types::Spiffeid>, public_key: &[u8], algorithm: &str| MintWitsvidRequest {
        id,
        public_key: public_key.to_vec(),
        signing_algorithm: algorithm.to_owned(),
        ttl: 0,
    };
    for (request, message) in [
        (request(None, b"", ""), "invalid SPIFFE ID: request must specify SPIFFE ID"),
        (
            request(Some(foreign), b"", ""),
            "invalid SPIFFE ID: \"spiffe://other.test/w\" is not a member of trust domain \"example.org\"",
        ),
        (request(Some(own.clone()), b"", "ES256"), "invalid public key: "),
        (
            request(Some(own.clone()), &key, "RS256"),
            "invalid signing algorithm or key type: unsupported signing algorithm for ec-p256 key: RS256",
        ),
    ] {
        let refused = server.admin().svids().mint_witsvid(request).await.expect_err(message);
        assert_eq!(refused.code(), Code::InvalidArgument, "{message}");
        assert!(refused.message().starts_with(message), "{}", refused.message());
    }
    let output = mint(&server, &["-keyType", "ec-p384"]).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "Error: unsupported key type 'ec-p384' for 'ES256' signing algorithm\n"
    );
    server.stop().await.expect("it stops");
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}
