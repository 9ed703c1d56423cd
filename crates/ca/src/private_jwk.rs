//! Private keys as JSON Web Keys (RFC 7518, sections 6.2.2 and 6.3.2), for whoever keeps a WIT-SVID's key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use steeple_core::Secret;
use yasna::{ASN1Result, BERReader, parse_der};

use crate::jwks::curve_name;
use crate::public_key::strip_zeros;
use crate::{KeyError, SigningKey};

/// One line, members in go-jose's order.
pub fn private_jwk(pkcs8: &Secret) -> Result<Secret, KeyError> {
    let key = SigningKey::from_pkcs8(pkcs8)?;
    let inner = Secret::new(parse_der(pkcs8.expose(), private_key_info).map_err(|_| KeyError::Load)?);
    // Large enough from the start: growing would leave copies behind.
    let mut json = String::with_capacity(JSON_BYTES_MAX);
    let public = key.public_key();
    if let Some((x, y)) = public.ec_coordinates() {
        let secret = Secret::new(parse_der(inner.expose(), ec_private_key).map_err(|_| KeyError::Load)?);
        json.push_str("{\"kty\":\"EC\",\"crv\":\"");
        json.push_str(curve_name(public.kind()));
        json.push('"');
        let members = [("x", x), ("y", y), ("d", secret.expose())];
        members.into_iter().for_each(|(name, bytes)| member(&mut json, name, bytes));
    } else {
        let numbers = parse_der(inner.expose(), rsa_private_key).map_err(|_| KeyError::Load)?;
        json.push_str("{\"kty\":\"RSA\"");
        let members = RSA_MEMBERS.iter().zip(&numbers);
        members.for_each(|(name, number)| member(&mut json, name, strip_zeros(number.expose())));
    }
    json.push('}');
    Ok(Secret::new(json.into_bytes()))
}

fn member(json: &mut String, name: &str, bytes: &[u8]) {
    json.push_str(",\"");
    json.push_str(name);
    json.push_str("\":\"");
    URL_SAFE_NO_PAD.encode_string(bytes, json);
    json.push('"');
}

/// The private key of PKCS#8 (RFC 5208, section 5), in the form of its algorithm.
fn private_key_info(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    reader.read_sequence(|fields| {
        fields.next().read_u64()?;
        fields.next().read_der()?;
        let key = fields.next().read_bytes()?;
        fields.read_optional(|attributes| attributes.read_der())?;
        Ok(key)
    })
}

/// The secret number of an ECPrivateKey (RFC 5915, section 3), as long as the curve's order.
fn ec_private_key(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    reader.read_sequence(|fields| {
        fields.next().read_u64()?;
        let secret = fields.next().read_bytes()?;
        // Parameters and public key.
        fields.read_optional(|parameters| parameters.read_der())?;
        fields.read_optional(|public_key| public_key.read_der())?;
        Ok(secret)
    })
}

/// The numbers of an RSAPrivateKey (RFC 8017, appendix A.1.2), in the order of [`RSA_MEMBERS`].
fn rsa_private_key(reader: BERReader<'_, '_>) -> ASN1Result<Vec<Secret>> {
    reader.read_sequence(|fields| {
        fields.next().read_u64()?;
        RSA_MEMBERS.iter().map(|_| fields.next().read_bigint_bytes().map(|(number, _)| Secret::new(number))).collect()
    })
}

const RSA_MEMBERS: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
/// An RSA key of 4096 bits takes some 3,200.
const JSON_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use steeple_core::KeyType;

    use super::*;
    use crate::generate_pkcs8;

    #[test]
    fn members_are_those_of_go_jose() {
        for (key_type, members, sizes) in [
            (KeyType::EcP256, &["kty", "crv", "x", "y", "d"][..], &[("x", 32), ("y", 32), ("d", 32)][..]),
            (KeyType::EcP384, &["kty", "crv", "x", "y", "d"][..], &[("x", 48), ("y", 48), ("d", 48)][..]),
            (
                KeyType::Rsa2048,
                &["kty", "n", "e", "d", "p", "q", "dp", "dq", "qi"][..],
                &[("n", 256), ("e", 3), ("p", 128), ("q", 128)][..],
            ),
        ] {
            let pkcs8 = generate_pkcs8(key_type).unwrap();
            let json = private_jwk(&pkcs8).unwrap();
            let text = std::str::from_utf8(json.expose()).unwrap();
            let jwk: Value = serde_json::from_str(text).unwrap();
            let places = members.iter().map(|name| text.find(&format!("\"{name}\":")).unwrap());
            assert!(places.is_sorted(), "{text}");
            assert_eq!(jwk.as_object().unwrap().len(), members.len(), "{text}");
            for (name, bytes) in sizes {
                let number = URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
                assert_eq!(number.len(), *bytes, "{name} of {text}");
            }
            assert!(json.expose().len() <= JSON_BYTES_MAX);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(private_jwk(&Secret::new(b"nonsense".to_vec())), Err(KeyError::Load)));
    }
}
