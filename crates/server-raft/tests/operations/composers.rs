//! Credential composers: the same subjects whoever is asked, those of a stock server (`STOCK_SPIRE_SERVER`; without it
//! that test is not run), and a word about replicas that disagree.

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use steeple_api::server::svid::MintX509svidRequest;
use steeple_testkit::{Binaries, Cluster, ExtraLines, Server, ServerSpec, named_program, until};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::site::{Site, binaries, spec};

const UNIQUE_ID: &str = "CredentialComposer \"uniqueid\" {}";
const COMMON_NAME: &str = "CredentialComposer \"common_name\" {}";
/// Pings go out each second.
const TOLD_MAX: Duration = Duration::from_secs(60);

/// What a CSR asks for beside its SPIFFE ID.
#[derive(Default)]
struct Asked {
    attributes: Vec<(DnType, &'static str)>,
    dns_names: Vec<&'static str>,
}

fn csr(path: &str, asked: &Asked) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (attribute, value) in &asked.attributes {
        params.distinguished_name.push(attribute.clone(), *value);
    }
    let dns_names = asked.dns_names.iter().map(|&name| SanType::DnsName(name.try_into().expect("ASCII")));
    let id = format!("spiffe://example.org{path}");
    params.subject_alt_names = dns_names.chain([SanType::URI(id.try_into().expect("ASCII"))]).collect();
    let key = KeyPair::generate().expect("a key");
    params.serialize_request(&key).expect("a request").der().to_vec()
}

/// DER of the subject in the SVID that `server` mints.
async fn subject(server: &Server, csr: &[u8]) -> Vec<u8> {
    let request = MintX509svidRequest { csr: csr.to_vec(), ttl: 0 };
    let svid = server.admin().svids().mint_x509svid(request).await.expect("an answer").into_inner().svid;
    let chain = svid.expect("an SVID").cert_chain;
    let (_, certificate) = X509Certificate::from_der(&chain[0]).expect("a certificate");
    certificate.subject().as_raw().to_vec()
}

async fn started(binaries: &Binaries, site: &Site, spec: &ServerSpec, plugins: &str) -> Server {
    let extra = ExtraLines { plugins: plugins.to_owned(), ..ExtraLines::default() };
    let mut server = Server::start_with(binaries, site.scratch.path(), spec, &extra).expect("it starts");
    server.ready().await.expect("it becomes ready");
    server
}

#[tokio::test]
async fn unique_ids_are_a_stock_servers_to_the_byte() {
    let Some(stock) = named_program("STOCK_SPIRE_SERVER") else { return };
    let site = Site::new();
    let mut ours = started(&binaries(), &site, &spec("ours"), UNIQUE_ID).await;
    let stock = Binaries { server: stock, ..binaries() };
    let mut theirs = started(&stock, &site, &spec("theirs"), UNIQUE_ID).await;

    let unique_identifier = || DnType::CustomDnType(vec![2, 5, 4, 45]);
    let cases = [
        ("/w", Asked::default()),
        ("/ns/default/sa/web", Asked { dns_names: vec!["b.test", "a.test"], ..Asked::default() }),
        ("/n_1", Asked { attributes: vec![(DnType::CommonName, "a*b")], ..Asked::default() }),
        (
            "/w",
            Asked {
                attributes: vec![
                    (DnType::LocalityName, "Zürich"),
                    (DnType::OrganizationName, "Org"),
                    (unique_identifier(), "forged"),
                    (DnType::CountryName, "CH"),
                ],
                dns_names: vec!["w.test"],
            },
        ),
        ("/w", Asked { attributes: vec![(unique_identifier(), "forged")], ..Asked::default() }),
    ];
    for (path, asked) in cases {
        let csr = csr(path, &asked);
        let [of_ours, of_theirs] = [subject(&ours, &csr).await, subject(&theirs, &csr).await];
        assert_eq!(hex::encode(of_ours), hex::encode(of_theirs), "{path}");
    }

    // Servers and agents are not workloads.
    for server in [&ours, &theirs] {
        let chain = server.admin().info().await.expect("facts").svid_chain;
        assert_eq!(chain[0].subject, "O=SPIRE,C=US", "{}", server.name());
    }
    ours.stop().await.expect("an orderly end");
    theirs.stop().await.expect("an orderly end");
}

/// The first two of three replicas have both composers, the last one has none.
async fn all_but_one_compose(site: &Site, signing: &str) -> Cluster {
    let mut cluster = Cluster { servers: Vec::new() };
    for number in 1..=3 {
        let extra = ExtraLines {
            cluster: format!("signing = \"{signing}\""),
            plugins: if number < 3 { format!("{UNIQUE_ID}\n{COMMON_NAME}") } else { String::new() },
            ..ExtraLines::default()
        };
        site.add(&mut cluster, &extra).await;
    }
    cluster.all_vote().await.expect("three voters");
    cluster
}

async fn told(server: &Server, whole: &str) {
    let heard = until(whole, TOLD_MAX, async || {
        let log = std::fs::read_to_string(server.log()).map_err(|error| error.to_string())?;
        if log.lines().any(|line| whole.split('|').all(|part| line.contains(part))) { Ok(()) } else { Err(log) }
    });
    heard.await.expect("it is told");
}

#[tokio::test]
async fn whoever_signs_composes_and_replicas_that_differ_are_told_of() {
    let composed = "CN=spiffe://example.org/w";
    for signing in ["leader", "replicas"] {
        let site = Site::new();
        let mut cluster = all_but_one_compose(&site, signing).await;
        let leader = cluster.leader().await.expect("a leader");
        let csr = csr("/w", &Asked::default());
        for (position, server) in cluster.servers.iter().enumerate() {
            let der = subject(server, &csr).await;
            let (_, name) = x509_parser::x509::X509Name::from_der(&der).expect("a name");
            let signer = if signing == "leader" { leader } else { position };
            assert_eq!(name.to_string().contains(composed), signer < 2, "{signing}: {name}, asked {position}");
        }
        let differ = "replicas have different credential composers";
        told(&cluster.servers[0], &format!("{differ}|server-3|theirs=none")).await;
        told(&cluster.servers[2], &format!("{differ}|server-1|ours=none")).await;
        told(&cluster.servers[2], &format!("{differ}|server-2|uniqueid, common_name (source spiffe_id")).await;
        let log = std::fs::read_to_string(cluster.servers[0].log()).expect("a log");
        assert!(!log.lines().any(|line| line.contains(differ) && line.contains("server-2")), "they agree");
        cluster.stop().await.expect("an orderly end");
    }
}
