//! The filter of the entry lists and counts, in the order in which SPIRE reads it.

use steeple_api::convert::{id_from_wire, selector_filter_from_wire, trust_domain_filter_from_wire};
use steeple_api::server::entry::list_entries_request::Filter;
use steeple_api::types;
use steeple_core::{SpiffeId, TrustDomain};
use steeple_state::validate::{IdRuleError, member_id, workload_id};
use steeple_state::view::{EntryFilter, SelectorFilter, TrustDomainFilter};
use tonic::Status;

use super::query::{invalid, unhandled};

/// `what` is SPIRE's outer text for what its datastore refuses.
pub fn entry_filter(wire: Filter, own: &TrustDomain, what: &str) -> Result<EntryFilter, Status> {
    let mut filter = EntryFilter {
        // An empty hint filters nothing (recorded SPIRE behaviour).
        hint: wire.by_hint.filter(|hint| !hint.is_empty()),
        downstream: wire.by_downstream.unwrap_or(false),
        ..EntryFilter::default()
    };
    if let Some(id) = &wire.by_parent_id {
        let id = read_id(id, |id| member_id(id, own));
        filter.parent_id = Some(id.map_err(|why| malformed("parent ID", &why))?);
    }
    if let Some(id) = &wire.by_spiffe_id {
        let id = read_id(id, |id| workload_id(id, own));
        filter.spiffe_id = Some(id.map_err(|why| malformed("SPIFFE ID", &why))?);
    }
    let mut by_selectors = None;
    if let Some(selectors) = &wire.by_selectors {
        let (selectors, how) =
            selector_filter_from_wire(selectors).map_err(|error| invalid("malformed selectors filter", &error))?;
        if selectors.is_empty() {
            return Err(malformed("selectors", "empty selector set"));
        }
        by_selectors = Some((selectors, how));
    }
    let mut by_federates_with = None;
    if let Some(domains) = &wire.by_federates_with {
        let domains = trust_domain_filter_from_wire(domains);
        by_federates_with = Some(domains.map_err(|error| invalid("malformed federates with filter", &error))?);
    }
    if let Some((selectors, how)) = by_selectors {
        let how = how.map_err(unhandled(what, "selectors "))?;
        filter.selectors = Some(SelectorFilter { selectors, how });
    }
    if let Some((trust_domains, how)) = by_federates_with {
        let how = how.map_err(unhandled(what, "federates with "))?;
        filter.federates_with = Some(TrustDomainFilter { trust_domains, how });
    }
    Ok(filter)
}

fn read_id(
    wire: &types::Spiffeid,
    rule: impl FnOnce(&SpiffeId) -> Result<(), IdRuleError>,
) -> Result<SpiffeId, String> {
    let id = id_from_wire(Some(wire)).map_err(|error| error.to_string())?;
    rule(&id).map_err(|error| error.to_string())?;
    Ok(id)
}

fn malformed(filter: &str, why: &str) -> Status {
    Status::invalid_argument(format!("malformed {filter} filter: {why}"))
}

#[cfg(test)]
mod tests {
    use steeple_api::types::{FederatesWithMatch, Selector, SelectorMatch, Spiffeid};

    use super::*;

    fn id(path: &str) -> Option<Spiffeid> {
        Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() })
    }

    fn selectors(kind: &str, r#match: i32) -> Option<SelectorMatch> {
        Some(SelectorMatch { selectors: vec![Selector { r#type: kind.into(), value: "1".into() }], r#match })
    }

    fn federates(name: &str, r#match: i32) -> Option<FederatesWithMatch> {
        Some(FederatesWithMatch { trust_domains: vec![name.into()], r#match })
    }

    #[test]
    fn the_first_fault_is_told_with_spires_text() {
        let reserved = "malformed SPIFFE ID filter: \"spiffe://example.org/spire/server\" is not a workload in trust \
                        domain \"example.org\"; path is in the reserved namespace";
        let pathless = "malformed parent ID filter: \"spiffe://example.org\" is not a member of trust domain \
                        \"example.org\"; path is empty";
        let cases = [
            (Filter { by_spiffe_id: id("/spire/server"), ..Filter::default() }, reserved),
            (Filter { by_parent_id: id(""), by_spiffe_id: id("/spire/server"), ..Filter::default() }, pathless),
            (Filter { by_parent_id: id(""), by_selectors: selectors("", 0), ..Filter::default() }, pathless),
            (
                Filter { by_selectors: selectors("", 7), by_federates_with: federates("A", 0), ..Filter::default() },
                "malformed selectors filter: missing selector type",
            ),
            (
                Filter { by_selectors: selectors("a", 7), by_federates_with: federates("A", 7), ..Filter::default() },
                "malformed federates with filter: trust domain characters are limited to lowercase letters, numbers, \
                 dots, dashes, and underscores",
            ),
            (
                Filter { by_selectors: selectors("a", 7), by_federates_with: federates("a", 7), ..Filter::default() },
                "failed to list entries: datastore-sql: unhandled selectors match behavior '\\a'",
            ),
            (
                Filter { by_federates_with: federates("a", 4), ..Filter::default() },
                "failed to list entries: datastore-sql: unhandled federates with match behavior '\\x04'",
            ),
        ];
        let own = TrustDomain::parse("example.org").unwrap();
        for (filter, text) in cases {
            assert_eq!(entry_filter(filter, &own, "failed to list entries").unwrap_err().message(), text);
        }
    }
}
