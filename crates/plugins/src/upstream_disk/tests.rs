use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use steeple_ca::{DistinguishedName, KeyError, SigningKey, certificate, csr};
use steeple_core::{KeyType, SystemClock};

use super::*;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A root with its key, in `dir`.
fn root(dir: &Path) -> (DiskFiles, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let certificate = params("root").self_signed(&key).unwrap();
    let files = files(dir, &certificate.pem(), &key);
    (files, key)
}

fn files(dir: &Path, certificates: &str, key: &KeyPair) -> DiskFiles {
    let files =
        DiskFiles { cert_file_path: dir.join("ca.pem"), key_file_path: dir.join("ca.key"), bundle_file_path: None };
    std::fs::write(&files.cert_file_path, certificates).unwrap();
    std::fs::write(&files.key_file_path, key.serialize_pem()).unwrap();
    files
}

fn trust_domain() -> TrustDomain {
    TrustDomain::from_name("example.org").unwrap()
}

fn open(files: &DiskFiles) -> Result<DiskAuthority, UpstreamError> {
    DiskAuthority::open(files.clone(), trust_domain(), Arc::new(SystemClock))
}

fn refusal(files: &DiskFiles) -> String {
    open(files).err().expect("a refusal").to_string()
}

fn request(trust_domain: &TrustDomain) -> Result<Vec<u8>, KeyError> {
    let serial = Serial::random(&SystemRandom::new()).unwrap();
    csr::ca_request(&SigningKey::generate(KeyType::EcP256)?, trust_domain, &DistinguishedName::default_ca(), serial)
}

fn mint(authority: &DiskAuthority) -> MintedX509Ca {
    authority.mint(&request(&trust_domain()).unwrap(), Duration::from_secs(600)).unwrap()
}

#[test]
fn a_root_signs_and_is_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _key) = root(dir.path());
    let minted = mint(&open(&files).unwrap());
    assert_eq!((minted.chain.len(), minted.roots.len()), (1, 1));
    assert!(certificate::is_signed_by(&minted.chain[0], &minted.roots[0]));
    let (ca, root) = (certificate::facts(&minted.chain[0]).unwrap(), certificate::facts(&minted.roots[0]).unwrap());
    assert_eq!(ca.spiffe_id, Some(trust_domain().id()));
    assert_eq!(ca.authority_key_id, root.subject_key_id);
    assert!(ca.subject.contains("O=SPIFFE") && ca.subject.contains("SERIALNUMBER="), "{}", ca.subject);
    assert_eq!(ca.not_after.since(ca.not_before), Duration::from_secs(610));
}

#[test]
fn an_intermediate_is_sent_along_without_its_root() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, root_key) = root(dir.path());
    let bundle = dir.path().join("bundle.pem");
    std::fs::rename(&files.cert_file_path, &bundle).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params("root"), root_key);
    let certificate = params("intermediate").signed_by(&key, &issuer).unwrap();
    files = DiskFiles { bundle_file_path: Some(bundle), ..self::files(dir.path(), &certificate.pem(), &key) };
    let minted = mint(&open(&files).unwrap());
    assert_eq!(minted.chain[1], certificate.der().to_vec());
    assert!(certificate::is_signed_by(&minted.chain[0], &minted.chain[1]));
    assert!(certificate::is_signed_by(&minted.chain[1], &minted.roots[0]));

    let elsewhere = tempfile::tempdir().unwrap();
    let (strangers, _key) = root(elsewhere.path());
    let foreign = DiskFiles { bundle_file_path: Some(strangers.cert_file_path), ..files };
    assert!(refusal(&foreign).contains("cannot be validated with the provided bundle or is not self-signed"));
}

#[test]
fn unusable_files_are_refused_with_spires_texts() {
    let dir = tempfile::tempdir().unwrap();
    let (files, key) = root(dir.path());
    let missing = |files: DiskFiles| refusal(&files);
    let nowhere = dir.path().join("nowhere");
    let text = missing(DiskFiles { key_file_path: nowhere.clone(), ..files.clone() });
    assert!(text.starts_with("unable to load upstream CA key: open "), "{text}");
    let text = missing(DiskFiles { cert_file_path: nowhere.clone(), ..files.clone() });
    assert!(text.starts_with("unable to load upstream CA cert: open "), "{text}");
    let text = missing(DiskFiles { bundle_file_path: Some(nowhere), ..files.clone() });
    assert!(text.starts_with("unable to load upstream CA bundle: open "), "{text}");

    std::fs::write(&files.key_file_path, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert_eq!(refusal(&files), "unable to load upstream CA: certificate and private key do not match");
    std::fs::write(&files.key_file_path, key.serialize_pem()).unwrap();
    let twice = std::fs::read_to_string(&files.cert_file_path).unwrap().repeat(2);
    std::fs::write(&files.cert_file_path, twice).unwrap();
    assert_eq!(refusal(&files), "with no bundle_file_path configured only self-signed CAs are supported");
}

#[test]
fn files_are_read_at_each_use_and_the_last_good_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (files, _key) = root(dir.path());
    let authority = open(&files).unwrap();
    let first = mint(&authority).roots;
    std::fs::write(&files.key_file_path, "garbage").unwrap();
    assert_eq!(mint(&authority).roots, first);
    root(dir.path());
    assert_ne!(mint(&authority).roots, first);
}

#[test]
fn a_request_for_another_trust_domain_or_with_a_broken_signature_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = open(&root(dir.path()).0).unwrap();
    let mint = |csr: &[u8]| authority.mint(csr, Duration::from_secs(600)).unwrap_err().to_string();
    let foreign = request(&TrustDomain::from_name("other.org").unwrap()).unwrap();
    assert_eq!(mint(&foreign), "unable to sign CSR: must use the trust domain ID for trust domain \"example.org\"");
    let mut broken = request(&trust_domain()).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    let text = mint(&broken);
    assert!(text.starts_with("unable to sign CSR: CSR signature check failed") || text.contains("PKCS#10"), "{text}");
}
