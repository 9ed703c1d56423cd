//! CredentialComposer `common_name` and who reads common names: PostgreSQL lets workloads in by their SVIDs. Without
//! PostgreSQL's programs this is not run.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, SanType};
use steeple_api::server::svid::MintX509svidRequest;
use steeple_testkit::{ExtraLines, Fixture, FixtureEntry, Port, Postgres, Server, WorkloadStream};
use tokio::process::Command;

use crate::site::text;

/// Some signatures on a busy machine.
const SVIDS_MAX: Duration = Duration::from_secs(60);
const COMPOSER: &str = "CredentialComposer \"common_name\" { plugin_data { too_long = \"keep\" } }";

const DATABASE: &str = "/ns/default/sa/postgres";
const BILLING: &str = "/ns/default/sa/billing-service";
const WEB: &str = "/ns/default/sa/web";
/// Its SPIFFE ID has more characters than X.520 allows in a common name.
const REPORTS: &str = "/ns/payments-production/sa/quarterly-reports-of-the-payment-processor";

/// The first two lines are those that SPIFFE's tutorials give.
const IDENTITIES: &str = r#"
spiffe_users /^(spiffe:\/\/example\.org\/ns\/default\/sa\/billing-service)$ billing_app
spiffe_users /^spiffe://example\.org/ns/payments-production/sa/([a-z-]+)$ reports
spiffe_names "/^CN=spiffe://example\.org/ns/default/sa/([a-z-]+),O=SPIRE,C=US$" \1
"#;
const ACCESS: &str = "
local all all trust
hostssl billingdb all 127.0.0.1/32 cert map=spiffe_users
hostssl namedb all 127.0.0.1/32 cert clientname=DN map=spiffe_names
";
const ROLES: [&str; 3] = ["billing_app", "reports", "billing-service"];

/// Files of a workload.
struct Credentials {
    certificate: PathBuf,
    key: PathBuf,
}

struct Site {
    fixture: Fixture,
    postgres: Postgres,
    port: Port,
}

impl Site {
    async fn start() -> Option<Self> {
        let postgres = Postgres::prepare("admin").expect("a database")?;
        let entry = |path: &str| FixtureEntry { path: path.to_owned(), ..FixtureEntry::default() };
        let database = FixtureEntry { dns_names: vec!["localhost".to_owned()], ..entry(DATABASE) };
        let entries = [database, entry(BILLING), entry(WEB), entry(REPORTS)];
        let extra = ExtraLines { plugins: COMPOSER.to_owned(), ..ExtraLines::default() };
        let fixture = Fixture::with(None, &extra, &entries).await.expect("a server and an agent");

        let port = Port::reserve().expect("a port");
        let mut site = Self { fixture, postgres, port };
        let of_database = site.credentials(DATABASE).await;
        let files = [("server.crt", &of_database.certificate), ("server.key", &of_database.key)];
        for (name, path) in files.into_iter().chain([("root.crt", &site.fixture.bundle_path)]) {
            site.postgres.write(name, &std::fs::read_to_string(path).expect("a file")).expect("a copy");
        }
        site.postgres.write("pg_hba.conf", ACCESS).expect("who may come");
        site.postgres.write("pg_ident.conf", IDENTITIES).expect("who is who");
        let listen = format!("port={}", site.port.number());
        let tls = ["ssl=on", "ssl_ca_file=root.crt", "listen_addresses=127.0.0.1", listen.as_str()];
        site.postgres.start(&tls).await.expect("PostgreSQL starts");
        for role in ROLES {
            site.as_admin(&format!("CREATE ROLE \"{role}\" LOGIN")).await;
        }
        for database in ["billingdb", "namedb"] {
            site.as_admin(&format!("CREATE DATABASE {database}")).await;
        }
        Some(site)
    }

    /// What the agent serves under `path`, in files.
    async fn credentials(&self, path: &str) -> Credentials {
        let id = format!("spiffe://example.org{path}");
        let mut stream = WorkloadStream::open(&self.fixture.agent.socket()).await.expect("a stream");
        let update = stream.wait_for(&id, SVIDS_MAX).await.expect("an SVID");
        let svid = update.svids.into_iter().find(|svid| svid.spiffe_id == id).expect("its SVID");
        self.write(path, &svid.x509_svid, &svid.x509_svid_key)
    }

    fn write(&self, path: &str, chain: &[u8], key: &[u8]) -> Credentials {
        let name = path.replace('/', "_");
        let file = |suffix: &str, tag: &str, der: &[u8]| {
            let path = self.fixture.scratch.join(format!("{name}.{suffix}"));
            std::fs::write(&path, pem::encode(&pem::Pem::new(tag, der))).expect("a file");
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
            path
        };
        Credentials { certificate: file("crt", "CERTIFICATE", chain), key: file("key", "PRIVATE KEY", key) }
    }

    async fn as_admin(&self, statement: &str) {
        let data = self.postgres.data();
        let to = format!("host={} port={} dbname=postgres user=admin", text(&data), self.port.number());
        let said = psql(&to, statement).await;
        assert!(said.is_ok(), "{statement}: {said:?}");
    }

    /// Who the database takes the workload for, or why it does not let it in.
    async fn logged_in(&self, workload: &Credentials, database: &str, role: &str) -> Result<String, String> {
        let [certificate, key, bundle] =
            [&workload.certificate, &workload.key, &self.fixture.bundle_path].map(|path: &PathBuf| path.as_path());
        let to = format!(
            "host=localhost hostaddr=127.0.0.1 port={} dbname={database} user={role} sslmode=verify-full \
             sslrootcert={} sslcert={} sslkey={}",
            self.port.number(),
            text(bundle),
            text(certificate),
            text(key)
        );
        psql(&to, "SELECT current_user").await
    }
}

async fn psql(to: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql").args(["-X", "-A", "-t", "-c", statement, to]).output().await.expect("psql runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    if output.status.success() { Ok(stdout.trim().to_owned()) } else { Err(stderr) }
}

/// An SVID for `path` whose CSR asks for `common_name`, with its key.
async fn minted(server: &Server, path: &str, common_name: &str) -> (Vec<u8>, Vec<u8>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let id = format!("spiffe://example.org{path}");
    params.subject_alt_names.push(SanType::URI(id.try_into().expect("ASCII")));
    let csr = params.serialize_request(&key).expect("a request").der().to_vec();
    let minted = server.admin().svids().mint_x509svid(MintX509svidRequest { csr, ttl: 0 }).await.expect("an answer");
    let chain = minted.into_inner().svid.expect("an SVID").cert_chain.concat();
    (chain, key.serialize_der())
}

#[tokio::test]
async fn postgresql_lets_a_workload_in_by_its_spiffe_id() {
    let Some(site) = Site::start().await else { return };
    let (billing, web, reports) =
        (site.credentials(BILLING).await, site.credentials(WEB).await, site.credentials(REPORTS).await);
    assert_eq!(site.logged_in(&billing, "billingdb", "billing_app").await.as_deref(), Ok("billing_app"));
    assert_eq!(site.logged_in(&reports, "billingdb", "reports").await.as_deref(), Ok("reports"), "a long name");
    assert_eq!(site.logged_in(&billing, "namedb", "billing-service").await.as_deref(), Ok("billing-service"), "by DN");

    let forged = format!("spiffe://example.org{BILLING}");
    let (chain, key) = minted(&site.fixture.server, WEB, &forged).await;
    let forged = site.write("/forged", &chain, &key);
    for (stranger, database, role) in [
        (&web, "billingdb", "billing_app"),
        (&reports, "billingdb", "billing_app"),
        (&web, "namedb", "billing-service"),
        (&forged, "billingdb", "billing_app"),
    ] {
        let refused = site.logged_in(stranger, database, role).await.expect_err("somebody else");
        assert!(refused.contains("certificate authentication failed for user"), "{refused}");
    }
    site.fixture.stop().await.expect("an orderly end");
}
