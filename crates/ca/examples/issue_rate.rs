//! How much of the rate of the bare cryptography remains when certificates and tokens are issued, on one core.
//!
//! `cargo run --release -p steeple-ca --example issue_rate`

use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use steeple_ca::template::Template;
use steeple_ca::{
    CaIssuer, CaRequest, Csr, DistinguishedName, JwtIssuer, JwtSvidRequest, Serial, SigningKey, SvidRequest, csr,
    generate_pkcs8, self_signed_ca,
};
use steeple_core::{KeyType, SpiffeId, Timestamp};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Timestamp::from_secs(1_800_000_000);
    let day = Duration::from_secs(86_400);
    let random = SystemRandom::new();
    let id = SpiffeId::parse("spiffe://example.org/ns/default/sa/web")?;

    let key = generate_pkcs8(KeyType::EcP256)?;
    let bare = SigningKey::from_pkcs8(&key)?;
    let subject = DistinguishedName::default_ca();
    let request =
        CaRequest { trust_domain: &id.trust_domain(), subject: &subject, serial: Serial::random(&random)?, ttl: day };
    let root = self_signed_ca(now, &bare, request)?;
    let issuer = CaIssuer::new(&root.der, &[], SigningKey::from_pkcs8(&key)?)?;
    let workload = SigningKey::generate(KeyType::EcP256)?;
    let request = csr::request(&workload, &id, &[])?;

    let message = vec![7; 500];
    let signature = workload.sign_x509(&message)?;
    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, workload.public_key().bits());
    let ceiling = rate(|| {
        let verified = verifier.verify(&message, &signature).is_ok();
        verified && bare.sign_x509(&message).is_ok()
    });
    let x509 = rate(|| {
        let issue = || {
            let csr = Csr::parse(&request).ok()?;
            csr.verify_signature().ok()?;
            let serial = Serial::random(&random).ok()?;
            let template = Template::workload_svid(id.clone(), Vec::new(), None, serial);
            issuer.issue_svid(now, SvidRequest { template, public_key: csr.public_key, ttl: day }).ok()
        };
        issue().is_some()
    });
    let signing = rate(|| bare.sign_jws(&message).is_ok());
    let jwt = JwtIssuer::new(SigningKey::from_pkcs8(&key)?, "kid", now.saturating_add(day), None);
    let audience = ["spiffe://example.org/db".to_owned()];
    let token = JwtSvidRequest { spiffe_id: &id, audience: &audience, ttl: day, token_id: None };
    let jwt = rate(|| jwt.issue(now, &token).is_ok());

    println!("bare CSR verification and signature   {ceiling:>8.0} /s");
    println!("X.509-SVIDs from CSRs                 {x509:>8.0} /s   {:.0} %", 100.0 * x509 / ceiling);
    println!("bare token signature                  {signing:>8.0} /s");
    println!("JWT-SVIDs                             {jwt:>8.0} /s   {:.0} %", 100.0 * jwt / signing);
    Ok(())
}

/// The best of several short runs, which a busy machine disturbs least.
fn rate(mut work: impl FnMut() -> bool) -> f64 {
    let mut best = 0_f64;
    for _ in 0..20 {
        let (start, mut done) = (Instant::now(), 0_u32);
        while start.elapsed() < Duration::from_millis(50) {
            assert!(work(), "the work failed");
            done += 1;
        }
        best = best.max(f64::from(done) / start.elapsed().as_secs_f64());
    }
    best
}
