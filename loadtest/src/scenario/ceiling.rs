//! What the cryptography alone allows: nobody issues faster than that.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use clap::Args;
use steeple_ca::template::Template;
use steeple_ca::{CaIssuer, CaRequest, Csr, DistinguishedName, Serial, SigningKey, SvidRequest, csr, self_signed_ca};
use steeple_core::{Clock as _, KeyType, SystemClock, TrustDomain};

use super::issue::{self, IssueArgs};
use crate::report::{Reading, Report};
use crate::target::Options;
use crate::usage::cpu_seconds;

/// One thread reads CSRs, verifies their signatures and signs certificates with the library that the server uses, for
/// 2 s each; then `issue --batch 100`, and how much of the ceiling that reaches.
#[derive(Args, Clone, Debug)]
pub struct CeilingArgs {}

pub(crate) async fn run(options: &Options, _: &CeilingArgs) -> anyhow::Result<Report> {
    let bare = tokio::task::spawn_blocking(bare).await??;
    let args = IssueArgs { batch: 100, entries: 10, outstanding: None };
    let issued = issue::run(options, &args).await?;
    let reached = issued.readings.first().map_or(0.0, |reading| reading.value);
    let ceiling = bare.verify_and_sign;
    let mut report = Report { scenario: "ceiling".to_owned(), command: "loadtest ceiling".to_owned(), ..issued };
    let mut readings = vec![
        Reading::fact("P-256 signatures", bare.sign, "a CPU-second"),
        Reading::fact("CSRs read and verified", bare.verify, "a CPU-second"),
        Reading::fact("ceiling: CSR verified and certificate signed", ceiling, "a CPU-second"),
        Reading::more("issue --batch 100, of the ceiling", reached / ceiling, ""),
    ];
    readings.append(&mut report.readings);
    report.readings = readings;
    Ok(report)
}

/// For each second of CPU.
struct Bare {
    sign: f64,
    verify: f64,
    verify_and_sign: f64,
}

fn bare() -> anyhow::Result<Bare> {
    let (now, trust_domain) = (SystemClock.now(), TrustDomain::from_name("load.test")?);
    let random = SystemRandom::new();
    let ca_key = SigningKey::generate(KeyType::EcP256)?;
    let subject = DistinguishedName::default_ca();
    let request =
        CaRequest { trust_domain: &trust_domain, subject: &subject, serial: Serial::random(&random)?, ttl: LIFETIME };
    let certificate = self_signed_ca(now, &ca_key, request)?;
    let key = SigningKey::generate(KeyType::EcP256)?;
    let id = trust_domain.member("/load/0/0")?;
    let csr = csr::request(&key, &id, &[])?;

    let sign = rate(|| Ok(key.sign_x509(&csr).map(|_| ())?))?;
    let verify = rate(|| Ok(Csr::parse(&csr)?.verify_signature()?))?;
    let issuer = CaIssuer::new(&certificate.der, &[], ca_key)?;
    let verify_and_sign = rate(|| {
        let request = Csr::parse(&csr)?;
        request.verify_signature()?;
        let template = Template::svid(id.clone(), Serial::random(&random)?);
        issuer.issue_svid(now, SvidRequest { template, public_key: request.public_key, ttl: LIFETIME / 2 })?;
        Ok(())
    })?;
    Ok(Bare { sign, verify, verify_and_sign })
}

/// How often `work` is done in a second of this process's CPU, while nothing else runs in it.
fn rate(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let pid = std::process::id().cast_signed();
    let (began, before) = (std::time::Instant::now(), cpu_seconds(pid)?);
    let mut done = 0_u64;
    while began.elapsed() < STRETCH {
        for _ in 0..BETWEEN_LOOKS {
            work()?;
        }
        done += BETWEEN_LOOKS;
    }
    Ok(done as f64 / (cpu_seconds(pid)? - before).max(0.01))
}

const STRETCH: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: u64 = 100;
const LIFETIME: Duration = Duration::from_secs(7_200);
