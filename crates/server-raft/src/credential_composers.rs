//! From the `plugins` section to what changes the subjects of workloads.

use std::sync::Arc;

use anyhow::bail;
use aws_lc_rs::digest::{SHA256, digest};
use steeple_cli::PluginDataFiles;
use steeple_config::{PluginBlock, ServerSettings};
use steeple_core::plugin::CredentialComposer;
use steeple_plugins::common_name::{CommonName, Source, TooLong};
use steeple_plugins::external::{Catalog, ExternalCredentialComposer};
use steeple_plugins::uniqueid::UniqueId;

/// All that are configured, in the order of the file. Data that cannot be used is refused here.
pub async fn credential_composers(
    settings: &ServerSettings,
    catalog: &Catalog,
    files: &mut PluginDataFiles,
) -> anyhow::Result<Vec<Arc<dyn CredentialComposer>>> {
    let mut composers: Vec<Arc<dyn CredentialComposer>> = Vec::new();
    for block in settings.plugins_of(KIND) {
        composers.push(match block.external()? {
            Some(program) => {
                let launched = catalog.load(&program, ExternalCredentialComposer::INTERFACE);
                let plugin = files.load(block, launched).await?;
                Arc::new(ExternalCredentialComposer::new(plugin, &settings_hash(block)?))
            }
            None => files.configure(block, credential_composer)?,
        });
    }
    Ok(composers)
}

/// Of the settings that a replica began with.
fn settings_hash(block: &PluginBlock) -> anyhow::Result<String> {
    let settings = block.data_text(block.data_file_content()?.as_deref())?.unwrap_or_default();
    Ok(hex::encode(&digest(&SHA256, settings.as_bytes()).as_ref()[..HASH_BYTES]))
}

pub fn credential_composer(block: &PluginBlock) -> anyhow::Result<Arc<dyn CredentialComposer>> {
    Ok(match block.name.as_str() {
        "common_name" => Arc::new(common_name(block)?),
        "uniqueid" => Arc::new(block.read_data(|_| anyhow::Ok(UniqueId))?),
        other => bail!("{KIND} {other:?} is not built in"),
    })
}

fn common_name(block: &PluginBlock) -> anyhow::Result<CommonName> {
    block.read_data(|data| {
        let mut text = |key| anyhow::Ok(data.text(key)?.filter(|text| !text.is_empty()));
        let source = text("source")?.map(|source| source.parse::<Source>()).transpose()?;
        let too_long = text("too_long")?.map(|too_long| too_long.parse::<TooLong>()).transpose()?;
        Ok(CommonName { source: source.unwrap_or_default(), too_long: too_long.unwrap_or_default() })
    })
}

const HASH_BYTES: usize = 8;
pub const KIND: &str = "CredentialComposer";
