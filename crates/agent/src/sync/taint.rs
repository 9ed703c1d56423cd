//! Tainted authorities: which SVIDs they signed.

use std::collections::BTreeSet;

use steeple_ca::certificate;
use steeple_core::Bundle;

/// Subject key ids of the bundle's tainted roots.
pub fn tainted_key_ids(bundle: &Bundle) -> BTreeSet<Vec<u8>> {
    let tainted = bundle.x509_authorities.iter().filter(|root| root.tainted);
    tainted.filter_map(|root| certificate::facts(&root.der)?.subject_key_id).collect()
}

/// Whether the end of the chain was signed by one of them.
pub fn is_tainted(chain: &[Vec<u8>], tainted: &BTreeSet<Vec<u8>>) -> bool {
    let Some(last) = chain.last().filter(|_| !tainted.is_empty()) else { return false };
    certificate::facts(last).and_then(|facts| facts.authority_key_id).is_some_and(|id| tainted.contains(&id))
}
