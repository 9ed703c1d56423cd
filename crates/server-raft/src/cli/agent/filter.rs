//! Which agents `list` and `count` are about.

use std::io::Write;

use steeple_api::server::agent::list_agents_request::Filter;
use steeple_api::types::SelectorMatch;
use steeple_cli::{Call, Context, Failure, Flag, parse_offset_time};

use crate::cli::selectors::{MATCH_SELECTORS_ON, SELECTOR, parse_selector, selector_match_behavior};

pub(super) const FLAGS: &[Flag] = &[
    Flag::text("attestationType", "Only agents that attested this way, such as join_token or x509pop"),
    Flag::text("banned", "true: only banned agents, false: only others"),
    Flag::text("canReattest", "true: only agents that can attest again, false: only others"),
    Flag::text("expiresBefore", "Only agents that expire before this time, as \"2006-01-02 15:04:05 -0700 -07\""),
    MATCH_SELECTORS_ON,
    SELECTOR,
];

pub(super) fn filter_from_flags(call: &mut Call) -> Result<Filter, Failure> {
    let (by_banned, by_can_reattest) = (either(call, "banned")?, either(call, "canReattest")?);
    let values = &call.values;
    let mut filter = Filter {
        by_attestation_type: values.text("attestationType").to_owned(),
        by_expires_before: values.text("expiresBefore").to_owned(),
        by_banned,
        by_can_reattest,
        ..Filter::default()
    };
    if !filter.by_expires_before.is_empty() && parse_offset_time(&filter.by_expires_before).is_none() {
        let text = &filter.by_expires_before;
        return Err(Failure::Message(format!(
            "date is not valid: {text:?} does not have the form \"2006-01-02 15:04:05 -0700 -07\""
        )));
    }
    let texts = values.texts("selector");
    if !texts.is_empty() {
        let behavior = selector_match_behavior(values.text("matchSelectorsOn"))
            .ok_or_else(|| Failure::message("unsupported match behavior"))?;
        let parse = |text: &String| parse_selector(text).context(format!("error parsing selector {text:?}"));
        let selectors = texts.iter().map(parse).collect::<Result<_, _>>()?;
        filter.by_selector_match = Some(SelectorMatch { selectors, r#match: behavior.into() });
    }
    Ok(filter)
}

/// SPIRE takes any other word for "both"; so do we, but say so.
fn either(call: &mut Call, name: &str) -> Result<Option<bool>, Failure> {
    match call.values.text(name) {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        "" => Ok(None),
        other => {
            writeln!(call.streams.stderr, "Warning: -{name} takes true or false; {other:?} selects all agents")?;
            Ok(None)
        }
    }
}
