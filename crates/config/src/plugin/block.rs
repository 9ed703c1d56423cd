//! One plugin as the file asks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use steeple_core::plugin::ExternalProgram;
use steeple_core::unreadable;

use crate::section::{Section, blocks_of};
use crate::unknown::UnknownKeys;
use crate::{DecodeError, Node, PluginError, Span, Tree, parse, print};

/// `Type "name" { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginBlock {
    /// For instance `NodeAttestor`.
    pub kind: String,
    pub name: String,
    pub span: Span,
    pub enabled: bool,
    /// The program of an external plugin; `None` is a built-in one.
    pub plugin_cmd: Option<String>,
    pub args: Vec<String>,
    /// Hex of the external program's SHA-256.
    pub checksum: Option<String>,
    pub data: Option<Tree>,
    /// Read when the plugin is configured, and again on SIGUSR1; excludes `data`.
    pub data_file: Option<PathBuf>,
}

impl PluginBlock {
    /// The plugin's own settings, from the block or from its file; empty when it has none.
    pub fn load_data(&self) -> Result<Tree, PluginError> {
        match self.data_file_content()? {
            None => Ok(self.data.clone().unwrap_or_default()),
            Some(content) => self.parse_data(&content),
        }
    }

    /// What is in `plugin_data_file`; `None` without one.
    pub fn data_file_content(&self) -> Result<Option<Vec<u8>>, PluginError> {
        self.data_file
            .as_ref()
            .map(|path| std::fs::read(path).map_err(|error| self.data_file_error(unreadable(path, &error))))
            .transpose()
    }

    /// The same plugin with the content of its file in place of the file.
    pub fn with_data(&self, content: &[u8]) -> Result<Self, PluginError> {
        Ok(Self { data: Some(self.parse_data(content)?), data_file: None, ..self.clone() })
    }

    fn parse_data(&self, content: &[u8]) -> Result<Tree, PluginError> {
        let path = self.data_file.as_deref().unwrap_or(Path::new("")).display();
        parse(content).map_err(|error| self.data_file_error(format!("{path}: {error}")))
    }

    fn data_file_error(&self, reason: String) -> PluginError {
        PluginError::DataFile { kind: self.kind.clone(), name: self.name.clone(), reason }
    }

    /// The program to start; `None` for a built-in plugin.
    pub fn external(&self) -> Result<Option<ExternalProgram>, PluginError> {
        let Some(cmd) = &self.plugin_cmd else { return Ok(None) };
        let sha256 = self.checksum.as_deref().map(|sum| self.sha256(sum)).transpose()?;
        Ok(Some(ExternalProgram {
            kind: self.kind.clone(),
            name: self.name.clone(),
            path: PathBuf::from(cmd),
            args: self.args.clone(),
            sha256,
        }))
    }

    /// The settings as an external plugin reads them: the file as it is, or the block as HCL; `None` without either.
    pub fn data_text(&self, file: Option<&[u8]>) -> Result<Option<String>, PluginError> {
        match file {
            Some(content) => match std::str::from_utf8(content) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => {
                    let path = self.data_file.as_deref().unwrap_or(Path::new("")).display();
                    Err(self.data_file_error(format!("{path}: it is not UTF-8")))
                }
            },
            None => Ok(self.data.as_ref().filter(|data| !data.is_empty()).map(print)),
        }
    }

    /// The texts are SPIRE's.
    fn sha256(&self, hex_digits: &str) -> Result<[u8; 32], PluginError> {
        let refused = |reason: String| PluginError::Checksum { name: self.name.clone(), reason };
        let sum = hex::decode(hex_digits).map_err(|_| refused("checksum is not a valid hex string".to_owned()))?;
        let length = sum.len() * 2;
        sum.try_into().map_err(|_| refused(format!("expected checksum of length 64; got {length}")))
    }

    /// Reads the plugin's own settings; keys that `read` does not ask for are refused by name, and first of all one
    /// whose misspelling makes `read` miss another.
    pub fn read_data<T, E: From<PluginError>>(
        &self,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let tree = self.load_data()?;
        self.read_section(Section::new(self.name.clone(), &tree), &self.name, read)
    }

    /// The labelled sections under `key` of the plugin's settings, as strict as these.
    pub fn read_labelled<T, E: From<PluginError> + From<DecodeError>>(
        &self,
        data: &mut Section<'_>,
        key: &'static str,
        read: impl Fn(&str, &mut Section<'_>) -> Result<T, E>,
    ) -> Result<BTreeMap<String, T>, E> {
        let labelled = data.labelled(key)?.into_iter().map(|(label, section)| {
            let value = self.read_section(section, &format!("{key} {label:?}"), |section| read(label, section))?;
            Ok((label.to_owned(), value))
        });
        labelled.collect()
    }

    /// A section of the plugin's settings, as strict as these, under the name that messages should use.
    pub fn read_section<T, E: From<PluginError>>(
        &self,
        mut section: Section<'_>,
        name: &str,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let read = read(&mut section);
        let mut unknown = Vec::new();
        match read {
            Ok(_) => section.finish(name, &mut unknown),
            Err(_) => section.finish_early(name, &mut unknown),
        }
        self.refuse_unknown(&unknown)?;
        read
    }

    fn refuse_unknown(&self, unknown: &[UnknownKeys]) -> Result<(), PluginError> {
        let hints: Vec<String> = unknown.iter().flat_map(UnknownKeys::hints).collect();
        if hints.is_empty() {
            return Ok(());
        }
        Err(PluginError::UnknownData { kind: self.kind.clone(), name: self.name.clone(), hints })
    }

    /// Whether this is the plugin `kind`/`name` and is not disabled.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        self.enabled && self.kind == kind && self.name == name
    }

    /// Every plugin of a `plugins` section, in order.
    pub(crate) fn read_all(plugins: &Tree, unknown: &mut Vec<UnknownKeys>) -> Result<Vec<Self>, DecodeError> {
        let mut blocks = Vec::new();
        for kind in &plugins.nodes {
            for named in blocks_of(kind, "plugins")?.into_iter().flat_map(|tree| &tree.nodes) {
                let path = format!("plugins.{} {:?}", kind.key, named.key);
                for tree in blocks_of(named, "plugins")? {
                    blocks.push(Self::read(&kind.key, named, &path, tree, unknown)?);
                }
            }
        }
        Ok(blocks)
    }

    fn read(
        kind: &str,
        named: &Node,
        path: &str,
        tree: &Tree,
        unknown: &mut Vec<UnknownKeys>,
    ) -> Result<Self, DecodeError> {
        let mut section = Section::new(path, tree);
        let block = Self {
            kind: kind.to_owned(),
            name: named.key.clone(),
            span: named.span,
            enabled: section.flag("enabled")?.unwrap_or(true),
            plugin_cmd: section.text("plugin_cmd")?.filter(|cmd| !cmd.is_empty()),
            args: section.texts("plugin_args")?.unwrap_or_default(),
            checksum: section.text("plugin_checksum")?.filter(|sum| !sum.is_empty()),
            data: section.tree("plugin_data")?,
            data_file: section.text("plugin_data_file")?.map(PathBuf::from),
        };
        section.finish(format!("{kind} {:?}", block.name), unknown);
        Ok(block)
    }
}
