//! Which entries `show` and `count` are about.

use steeple_api::server::entry::list_entries_request::Filter;
use steeple_api::types::{FederatesWithMatch, SelectorMatch};
use steeple_cli::{Context, Failure, Flag, Values};

use crate::cli::selectors::{
    MATCH_SELECTORS_ON, SELECTOR, federates_match_behavior, parse_id, parse_selector, selector_match_behavior,
};

pub(super) const FLAGS: &[Flag] = &[
    Flag::bool("downstream", "Only entries of downstream servers"),
    Flag::texts("federatesWith", "A trust domain that the entries federate with; repeatable"),
    Flag::text("hint", "Only entries with this hint"),
    Flag::text_or(
        "matchFederatesWithOn",
        "superset",
        "How sets of trust domains are compared: exact, any, superset or subset",
    ),
    MATCH_SELECTORS_ON,
    Flag::text("parentID", "Only entries with this parent"),
    SELECTOR,
    Flag::text("spiffeID", "Only entries that grant this SPIFFE ID"),
];

pub(super) fn filter_from_flags(values: &Values) -> Result<Filter, Failure> {
    let id = |what: &str, name: &str| {
        let parsed = values.text_if_any(name).map(|text| {
            parse_id(text).map_err(|error| Failure::Message(format!("error parsing {what} {text:?}: {error}")))
        });
        parsed.transpose()
    };
    let unknown = |behavior: &str| Failure::Message(format!("match behavior {behavior:?} unknown"));
    let mut filter = Filter {
        by_parent_id: id("parent ID", "parentID")?,
        by_spiffe_id: id("SPIFFE ID", "spiffeID")?,
        by_hint: values.text_if_any("hint").map(str::to_owned),
        by_downstream: values.bool("downstream").then_some(true),
        ..Filter::default()
    };
    if !values.texts("selector").is_empty() {
        let behavior = values.text("matchSelectorsOn");
        let behavior = selector_match_behavior(behavior).ok_or_else(|| unknown(behavior))?;
        let selectors = values.texts("selector").iter().map(|text| parse_selector(text)).collect::<Result<_, _>>();
        filter.by_selectors =
            Some(SelectorMatch { selectors: selectors.context("error parsing selectors")?, r#match: behavior.into() });
    }
    if !values.texts("federatesWith").is_empty() {
        let behavior = values.text("matchFederatesWithOn");
        let behavior = federates_match_behavior(behavior).ok_or_else(|| unknown(behavior))?;
        filter.by_federates_with = Some(FederatesWithMatch {
            trust_domains: values.texts("federatesWith").to_vec(),
            r#match: behavior.into(),
        });
    }
    Ok(filter)
}
