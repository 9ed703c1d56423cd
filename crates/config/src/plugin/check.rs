//! Which plugins a file may name, and how many of each type.

use super::instead::instead_of;
use crate::notice::Notice;
use crate::suggest::nearest;
use crate::{PluginBlock, PluginError, Supported};

/// Checks a server's plugins. `own_file` says that the file has a `cluster` section, which no SPIRE server takes: such
/// a file needs neither `DataStore` nor `KeyManager`, because both are built in.
pub(crate) fn check_server(
    blocks: &[PluginBlock],
    supported: &Supported<'_>,
    own_file: bool,
) -> Result<Vec<Notice>, PluginError> {
    let stores = enabled(blocks, "DataStore");
    match stores.as_slice() {
        [] if !own_file => {
            // Perhaps it is there under another name.
            blocks.iter().try_for_each(|block| check_kind(block, SERVER_KINDS))?;
            return Err(PluginError::NoDataStore);
        }
        [] => {}
        [store] if store.name != "sql" || store.plugin_cmd.is_some() => {
            return Err(PluginError::DataStoreNotSql { name: store.name.clone() });
        }
        [_] => {}
        _ => return Err(PluginError::DataStores),
    }
    for block in blocks.iter().filter(|block| block.kind != "DataStore") {
        check_kind(block, SERVER_KINDS)?;
        let key_manager = block.kind == "KeyManager" && SEALED_KEY_MANAGERS.contains(&block.name.as_str());
        if block.enabled && !(key_manager && block.plugin_cmd.is_none()) {
            check_built_in(block, supported)?;
        }
    }
    let expected_keys = if own_file { "expected at most 1" } else { "expected exactly 1" };
    let key_managers = enabled(blocks, "KeyManager");
    if key_managers.len() > 1 || (key_managers.is_empty() && !own_file) {
        let hint = if key_managers.is_empty() {
            " (a file with a cluster {} section needs none: the CA keys lie sealed in the replicated log)"
        } else {
            ""
        };
        let found = key_managers.len();
        return Err(PluginError::Count { kind: "KeyManager", expected: expected_keys, found, hint });
    }
    at_most(blocks, "UpstreamAuthority")?;
    Ok(notices(&stores, &key_managers))
}

/// Checks an agent's plugins.
pub(crate) fn check_agent(blocks: &[PluginBlock], supported: &Supported<'_>) -> Result<(), PluginError> {
    if supported.plugins.is_none() {
        return Ok(());
    }
    for block in blocks {
        check_kind(block, AGENT_KINDS)?;
        if block.enabled {
            check_built_in(block, supported)?;
        }
    }
    for kind in ["KeyManager", "NodeAttestor"] {
        let found = enabled(blocks, kind).len();
        if found != 1 {
            return Err(PluginError::Count { kind, expected: "expected exactly 1", found, hint: "" });
        }
    }
    let (kind, found) = ("WorkloadAttestor", enabled(blocks, "WorkloadAttestor").len());
    if found == 0 {
        let hint = "; the usual one is WorkloadAttestor \"unix\" {}";
        return Err(PluginError::Count { kind, expected: "expected at least 1", found, hint });
    }
    Ok(())
}

fn notices(stores: &[&PluginBlock], key_managers: &[&PluginBlock]) -> Vec<Notice> {
    let mut notices = Vec::new();
    if !stores.is_empty() {
        notices.push(Notice::warn(
            "DataStore \"sql\" is accepted and not used: entries, agents and bundles live in the embedded replicated \
             store below data_dir; the SQL database is neither read nor written",
        ));
    }
    if let [key_manager] = key_managers {
        let source = match key_manager.name.as_str() {
            "disk" => "; its keys.json is only read by `import`",
            _ => "",
        };
        notices.push(Notice::info(format!(
            "KeyManager \"{}\" is accepted and not used: the CA keys live sealed in the replicated log{source}",
            key_manager.name
        )));
    }
    notices
}

/// What SPIRE tells while it reads the file, before all that it checks.
pub(crate) fn check_declared_once(blocks: &[PluginBlock]) -> Result<(), PluginError> {
    for (at, block) in blocks.iter().enumerate() {
        let (kind, name) = (block.kind.clone(), block.name.clone());
        if blocks[..at].iter().any(|other| other.kind == block.kind && other.name == block.name) {
            return Err(PluginError::Repeated { kind, name });
        }
        if block.data.is_some() && block.data_file.is_some() {
            return Err(PluginError::DataTwice { kind, name });
        }
    }
    Ok(())
}

fn check_kind(block: &PluginBlock, known: &'static [&'static str]) -> Result<(), PluginError> {
    if known.contains(&block.kind.as_str()) {
        Ok(())
    } else {
        Err(PluginError::UnknownKind { kind: block.kind.clone(), known })
    }
}

fn check_built_in(block: &PluginBlock, supported: &Supported<'_>) -> Result<(), PluginError> {
    let Some(plugins) = supported.plugins else {
        return Ok(());
    };
    let (kind, name) = (block.kind.clone(), block.name.clone());
    let built_in: Vec<&str> =
        plugins.iter().filter(|(of_kind, _)| *of_kind == block.kind).map(|(_, name)| *name).collect();
    if block.plugin_cmd.is_some() {
        return check_external(block, supported, &built_in);
    }
    if built_in.contains(&block.name.as_str()) {
        return Ok(());
    }
    Err(PluginError::NotBuiltIn { kind, name, hint: hint(block, &built_in) })
}

/// Whether a program may be this plugin; it is not looked at yet.
fn check_external(block: &PluginBlock, supported: &Supported<'_>, built_in: &[&str]) -> Result<(), PluginError> {
    let (kind, name) = (block.kind.clone(), block.name.clone());
    if !supported.external.contains(&block.kind.as_str()) {
        let hint = match built_in {
            [] => String::new(),
            _ => format!("; built in: {}", built_in.join(", ")),
        };
        return Err(PluginError::External { kind, name, hint });
    }
    if kind == "NodeAttestor" && name == "join_token" {
        return Err(PluginError::ExternalJoinToken);
    }
    block.external().map(|_| ())
}

/// What to write instead of a plugin that is not there.
fn hint(block: &PluginBlock, built_in: &[&str]) -> String {
    if let Some(instead) = instead_of(&block.kind, &block.name) {
        return format!("; {instead}");
    }
    if let Some(near) = nearest(&block.name, built_in) {
        return format!("; did you mean {near:?}?");
    }
    match built_in {
        [] => "; there is none of this type".into(),
        _ => format!("; built in: {}", built_in.join(", ")),
    }
}

fn at_most(blocks: &[PluginBlock], kind: &'static str) -> Result<(), PluginError> {
    let found = enabled(blocks, kind).len();
    if found <= 1 {
        return Ok(());
    }
    Err(PluginError::Count { kind, expected: "expected at most 1", found, hint: "" })
}

fn enabled<'b>(blocks: &'b [PluginBlock], kind: &str) -> Vec<&'b PluginBlock> {
    blocks.iter().filter(|block| block.enabled && block.kind == kind).collect()
}

const SERVER_KINDS: &[&str] = &[
    "BundlePublisher",
    "CredentialComposer",
    "DataStore",
    "KeyManager",
    "NodeAttestor",
    "Notifier",
    "UpstreamAuthority",
];
const AGENT_KINDS: &[&str] = &["KeyManager", "NodeAttestor", "SVIDStore", "WorkloadAttestor"];
/// A server's key managers that may stand in a file although the keys live elsewhere.
const SEALED_KEY_MANAGERS: &[&str] = &["disk", "memory"];
