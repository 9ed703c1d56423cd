//! The filters of the List and Count RPCs.

use std::fmt;

use steeple_core::{MatchBehavior, SelectorSet, TrustDomain};

use super::{ConvertError, selectors_from_wire, trust_domain_from_wire};
use crate::types::{FederatesWithMatch, SelectorMatch, federates_with_match, selector_match};

/// A number that stands for no behaviour. SPIRE notices it after everything else, and prints it as Go does a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnhandledMatch(pub i32);

/// The set may be empty: what that means differs between services.
pub fn selector_filter_from_wire(
    filter: &SelectorMatch,
) -> Result<(SelectorSet, Result<MatchBehavior, UnhandledMatch>), ConvertError> {
    use selector_match::MatchBehavior as Wire;
    let how = match Wire::try_from(filter.r#match) {
        Ok(Wire::MatchExact) => Ok(MatchBehavior::Exact),
        Ok(Wire::MatchSubset) => Ok(MatchBehavior::Subset),
        Ok(Wire::MatchSuperset) => Ok(MatchBehavior::Superset),
        Ok(Wire::MatchAny) => Ok(MatchBehavior::Any),
        Err(_) => Err(UnhandledMatch(filter.r#match)),
    };
    Ok((selectors_from_wire(&filter.selectors)?.into_iter().collect(), how))
}

/// As sent, and never empty.
pub fn trust_domain_filter_from_wire(
    filter: &FederatesWithMatch,
) -> Result<(Vec<TrustDomain>, Result<MatchBehavior, UnhandledMatch>), ConvertError> {
    use federates_with_match::MatchBehavior as Wire;
    if filter.trust_domains.is_empty() {
        return Err(ConvertError::new("empty trust domain set"));
    }
    let how = match Wire::try_from(filter.r#match) {
        Ok(Wire::MatchExact) => Ok(MatchBehavior::Exact),
        Ok(Wire::MatchSubset) => Ok(MatchBehavior::Subset),
        Ok(Wire::MatchSuperset) => Ok(MatchBehavior::Superset),
        Ok(Wire::MatchAny) => Ok(MatchBehavior::Any),
        Err(_) => Err(UnhandledMatch(filter.r#match)),
    };
    let trust_domains = filter.trust_domains.iter().map(|text| trust_domain_from_wire(text));
    Ok((trust_domains.collect::<Result<_, _>>()?, how))
}

impl fmt::Display for UnhandledMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let character = u32::try_from(self.0).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        match character {
            '\x07' => f.write_str("'\\a'"),
            '\x08' => f.write_str("'\\b'"),
            '\x0b' => f.write_str("'\\v'"),
            '\x0c' => f.write_str("'\\f'"),
            '\t' | '\n' | '\r' | '\\' | '\'' => write!(f, "'{}'", character.escape_default()),
            _ if character.is_ascii_control() => write!(f, "'\\x{:02x}'", u32::from(character)),
            _ => write!(f, "'{character}'"),
        }
    }
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
        assert_eq!((set.len(), how), (2, Ok(MatchBehavior::Superset)));
        let error = |filter| selector_filter_from_wire(&filter).unwrap_err().message;
        assert_eq!(error(wire(vec![selector("")], 0)), "missing selector value");
        assert_eq!(error(wire(vec![selector("")], 9)), "missing selector value");
        let (_, how) = selector_filter_from_wire(&wire(vec![selector("a")], 9)).unwrap();
        assert_eq!(how, Err(UnhandledMatch(9)));
    }

    #[test]
    fn trust_domains() {
        let wire = |names: &[&str], r#match| FederatesWithMatch {
            trust_domains: names.iter().map(|name| (*name).to_owned()).collect(),
            r#match,
        };
        let (domains, how) = trust_domain_filter_from_wire(&wire(&["spiffe://two.test", "one.test"], 3)).unwrap();
        assert_eq!(domains.iter().map(TrustDomain::name).collect::<Vec<_>>(), ["two.test", "one.test"]);
        assert_eq!(how, Ok(MatchBehavior::Any));
        let error = |filter| trust_domain_filter_from_wire(&filter).unwrap_err().message;
        assert_eq!(error(wire(&[], 0)), "empty trust domain set");
        assert!(error(wire(&["b d"], 0)).starts_with("trust domain characters are limited to"));
        assert!(error(wire(&["b d"], -1)).starts_with("trust domain characters are limited to"));
        assert_eq!(trust_domain_filter_from_wire(&wire(&["a"], -1)).unwrap().1, Err(UnhandledMatch(-1)));
    }

    #[test]
    fn unhandled_matches_read_as_in_spire() {
        let texts = [(7, r"'\a'"), (4, r"'\x04'"), (9, r"'\t'"), (65, "'A'"), (39, r"'\''"), (-1, "'\u{fffd}'")];
        for (number, text) in texts {
            assert_eq!(UnhandledMatch(number).to_string(), text);
        }
    }
}
