//! Signing authorities of another server: what must hold before one signs here. Pure.

use steeple_api::steeple::server::ImportAuthorityRequest;
use steeple_ca::{CaIssuer, IssueError, KeyError, SigningKey, certificate};
use steeple_core::{
    Authority, AuthorityKind, AuthoritySet, AuthorityStatus, Bundle, SealedKey, Secret, Timestamp, TrustDomain,
};
use steeple_state::ImportResult;

/// The authority cannot be one of this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    #[error("authority of kind {0:?}: name x509 or jwt")]
    Kind(String),
    #[error("the private key of the authority cannot be used: {0}")]
    Key(#[from] KeyError),
    #[error("the certificate of the authority cannot be used: {0}")]
    Certificate(#[from] IssueError),
    #[error("the certificate of the authority cannot be read")]
    NoCertificate,
    #[error("the certificate of the authority is of {found}, not of trust domain {configured}")]
    TrustDomain { found: String, configured: TrustDomain },
    #[error("the JWT authority has no key ID")]
    NoKeyId,
}

/// An authority as the state keeps it, but for its key, which is beside it.
#[derive(Debug)]
pub struct Adopted {
    pub authority: Authority,
    pub pkcs8: Secret,
}

/// Certificate and key belong together and to `trust_domain`.
pub fn adopted(request: ImportAuthorityRequest, trust_domain: &TrustDomain) -> Result<Adopted, AdoptError> {
    let pkcs8 = Secret::new(request.private_key);
    let key = SigningKey::from_pkcs8(&pkcs8)?;
    let (key_type, public_key) = (key.key_type(), key.public_key().spki().to_vec());
    let mut authority = Authority {
        id: request.authority_id,
        kind: AuthorityKind::Jwt,
        status: if request.active { AuthorityStatus::Active } else { AuthorityStatus::Prepared },
        key_type,
        issued_at: Timestamp::from_secs(request.issued_at),
        not_after: Timestamp::from_secs(request.not_after),
        certificate: Vec::new(),
        upstream_chain: Vec::new(),
        upstream_authority_id: String::new(),
        public_key,
        key: SealedKey { keyring_term: 0, ciphertext: Vec::new() },
        restored: false,
    };
    match request.kind.as_str() {
        "jwt" if authority.id.is_empty() => return Err(AdoptError::NoKeyId),
        "jwt" => {}
        "x509" => {
            CaIssuer::new(&request.certificate, &request.upstream_chain, key)?;
            let facts = certificate::facts(&request.certificate).ok_or(AdoptError::NoCertificate)?;
            if facts.spiffe_id.as_ref() != Some(&trust_domain.id()) {
                let found = facts.spiffe_id.map_or_else(|| "no trust domain".to_owned(), |id| id.to_string());
                return Err(AdoptError::TrustDomain { found, configured: trust_domain.clone() });
            }
            authority = Authority {
                id: hex::encode(facts.subject_key_id.ok_or(AdoptError::NoCertificate)?),
                kind: AuthorityKind::X509,
                not_after: facts.not_after,
                certificate: request.certificate,
                upstream_chain: request.upstream_chain,
                upstream_authority_id: request.upstream_authority_id,
                ..authority
            };
        }
        other => return Err(AdoptError::Kind(other.to_owned())),
    }
    Ok(Adopted { authority, pkcs8 })
}

/// What taking over `wanted` comes to, with `set` and the own bundle as they are.
pub fn judge(wanted: &Authority, set: &AuthoritySet, own: Option<&Bundle>, now: Timestamp) -> ImportResult {
    let is_wanted = |authority: &&Authority| authority.id == wanted.id;
    if wanted.not_after <= now {
        return ImportResult::Refused("it has expired".to_owned());
    }
    if own.is_some_and(|bundle| is_tainted(wanted, bundle)) {
        return ImportResult::Refused("it is tainted here".to_owned());
    }
    if set.active.as_ref().filter(is_wanted).is_some() {
        return ImportResult::Unchanged;
    }
    if set.old().filter(is_wanted).is_some() {
        return ImportResult::Kept("it has signed here, and another one has taken its place".to_owned());
    }
    match set.prepared().filter(is_wanted) {
        Some(_) if wanted.status == AuthorityStatus::Prepared => ImportResult::Unchanged,
        _ => ImportResult::Created,
    }
}

fn is_tainted(authority: &Authority, bundle: &Bundle) -> bool {
    match authority.kind {
        AuthorityKind::X509 => {
            bundle.x509_authorities.iter().any(|root| root.tainted && root.der == authority.certificate)
        }
        kind => bundle.key(kind, &authority.id).is_some_and(|key| key.tainted),
    }
}

#[cfg(test)]
mod tests {
    use steeple_ca::{CaRequest, Serial, generate_pkcs8, self_signed_ca};
    use steeple_core::{JwtAuthority, KeyType};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::from_name(name).unwrap()
    }

    fn x509_request(pkcs8: &Secret, signed_by: &Secret) -> ImportAuthorityRequest {
        let key = SigningKey::from_pkcs8(signed_by).unwrap();
        let serial = Serial::random(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let request = CaRequest {
            trust_domain: &domain("example.org"),
            subject: &Default::default(),
            serial,
            ttl: std::time::Duration::from_secs(3600),
        };
        let certificate = self_signed_ca(NOW, &key, request).unwrap().der;
        let private_key = pkcs8.expose().to_vec();
        ImportAuthorityRequest { kind: "x509".to_owned(), active: true, certificate, private_key, ..Default::default() }
    }

    fn jwt_request() -> ImportAuthorityRequest {
        ImportAuthorityRequest {
            kind: "jwt".to_owned(),
            authority_id: "kid".to_owned(),
            active: true,
            not_after: NOW.as_secs() + 60,
            private_key: generate_pkcs8(KeyType::EcP256).unwrap().expose().to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn a_certificate_must_be_of_the_key_and_of_the_trust_domain() {
        let [one, two] = [(); 2].map(|()| generate_pkcs8(KeyType::EcP256).unwrap());
        let own = domain("example.org");
        let taken = adopted(x509_request(&one, &one), &own).unwrap();
        assert_eq!((taken.authority.kind, taken.authority.status), (AuthorityKind::X509, AuthorityStatus::Active));
        assert_eq!(taken.authority.not_after, NOW.saturating_add(std::time::Duration::from_secs(3600)));
        assert!(matches!(adopted(x509_request(&one, &two), &own), Err(AdoptError::Certificate(_))));
        let other = adopted(x509_request(&one, &one), &domain("other.org")).unwrap_err();
        assert!(matches!(other, AdoptError::TrustDomain { .. }), "{other}");
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let own = domain("example.org");
        let refused = |request| adopted(request, &own).unwrap_err();
        let no_id = ImportAuthorityRequest { authority_id: String::new(), ..jwt_request() };
        assert_eq!(refused(no_id), AdoptError::NoKeyId);
        let kind = ImportAuthorityRequest { kind: "wit".to_owned(), ..jwt_request() };
        assert_eq!(refused(kind), AdoptError::Kind("wit".to_owned()));
        let key = ImportAuthorityRequest { private_key: b"canary".to_vec(), ..jwt_request() };
        assert!(!refused(key).to_string().contains("canary"));
    }

    #[test]
    fn one_authority_is_taken_over_once() {
        let wanted = adopted(jwt_request(), &domain("example.org")).unwrap().authority;
        let empty = AuthoritySet::default();
        assert_eq!(judge(&wanted, &empty, None, NOW), ImportResult::Created);
        assert!(matches!(judge(&wanted, &empty, None, wanted.not_after), ImportResult::Refused(_)));
        let prepared = Authority { status: AuthorityStatus::Prepared, ..wanted.clone() };
        let beside = |status| AuthoritySet { active: None, next: Some(Authority { status, ..wanted.clone() }) };
        // Broken off between the two steps: the second is still to be done.
        assert_eq!(judge(&wanted, &beside(AuthorityStatus::Prepared), None, NOW), ImportResult::Created);
        assert_eq!(judge(&prepared, &beside(AuthorityStatus::Prepared), None, NOW), ImportResult::Unchanged);
        assert!(matches!(judge(&wanted, &beside(AuthorityStatus::Old), None, NOW), ImportResult::Kept(_)));
        let active = AuthoritySet { active: Some(wanted.clone()), next: None };
        assert_eq!(judge(&wanted, &active, None, NOW), ImportResult::Unchanged);

        let key = JwtAuthority { public_key: vec![1], key_id: "kid".to_owned(), expires_at: 0, tainted: true };
        let own = Bundle { jwt_authorities: vec![key], ..Bundle::empty(domain("example.org")) };
        assert!(matches!(judge(&wanted, &empty, Some(&own), NOW), ImportResult::Refused(_)));
    }
}
