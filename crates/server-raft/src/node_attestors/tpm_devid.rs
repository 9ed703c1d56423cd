//! Settings of `tpm_devid`.

use anyhow::Context as _;
use steeple_config::{PluginBlock, Section};
use steeple_plugins::tpm_devid::TpmDevIdSettings;

use super::certificates_of;

pub(super) fn settings(block: &PluginBlock) -> anyhow::Result<TpmDevIdSettings> {
    block.read_data(|data| {
        let devid = required(data, "devid_ca_path")?;
        let endorsement = required(data, "endorsement_ca_path")?;
        let devid_roots = roots(&devid, "tpm_devid: unable to load DevID trust bundle")?;
        let endorsement_roots = roots(&endorsement, "tpm_devid: unable to load endorsement trust bundle")?;
        Ok(TpmDevIdSettings::new(devid_roots, endorsement_roots))
    })
}

fn required(data: &mut Section<'_>, key: &'static str) -> anyhow::Result<String> {
    let path = data.text(key)?.filter(|path| !path.is_empty());
    path.with_context(|| format!("tpm_devid: {key} is required"))
}

fn roots(path: &str, unloadable: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let roots = certificates_of(path, unloadable)?;
    TpmDevIdSettings::check_roots(&roots).with_context(|| format!("{unloadable}: {path:?}"))?;
    Ok(roots)
}
