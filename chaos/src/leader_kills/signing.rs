//! Signing requests, and whether what comes back is what was asked for.

use anyhow::Context as _;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType};
use rustls_pki_types::CertificateDer;
use steeple_api::convert::bundle_from_wire;
use steeple_api::server::svid::{MintJwtsvidRequest, MintX509svidRequest};
use steeple_api::types;
use steeple_ca::certificate;
use steeple_ca::jwt::{JwtKeySet, validate};
use steeple_core::{Clock as _, SpiffeId, SystemClock, TrustDomain};
use steeple_transport::tls::{TrustRoots, Usage, verify_chain};

use super::history::Answer;

/// One identity that is signed for again and again, in both kinds.
pub(super) struct Subject {
    id: SpiffeId,
    csr: Vec<u8>,
    /// PKIX DER.
    public_key: Vec<u8>,
}

/// The trust domain's keys, as they were when the load began.
pub(super) struct Trust {
    roots: TrustRoots,
    jwt_keys: JwtKeySet,
}

impl Subject {
    pub(super) fn new(trust_domain: &TrustDomain, number: u32) -> anyhow::Result<Self> {
        let id = trust_domain.member(&format!("/signed/{number}"))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(id.as_str())?));
        let csr = params.serialize_request(&key)?.der().to_vec();
        Ok(Self { id, csr, public_key: key.subject_public_key_info() })
    }

    pub(super) fn id(&self) -> &SpiffeId {
        &self.id
    }

    pub(super) fn x509_request(&self) -> MintX509svidRequest {
        MintX509svidRequest { csr: self.csr.clone(), ttl: 0 }
    }

    pub(super) fn jwt_request(&self) -> MintJwtsvidRequest {
        let id =
            types::Spiffeid { trust_domain: self.id.trust_domain_name().to_owned(), path: self.id.path().to_owned() };
        MintJwtsvidRequest { id: Some(id), audience: vec![AUDIENCE.to_owned()], ttl: 0 }
    }

    pub(super) fn judge_x509(&self, svid: Option<types::X509svid>, trust: &Trust) -> Answer {
        let judged = || {
            let svid = svid.context("no SVID in the answer")?;
            let chain: Vec<_> = svid.cert_chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
            let id = verify_chain(&chain, &trust.roots, SystemClock.now(), Usage::Client)?;
            anyhow::ensure!(id == self.id, "the SVID is for {id}");
            let leaf = svid.cert_chain.first().and_then(|der| certificate::facts(der)).context("no leaf")?;
            anyhow::ensure!(leaf.public_key == self.public_key, "the SVID has another key");
            Ok::<_, anyhow::Error>(leaf.serial)
        };
        match judged() {
            Ok(serial) => Answer::Signed { serial: Some(serial) },
            Err(error) => Answer::Wrong { reason: format!("X.509-SVID: {error:#}") },
        }
    }

    pub(super) fn judge_jwt(&self, svid: Option<types::Jwtsvid>, trust: &Trust) -> Answer {
        let judged = || {
            let svid = svid.context("no SVID in the answer")?;
            let valid = validate(&svid.token, &[AUDIENCE.to_owned()], SystemClock.now(), &trust.jwt_keys)?;
            anyhow::ensure!(valid.spiffe_id == self.id, "the token is for {}", valid.spiffe_id);
            Ok::<_, anyhow::Error>(())
        };
        match judged() {
            Ok(()) => Answer::Signed { serial: None },
            Err(error) => Answer::Wrong { reason: format!("JWT-SVID: {error:#}") },
        }
    }
}

impl Trust {
    pub(super) fn new(trust_domain: &TrustDomain, bundle: &types::Bundle) -> anyhow::Result<Self> {
        let roots: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.asn1.as_slice()).collect();
        let core = bundle_from_wire(bundle, None).map_err(|error| anyhow::anyhow!("the bundle: {error}"))?;
        Ok(Self {
            roots: TrustRoots::empty().with(trust_domain.clone(), &roots)?,
            jwt_keys: JwtKeySet::from_bundles([&core]),
        })
    }
}

const AUDIENCE: &str = "leader-kills";
