//! Settings of `x509pop`.

use anyhow::bail;
use steeple_config::PluginBlock;
use steeple_plugins::x509pop::{Trust, X509PopSettings};

use super::{OwnRootsOf, agent_path_template, certificates_of};

pub(super) fn settings(block: &PluginBlock, own_roots: &OwnRootsOf) -> anyhow::Result<X509PopSettings> {
    block.read_data(|data| {
        let mut paths = data.texts("ca_bundle_paths")?.unwrap_or_default();
        let single = data.text("ca_bundle_path")?.filter(|path| !path.is_empty());
        if single.is_some() && !paths.is_empty() {
            bail!("x509pop: only one of ca_bundle_path or ca_bundle_paths can be configured, not both");
        }
        paths.extend(single);
        // SPIRE reads the first and documents the second.
        let prefix = [data.text("spiffe_prefix")?, data.text("svid_prefix")?].into_iter().flatten().next();
        let trust = match data.text("mode")?.unwrap_or_default().as_str() {
            "" | "external_pki" if paths.is_empty() => {
                bail!("x509pop: one of ca_bundle_path or ca_bundle_paths must be configured")
            }
            "" | "external_pki" => Trust::ExternalPki(certificates(&paths)?),
            "spiffe" if !paths.is_empty() => {
                bail!("x509pop: you can not use ca_bundle_path or ca_bundle_paths in spiffe mode")
            }
            "spiffe" => Trust::Spiffe { prefix: svid_prefix(prefix), own_roots: own_roots.reader() },
            other => bail!("x509pop: mode can only be either spiffe or external_pki, not {other:?}"),
        };
        let mut settings = X509PopSettings::new(trust);
        if let Some(template) = agent_path_template(data, "x509pop", X509PopSettings::AGENT_PATH_FIELDS)? {
            settings.agent_path = template;
        }
        let positive = |name: &str, value: Option<i64>| match value.map(usize::try_from) {
            None => Ok(None),
            Some(Ok(value)) if value > 0 => Ok(Some(value)),
            Some(_) => Err(anyhow::anyhow!("x509pop: {name} must be greater than 0")),
        };
        if let Some(most) = positive("max_intermediates", data.int("max_intermediates")?)? {
            settings.max_intermediates = most;
        }
        if let Some(most) = positive("max_rsa_key_size", data.int("max_rsa_key_size")?)? {
            settings.max_rsa_key_bits = most;
        }
        settings.verify_client_ip = data.flag("verify_client_ip")?.unwrap_or(false);
        Ok(settings)
    })
}

/// Ends with a slash, so that it ends with a segment of the path.
fn svid_prefix(configured: Option<String>) -> String {
    let prefix = configured.unwrap_or_else(|| "/spire-exchange/".to_owned());
    if prefix.ends_with('/') { prefix } else { prefix + "/" }
}

fn certificates(paths: &[String]) -> anyhow::Result<Vec<Vec<u8>>> {
    let read =
        paths.iter().map(|path| certificates_of(path, &format!("x509pop: unable to load trust bundle {path:?}")));
    Ok(read.collect::<anyhow::Result<Vec<_>>>()?.concat())
}
