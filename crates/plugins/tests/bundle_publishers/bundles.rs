//! Bundles to publish.

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use steeple_core::{Bundle, JwtAuthority, TrustDomain, X509Authority};

/// With one root, and one JWT key under the id `jwt-1`.
pub fn bundle(sequence: u64) -> Bundle {
    let root = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    let jwt = KeyPair::generate().unwrap();
    Bundle {
        x509_authorities: vec![X509Authority { der: root.der().to_vec(), tainted: false }],
        jwt_authorities: vec![JwtAuthority {
            public_key: jwt.subject_public_key_info(),
            key_id: "jwt-1".to_owned(),
            expires_at: 0,
            tainted: false,
        }],
        sequence,
        ..Bundle::empty(TrustDomain::from_name("example.org").unwrap())
    }
}
