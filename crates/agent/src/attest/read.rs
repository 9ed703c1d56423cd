//! What the container attestors' blocks have in common.

use std::time::Duration;

use anyhow::{Context as _, bail};
use steeple_config::{DecodeError, GoDuration, Section};
use steeple_plugins::container::HostPid;

/// An empty text is as none.
pub fn text(data: &mut Section<'_>, key: &'static str) -> Result<Option<String>, DecodeError> {
    Ok(data.text(key)?.filter(|text| !text.is_empty()))
}

/// Go's notation; what is not above zero is as none (SPIRE behaviour).
pub fn duration(data: &mut Section<'_>, plugin: &str, key: &'static str) -> anyhow::Result<Option<Duration>> {
    let Some(text) = text(data, key)? else { return Ok(None) };
    let parsed: GoDuration = text.parse().with_context(|| format!("{plugin}: unable to parse {key}"))?;
    Ok(parsed.to_std().filter(|duration| !duration.is_zero()))
}

/// A key of our own.
pub fn host_pid(data: &mut Section<'_>, plugin: &str) -> anyhow::Result<HostPid> {
    match data.text("host_pid")?.as_deref() {
        None | Some("refuse") => Ok(HostPid::Refuse),
        Some("allow") => Ok(HostPid::Allow),
        Some(other) => bail!("{plugin}: host_pid is \"refuse\" or \"allow\", not {other:?}"),
    }
}

/// Signatures of images are not verified, and a file that relies on their selectors must not start.
pub fn refuse_sigstore(data: &mut Section<'_>, plugin: &str) -> anyhow::Result<()> {
    if data.tree("sigstore")?.is_some() {
        bail!(
            "{plugin}: sigstore is not supported: remove the block, and use selectors of the image's digest instead of \
             image-signature and image-attestations"
        );
    }
    Ok(())
}
