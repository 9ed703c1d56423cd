//! Plugins whose settings stand in a file of their own (`plugin_data_file`): SIGUSR1 has the files read again, and a
//! plugin whose file has changed goes on with the new settings, or with the old ones where the new cannot be used.

use std::error::Error;
use std::future::ready;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA512, digest};
use steeple_config::{PluginBlock, PluginError, go_quoted};
use steeple_core::plugin::{BoxFuture, Configurable, Replaceable};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::one_line_of;

/// Why new settings are not taken.
pub type Unusable = Box<dyn Error + Send + Sync>;

/// The files that plugins were made from.
#[derive(Default)]
pub struct PluginDataFiles {
    files: Vec<DataFile>,
}

struct DataFile {
    block: PluginBlock,
    /// Of the content that the plugin runs with.
    hash: String,
    replace: Box<Replace>,
}

/// Takes the content of the file.
type Replace = dyn Fn(&PluginBlock, Vec<u8>) -> BoxFuture<'static, Result<(), Unusable>> + Send;

/// Why an external plugin is not there, in SPIRE's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("failed to load plugin {name}: {reason}")]
    Load { name: String, reason: String },
    #[error("failed to configure plugin {name}: {reason}")]
    Configure { name: String, reason: String },
    #[error(transparent)]
    Data(#[from] PluginError),
}

/// SIGUSR1.
pub struct ReloadSignals(Signal);

impl PluginDataFiles {
    /// Makes a plugin of its block, and another one each time that the block's file has changed.
    pub fn configure<P, E>(
        &mut self,
        block: &PluginBlock,
        make: impl Fn(&PluginBlock) -> Result<Arc<P>, E> + Send + 'static,
    ) -> Result<Arc<Replaceable<P>>, E>
    where
        P: ?Sized + Send + Sync + 'static,
        E: From<PluginError> + Into<Unusable>,
    {
        let Some(content) = block.data_file_content()? else {
            return Ok(Arc::new(Replaceable::new(&*block.name, make(block)?)));
        };
        let plugin = Arc::new(Replaceable::new(&*block.name, make(&block.with_data(&content)?)?));
        let replaced = Arc::clone(&plugin);
        self.keep(block, &content, move |block, content| {
            let made = block.with_data(&content).map_err(Unusable::from);
            let made = made.and_then(|block| make(&block).map_err(Into::into));
            Box::pin(ready(made.map(|made| replaced.replace(made))))
        });
        Ok(plugin)
    }

    /// As [`Self::configure`], of a plugin that keeps the settings of its start.
    pub fn configure_once<T, E>(
        &mut self,
        block: &PluginBlock,
        make: impl FnOnce(&PluginBlock) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<PluginError>,
    {
        let Some(content) = block.data_file_content()? else { return make(block) };
        let plugin = make(&block.with_data(&content)?)?;
        self.keep(block, &content, |_, _| {
            let refused = "its data are used from the next start on: restart this process";
            Box::pin(ready(Err(refused.into())))
        });
        Ok(plugin)
    }

    /// A plugin that is a program of its own: it gets its settings as they are, and each time that its file has
    /// changed. `launched` starts it.
    pub async fn load<P: Configurable + 'static, E: Error>(
        &mut self,
        block: &PluginBlock,
        launched: impl Future<Output = Result<Arc<P>, E>>,
    ) -> Result<Arc<P>, LoadError> {
        let name = || go_quoted(&block.name);
        let plugin = launched.await.map_err(|error| LoadError::Load { name: name(), reason: error.to_string() })?;
        let content = block.data_file_content()?;
        let settings = block.data_text(content.as_deref())?;
        let configured = Arc::clone(&plugin).configure(settings).await;
        configured.map_err(|reason| LoadError::Configure { name: name(), reason })?;
        match content {
            None => tell_configured(block, None),
            Some(content) => {
                let again = Arc::clone(&plugin);
                self.keep(block, &content, move |block, content| {
                    let (again, settings) = (Arc::clone(&again), block.data_text(Some(&content)));
                    Box::pin(async move { Ok(again.configure(settings?).await?) })
                });
            }
        }
        tracing::info!(
            subsystem_name = SUBSYSTEM,
            external = true,
            plugin_name = block.name,
            plugin_type = block.kind,
            "Plugin loaded"
        );
        Ok(plugin)
    }

    /// Reads the files again at each signal, for ever.
    pub async fn follow(mut self, mut signals: ReloadSignals) {
        while signals.0.recv().await.is_some() {
            tracing::info!(subsystem_name = "reconfigurer", "Reconfigure signal received");
            self.reload().await;
        }
    }

    fn keep(
        &mut self,
        block: &PluginBlock,
        content: &[u8],
        replace: impl Fn(&PluginBlock, Vec<u8>) -> BoxFuture<'static, Result<(), Unusable>> + Send + 'static,
    ) {
        let hash = hash(content);
        tell_configured(block, Some(&hash));
        self.files.push(DataFile { block: block.clone(), hash, replace: Box::new(replace) });
    }

    /// The lines are SPIRE's.
    async fn reload(&mut self) {
        for file in &mut self.files {
            let reloaded = file.reload().await;
            let PluginBlock { kind, name, .. } = &file.block;
            let span = tracing::error_span!(
                "plugin",
                subsystem_name = SUBSYSTEM,
                external = file.block.plugin_cmd.is_some(),
                plugin_name = name,
                plugin_type = kind
            );
            let _entered = span.enter();
            let old_hash = &file.hash;
            match reloaded {
                Ok(None) => {
                    tracing::info!(hash = old_hash, "Plugin not reconfigured since the config is unchanged");
                }
                Ok(Some(new_hash)) => {
                    tracing::info!(old_hash, new_hash, "Plugin reconfigured");
                    file.hash = new_hash;
                }
                Err(error) => tracing::error!(error = one_line_of(&*error), "Failed to reconfigure plugin"),
            }
        }
    }
}

impl DataFile {
    /// The hash of what the plugin runs with from now on; `None` when nothing has changed.
    async fn reload(&mut self) -> Result<Option<String>, Unusable> {
        let content = self.block.data_file_content()?.unwrap_or_default();
        let hash = hash(&content);
        if hash == self.hash {
            return Ok(None);
        }
        let replaced = (self.replace)(&self.block, content);
        replaced.await?;
        Ok(Some(hash))
    }
}

impl ReloadSignals {
    /// From now on the signal does not end the process.
    pub fn new() -> std::io::Result<Self> {
        signal(SignalKind::user_defined1()).map(Self)
    }
}

/// SPIRE's line; a hash where the settings can change.
fn tell_configured(block: &PluginBlock, hash: Option<&str>) {
    let PluginBlock { kind, name, plugin_cmd, .. } = block;
    tracing::info!(
        subsystem_name = SUBSYSTEM,
        external = plugin_cmd.is_some(),
        plugin_name = name,
        plugin_type = kind,
        reconfigurable = hash.is_some(),
        hash,
        "Configured plugin"
    );
}

/// As SPIRE prints it: the first half of SHA-512, in hexadecimal digits.
fn hash(content: &[u8]) -> String {
    hex::encode(&digest(&SHA512, content).as_ref()[..HASH_BYTES])
}

/// SPIRE's name for what loads plugins.
const SUBSYSTEM: &str = "catalog";
const HASH_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steeple_config::{AgentOverrides, Supported, load_agent};
    use steeple_core::Selector;
    use steeple_core::plugin::{WorkloadAttestor, WorkloadError, WorkloadProcess};

    use super::*;

    /// Says of every process what its settings say.
    struct Says(String);

    impl WorkloadAttestor for Says {
        fn name(&self) -> &str {
            "says"
        }

        fn attest<'a>(&'a self, _: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
            let selector = Selector::new("says", self.0.clone()).map_err(|error| WorkloadError(error.to_string()));
            Box::pin(async move { Ok(vec![selector?]) })
        }
    }

    fn block(data_file: &Path) -> PluginBlock {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("agent.conf");
        let text = format!(
            r#"agent {{ trust_domain = "example.org" data_dir = "/srv/data" server_address = "localhost"
                server_port = 8081 insecure_bootstrap = true join_token = "t" }}
            plugins {{ WorkloadAttestor "says" {{ plugin_data_file = {:?} }} }}"#,
            data_file.display().to_string()
        );
        std::fs::write(&config, text).unwrap();
        let loaded = load_agent(Some(&config), false, &AgentOverrides::default(), &Supported::default());
        loaded.unwrap().settings.plugins.remove(0)
    }

    fn says(block: &PluginBlock) -> Result<Arc<dyn WorkloadAttestor>, PluginError> {
        let word = block.read_data(|data| Ok::<_, PluginError>(data.text("word").unwrap_or_default()))?;
        Ok(Arc::new(Says(word.unwrap_or_default())))
    }

    async fn said(plugin: &dyn WorkloadAttestor) -> String {
        plugin.attest(WorkloadProcess { pid: 1, uid: 0, gid: 0 }).await.unwrap().remove(0).value
    }

    #[tokio::test]
    async fn data_that_cannot_be_used_leave_the_plugin_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("says.conf");
        std::fs::write(&path, "word = \"one\"").unwrap();
        let mut files = PluginDataFiles::default();
        let plugin = files.configure(&block(&path), says).unwrap();
        assert_eq!((plugin.name(), said(&*plugin).await.as_str()), ("says", "one"));
        for (content, word) in [
            (Some("word = \"two\""), "two"),
            (Some("word ="), "two"),
            (Some("wrod = \"three\""), "two"),
            (None, "two"),
            (Some("word = \"four\""), "four"),
        ] {
            match content {
                Some(content) => std::fs::write(&path, content).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            files.reload().await;
            assert_eq!(said(&*plugin).await, word, "{content:?}");
        }
    }

    #[tokio::test]
    async fn a_plugin_is_made_anew_only_of_other_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("says.conf");
        std::fs::write(&path, "word = \"one\"").unwrap();
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let mut files = PluginDataFiles::default();
        let make = move |block: &PluginBlock| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            says(block)
        };
        files.configure(&block(&path), make).unwrap();
        files.reload().await;
        std::fs::write(&path, "word = \"two\"").unwrap();
        files.reload().await;
        files.reload().await;
        assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 2);
    }

    /// The digest that SPIRE's log shows for the same content.
    #[test]
    fn the_hash_is_spires() {
        assert_eq!(hash(b""), "cf83e1357eefb8bdf1542850d66d8007");
    }
}
