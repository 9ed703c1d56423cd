//! Registration entries, put together from four tables.

use std::collections::BTreeMap;

use prost::Message as _;
use steeple_core::{Bundle, Entry, Selector, SpiffeId, Timestamp, TrustDomain};

use super::{Noun, Plan};
use crate::rows::EntryRow;
use crate::{Database, wire};

/// What other tables hold for the entry of one row.
#[derive(Default)]
struct Parts<'a> {
    selectors: Vec<(&'a str, &'a str)>,
    dns_names: Vec<&'a str>,
    bundle_rows: Vec<i64>,
}

pub(super) fn read(database: &Database, bundles: &[(i64, Bundle)], now: Timestamp, plan: &mut Plan) {
    let domains: BTreeMap<i64, &TrustDomain> =
        bundles.iter().map(|(row, bundle)| (*row, &bundle.trust_domain)).collect();
    let mut parts = parts(database);
    for row in &database.entries {
        let parts = parts.remove(&row.row).unwrap_or_default();
        if row.expires_at != 0 && row.expires_at < now.as_secs() {
            plan.leave(Noun::Entry, &row.entry_id, "it has expired");
            continue;
        }
        let mut federates_with = Vec::new();
        for bundle_row in &parts.bundle_rows {
            match domains.get(bundle_row) {
                Some(domain) => federates_with.push((*domain).clone()),
                None => plan.leave(
                    Noun::Entry,
                    &row.entry_id,
                    format!("its federation with the bundle of row {bundle_row}, which does not come along"),
                ),
            }
        }
        federates_with.sort_unstable();
        match entry(row, &parts, federates_with) {
            Ok(entry) => plan.entries.push(entry),
            Err(reason) => plan.leave(Noun::Entry, &row.entry_id, reason),
        }
    }
    for row in parts.into_keys() {
        plan.leave(Noun::Entry, format!("row {row}"), "selectors, DNS names or federation of an entry that is gone");
    }
}

fn parts(database: &Database) -> BTreeMap<i64, Parts<'_>> {
    let mut parts: BTreeMap<i64, Parts<'_>> = BTreeMap::new();
    for row in &database.selectors {
        parts.entry(row.entry_row).or_default().selectors.push((&row.kind, &row.value));
    }
    for row in &database.dns_names {
        parts.entry(row.entry_row).or_default().dns_names.push(&row.value);
    }
    for row in &database.federated_entries {
        parts.entry(row.entry_row).or_default().bundle_rows.push(row.bundle_row);
    }
    parts
}

fn entry(row: &EntryRow, parts: &Parts<'_>, federates_with: Vec<TrustDomain>) -> Result<Entry, String> {
    let id = |what: &str, text: &str| SpiffeId::parse(text).map_err(|error| format!("its {what} {text:?}: {error}"));
    let selectors = parts.selectors.iter().map(|(kind, value)| {
        Selector::new(*kind, *value).map_err(|error| format!("its selector \"{kind}:{value}\": {error}"))
    });
    let seconds = |what: &str, value: i64| {
        i32::try_from(value).map_err(|_| format!("its {what} of {value} s is longer than SPIRE's API can say"))
    };
    let attributes = wire::AdditionalAttributes::decode(row.additional_attributes.as_slice());
    let attributes = attributes.map_err(|_| "its additional attributes are damaged".to_owned())?;
    Ok(Entry {
        id: row.entry_id.clone(),
        spiffe_id: id("SPIFFE ID", &row.spiffe_id)?,
        parent_id: id("parent ID", &row.parent_id)?,
        selectors: selectors.collect::<Result<_, String>>()?,
        x509_svid_ttl: seconds("X509-SVID TTL", row.x509_svid_ttl)?,
        jwt_svid_ttl: seconds("JWT-SVID TTL", row.jwt_svid_ttl)?,
        federates_with,
        admin: row.admin,
        downstream: row.downstream,
        expires_at: row.expires_at,
        dns_names: parts.dns_names.iter().map(|name| (*name).to_owned()).collect(),
        revision: row.revision,
        store_svid: row.store_svid,
        hint: row.hint.clone(),
        created_at: row.created_at,
        disable_x509_svid_prefetch: attributes.disable_x509_svid_prefetch,
        jwt_svid_include_jti: attributes.jwt_svid_include_jti,
    })
}
