//! How a published bundle is written, byte for byte as SPIRE's publishers write it.

use pem::{EncodeConfig, LineEnding, Pem};
use steeple_ca::jwks::{JwksError, print_plain_bundle_compact, print_spiffe_bundle_compact};
use steeple_core::Bundle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleFormat {
    /// A plain key set (RFC 7517), for readers that refuse SPIFFE's additions to it.
    Jwks,
    /// The X.509 authorities only.
    Pem,
    /// SPIFFE Trust Domain and Bundle, section 4.
    Spiffe,
}

impl BundleFormat {
    /// In any case, as SPIRE takes it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "jwks" => Some(Self::Jwks),
            "pem" => Some(Self::Pem),
            "spiffe" => Some(Self::Spiffe),
            _ => None,
        }
    }

    /// `refresh_hint` in seconds takes the place of the bundle's own; only the SPIFFE format shows it.
    pub fn print(self, bundle: &Bundle, refresh_hint: Option<i64>) -> Result<String, JwksError> {
        match self {
            Self::Jwks => print_plain_bundle_compact(bundle),
            Self::Pem => {
                let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
                let roots = bundle.x509_authorities.iter();
                Ok(roots
                    .map(|root| pem::encode_config(&Pem::new("CERTIFICATE", root.der.as_slice()), config))
                    .collect())
            }
            Self::Spiffe => {
                let refresh_hint = refresh_hint.unwrap_or(bundle.refresh_hint);
                print_spiffe_bundle_compact(&Bundle { refresh_hint, ..bundle.clone() })
            }
        }
    }
}
