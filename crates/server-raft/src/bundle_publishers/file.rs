//! Settings of `file`.

use std::path::PathBuf;

use anyhow::bail;
use steeple_config::PluginBlock;
use steeple_plugins::bundle_publisher_file::PublishedFile;

pub(super) fn settings(block: &PluginBlock) -> anyhow::Result<PublishedFile> {
    block.read_data(|data| {
        let mut required = |key: &'static str| match data.text(key)?.filter(|text| !text.is_empty()) {
            Some(text) => Ok(text),
            None => bail!("{key} is required"),
        };
        let (path, format) = (PathBuf::from(required("path")?), super::format(&required("format")?)?);
        Ok(PublishedFile { path, format, refresh_hint: super::refresh_hint(data)? })
    })
}
