//! `x509 mint`.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::svid::MintX509svidRequest;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_ca::{SigningKey, csr, generate_pkcs8};
use steeple_cli::{Call, Command, Context, Failure, Flag, Help, one_line, pem_text, written};
use steeple_config::GoDuration;
use steeple_core::{KeyType, Secret, SpiffeId};
use steeple_files::{write_private_file, write_public_file};
use tonic::transport::Channel;

use super::Action;
use super::jwt::{ttl_seconds, warn_if_capped};
use super::reply::expected;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "x509 mint",
    synopsis: "Issues an X509-SVID with a new key",
    help: Help::spire(
        "Issues an X509-SVID with a new key, for any SPIFFE ID of the trust domain, without an entry. For \
         administrators, and for what cannot run beside an agent.",
        &[
            ("To files", "steeple-server x509 mint -spiffeID spiffe://example.org/job -write ./job"),
            (
                "For an hour, with a DNS name",
                "steeple-server x509 mint -spiffeID spiffe://example.org/job -dns job.example.org -ttl 1h",
            ),
        ],
    ),
    flags: &[COMMON_FLAGS, FLAGS],
    action: remote!(mint),
}];

const FLAGS: &[Flag] = &[
    Flag::texts("dns", "A DNS name for the SVID; repeatable, the first becomes the common name"),
    Flag::text("spiffeID", "SPIFFE ID of the X509-SVID"),
    Flag::duration("ttl", GoDuration::from_nanos(0), "Lifetime of the X509-SVID; the server's default when absent"),
    Flag::text("write", "Directory to write svid.pem, key.pem and bundle.pem to, instead of standard output"),
];

struct Minted {
    /// DER, the SVID first.
    chain: Vec<Vec<u8>>,
    /// PKCS#8 DER.
    key: Secret,
    /// DER.
    roots: Vec<Vec<u8>>,
}

async fn mint(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let id = call.values.text_if_any("spiffeID").ok_or_else(|| Failure::message("spiffeID must be specified"))?;
    let id = SpiffeId::parse(id).map_err(Failure::message)?;
    let ttl = call.values.duration("ttl");
    let key = generate_pkcs8(KeyType::EcP256).map_err(Failure::message).context("unable to generate key")?;
    let csr = SigningKey::from_pkcs8(&key).and_then(|key| csr::request(&key, &id, call.values.texts("dns")));
    let csr = csr.map_err(Failure::message).context("unable to generate CSR")?;
    let request = MintX509svidRequest { csr, ttl: ttl_seconds(ttl)? };
    let response = SvidClient::new(channel.clone()).mint_x509svid(request).await.context("unable to mint SVID")?;
    let svid = expected(response.into_inner().svid, "SVID")?;
    let bundle = BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await;
    let bundle = bundle.context("unable to get bundle")?.into_inner();
    warn_if_capped(&mut call.streams.stderr, "X509-SVID", svid.expires_at, ttl)?;
    let roots = bundle.x509_authorities.into_iter().map(|authority| authority.asn1).collect();
    let minted = Minted { chain: svid.cert_chain, key, roots };
    match call.values.text_if_any("write").map(str::to_owned) {
        Some(directory) => write(call, &minted, Path::new(&directory)),
        None => print(call, &minted),
    }
}

fn print(call: &mut Call, minted: &Minted) -> Result<(), Failure> {
    let json = call.is_json();
    let out = &mut call.streams.stdout;
    if json {
        let list = |ders: &[Vec<u8>]| ders.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>();
        let value = json!({
            "private_key": STANDARD.encode(minted.key.expose()),
            "root_cas": list(&minted.roots),
            "x509_svid": list(&minted.chain),
        });
        return Ok(writeln!(out, "{}", one_line(value))?);
    }
    writeln!(out, "X509-SVID:\n{}", certificates(&minted.chain))?;
    writeln!(out, "Private key:\n{}", pem_text("PRIVATE KEY", minted.key.expose()))?;
    Ok(writeln!(out, "Root CAs:\n{}", certificates(&minted.roots))?)
}

fn write(call: &mut Call, minted: &Minted, directory: &Path) -> Result<(), Failure> {
    let out = &mut call.streams.stdout;
    let path = directory.join("svid.pem");
    written(&path, write_public_file(&path, certificates(&minted.chain).as_bytes())).context("unable to write SVID")?;
    writeln!(out, "X509-SVID written to {}", path.display())?;
    let path = directory.join("key.pem");
    let key = Secret::new(pem_text("PRIVATE KEY", minted.key.expose()).into_bytes());
    written(&path, write_private_file(&path, key.expose())).context("unable to write key")?;
    writeln!(out, "Private key written to {}", path.display())?;
    let path = directory.join("bundle.pem");
    written(&path, write_public_file(&path, certificates(&minted.roots).as_bytes()))
        .context("unable to write bundle")?;
    Ok(writeln!(out, "Root CAs written to {}", path.display())?)
}

fn certificates(ders: &[Vec<u8>]) -> String {
    ders.iter().map(|der| pem_text("CERTIFICATE", der)).collect()
}
