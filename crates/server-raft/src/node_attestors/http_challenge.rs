//! Settings of `http_challenge`.

use anyhow::Context as _;
use steeple_config::PluginBlock;
use steeple_plugins::http_challenge::HttpChallengeSettings;

pub(super) fn settings(block: &PluginBlock) -> anyhow::Result<HttpChallengeSettings> {
    block.read_data(|data| {
        let patterns = data.texts("allowed_dns_patterns")?.unwrap_or_default();
        let (port, non_root) = (data.int("required_port")?, data.flag("allow_non_root_ports")?);
        HttpChallengeSettings::new(&patterns, port, non_root, data.flag("tofu")?).context("http_challenge")
    })
}
