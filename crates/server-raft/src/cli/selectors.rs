//! Flags that several commands read the same way.

use steeple_api::convert::id_to_wire;
use steeple_api::types::{Selector, Spiffeid, federates_with_match, selector_match};
use steeple_cli::{Failure, Flag};
use steeple_core::{IdError, SpiffeId};

pub(super) const SELECTOR: Flag = Flag::texts("selector", "A selector as type:value; repeatable");
pub(super) const MATCH_SELECTORS_ON: Flag =
    Flag::text_or("matchSelectorsOn", "superset", "How sets of selectors are compared: exact, any, superset or subset");

/// A number that the API has 32 bits for, in SPIRE's words when it has more.
pub(super) fn int32(what: &str, number: i64) -> Result<i32, Failure> {
    let overflow = |_| format!("invalid value for {what}: overflow converting int({number}) to int32");
    i32::try_from(number).map_err(overflow).map_err(Failure::Message)
}

/// `type:value`; the value may contain further colons.
pub(super) fn parse_selector(text: &str) -> Result<Selector, Failure> {
    let (kind, value) = text
        .split_once(':')
        .ok_or_else(|| Failure::Message(format!("selector {text:?} must be formatted as type:value")))?;
    Ok(Selector { r#type: kind.to_owned(), value: value.to_owned() })
}

/// The value of `-matchSelectorsOn`, or `None` for an unknown one.
pub(super) fn selector_match_behavior(text: &str) -> Option<selector_match::MatchBehavior> {
    use selector_match::MatchBehavior;
    match text {
        "exact" => Some(MatchBehavior::MatchExact),
        "any" => Some(MatchBehavior::MatchAny),
        "superset" => Some(MatchBehavior::MatchSuperset),
        "subset" => Some(MatchBehavior::MatchSubset),
        _ => None,
    }
}

/// The value of `-matchFederatesWithOn`, or `None` for an unknown one.
pub(super) fn federates_match_behavior(text: &str) -> Option<federates_with_match::MatchBehavior> {
    use federates_with_match::MatchBehavior;
    match text {
        "exact" => Some(MatchBehavior::MatchExact),
        "any" => Some(MatchBehavior::MatchAny),
        "superset" => Some(MatchBehavior::MatchSuperset),
        "subset" => Some(MatchBehavior::MatchSubset),
        _ => None,
    }
}

pub(super) fn parse_id(text: &str) -> Result<Spiffeid, IdError> {
    SpiffeId::parse(text).map(|id| id_to_wire(&id))
}

/// `type:value`.
pub(super) fn selector_text(selector: &Selector) -> String {
    format!("{}:{}", selector.r#type, selector.value)
}

/// Each as [`selector_text`], one blank apart.
pub(super) fn selector_texts(selectors: &[Selector]) -> String {
    selectors.iter().map(selector_text).collect::<Vec<_>>().join(" ")
}

/// As the server sent it, checked by nobody.
pub(super) fn id_text(id: Option<&Spiffeid>) -> String {
    id.map(|id| format!("spiffe://{}{}", id.trust_domain, id.path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_split_at_its_first_colon() {
        let selector = parse_selector("unix:uid:1").unwrap();
        assert_eq!((selector.r#type.as_str(), selector.value.as_str()), ("unix", "uid:1"));
        assert_eq!(
            parse_selector("unix").unwrap_err().to_string(),
            "selector \"unix\" must be formatted as type:value"
        );
    }
}
