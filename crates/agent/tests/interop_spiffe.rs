//! The published `spiffe` and `spiffe-rustls` crates against a real agent and server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use spiffe::x509_source::SvidPicker;
use spiffe::{
    JwtSource, JwtSourceBuilder, JwtSvid, JwtSvidError, JwtVerificationErrorKind, SpiffeId, TrustDomain,
    WorkloadApiClient, X509Source, X509SourceBuilder, X509Svid,
};
use spiffe_rustls::{authorizer, mtls_client, mtls_server};
use steeple_testkit::{Fixture, FixtureEntry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Half of its life, with the ten seconds by which it is backdated, is over five seconds after its issue.
const SHORT_TTL_SECONDS: i32 = 30;
/// What waits for the agent waits no longer.
const PATIENCE: Duration = Duration::from_secs(90);

struct Surroundings {
    fixture: Fixture,
    trust_domain: TrustDomain,
}

impl Surroundings {
    async fn start() -> Self {
        let entry = |path: &str, hint: &str| FixtureEntry {
            path: path.to_owned(),
            hint: hint.to_owned(),
            ..FixtureEntry::default()
        };
        let entries = [
            FixtureEntry { dns_names: vec!["web.test".to_owned()], ..entry("/web", "web") },
            FixtureEntry { x509_svid_ttl: 600, jwt_svid_ttl: 60, ..entry("/db", "db") },
            FixtureEntry { x509_svid_ttl: SHORT_TTL_SECONDS, ..entry("/short", "short") },
        ];
        let fixture = Fixture::start(&entries).await.expect("a server and an agent");
        let trust_domain = TrustDomain::new(&fixture.agent_id.trust_domain).expect("a trust domain");
        Self { fixture, trust_domain }
    }

    fn endpoint(&self) -> String {
        format!("unix:{}", self.fixture.agent.socket().display())
    }

    fn id(&self, path: &str) -> SpiffeId {
        SpiffeId::new(format!("spiffe://{}{path}", self.trust_domain.as_str())).expect("a SPIFFE ID")
    }

    async fn client(&self) -> WorkloadApiClient {
        WorkloadApiClient::connect_to(self.endpoint()).await.expect("a connection")
    }

    /// That of a workload which takes the SVID with this hint.
    async fn x509_source(&self, hint: &'static str) -> X509Source {
        X509SourceBuilder::new().endpoint(self.endpoint()).picker(ByHint(hint)).build().await.expect("a source")
    }

    async fn jwt_source(&self) -> JwtSource {
        JwtSourceBuilder::new().endpoint(self.endpoint()).build().await.expect("a source")
    }

    /// DER of the authorities at the start.
    fn authorities(&self) -> BTreeSet<Vec<u8>> {
        self.fixture.bundle.x509_authorities.iter().map(|authority| authority.asn1.clone()).collect()
    }

    async fn stop(self) {
        self.fixture.stop().await.expect("an orderly end");
    }
}

/// Picks the SVID with this hint.
#[derive(Debug)]
struct ByHint(&'static str);

impl SvidPicker for ByHint {
    fn pick_svid(&self, svids: &[Arc<X509Svid>]) -> Option<usize> {
        svids.iter().position(|svid| svid.hint() == Some(self.0))
    }
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).expect("a certificate").1
}

fn with_hint<'a>(svids: &'a [X509Svid], hint: &str) -> &'a X509Svid {
    svids.iter().find(|svid| svid.hint() == Some(hint)).expect("an SVID with that hint")
}

#[tokio::test]
async fn x509_svids_are_what_their_entries_say() {
    let surroundings = Surroundings::start().await;
    let client = surroundings.client().await;
    let svids = client.fetch_all_x509_svids().await.expect("SVIDs");
    let ids: BTreeSet<&str> = svids.iter().map(|svid| svid.spiffe_id().path()).collect();
    assert_eq!(ids, BTreeSet::from(["/db", "/short", "/web"]));

    let bundles = client.fetch_x509_bundles().await.expect("bundles");
    let bundle = bundles.get(&surroundings.trust_domain).expect("the trust domain's");
    let served: BTreeSet<Vec<u8>> = bundle.authorities().iter().map(|root| root.as_bytes().to_vec()).collect();
    assert_eq!(served, surroundings.authorities());

    for (hint, ttl) in [("web", 3600), ("db", 600), ("short", i64::from(SHORT_TTL_SECONDS))] {
        let svid = with_hint(&svids, hint);
        let leaf = parse(svid.leaf().as_bytes());
        let roots = bundle.authorities().iter().map(|root| parse(root.as_bytes()));
        assert!(roots.into_iter().any(|root| leaf.verify_signature(Some(root.public_key())).is_ok()), "{hint}");
        let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
        assert_eq!(life, ttl + 10, "{hint}: it begins ten seconds before its issue");
        assert!(leaf.validity().is_valid());
        assert!(!leaf.is_ca());
        let names = leaf.subject_alternative_name().expect("parseable").expect("a SAN extension");
        let uri = format!("spiffe://{}/{hint}", surroundings.trust_domain.as_str());
        let mut wanted = vec![GeneralName::URI(&uri)];
        if hint == "web" {
            wanted.push(GeneralName::DNSName("web.test"));
        }
        let (mut found, order) = (names.value.general_names.clone(), |name: &GeneralName<'_>| format!("{name}"));
        found.sort_by_key(order);
        wanted.sort_by_key(order);
        assert_eq!(found, wanted);
    }
    surroundings.stop().await;
}

#[tokio::test]
async fn rotation_reaches_a_source() {
    let surroundings = Surroundings::start().await;
    let source = surroundings.x509_source("short").await;
    let mut updates = source.updated();
    let before = source.svid().expect("an SVID");
    let first = parse(before.leaf().as_bytes());
    let after = tokio::time::timeout(PATIENCE, async {
        loop {
            updates.changed().await.expect("an open stream");
            let svid = source.svid().expect("never without an SVID");
            if parse(svid.leaf().as_bytes()).raw_serial() != first.raw_serial() {
                return svid;
            }
        }
    });
    let after = after.await.expect("a rotation");
    let second = parse(after.leaf().as_bytes());
    assert_eq!(after.spiffe_id(), before.spiffe_id());
    assert_ne!(second.public_key().raw, first.public_key().raw, "rotation brings a new key");
    assert!(second.validity().not_after > first.validity().not_after);
    assert!(first.validity().is_valid(), "it came in time");
    surroundings.stop().await;
}

#[tokio::test]
async fn jwt_svids_verify_for_their_audience_only() {
    let surroundings = Surroundings::start().await;
    let source = surroundings.jwt_source().await;
    let db = surroundings.id("/db");
    let token = source.fetch_jwt_svid_with_id(["api", "other"], Some(&db)).await.expect("a token").token().to_owned();

    let bundles = source.bundle_set().expect("bundles");
    let verified = JwtSvid::parse_and_validate(&token, &*bundles, &["api"]).expect("a good token");
    assert_eq!(verified.spiffe_id(), &db);
    assert_eq!(verified.audience(), ["api", "other"]);
    let bundle = bundles.get(&surroundings.trust_domain).expect("the trust domain's");
    assert!(bundle.find_jwt_authority(verified.key_id()).is_some());
    let left = verified.expiry().unix_timestamp() - now_seconds();
    assert!((1..=60).contains(&left), "the entry says 60 s, {left} are left");

    match JwtSvid::parse_and_validate(&token, &*bundles, &["nobody"]) {
        Err(JwtSvidError::InvalidToken(error)) => assert_eq!(error.kind(), JwtVerificationErrorKind::AudienceMismatch),
        other => panic!("{other:?}"),
    }
    surroundings.stop().await;
}

#[tokio::test]
async fn the_agent_validates_tokens() {
    let surroundings = Surroundings::start().await;
    let client = surroundings.client().await;
    let web = surroundings.id("/web");
    let token = client.fetch_jwt_token(["api"], Some(&web)).await.expect("a token");
    assert_eq!(client.validate_jwt_token("api", &token).await.expect("a good token").spiffe_id(), &web);
    assert!(client.validate_jwt_token("other", &token).await.is_err());

    let mut forged = token.into_bytes();
    let middle = forged.len() - 40;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("still text");
    assert!(client.validate_jwt_token("api", &forged).await.is_err());
    assert!(client.fetch_jwt_token(["api"], Some(&surroundings.id("/none"))).await.is_err());
    surroundings.stop().await;
}

#[tokio::test]
async fn two_workloads_speak_mutual_tls() {
    let surroundings = Surroundings::start().await;
    assert_eq!(exchange(&surroundings, "/db", "/web").await.ok().as_deref(), Some("hello"));
    assert!(exchange(&surroundings, "/web", "/web").await.is_err(), "the server expects another");
    assert!(exchange(&surroundings, "/db", "/db").await.is_err(), "the client expects another");
    surroundings.stop().await;
}

/// The workload db sends a word to the workload web and reads it back.
async fn exchange(surroundings: &Surroundings, by_web: &str, by_db: &str) -> std::io::Result<String> {
    let allowed = |path: &str| authorizer::exact([surroundings.id(path).to_string()]).expect("SPIFFE IDs");
    let (web, db) = (surroundings.x509_source("web").await, surroundings.x509_source("db").await);
    let server = mtls_server(web).authorize(allowed(by_web)).build().expect("a server's configuration");
    let client = mtls_client(db).authorize(allowed(by_db)).build().expect("a client's configuration");

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serve = async move {
        let (connection, _) = listener.accept().await?;
        let mut tls = TlsAcceptor::from(Arc::new(server)).accept(connection).await?;
        let mut word = [0; 5];
        tls.read_exact(&mut word).await?;
        tls.write_all(&word).await?;
        tls.shutdown().await
    };
    let ask = async move {
        let connection = TcpStream::connect(address).await?;
        let name = ServerName::try_from("web.test").expect("a DNS name");
        let mut tls = TlsConnector::from(Arc::new(client)).connect(name, connection).await?;
        tls.write_all(b"hello").await?;
        let mut word = String::new();
        tls.read_to_string(&mut word).await?;
        Ok(word)
    };
    let (served, heard) = tokio::join!(serve, ask);
    served.and(heard)
}

fn now_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    since.as_secs().try_into().expect("a date")
}
