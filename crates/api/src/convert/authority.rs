//! The public halves of signing authorities.

use steeple_core::{JwtAuthority, X509Authority};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ConvertError;
use crate::types;

/// Exactly one DER certificate.
pub fn x509_authority_from_wire(wire: &types::X509Certificate) -> Result<X509Authority, ConvertError> {
    let (rest, _) =
        X509Certificate::from_der(&wire.asn1).map_err(|_| ConvertError::new("x509: malformed certificate"))?;
    if !rest.is_empty() {
        return Err(ConvertError::new("x509: trailing data"));
    }
    Ok(X509Authority { der: wire.asn1.clone(), tainted: wire.tainted })
}

pub fn x509_authority_to_wire(authority: &X509Authority) -> types::X509Certificate {
    types::X509Certificate { asn1: authority.der.clone(), tainted: authority.tainted }
}

/// A PKIX key with a key id. Which kinds of key may sign is for the CA to say.
pub fn jwt_authority_from_wire(wire: &types::JwtKey) -> Result<JwtAuthority, ConvertError> {
    match SubjectPublicKeyInfo::from_der(&wire.public_key) {
        Ok(([], _)) => {}
        Ok(_) => return Err(ConvertError::new("x509: trailing data after ASN.1 of public-key")),
        Err(_) => return Err(ConvertError::new("asn1: syntax error: malformed public key")),
    }
    if wire.key_id.is_empty() {
        return Err(ConvertError::new("missing key ID"));
    }
    Ok(JwtAuthority {
        public_key: wire.public_key.clone(),
        key_id: wire.key_id.clone(),
        expires_at: wire.expires_at,
        tainted: wire.tainted,
    })
}

pub fn jwt_authority_to_wire(authority: &JwtAuthority) -> types::JwtKey {
    types::JwtKey {
        public_key: authority.public_key.clone(),
        key_id: authority.key_id.clone(),
        expires_at: authority.expires_at,
        tainted: authority.tainted,
    }
}

pub fn wit_authority_to_wire(authority: &JwtAuthority) -> types::WitKey {
    types::WitKey {
        public_key: authority.public_key.clone(),
        key_id: authority.key_id.clone(),
        expires_at: authority.expires_at,
        tainted: authority.tainted,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A P-256 key (the generator point), PKIX DER.
    const KEY: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d81\
                       2deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    pub fn key() -> types::JwtKey {
        types::JwtKey { public_key: hex::decode(KEY).unwrap(), key_id: "k".into(), expires_at: 7, tainted: true }
    }

    #[test]
    fn a_key_comes_back_as_it_went() {
        assert_eq!(jwt_authority_to_wire(&jwt_authority_from_wire(&key()).unwrap()), key());
    }

    #[test]
    fn malformed_authorities_are_refused() {
        let error = |wire| jwt_authority_from_wire(&wire).unwrap_err().message;
        assert_eq!(error(types::JwtKey { key_id: String::new(), ..key() }), "missing key ID");
        for public_key in [Vec::new(), b"nonsense".to_vec(), key().public_key[..40].to_vec()] {
            assert_eq!(error(types::JwtKey { public_key, ..key() }), "asn1: syntax error: malformed public key");
        }
        let long = [key().public_key, vec![0]].concat();
        assert_eq!(error(types::JwtKey { public_key: long, ..key() }), "x509: trailing data after ASN.1 of public-key");
        let certificate = types::X509Certificate { asn1: b"nonsense".to_vec(), tainted: false };
        assert_eq!(x509_authority_from_wire(&certificate).unwrap_err().message, "x509: malformed certificate");
    }
}
