//! An authority whose key is a file.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use steeple_api::server::localauthority::{
    ActivateX509AuthorityRequest, PrepareX509AuthorityRequest, RevokeX509UpstreamAuthorityRequest,
    TaintX509UpstreamAuthorityRequest,
};
use steeple_testkit::{Binaries, Scratch};
use tonic::Code;

use crate::subordinate::{active, minted_chain, server, tainted};

/// A new root with its key, in place of the one before.
fn write_root(dir: &Path) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "a root on disk");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params.self_signed(&key).expect("a certificate");
    std::fs::write(dir.join("root.key"), key.serialize_pem()).expect("a file");
    std::fs::write(dir.join("root.pem"), root.pem()).expect("a file");
    key.serialize_pem()
}

fn block(dir: &Path) -> String {
    format!(
        "UpstreamAuthority \"disk\" {{ plugin_data {{ cert_file_path = \"{0}/root.pem\" key_file_path = \
         \"{0}/root.key\" }} }}",
        dir.display()
    )
}

#[tokio::test]
async fn an_upstream_root_on_disk_is_replaced_tainted_and_revoked() {
    let binaries = Binaries::find().expect("our programs");
    let scratch = Scratch::new().expect("a temporary directory");
    write_root(scratch.path());
    let mut server = server(&binaries, &scratch, "server", block(scratch.path())).await;
    let admin = server.admin().clone();
    let first = active(&admin).await.expect("an authority").upstream_authority_subject_key_id;
    let chain = minted_chain(&admin, &admin.bundle().await.expect("a bundle")).await.expect("a good chain");
    assert_eq!(chain.len(), 2, "the SVID and the server's CA");

    let mut authorities = admin.local_authorities();
    let taint = |id: &str| TaintX509UpstreamAuthorityRequest { subject_key_id: id.to_owned() };
    let revoke = |id: &str| RevokeX509UpstreamAuthorityRequest { subject_key_id: id.to_owned() };
    let refused = authorities.taint_x509_upstream_authority(taint(&first)).await.expect_err("it signs");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::InvalidArgument,
            "provided subject key id is not valid: unable to use upstream authority singing current authority"
        )
    );

    // Another root on disk signs the next authority.
    write_root(scratch.path());
    let prepared = authorities.prepare_x509_authority(PrepareX509AuthorityRequest {}).await.expect("an authority");
    let prepared = prepared.into_inner().prepared_authority.expect("it is told");
    let second = prepared.upstream_authority_subject_key_id.clone();
    assert_ne!(second, first);
    let early = authorities.taint_x509_upstream_authority(taint(&second)).await.expect_err("it is to be used");
    assert!(early.message().ends_with("only upstream authorities signing an old authority can be used"), "{early}");
    let activate = ActivateX509AuthorityRequest { authority_id: prepared.authority_id };
    let activated = authorities.activate_x509_authority(activate).await.expect("it signs").into_inner();
    assert_eq!(activated.activated_authority.expect("it is told").upstream_authority_subject_key_id, second);

    // The old one goes in SPIRE's order, upper case or not.
    let untainted = authorities.revoke_x509_upstream_authority(revoke(&first)).await.expect_err("taint first");
    let text = "failed to revoke X.509 upstream authority: it is not possible to revoke an untainted root CA";
    assert_eq!((untainted.code(), untainted.message()), (Code::Internal, text));
    let done = authorities.taint_x509_upstream_authority(taint(&first.to_uppercase())).await.expect("it is tainted");
    assert_eq!(done.into_inner().upstream_authority_subject_key_id, first);
    assert_eq!(tainted(&admin, &first).await.expect("a bundle"), Some(true));
    authorities.revoke_x509_upstream_authority(revoke(&first)).await.expect("it is revoked");
    assert_eq!(tainted(&admin, &first).await.expect("a bundle"), None);
    minted_chain(&admin, &admin.bundle().await.expect("a bundle")).await.expect("a good chain");
    server.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn the_upstream_key_is_not_stored() {
    let binaries = Binaries::find().expect("our programs");
    let scratch = Scratch::new().expect("a temporary directory");
    let key = pem::parse(write_root(scratch.path())).expect("PEM").into_contents();
    let mut server = server(&binaries, &scratch, "server", block(scratch.path())).await;
    server.stop().await.expect("an orderly end");
    // In a PKCS#8 of P-256 the private scalar is an OCTET STRING of 32 bytes, and the public point ends it.
    let at = key.windows(2).position(|two| two == [0x04, 0x20]).expect("the scalar") + 2;
    let (secret, public) = (&key[at..at + 32], &key[key.len() - 32..]);
    let files = files(&server.data_dir());
    let holders = |wanted: &[u8]| files.iter().filter(|file| file.windows(32).any(|window| window == wanted)).count();
    assert!(holders(public) > 0, "the root is stored where this looks");
    assert_eq!(holders(secret), 0);
}

/// The contents of all files below `dir`.
fn files(dir: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(std::fs::read(path).expect("a file")) }
    }
    found
}
