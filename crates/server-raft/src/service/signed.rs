//! What SPIRE's servers say at debug about each SVID that they have signed, in its words.

use steeple_ca::{Csr, DistinguishedName};
use steeple_core::{Entry, SpiffeId, Timestamp};
use tracing::Level;

use super::attest::leaf_serial;
use crate::issue::{IssuedToken, IssuedX509};

/// Of MintX509SVID.
pub fn minted(id: &SpiffeId, csr: &Csr, issued: &IssuedX509) {
    let Some(serial_num) = serial_if_told(issued) else { return };
    let subject = csr.subject.as_ref().map(DistinguishedName::to_string).unwrap_or_default();
    let dns_name = csr.dns_names.join(",");
    let expiration = Timestamp::from_secs(issued.not_after);
    tracing::debug!(dns_name, %expiration, serial_num, spiffe_id = %id, subject, "Signed X509 SVID");
}

/// Of BatchNewX509SVID, and what stands for it on a push stream.
pub fn for_entry(entry: &Entry, issued: &IssuedX509) {
    let Some(serial_num) = serial_if_told(issued) else { return };
    let expiration = Timestamp::from_secs(issued.not_after);
    let (revision_number, spiffe_id) = (entry.revision, &entry.spiffe_id);
    tracing::debug!(%expiration, revision_number, serial_num, %spiffe_id, "Signed X509 SVID");
}

/// The token itself is a credential, and is not told.
pub fn token(id: &SpiffeId, audience: &[String], issued: &IssuedToken) {
    let expiration = Timestamp::from_secs(issued.expires_at);
    // As Go prints a list.
    let audience = format_args!("[{}]", audience.join(" ")).to_string();
    tracing::debug!(audience, %expiration, spiffe_id = %id, "Server CA successfully signed JWT SVID");
}

/// A certificate is read for the log alone.
fn serial_if_told(issued: &IssuedX509) -> Option<String> {
    if tracing::enabled!(Level::DEBUG) { leaf_serial(&issued.chain).ok() } else { None }
}
