//! Whether a CA makes SVIDs that others accept, tried out on one that nobody gets.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use steeple_ca::template::Template;
use steeple_ca::{CaIssuer, IssueError, PublicKey, Serial, SvidRequest};
use steeple_core::{IdError, Timestamp, TrustDomain};
use steeple_transport::tls::{RootsError, TrustRoots, Usage, VerifyError, verify_chain};

/// Why SVIDs of a CA would be refused.
#[derive(Debug, thiserror::Error)]
pub enum CaCheckError {
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    Random(#[from] steeple_ca::RandomError),
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Signs an SVID for `key` and verifies its chain against `roots` (DER), as agents and workloads will.
pub fn check_ca(
    issuer: &CaIssuer,
    key: &PublicKey,
    trust_domain: &TrustDomain,
    roots: &[Vec<u8>],
    now: Timestamp,
) -> Result<(), CaCheckError> {
    let serial = Serial::random(&aws_lc_rs::rand::SystemRandom::new())?;
    let template = Template::svid(trust_domain.member("/spire/throwaway")?, serial);
    let svid = issuer.issue_svid(now, SvidRequest { template, public_key: key.clone(), ttl: TTL })?;
    let chain: Vec<CertificateDer<'_>> = svid.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let roots = TrustRoots::empty().with(trust_domain.clone(), roots)?;
    verify_chain(&chain, &roots, now, Usage::Server)?;
    Ok(())
}

const TTL: Duration = Duration::from_secs(60);
