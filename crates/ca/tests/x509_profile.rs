//! Every row of SPIRE's X.509 profile, read back by other implementations: x509-parser, and OpenSSL where it is
//! installed.

use std::process::Command;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::template::Template;
use steeple_ca::{
    CaCertificate, CaIssuer, CaRequest, DistinguishedName, IssueError, Serial, SigningKey, SvidRequest, X509Svid,
    self_signed_ca,
};
use steeple_core::{KeyType, Secret, SpiffeId, Timestamp, TrustDomain};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_789);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_server_ca_has_the_profile() {
    let (ca, _) = root(KeyType::EcP256);
    let certificate = parse(&ca.der);
    assert_eq!(
        extension_names(&certificate),
        ["keyUsage*", "basicConstraints*", "subjectKeyIdentifier", "subjectAltName"]
    );
    let subject = format!("C=US, O=SPIFFE, serialNumber={}", ca.serial);
    assert_eq!(certificate.subject().to_string(), subject);
    assert_eq!(certificate.issuer().to_string(), subject);
    assert_eq!(certificate.serial.to_string(), ca.serial.to_string());
    assert_eq!(uris(&certificate), ["spiffe://example.org"]);
    assert!(dns_names(&certificate).is_empty());
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    let constraints = certificate.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, None);
    assert_eq!(validity(&certificate), (NOW.as_secs() - 10, NOW.as_secs() + 86_400));
    assert_eq!(ca.not_after, Timestamp::from_secs(NOW.as_secs() + 86_400));
    assert_eq!(hex::encode(subject_key_id(&certificate)), ca.authority_id);
    certificate.verify_signature(None).unwrap();
}

#[test]
fn a_workload_svid_has_the_profile() {
    let (ca, issuer) = root(KeyType::EcP256);
    let key = SigningKey::generate(KeyType::EcP384).unwrap();
    let dns = vec!["b.test".to_owned(), "a.test".to_owned()];
    let svid = issue(&issuer, Template::workload_svid(id("/w"), dns, None, Serial::from(77)), &key, HOUR);
    assert_eq!(svid.chain.len(), 1);
    let certificate = parse(&svid.chain[0]);
    assert_eq!(
        extension_names(&certificate),
        [
            "keyUsage*",
            "extendedKeyUsage",
            "basicConstraints*",
            "subjectKeyIdentifier",
            "authorityKeyIdentifier",
            "subjectAltName"
        ]
    );
    assert_eq!(certificate.subject().to_string(), "C=US, O=SPIRE, CN=b.test");
    assert_eq!(certificate.issuer().as_raw(), parse(&ca.der).subject().as_raw());
    assert_eq!((certificate.serial.to_string(), svid.serial.to_string()), ("77".into(), "77".into()));
    assert_eq!(uris(&certificate), ["spiffe://example.org/w"]);
    assert_eq!(dns_names(&certificate), ["b.test", "a.test"]);
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && usage.key_agreement());
    assert!(!usage.key_cert_sign() && !usage.crl_sign() && !usage.non_repudiation() && !usage.data_encipherment());
    let extended = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any && extended.other.is_empty());
    assert!(!certificate.basic_constraints().unwrap().unwrap().value.ca);
    assert_eq!(validity(&certificate), (NOW.as_secs() - 10, NOW.as_secs() + 3600));
    assert_eq!(subject_key_id(&certificate), key.public_key().key_id());
    assert_eq!(hex::encode(authority_key_id(&certificate).unwrap()), ca.authority_id);
    assert_eq!(certificate.public_key().raw, key.public_key().spki());
    certificate.verify_signature(Some(parse(&ca.der).public_key())).unwrap();
}

/// Bits of KeyUsage, most significant first: keyCertSign and cRLSign are bits 5 and 6 (RFC 5280, section 4.2.1.3).
const CA_USAGE: &[u8] = &[3, 2, 1, 0b0000_0110];
/// digitalSignature, keyEncipherment and keyAgreement: bits 0, 2 and 4.
const SVID_USAGE: &[u8] = &[3, 2, 3, 0b1010_1000];
/// serverAuth, then clientAuth.
const SVID_EXTENDED_USAGE: &str = "301406082b0601050507030106082b06010505070302";

#[test]
fn every_kind_of_certificate_byte_by_byte() {
    let (ca, issuer) = root(KeyType::EcP256);
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let (downstream, _) = issuer.issue_downstream_ca(NOW, key.public_key(), request(&td(), 5, HOUR)).unwrap();
    let svid = |template| issue(&issuer, template, &key, HOUR).chain.remove(0);
    let largest = Serial::from(u128::MAX);
    let kinds = [
        ("server CA", ca.der.clone(), true, "spiffe://example.org"),
        ("downstream CA", downstream.der, true, "spiffe://example.org"),
        ("server", svid(Template::svid(id("/spire/server"), largest)), false, "spiffe://example.org/spire/server"),
        (
            "agent",
            svid(Template::svid(id("/spire/agent/x509pop/a"), random_serial())),
            false,
            "spiffe://example.org/spire/agent/x509pop/a",
        ),
        ("workload", svid(Template::workload_svid(id("/w"), vec![], None, largest)), false, "spiffe://example.org/w"),
    ];
    for (kind, der, is_ca, uri) in &kinds {
        let certificate = parse(der);
        let values: Vec<(bool, &[u8])> =
            certificate.extensions().iter().map(|extension| (extension.critical, extension.value)).collect();
        let usage = if *is_ca { CA_USAGE } else { SVID_USAGE };
        assert_eq!(values[0], (true, usage), "{kind}");
        let after_usage = if *is_ca {
            values[1]
        } else {
            let (critical, extended) = values[1];
            assert_eq!((critical, hex::encode(extended)), (false, SVID_EXTENDED_USAGE.to_owned()), "{kind}");
            values[2]
        };
        // Without a path length; of a leaf an empty sequence, as Go writes it.
        let constraints: &[u8] = if *is_ca { &[0x30, 3, 1, 1, 0xff] } else { &[0x30, 0] };
        assert_eq!(after_usage, (true, constraints), "{kind}");

        // The hash of the key's bits alone (RFC 5280, section 4.2.1.2, method 1).
        let bits = &certificate.public_key().subject_public_key.data;
        let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bits);
        assert_eq!(subject_key_id(&certificate), sha1.as_ref(), "{kind}");
        let is_root = der == &ca.der;
        let issuer_id = authority_key_id(&certificate).map(hex::encode);
        assert_eq!(issuer_id, (!is_root).then(|| ca.authority_id.clone()), "{kind}");

        assert_eq!(certificate.version().0, 2, "{kind}: X.509 v3");
        assert_eq!((uris(&certificate), dns_names(&certificate)), (vec![(*uri).to_owned()], vec![]), "{kind}");
        assert_eq!(validity(&certificate).0, NOW.as_secs() - 10, "{kind}");
        // 128 bits; a leading zero keeps the greatest ones positive.
        let serial = certificate.raw_serial();
        assert!((1..=17).contains(&serial.len()) && serial[0] < 0x80, "{kind}: {serial:?}");
        let organization = certificate.subject().iter_organization().next().and_then(|name| name.as_str().ok());
        assert_eq!(organization, Some(if *is_ca { "SPIFFE" } else { "SPIRE" }), "{kind}");
    }
}

#[test]
fn subjects_of_svids() {
    let asked = DistinguishedName {
        organization: vec!["Org".into()],
        common_name: "Name".into(),
        ..DistinguishedName::default()
    };
    let serial = Serial::from(1);
    let with_dns = Template::workload_svid(id("/w"), vec!["b.test".into()], Some(asked.clone()), serial);
    let cases = [
        (Template::svid(id("/spire/server"), serial), "C=US, O=SPIRE"),
        (Template::workload_svid(id("/w"), vec![], None, serial), "C=US, O=SPIRE"),
        (Template::workload_svid(id("/w"), vec![], Some(DistinguishedName::default()), serial), ""),
        (Template::workload_svid(id("/w"), vec![], Some(asked), serial), "O=Org, CN=Name"),
        (with_dns, "O=Org, CN=b.test"),
    ];
    let (_, issuer) = root(KeyType::EcP256);
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    for (template, subject) in cases {
        let svid = issue(&issuer, template, &key, HOUR);
        assert_eq!(parse(&svid.chain[0]).subject().to_string(), subject);
    }
}

#[test]
fn a_downstream_ca_has_the_profile() {
    let (root_ca, issuer) = root(KeyType::EcP256);
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let (ca, chain) = issuer.issue_downstream_ca(NOW, key.public_key(), request(&td(), 5, 2 * HOUR)).unwrap();
    assert_eq!(chain, std::slice::from_ref(&ca.der));
    let certificate = parse(&ca.der);
    assert_eq!(
        extension_names(&certificate),
        ["keyUsage*", "basicConstraints*", "subjectKeyIdentifier", "authorityKeyIdentifier", "subjectAltName"]
    );
    assert_eq!(certificate.subject().to_string(), "C=US, O=SPIFFE, OU=DOWNSTREAM-1, serialNumber=5");
    assert_eq!(uris(&certificate), ["spiffe://example.org"]);
    assert_eq!(validity(&certificate).1, NOW.as_secs() + 7200);
    assert_eq!(hex::encode(authority_key_id(&certificate).unwrap()), root_ca.authority_id);

    // What hangs below it carries it in the chain.
    let nested = CaIssuer::new(&ca.der, &[], key).unwrap();
    let workload = SigningKey::generate(KeyType::EcP256).unwrap();
    let svid = issue(&nested, Template::svid(id("/w"), Serial::from(6)), &workload, DAY);
    assert_eq!(&svid.chain[1..], std::slice::from_ref(&ca.der));
    assert_eq!(svid.not_after, ca.not_after, "capped by the nested CA");
    openssl_verify(&root_ca.der, &svid.chain);
    let (deeper, chain) = nested.issue_downstream_ca(NOW, workload.public_key(), request(&td(), 7, HOUR)).unwrap();
    assert_eq!(chain, [deeper.der, ca.der]);
}

#[test]
fn lifetimes_end_with_the_issuer() {
    let (ca, issuer) = root(KeyType::EcP256);
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let svid = issue(&issuer, Template::svid(id("/w"), Serial::from(9)), &key, 100 * DAY);
    assert_eq!(svid.not_after, ca.not_after);
    assert_eq!(validity(&parse(&svid.chain[0])).1, ca.not_after.as_secs());
    let late = SvidRequest {
        template: Template::svid(id("/w"), Serial::from(9)),
        public_key: key.public_key().clone(),
        ttl: HOUR,
    };
    assert_eq!(issuer.issue_svid(ca.not_after, late), Err(IssueError::AuthorityExpired));
}

#[test]
fn an_authority_that_begins_later_signs_nothing_yet() {
    let (ca, issuer) = root(KeyType::EcP256);
    let not_before = Timestamp::from_secs(validity(&parse(&ca.der)).0);
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let issue_at = |now| {
        let request = SvidRequest {
            template: Template::svid(id("/w"), Serial::from(9)),
            public_key: key.public_key().clone(),
            ttl: HOUR,
        };
        issuer.issue_svid(now, request)
    };
    let minute = Duration::from_secs(60);
    assert!(issue_at(not_before.saturating_sub(minute)).is_ok(), "clocks differ");
    let early = not_before.saturating_sub(minute + Duration::from_secs(1));
    assert_eq!(issue_at(early), Err(IssueError::AuthorityNotYetValid { not_before }));
}

#[test]
fn every_key_type_signs_what_openssl_verifies() {
    for key_type in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
        let (ca, issuer) = root(key_type);
        let key = SigningKey::generate(key_type).unwrap();
        let template = Template::workload_svid(id("/w"), vec!["a.test".into()], None, random_serial());
        let svid = issue(&issuer, template, &key, HOUR);
        parse(&svid.chain[0]).verify_signature(Some(parse(&ca.der).public_key())).unwrap();
        openssl_verify(&ca.der, &svid.chain);
    }
}

#[test]
fn dates_beyond_2049_and_beyond_9999() {
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let ca = self_signed_ca(NOW, &key, request(&td(), 1, 365 * 30 * DAY)).unwrap();
    assert_eq!(validity(&parse(&ca.der)).1, ca.not_after.as_secs());
    let endless = self_signed_ca(NOW, &key, request(&td(), 1, Duration::MAX));
    assert_eq!(endless, Err(IssueError::ValidityOutOfRange));
}

#[test]
fn a_dns_name_beyond_ascii_is_refused() {
    let (_, issuer) = root(KeyType::EcP256);
    let template = Template::workload_svid(id("/w"), vec!["zoë.test".into()], None, Serial::from(3));
    let public_key = SigningKey::generate(KeyType::EcP256).unwrap().public_key().clone();
    let refused = issuer.issue_svid(NOW, SvidRequest { template, public_key, ttl: HOUR });
    assert_eq!(refused, Err(IssueError::DnsName("zoë.test".into())));
}

#[test]
fn an_upstream_name_is_copied_byte_for_byte() {
    // Directory services name their CAs with several domain components; OpenSSL writes UTF-8 strings.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"]);
    openssl.args(["-utf8", "-subj", "/DC=corp/DC=example/OU=b/OU=a/CN=Wurzel Ä", "-outform", "DER"]);
    let Ok(output) = openssl.arg("-keyout").arg(path("key")).arg("-out").arg(path("root")).output() else {
        eprintln!("not run: openssl is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let upstream = std::fs::read(path("root")).unwrap();
    let pkcs8 = pem::parse(std::fs::read(path("key")).unwrap()).unwrap().into_contents();
    let issuer = CaIssuer::new(&upstream, &[], SigningKey::from_pkcs8(&Secret::new(pkcs8)).unwrap()).unwrap();
    let leaf = SigningKey::generate(KeyType::EcP256).unwrap();
    let svid = issue(&issuer, Template::svid(id("/w"), Serial::from(3)), &leaf, HOUR);
    let (leaf, root) = (parse(&svid.chain[0]), parse(&upstream));
    assert_eq!(root.subject().to_string(), "DC=corp, DC=example, OU=b, OU=a, CN=Wurzel Ä");
    assert_eq!(leaf.issuer().as_raw(), root.subject().as_raw());
    assert_eq!(authority_key_id(&leaf).unwrap(), subject_key_id(&root));
    leaf.verify_signature(Some(root.public_key())).unwrap();
}

#[test]
fn an_issuer_refuses_foreign_keys_and_bad_certificates() {
    let (ca, _) = root(KeyType::EcP256);
    let other = || SigningKey::generate(KeyType::EcP256).unwrap();
    assert_eq!(CaIssuer::new(&ca.der, &[], other()).unwrap_err(), IssueError::KeyMismatch);
    let garbage = CaIssuer::new(b"garbage", &[], other()).unwrap_err();
    assert_eq!(garbage, IssueError::BadCaCertificate("not X.509 in DER"));
    let (_, issuer) = root(KeyType::EcP256);
    let key = other();
    let svid = issue(&issuer, Template::svid(id("/w"), Serial::from(3)), &key, HOUR);
    assert_eq!(CaIssuer::new(&svid.chain[0], &[], key).unwrap_err(), IssueError::BadCaCertificate("not a CA"));
}

fn td() -> TrustDomain {
    TrustDomain::from_name("example.org").unwrap()
}

fn id(path: &str) -> SpiffeId {
    td().member(path).unwrap()
}

fn random_serial() -> Serial {
    Serial::random(&SystemRandom::new()).unwrap()
}

fn request(trust_domain: &TrustDomain, serial: u128, ttl: Duration) -> CaRequest<'_> {
    static SUBJECT: std::sync::LazyLock<DistinguishedName> = std::sync::LazyLock::new(DistinguishedName::default_ca);
    CaRequest { trust_domain, subject: &SUBJECT, serial: Serial::from(serial), ttl }
}

fn root(key_type: KeyType) -> (CaCertificate, CaIssuer) {
    let key = SigningKey::generate(key_type).unwrap();
    let td = td();
    let ca = self_signed_ca(NOW, &key, CaRequest { serial: random_serial(), ..request(&td, 1, DAY) }).unwrap();
    let issuer = CaIssuer::new(&ca.der, &[], key).unwrap();
    (ca, issuer)
}

fn issue(issuer: &CaIssuer, template: Template, key: &SigningKey, ttl: Duration) -> X509Svid {
    issuer.issue_svid(NOW, SvidRequest { template, public_key: key.public_key().clone(), ttl }).unwrap()
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    let (rest, certificate) = X509Certificate::from_der(der).unwrap();
    assert!(rest.is_empty());
    certificate
}

/// With a star where critical, as the conformance cases write them.
fn extension_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let registry = x509_parser::oid_registry::OidRegistry::default().with_x509();
    let name = |extension: &x509_parser::extensions::X509Extension<'_>| {
        let name = registry.get(&extension.oid).unwrap().sn();
        format!("{name}{}", if extension.critical { "*" } else { "" })
    };
    certificate.extensions().iter().map(name).collect()
}

fn general_names<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a GeneralName<'a>> {
    certificate.subject_alternative_name().unwrap().unwrap().value.general_names.iter().collect()
}

fn uris(certificate: &X509Certificate<'_>) -> Vec<String> {
    let uri = |name: &GeneralName<'_>| if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None };
    general_names(certificate).into_iter().filter_map(uri).collect()
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let dns =
        |name: &GeneralName<'_>| if let GeneralName::DNSName(dns) = name { Some((*dns).to_owned()) } else { None };
    general_names(certificate).into_iter().filter_map(dns).collect()
}

fn validity(certificate: &X509Certificate<'_>) -> (i64, i64) {
    (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp())
}

fn subject_key_id(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let id = |extension: &x509_parser::extensions::X509Extension<'_>| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    };
    certificate.extensions().iter().find_map(id).unwrap()
}

fn authority_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    })
}

/// Chain building and strict RFC 5280 checks by OpenSSL; skipped where it is not installed.
fn openssl_verify(root: &[u8], chain: &[Vec<u8>]) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, certificates: &[&[u8]]| {
        let pem: String =
            certificates.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.to_vec()))).collect();
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let rest: Vec<&[u8]> = chain[1..].iter().map(Vec::as_slice).collect();
    let (root, rest, leaf) = (write("root", &[root]), write("rest", &rest), write("leaf", &[&chain[0]]));
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-purpose", "sslserver", "-attime", "1800000001", "-CAfile"]);
    openssl.arg(root);
    if chain.len() > 1 {
        openssl.arg("-untrusted").arg(rest);
    }
    let Ok(output) = openssl.arg(leaf).output() else {
        eprintln!("not run: openssl is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
