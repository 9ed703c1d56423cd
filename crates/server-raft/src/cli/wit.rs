//! `wit mint`, where the feature flag `wit-svid` stands in the environment.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use steeple_api::server::svid::MintWitsvidRequest;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::types;
use steeple_ca::{KeyError, PublicKey, SigningKey, generate_pkcs8, private_jwk};
use steeple_cli::{Call, Command, Context, Failure, Flag, Help, one_line};
use steeple_config::GoDuration;
use steeple_core::{KeyType, Secret};
use steeple_files::write_private_file;
use tonic::transport::Channel;

use super::Action;
use super::jwt::{ttl_seconds, warn_if_capped};
use super::reply::expected;
use super::selectors::parse_id;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "wit mint",
    synopsis: "Issues a WIT-SVID with a new key",
    help: Help::spire(
        "Issues a WIT-SVID with a new key, for any SPIFFE ID of the trust domain. Behind the feature flag wit-svid.",
        &[(
            "To standard output",
            "SPIRE_SERVER_FFLAGS=wit-svid steeple-server wit mint -spiffeID spiffe://example.org/job",
        )],
    ),
    flags: &[COMMON_FLAGS, FLAGS],
    action: remote!(mint),
}];

const FLAGS: &[Flag] = &[
    Flag::text_or("keyType", "ec-p256", "Type of the new key: ec-p256, ec-p384, rsa-2048 or rsa-4096"),
    Flag::text_or("signingAlgorithm", "ES256", "JWS algorithm that the new key signs with"),
    Flag::text("spiffeID", "SPIFFE ID of the WIT-SVID"),
    Flag::duration("ttl", GoDuration::from_nanos(0), "Lifetime of the WIT-SVID; the server's default when absent"),
    Flag::text("write", "Directory to write token and key to, instead of standard output"),
];

async fn mint(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let id = call.values.text_if_any("spiffeID").ok_or_else(|| Failure::message("spiffeID must be specified"))?;
    let id = parse_id(id).map_err(Failure::message)?;
    let ttl = call.values.duration("ttl");
    let ttl_secs = ttl_seconds(ttl)?;
    let signing_algorithm = call.values.text("signingAlgorithm").to_owned();
    let key_type = key_type(call.values.text("keyType"), &signing_algorithm)?;
    let (public_key, jwk) = new_key(key_type).map_err(Failure::message).context("could not generate a key pair")?;
    let public_key = public_key.spki().to_vec();
    let request = MintWitsvidRequest { id: Some(id), public_key, signing_algorithm, ttl: ttl_secs };
    let response = SvidClient::new(channel).mint_witsvid(request).await.context("unable to mint SVID")?.into_inner();
    let svid = expected(response.svid, "token")?;
    warn_if_capped(&mut call.streams.stderr, "WIT-SVID", svid.expires_at, ttl)?;
    match call.values.text_if_any("write").map(str::to_owned) {
        Some(directory) => write(call, &svid, &jwk, Path::new(&directory)),
        None => print(call, &svid, &jwk),
    }
}

fn new_key(key_type: KeyType) -> Result<(PublicKey, Secret), KeyError> {
    let pkcs8 = generate_pkcs8(key_type)?;
    Ok((SigningKey::from_pkcs8(&pkcs8)?.public_key().clone(), private_jwk(&pkcs8)?))
}

/// The texts are SPIRE's.
fn key_type(name: &str, algorithm: &str) -> Result<KeyType, Failure> {
    let known = KeyType::from_name(name);
    let (fits, refusal) = match algorithm {
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => (
            known.filter(|known| matches!(known, KeyType::Rsa2048 | KeyType::Rsa4096)),
            format!("unsupported key type '{name}' for signing algorithm '{algorithm}'"),
        ),
        "ES256" | "ES384" => {
            let wanted = if algorithm == "ES256" { KeyType::EcP256 } else { KeyType::EcP384 };
            let refusal = format!("unsupported key type '{name}' for '{algorithm}' signing algorithm");
            (known.filter(|known| *known == wanted), refusal)
        }
        _ => (None, format!("unsupported signing algorithm: {algorithm}")),
    };
    fits.ok_or(Failure::Message(refusal))
}

fn print(call: &mut Call, svid: &types::Witsvid, jwk: &Secret) -> Result<(), Failure> {
    let json = call.is_json();
    let out = &mut call.streams.stdout;
    if json {
        let id = svid.id.clone().unwrap_or_default();
        let value = json!({
            "private_key": String::from_utf8_lossy(jwk.expose()),
            "svid": {
                "token": svid.token,
                "id": { "trust_domain": id.trust_domain, "path": id.path },
                "expires_at": svid.expires_at,
                "issued_at": svid.issued_at,
            },
        });
        return Ok(writeln!(out, "{}", one_line(value))?);
    }
    writeln!(out, "{}", svid.token)?;
    out.write_all(jwk.expose())?;
    Ok(writeln!(out)?)
}

fn write(call: &mut Call, svid: &types::Witsvid, jwk: &Secret, directory: &Path) -> Result<(), Failure> {
    let out = &mut call.streams.stdout;
    let path = directory.join("token");
    write_private_file(&path, svid.token.as_bytes()).context("unable to write token")?;
    writeln!(out, "WIT-SVID written to {}", path.display())?;
    let path = directory.join("key");
    write_private_file(&path, jwk.expose()).context("unable to write key")?;
    Ok(writeln!(out, "Private key written to {}", path.display())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_cannot_sign_so_is_refused_in_spires_words() {
        assert_eq!(key_type("rsa-4096", "PS512").unwrap(), KeyType::Rsa4096);
        assert_eq!(key_type("ec-p384", "ES384").unwrap(), KeyType::EcP384);
        for (name, algorithm, refusal) in [
            ("ec-p384", "ES256", "unsupported key type 'ec-p384' for 'ES256' signing algorithm"),
            ("ec-p256", "RS256", "unsupported key type 'ec-p256' for signing algorithm 'RS256'"),
            ("ec-p256", "ES123", "unsupported signing algorithm: ES123"),
            ("ec-p521", "ES512", "unsupported signing algorithm: ES512"),
        ] {
            assert_eq!(key_type(name, algorithm).unwrap_err().to_string(), refusal);
        }
    }
}
