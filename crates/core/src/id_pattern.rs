//! One SPIFFE ID, or all below a path.

use std::fmt;

use crate::{IdError, SpiffeId};

/// `spiffe://example.org/web` is that ID alone, `spiffe://example.org/web/*` is all IDs below it and not itself,
/// `spiffe://example.org/*` is the whole trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPattern {
    base: SpiffeId,
    below: bool,
}

impl IdPattern {
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (base, below) = match text.strip_suffix("/*") {
            Some(base) => (base, true),
            None => (text, false),
        };
        Ok(Self { base: SpiffeId::parse(base)?, below })
    }

    pub fn matches(&self, id: &SpiffeId) -> bool {
        match self.below {
            // The slash keeps `/payments-admin` apart from `/payments`, and `example.org.evil` from `example.org`.
            true => id.as_str().strip_prefix(self.base.as_str()).is_some_and(|rest| rest.starts_with('/')),
            false => *id == self.base,
        }
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base.as_str(), if self.below { "/*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_ends_where_a_path_segment_ends() {
        let cases = [
            ("spiffe://example.org/web", &["spiffe://example.org/web"][..]),
            ("spiffe://example.org/web/*", &["spiffe://example.org/web/a", "spiffe://example.org/web/a/b"]),
            (
                "spiffe://example.org/*",
                &[
                    "spiffe://example.org/web",
                    "spiffe://example.org/web-admin",
                    "spiffe://example.org/web/a",
                    "spiffe://example.org/web/a/b",
                ],
            ),
        ];
        let ids = [
            "spiffe://example.org",
            "spiffe://example.org/web",
            "spiffe://example.org/web-admin",
            "spiffe://example.org/web/a",
            "spiffe://example.org/web/a/b",
            "spiffe://example.org.evil/web",
            "spiffe://other.test/web",
        ];
        for (text, expected) in cases {
            let pattern = IdPattern::parse(text).unwrap();
            let matched: Vec<&str> =
                ids.into_iter().filter(|id| pattern.matches(&SpiffeId::parse(id).unwrap())).collect();
            assert_eq!(matched, expected, "{pattern}");
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_id_is_no_pattern() {
        for bad in ["", "*", "/*", "spiffe://*", "spiffe://example.org/a*", "spiffe://example.org/*/a", "example.org/*"]
        {
            assert!(IdPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
