//! Settings of `sshpop`.

use anyhow::{Context as _, bail};
use steeple_config::PluginBlock;
use steeple_plugins::sshpop::{Authorities, SshPopSettings};

use super::agent_path_template;

pub(super) fn settings(block: &PluginBlock) -> anyhow::Result<SshPopSettings> {
    block.read_data(|data| {
        let listed = data.texts("cert_authorities")?;
        let path = data.text("cert_authorities_path")?.filter(|path| !path.is_empty());
        if listed.is_none() && path.is_none() {
            bail!("sshpop: missing required config value for \"cert_authorities\" or \"cert_authorities_path\"");
        }
        let mut lines = listed.unwrap_or_default();
        if let Some(path) = path {
            lines.extend(lines_of(&path)?);
        }
        let authorities =
            Authorities::parse(lines.iter().map(String::as_str)).context("sshpop: failed to create cert checker")?;
        let mut settings = SshPopSettings::new(authorities);
        settings.canonical_domain = data.text("canonical_domain")?.unwrap_or_default();
        if let Some(template) = agent_path_template(data, "sshpop", SshPopSettings::AGENT_PATH_FIELDS)? {
            settings.agent_path = template;
        }
        Ok(settings)
    })
}

fn lines_of(path: &str) -> anyhow::Result<Vec<String>> {
    let unreadable = "sshpop: failed to get cert authorities from file";
    let text = steeple_cli::read_file(path).context(unreadable)?;
    let text = String::from_utf8(text).with_context(|| format!("{unreadable}: {path:?}"))?;
    let lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        bail!("{unreadable}: no data found in file: {path:?}");
    }
    Ok(lines)
}
