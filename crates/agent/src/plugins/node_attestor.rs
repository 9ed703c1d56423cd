//! The node attestor of this agent.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use nix::unistd::gethostname;
use steeple_cli::PluginDataFiles;
use steeple_config::{AgentSettings, PluginBlock, Section};
use steeple_core::Secret;
use steeple_core::plugin::AgentNodeAttestor;
use steeple_plugins::external::{Catalog, ExternalAgentNodeAttestor};
use steeple_plugins::http_challenge::{HttpChallengeAgent, HttpChallengeEndpoint};
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_plugins::k8s_psat::K8sPsatAgent;
use steeple_plugins::sshpop::{SshPopAgent, SshPopFiles};
use steeple_plugins::tpm_devid::{TpmDevIdAgent, TpmDevIdFiles, TpmPasswords};
use steeple_plugins::x509pop::{X509PopAgent, X509PopFiles};

/// A join token wins over whatever attestor is configured (SPIRE behaviour).
pub async fn node_attestor(
    settings: &AgentSettings,
    catalog: &Catalog,
    files: &mut PluginDataFiles,
) -> anyhow::Result<Arc<dyn AgentNodeAttestor>> {
    if let Some(token) = &settings.join_token {
        return Ok(Arc::new(JoinTokenAttestor::new(Some(token.duplicate()))));
    }
    let Some(block) = settings.plugins_of("NodeAttestor").next() else { bail!("no NodeAttestor is configured") };
    match block.external()? {
        Some(program) => {
            let launched = catalog.load(&program, ExternalAgentNodeAttestor::INTERFACE);
            Ok(Arc::new(ExternalAgentNodeAttestor(files.load(block, launched).await?)))
        }
        None => Ok(files.configure(block, of_block)?),
    }
}

pub(super) fn of_block(block: &PluginBlock) -> anyhow::Result<Arc<dyn AgentNodeAttestor>> {
    Ok(match block.name.as_str() {
        "join_token" => {
            block.read_data(|_| anyhow::Ok(()))?;
            Arc::new(JoinTokenAttestor::new(None))
        }
        "http_challenge" => Arc::new(HttpChallengeAgent::new(http_challenge_endpoint(block)?)),
        "k8s_psat" => Arc::new(k8s_psat(block)?),
        "sshpop" => Arc::new(SshPopAgent::open(sshpop_files(block)?).context("sshpop")?),
        "tpm_devid" => Arc::new(tpm_devid(block)?),
        "x509pop" => Arc::new(X509PopAgent::new(x509pop_files(block)?)),
        other => bail!("NodeAttestor {other:?} is not built in"),
    })
}

fn x509pop_files(block: &PluginBlock) -> anyhow::Result<X509PopFiles> {
    block.read_data(|data| {
        if data.text("spiffe_endpoint_socket")?.is_some_and(|socket| !socket.is_empty()) {
            bail!(
                "x509pop: spiffe_endpoint_socket is not supported: have a SPIFFE helper write the SVID to \
                 certificate_path and private_key_path, which are read anew at each attestation"
            );
        }
        let (key, certificate) = (data.text("private_key_path")?, data.text("certificate_path")?);
        let intermediates = data.text("intermediates_path")?;
        let (Some(key), Some(certificate)) = (key, certificate) else {
            bail!("x509pop: private_key_path and certificate_path are required");
        };
        Ok(X509PopFiles {
            private_key_path: key.into(),
            certificate_path: certificate.into(),
            intermediates_path: intermediates.filter(|path| !path.is_empty()).map(Into::into),
        })
    })
}

fn k8s_psat(block: &PluginBlock) -> anyhow::Result<K8sPsatAgent> {
    block.read_data(|data| {
        let cluster = filled(data, "cluster")?.context("k8s_psat: missing required cluster block")?;
        let token_path = filled(data, "token_path")?.unwrap_or_else(|| K8sPsatAgent::TOKEN_PATH.to_owned());
        Ok(K8sPsatAgent::new(cluster, token_path.into()))
    })
}

fn sshpop_files(block: &PluginBlock) -> anyhow::Result<SshPopFiles> {
    block.read_data(|data| {
        let defaults = SshPopFiles::default();
        Ok(SshPopFiles {
            host_key_path: filled(data, "host_key_path")?.map_or(defaults.host_key_path, Into::into),
            host_cert_path: filled(data, "host_cert_path")?.map_or(defaults.host_cert_path, Into::into),
        })
    })
}

fn tpm_devid(block: &PluginBlock) -> anyhow::Result<TpmDevIdAgent> {
    block.read_data(|data| {
        let files = TpmDevIdFiles {
            devid_cert_path: tpm_devid_path(data, "devid_cert_path")?,
            devid_priv_path: tpm_devid_path(data, "devid_priv_path")?,
            devid_pub_path: tpm_devid_path(data, "devid_pub_path")?,
            tpm_device_path: filled(data, "tpm_device_path")?.map(Into::into),
        };
        let passwords = TpmPasswords {
            devid: password(data, "devid_password")?,
            owner_hierarchy: password(data, "owner_hierarchy_password")?,
            endorsement_hierarchy: password(data, "endorsement_hierarchy_password")?,
        };
        TpmDevIdAgent::open(files, passwords).context("tpm_devid")
    })
}

fn tpm_devid_path(data: &mut Section<'_>, key: &'static str) -> anyhow::Result<PathBuf> {
    let path = filled(data, key)?;
    Ok(path.with_context(|| format!("tpm_devid: invalid configuration: {key} is required"))?.into())
}

/// Empty where there is none.
fn password(data: &mut Section<'_>, key: &'static str) -> anyhow::Result<Secret> {
    Ok(Secret::new(data.text(key)?.unwrap_or_default().into_bytes()))
}

fn http_challenge_endpoint(block: &PluginBlock) -> anyhow::Result<HttpChallengeEndpoint> {
    block.read_data(|data| {
        let host_name = match filled(data, "hostname")? {
            Some(name) => name,
            None => own_host_name().context("http_challenge: unable to fetch hostname")?,
        };
        let agent_name = filled(data, "agentname")?;
        Ok(HttpChallengeEndpoint {
            host_name,
            agent_name: agent_name.unwrap_or_else(|| HttpChallengeEndpoint::AGENT_NAME.to_owned()),
            port: port(data, "port")?,
            advertised_port: port(data, "advertised_port")?,
        })
    })
}

fn own_host_name() -> anyhow::Result<String> {
    gethostname()?.into_string().map_err(|name| anyhow::anyhow!("{name:?} is not UTF-8: set hostname"))
}

/// 0 where it is not set.
fn port(data: &mut Section<'_>, key: &'static str) -> anyhow::Result<u16> {
    let port = data.int(key)?.unwrap_or(0);
    u16::try_from(port).ok().with_context(|| format!("http_challenge: {key} = {port} is no port: use 0 to 65535"))
}

fn filled(data: &mut Section<'_>, key: &'static str) -> anyhow::Result<Option<String>> {
    Ok(data.text(key)?.filter(|text| !text.is_empty()))
}
