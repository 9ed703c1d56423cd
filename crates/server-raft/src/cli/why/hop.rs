//! One step on the way to an identity.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Hop {
    /// `selectors`, `entry`, `parent`, `alias`, `agent`, `bundle` or `replica`.
    pub(super) hop: &'static str,
    pub(super) verdict: Verdict,
    pub(super) text: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Whole,
    /// The identity comes, but not all of it, or not yet.
    Doubtful,
    Broken,
}

/// From an entry to the agents that serve it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Way {
    pub(super) entry_id: String,
    pub(super) spiffe_id: String,
    pub(super) hops: Vec<Hop>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Explanation {
    pub(super) subject: String,
    /// There is a way without a broken hop.
    pub(super) whole: bool,
    pub(super) ways: Vec<Way>,
}

impl Hop {
    pub(super) fn whole(hop: &'static str, text: impl Into<String>) -> Self {
        Self { hop, verdict: Verdict::Whole, text: text.into(), mend: None }
    }

    pub(super) fn doubtful(hop: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { hop, verdict: Verdict::Doubtful, text: text.into(), mend: Some(mend.into()) }
    }

    pub(super) fn broken(hop: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { hop, verdict: Verdict::Broken, text: text.into(), mend: Some(mend.into()) }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.verdict == Verdict::Broken
    }
}

impl Way {
    pub(super) fn is_whole(&self) -> bool {
        !self.hops.iter().any(Hop::is_broken)
    }
}
