//! Steps that resolving takes for servers and agents alike.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use steeple_core::TrustDomain;

use crate::notice::Notice;
use crate::{ConfigError, DurationError, GoDuration};

/// The value unless it is absent or empty: SPIRE treats empty settings as not set.
pub(crate) fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A duration in Go's notation under SPIRE's name for it; `None` when not set.
pub(crate) fn duration(what: &'static str, text: &Option<String>) -> Result<Option<GoDuration>, ConfigError> {
    given(text).map(|value| parsed_duration(what, value)).transpose()
}

/// As [`duration`], for a key that may be absent but not empty.
pub(crate) fn present_duration(what: &'static str, text: &Option<String>) -> Result<Option<GoDuration>, ConfigError> {
    text.as_deref().map(|value| parsed_duration(what, value)).transpose()
}

fn parsed_duration(what: &'static str, value: &str) -> Result<GoDuration, ConfigError> {
    let parsed: Result<GoDuration, DurationError> = value.parse();
    parsed.map_err(|error| ConfigError::Duration { what, value: value.into(), error })
}

/// A duration that must not be negative; zero means the default.
pub(crate) fn lasting(
    key: &'static str,
    parsed: Option<GoDuration>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(parsed) = parsed else {
        return Ok(default);
    };
    let duration = parsed.to_std().ok_or_else(|| ConfigError::Unsafe {
        key,
        value: parsed.to_string(),
        safe: format!("use a positive duration; the default is {}", GoDuration::from(default)),
    })?;
    Ok(if duration.is_zero() { default } else { duration })
}

pub(crate) fn trust_domain(text: &str) -> Result<TrustDomain, ConfigError> {
    TrustDomain::parse(text).map_err(|error| ConfigError::Id { what: "trust_domain", value: text.into(), error })
}

/// Checks SPIRE's feature flags, and remarks on each as SPIRE does; returns whether `wit-svid` is among them.
pub(crate) fn feature_flags(flags: &[String], notices: &mut Vec<Notice>) -> Result<bool, ConfigError> {
    let mut bad: Vec<&str> = flags.iter().map(String::as_str).filter(|flag| !FEATURE_FLAGS.contains(flag)).collect();
    if bad.is_empty() {
        let enabled = FEATURE_FLAGS.iter().filter(|known| flags.iter().any(|flag| flag == *known));
        notices.extend(enabled.map(|flag| Notice::warn(format!("Developer feature flag {flag:?} has been enabled"))));
        return Ok(flags.iter().any(|flag| flag == WIT_SVID));
    }
    bad.sort_unstable();
    let message = format!("error loading feature flags: unknown feature flag(s): [{}]", bad.join(" "));
    Err(ConfigError::invalid("experimental.feature_flags", message))
}

/// The path from the root, `.` and `..` removed by name, as Go's `filepath.Abs` does.
pub(crate) fn absolute(path: &Path, working_dir: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in working_dir.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = clean.pop(),
            part => clean.push(part),
        }
    }
    clean
}

/// The one feature of SPIRE's that is behind a flag.
pub(crate) const WIT_SVID: &str = "wit-svid";
const FEATURE_FLAGS: &[&str] = &["i_am_a_test_flag", WIT_SVID];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_from_the_root() {
        let here = Path::new("/srv/a");
        assert_eq!(absolute(Path::new("./data/../b"), here), Path::new("/srv/a/b"));
        assert_eq!(absolute(Path::new("/x/../../y"), here), Path::new("/y"));
    }
}
