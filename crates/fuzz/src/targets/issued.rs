//! What was issued once for `example.org`, so that hostile bytes have something to imitate. Nothing else trusts it.

use std::sync::LazyLock;

use steeple_core::{Bundle, JwtAuthority, Timestamp, TrustDomain, X509Authority};
use steeple_transport::tls::TrustRoots;

/// When everything here is valid: 2027-06-01.
pub const NOW: Timestamp = Timestamp::from_secs(1_811_808_000);
pub const AUDIENCE: &str = "audience";

/// Made with openssl: P-256 throughout, valid for a century.
pub static ROOT: &[u8] = include_bytes!("../../fixtures/root.der");
/// Of `spiffe://example.org/workload`, signed by the root.
pub static SVID: &[u8] = include_bytes!("../../fixtures/svid.der");
/// For that SVID.
pub static CSR: &[u8] = include_bytes!("../../fixtures/csr.der");
/// PKCS#8, of that SVID.
pub static KEY: &[u8] = include_bytes!("../../fixtures/key.der");
/// A JWT-SVID of the same ID.
pub static TOKEN: &[u8] = include_bytes!("../../fixtures/token.jwt");
/// Made with ssh-keygen; signed the host certificates in the corpus.
pub static SSH_AUTHORITY: &str = include_str!("../../fixtures/ssh-authority.pub");
/// What an agent with a TPM of swtpm presented.
pub static TPM_PAYLOAD: &[u8] = include_bytes!("../../fixtures/tpm-devid.json");
/// Vouches for the device's key in it.
pub static DEVICES: &[u8] = include_bytes!("../../fixtures/tpm-devices.der");
/// Vouches for the TPM's endorsement key in it.
pub static TPM_MANUFACTURER: &[u8] = include_bytes!("../../fixtures/tpm-manufacturer.der");
/// PKIX, of the key that signed the token.
static JWT_KEY: &[u8] = include_bytes!("../../fixtures/jwt-public.der");
/// The `kid` of the token.
const JWT_KEY_ID: &str = "jwt-key";

pub fn trust_domain() -> TrustDomain {
    static DOMAIN: LazyLock<TrustDomain> = LazyLock::new(|| TrustDomain::from_name("example.org").expect("a name"));
    DOMAIN.clone()
}

pub fn roots() -> &'static TrustRoots {
    static ROOTS: LazyLock<TrustRoots> =
        LazyLock::new(|| TrustRoots::empty().with(trust_domain(), &[ROOT]).expect("a root"));
    &ROOTS
}

pub fn bundle() -> Bundle {
    let key =
        JwtAuthority { key_id: JWT_KEY_ID.to_owned(), public_key: JWT_KEY.to_vec(), expires_at: 0, tainted: false };
    Bundle {
        x509_authorities: vec![X509Authority { der: ROOT.to_vec(), tainted: false }],
        jwt_authorities: vec![key],
        ..Bundle::empty(trust_domain())
    }
}
