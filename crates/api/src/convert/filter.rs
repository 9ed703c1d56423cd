//! The filters of the List and Count RPCs.

use steeple_core::{MatchBehavior, SelectorSet, TrustDomain};

use super::{ConvertError, selectors_from_wire, trust_domain_from_wire};
use crate::types::{FederatesWithMatch, SelectorMatch, federates_with_match, selector_match};

/// The set may be empty: what that means differs between services.
pub fn selector_filter_from_wire(filter: &SelectorMatch) -> Result<(SelectorSet, MatchBehavior), ConvertError> {
    use selector_match::MatchBehavior as Wire;
    let how = match Wire::try_from(filter.r#match) {
        Ok(Wire::MatchExact) => MatchBehavior::Exact,
        Ok(Wire::MatchSubset) => MatchBehavior::Subset,
        Ok(Wire::MatchSuperset) => MatchBehavior::Superset,
        Ok(Wire::MatchAny) => MatchBehavior::Any,
        Err(_) => return Err(unknown(filter.r#match)),
    };
    Ok((selectors_from_wire(&filter.selectors)?.into_iter().collect(), how))
}

/// As sent, and never empty.
pub fn trust_domain_filter_from_wire(
    filter: &FederatesWithMatch,
) -> Result<(Vec<TrustDomain>, MatchBehavior), ConvertError> {
    use federates_with_match::MatchBehavior as Wire;
    if filter.trust_domains.is_empty() {
        return Err(ConvertError::new("empty trust domain set"));
    }
    let how = match Wire::try_from(filter.r#match) {
        Ok(Wire::MatchExact) => MatchBehavior::Exact,
        Ok(Wire::MatchSubset) => MatchBehavior::Subset,
        Ok(Wire::MatchSuperset) => MatchBehavior::Superset,
        Ok(Wire::MatchAny) => MatchBehavior::Any,
        Err(_) => return Err(unknown(filter.r#match)),
    };
    let trust_domains = filter.trust_domains.iter().map(|text| trust_domain_from_wire(text));
    Ok((trust_domains.collect::<Result<_, _>>()?, how))
}

fn unknown(behavior: i32) -> ConvertError {
    ConvertError::new(format!("unsupported match behavior: {behavior}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types;

    #[test]
    fn selectors() {
        let selector = |value: &str| types::Selector { r#type: "unix".into(), value: value.into() };
        let wire = |selectors, r#match| SelectorMatch { selectors, r#match };
        let (set, how) =
            selector_filter_from_wire(&wire(vec![selector("b"), selector("a"), selector("b")], 2)).unwrap();
        assert_eq!((set.len(), how), (2, MatchBehavior::Superset));
        let error = |filter| selector_filter_from_wire(&filter).unwrap_err().message;
        assert_eq!(error(wire(vec![selector("")], 0)), "missing selector value");
        assert_eq!(error(wire(vec![selector("a")], 9)), "unsupported match behavior: 9");
    }

    #[test]
    fn trust_domains() {
        let wire = |names: &[&str], r#match| FederatesWithMatch {
            trust_domains: names.iter().map(|name| (*name).to_owned()).collect(),
            r#match,
        };
        let (domains, how) = trust_domain_filter_from_wire(&wire(&["spiffe://two.test", "one.test"], 3)).unwrap();
        assert_eq!(domains.iter().map(TrustDomain::name).collect::<Vec<_>>(), ["two.test", "one.test"]);
        assert_eq!(how, MatchBehavior::Any);
        let error = |filter| trust_domain_filter_from_wire(&filter).unwrap_err().message;
        assert_eq!(error(wire(&[], 0)), "empty trust domain set");
        assert!(error(wire(&["b d"], 0)).starts_with("trust domain characters are limited to"));
        assert_eq!(error(wire(&["a"], -1)), "unsupported match behavior: -1");
    }
}
