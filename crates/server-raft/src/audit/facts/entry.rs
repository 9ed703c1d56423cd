//! `spire.api.server.entry.v1.Entry`.

use steeple_api::server::entry::*;
use steeple_api::types;
use steeple_telemetry::log::Fields;

use super::{Facts, decoded, items, put, put_id, put_selectors, put_some, selectors};

pub(super) fn facts(method: &str, asked: &[u8], answered: &[u8]) -> Facts {
    let mut fields = Fields::new();
    let known = &mut fields;
    match method {
        "Entry/CountEntries" => {
            let filter = decoded::<CountEntriesRequest>(asked).filter.unwrap_or_default();
            put_ids(known, filter.by_spiffe_id.as_ref(), filter.by_parent_id.as_ref());
            put_selectors(known, filter.by_selectors.as_ref());
            put_rest(known, filter.by_federates_with.as_ref(), filter.by_hint, filter.by_downstream);
        }
        "Entry/ListEntries" => {
            let filter = decoded::<ListEntriesRequest>(asked).filter.unwrap_or_default();
            put_ids(known, filter.by_spiffe_id.as_ref(), filter.by_parent_id.as_ref());
            put_selectors(known, filter.by_selectors.as_ref());
            put_rest(known, filter.by_federates_with.as_ref(), filter.by_hint, filter.by_downstream);
        }
        "Entry/GetEntry" => put_some(known, "entry_id", &decoded::<GetEntryRequest>(asked).id),
        "Entry/BatchCreateEntry" => {
            let asked = decoded::<BatchCreateEntryRequest>(asked).entries;
            let answered = decoded::<BatchCreateEntryResponse>(answered).results;
            return items(asked, answered, |entry, result| {
                let mut fields = of_entry(&entry);
                let created = result.entry.as_ref().map(|entry| entry.id.as_str());
                put_some(&mut fields, "entry_id", created.unwrap_or(&entry.id));
                (fields, result.status.clone())
            });
        }
        "Entry/BatchUpdateEntry" => {
            let asked = decoded::<BatchUpdateEntryRequest>(asked).entries;
            let answered = decoded::<BatchUpdateEntryResponse>(answered).results;
            return items(asked, answered, |entry, result| (of_entry(&entry), result.status.clone()));
        }
        "Entry/BatchDeleteEntry" => {
            let asked = decoded::<BatchDeleteEntryRequest>(asked).ids;
            let answered = decoded::<BatchDeleteEntryResponse>(answered).results;
            return items(asked, answered, |id, result| {
                (Fields::from([("entry_id".to_owned(), id.into())]), result.status.clone())
            });
        }
        _ => {}
    }
    Facts::Call(fields)
}

/// What the client sent of an entry, with SPIRE's choice of what is there even when it was left at its default.
fn of_entry(entry: &types::Entry) -> Fields {
    let mut fields = Fields::new();
    let known = &mut fields;
    put_some(known, "entry_id", &entry.id);
    put_ids(known, entry.spiffe_id.as_ref(), entry.parent_id.as_ref());
    put_some(known, "selectors", &selectors(&entry.selectors));
    put_some(known, "federates_with", &entry.federates_with.join(","));
    put_some(known, "dns_name", &entry.dns_names.join(","));
    put(known, "hint", entry.hint.as_str());
    put(known, "x509_svid_ttl", i64::from(entry.x509_svid_ttl));
    put(known, "jwt_svid_ttl", i64::from(entry.jwt_svid_ttl));
    put(known, "expires_at", entry.expires_at);
    put(known, "revision_number", entry.revision_number);
    put(known, "created_at", entry.created_at);
    put(known, "admin", entry.admin);
    put(known, "downstream", entry.downstream);
    put(known, "store_svid", entry.store_svid);
    fields
}

fn put_ids(fields: &mut Fields, spiffe_id: Option<&types::Spiffeid>, parent_id: Option<&types::Spiffeid>) {
    put_id(fields, "spiffe_id", spiffe_id);
    put_id(fields, "parent_id", parent_id);
}

fn put_rest(
    fields: &mut Fields,
    federates_with: Option<&types::FederatesWithMatch>,
    hint: Option<String>,
    downstream: Option<bool>,
) {
    if let Some(by) = federates_with {
        put(fields, "federates_with_match", by.r#match().as_str_name());
        put(fields, "federates_with", by.trust_domains.join(","));
    }
    if let Some(hint) = hint {
        put(fields, "hint", hint);
    }
    if let Some(downstream) = downstream {
        put(fields, "downstream", downstream);
    }
}
