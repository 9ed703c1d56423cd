//! `validate`: the settings, and what `run` tries before it takes a port or a directory.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use steeple_cli::one_line_of;
use steeple_config::{EndpointProfile, PluginBlock, ServerSettings, go_quoted, validation_notes};
use steeple_core::{Clock, SystemClock};
use steeple_plugins::external::{
    Catalog, ExternalBundlePublisher, ExternalCredentialComposer, ExternalNodeAttestor, ExternalNotifier,
    ExternalUpstreamAuthority,
};
use steeple_telemetry::log;
use steeple_transport::tls::CertFiles;

use super::RunFlags;
use crate::authz::Policy;
use crate::bundle_publishers::{self, bundle_publisher};
use crate::credential_composers::{self, credential_composer};
use crate::plugin_host::{PluginHost, catalog};
use crate::{node_attestors, upstream_authority};

pub(super) fn validate(flags: &RunFlags) -> ExitCode {
    let loaded = flags.load().map_err(|error| {
        error.hints_beside().iter().for_each(|hint| println!("{hint}"));
        error.validation_report(PROGRAM)
    });
    match loaded.and_then(|loaded| refusal_of(&loaded.settings).map_or(Ok(loaded), Err)) {
        Ok(loaded) => {
            // Scripts compare standard output with SPIRE's one line.
            for notice in loaded.notices {
                eprintln!("{}", notice.message);
            }
            println!("SPIRE server configuration file is valid.");
            ExitCode::SUCCESS
        }
        Err(report) => {
            eprint!("{report}");
            ExitCode::FAILURE
        }
    }
}

/// What SPIRE prints of settings that are well formed and cannot be used here.
fn refusal_of(settings: &ServerSettings) -> Option<String> {
    if let Some(refusal) = log::refusal_of(&settings.log, PROGRAM) {
        return Some(refusal);
    }
    let invalid = |why: &dyn Display| Some(format!("SPIRE {PROGRAM} configuration file is invalid: {why}\n"));
    let endpoint = settings.federation.bundle_endpoint.as_ref();
    if let Some(EndpointProfile::WebServingCert(serving)) = endpoint.map(|endpoint| &endpoint.profile)
        && let Err(error) = CertFiles::load(&serving.cert_file_path, &serving.key_file_path)
    {
        return invalid(&format_args!("failed to load certificate: {error}"));
    }
    let policy = settings.policy.as_ref().map(|policy| Policy::resolve(policy, &settings.admin_ids));
    if let Some(Err(error)) = policy {
        return invalid(&error);
    }
    let notes: Vec<(String, String)> = settings
        .plugins
        .iter()
        .filter(|block| block.enabled)
        .filter(|block| block.plugin_cmd.is_none())
        .filter_map(|block| {
            let why = one_line_of(&*try_plugin(block, settings).err()?);
            let heading = format!("{} \"{}\"", block.kind, block.name);
            // The heading says it.
            let own = [format!("{heading}: "), format!("{}: ", block.name)];
            let note = own.iter().find_map(|own| why.strip_prefix(own.as_str())).unwrap_or(&why).to_owned();
            Some((heading, note))
        })
        .collect();
    let external = match external_notes(settings) {
        Ok(external) => external,
        Err(error) => return Some(format!("Could not validate configuration file: {}\n", one_line_of(&*error))),
    };
    let notes: Vec<(String, String)> = notes.into_iter().chain(external).collect();
    (!notes.is_empty()).then(|| validation_notes(PROGRAM, &notes))
}

/// Starts each external plugin and asks it, as SPIRE does.
fn external_notes(settings: &ServerSettings) -> anyhow::Result<Vec<(String, String)>> {
    let blocks: Vec<&PluginBlock> =
        settings.plugins.iter().filter(|block| block.enabled && block.plugin_cmd.is_some()).collect();
    if blocks.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let catalog = catalog(settings, &PluginHost::default());
        let asked = ask(&catalog, &blocks).await;
        catalog.unload().await;
        asked
    })
}

async fn ask(catalog: &Catalog, blocks: &[&PluginBlock]) -> anyhow::Result<Vec<(String, String)>> {
    let mut notes = Vec::new();
    for block in blocks {
        let (Some(program), Some(interface)) = (block.external()?, interface_of(&block.kind)) else { continue };
        let plugin = catalog.load(&program, interface).await;
        let plugin = plugin.with_context(|| format!("failed to load plugin {}", go_quoted(&block.name)))?;
        let asked = match block.data_file_content().and_then(|content| block.data_text(content.as_deref())) {
            Ok(data) => plugin.validate(data).await.unwrap_or_else(|error| vec![error]),
            Err(error) => vec![error.to_string()],
        };
        let heading = format!("{} \"{}\"", block.kind, block.name);
        notes.extend(asked.into_iter().map(|note| (heading.clone(), note)));
    }
    Ok(notes)
}

fn interface_of(kind: &str) -> Option<&'static str> {
    match kind {
        bundle_publishers::KIND => Some(ExternalBundlePublisher::INTERFACE),
        bundle_publishers::NOTIFIER => Some(ExternalNotifier::INTERFACE),
        credential_composers::KIND => Some(ExternalCredentialComposer::INTERFACE),
        node_attestors::KIND => Some(ExternalNodeAttestor::INTERFACE),
        upstream_authority::KIND => Some(ExternalUpstreamAuthority::INTERFACE),
        _ => None,
    }
}

fn try_plugin(block: &PluginBlock, settings: &ServerSettings) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    match block.kind.as_str() {
        bundle_publishers::KIND => bundle_publisher(block).map(drop),
        credential_composers::KIND => credential_composer(block).map(drop),
        node_attestors::KIND => node_attestors::check(block, settings, &clock),
        upstream_authority::KIND => upstream_authority::check(block, settings, &clock),
        // Accepted and not used.
        _ => Ok(()),
    }
}

const PROGRAM: &str = "server";

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(server: &str, plugins: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("server.conf");
        let text = format!(
            "server {{ trust_domain = \"example.org\" data_dir = \"{}\" {server} }}
             plugins {{ DataStore \"sql\" {{ plugin_data {{}} }} KeyManager \"memory\" {{}} {plugins} }}",
            dir.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let loaded = RunFlags { config: Some(config), ..RunFlags::default() }.load().unwrap();
        refusal_of(&loaded.settings)
    }

    #[test]
    fn a_file_that_can_start_a_server_is_valid() {
        let plugins = "NodeAttestor \"join_token\" {} NodeAttestor \"x509pop\" { plugin_data { mode = \"spiffe\" } }";
        assert_eq!(refusal("bind_address = \"127.0.0.1\"", plugins), None);
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_refused() {
        let told = refusal("log_file = \"/nowhere/at/all.log\"", "").unwrap();
        assert!(
            told.starts_with(
                "SPIRE server configuration file is invalid: open /nowhere/at/all.log: no such file or directory"
            ),
            "{told}"
        );
    }

    #[test]
    fn certificate_files_of_the_bundle_endpoint_are_read() {
        let federation = "federation { bundle_endpoint { port = 8443 profile \"https_web\" { serving_cert_file { \
                          cert_file_path = \"/none/c\" key_file_path = \"/none/k\" } } } }";
        let told = "SPIRE server configuration file is invalid: failed to load certificate: open /none/c: no such file \
                    or directory\n";
        assert_eq!(refusal(federation, "").as_deref(), Some(told));
    }

    #[test]
    fn a_policy_that_cannot_be_used_is_refused_like_the_file_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let [config, policy] = ["server.conf", "policy.hcl"].map(|name| dir.path().join(name));
        let text = format!(
            "server {{ trust_domain = \"example.org\" data_dir = \"{data}\" bind_address = \"127.0.0.1\"
             admin_ids = [\"spiffe://example.org/admin\"] }}
             plugins {{ DataStore \"sql\" {{ plugin_data {{}} }} KeyManager \"memory\" {{}} }}
             authorization {{ policy_file = \"{}\" }}",
            policy.display(),
            data = dir.path().join("data").display(),
        );
        std::fs::write(&config, text).unwrap();
        let load = || RunFlags { config: Some(config.clone()), ..RunFlags::default() }.load();
        assert!(load().unwrap_err().to_string().ends_with("no such file; correct authorization.policy_file"));

        let role = |callers: &str, method: &str| {
            std::fs::write(&policy, format!("role \"r\" {{ {callers}\n rule {{ methods = [\"{method}\"] }} }}"))
                .unwrap();
            load()
        };
        let typo = role("uid = [1]", "Entry/*").unwrap_err().validation_report(PROGRAM);
        assert!(typo.contains("policy.hcl: role \"r\": \"uid\" at 1:12 (did you mean \"uids\"?)"), "{typo}");
        let nobody = role("uids = []", "Entry/*").unwrap_err().validation_report(PROGRAM);
        assert!(nobody.contains("policy.hcl\": At 1:12: uids: is empty: name something"), "{nobody}");
        let (uid, admin) = ("uids = [1]", "spiffe_ids = [\"spiffe://example.org/admin\"]");
        for (callers, method, why) in [
            (uid, "Entry/ListEntris", "policy.hcl:2:9: role \"r\": unknown method \"Entry/ListEntris\" (did you mean "),
            (admin, "Entry/*", "policy.hcl:1:6: role \"r\": spiffe://example.org/admin is in admin_ids too"),
        ] {
            let report = refusal_of(&role(callers, method).unwrap().settings).unwrap();
            assert!(
                report.starts_with("SPIRE server configuration file is invalid: /") && report.contains(why),
                "{report}"
            );
        }
        assert_eq!(refusal_of(&role(uid, "Entry/*").unwrap().settings), None);
    }

    #[test]
    fn an_external_plugin_that_does_not_start_is_told_in_spires_words() {
        let told = refusal("", "NodeAttestor \"x\" { plugin_cmd = \"/none\" plugin_data {} }").unwrap();
        assert_eq!(
            told,
            "Could not validate configuration file: failed to load plugin \"x\": failed to launch plugin: fork/exec \
             /none: no such file or directory\n"
        );
    }

    #[test]
    fn an_external_plugin_is_asked_what_it_thinks_of_its_settings() {
        let Some(plugins) = steeple_testkit::GoPlugins::build() else { return };
        let path = plugins.path("servernodeattestor");
        let block = |data: &str| {
            format!(
                "NodeAttestor \"word\" {{ plugin_cmd = {:?} plugin_data {{ {data} }} }}",
                path.display().to_string()
            )
        };
        assert_eq!(refusal("bind_address = \"127.0.0.1\"", &block("word = \"w\"")), None);
        let told = refusal("bind_address = \"127.0.0.1\"", &block("")).unwrap();
        assert!(told.ends_with("Validation errors:\n\tNodeAttestor \"word\":\n\t\tword is required\n"), "{told}");
    }

    #[test]
    fn what_run_would_refuse_is_refused() {
        let cases = [
            ("NodeAttestor \"x509pop\" {}", "one of ca_bundle_path or ca_bundle_paths must be configured"),
            (
                "NodeAttestor \"x509pop\" { plugin_data { ca_bundle_path = \"/none.pem\" } }",
                "unable to load trust bundle \"/none.pem\": ",
            ),
            (
                "NodeAttestor \"x509pop\" { plugin_data { ca_bundle_path = \"/dev/null\" } }",
                "unable to load trust bundle \"/dev/null\": no certificates found in file",
            ),
            (
                "NodeAttestor \"x509pop\" { plugin_data_file = \"/none.conf\" }",
                "failed to read plugin configuration: open /none.conf: no such file or directory",
            ),
            (
                "NodeAttestor \"k8s_psat\" { plugin_data { clusters = { \"c\" = { audience = [\"a\"] } } } }",
                "cluster \"c\" configuration must have at least one service account allowed",
            ),
            (
                "NodeAttestor \"k8s_psat\" { plugin_data { clusters = { \"c\" = { \
                 service_account_allow_list = [\"a:b\"] audiences = [\"a\"] } } } }",
                "(did you mean \"audience\"?)",
            ),
            (
                "NodeAttestor \"sshpop\" {}",
                "missing required config value for \"cert_authorities\" or \"cert_authorities_path\"",
            ),
            (
                "NodeAttestor \"sshpop\" { plugin_data { cert_authorities_path = \"/dev/null\" } }",
                "failed to get cert authorities from file: no data found in file: \"/dev/null\"",
            ),
            (
                "NodeAttestor \"sshpop\" { plugin_data { cert_authorities = [] } }",
                "failed to create cert checker: must provide at least one cert authority",
            ),
            ("NodeAttestor \"tpm_devid\" {}", "devid_ca_path is required"),
            (
                "NodeAttestor \"tpm_devid\" { plugin_data { devid_ca_path = \"/x\" } }",
                "endorsement_ca_path is required",
            ),
            (
                "NodeAttestor \"tpm_devid\" { plugin_data { devid_ca_path = \"/none.pem\" \
                 endorsement_ca_path = \"/x\" } }",
                "unable to load DevID trust bundle: open /none.pem: no such file or directory",
            ),
            (
                "NodeAttestor \"tpm_devid\" { plugin_data { devid_ca_path = \"/dev/null\" \
                 endorsement_ca_path = \"/x\" } }",
                "unable to load DevID trust bundle: no certificates found in file",
            ),
            (
                "NodeAttestor \"tpm_devid\" { plugin_data { devid_ca_path = \"/x\" endorsment_ca_path = \"/x\" } }",
                "(did you mean \"endorsement_ca_path\"?)",
            ),
            (
                "NodeAttestor \"http_challenge\" { plugin_data { tofu = false } }",
                "you can not turn off trust on first use (TOFU) when non-root ports are allowed",
            ),
            (
                "NodeAttestor \"http_challenge\" { plugin_data { allowed_dns_patterns = [\"(\"] } }",
                "cannot compile allowed_dns_pattern: \"(\", ",
            ),
            (
                "UpstreamAuthority \"disk\" { plugin_data {} }",
                "'cert_file_path' and 'key_file_path' must be set and not empty",
            ),
            ("BundlePublisher \"file\" { plugin_data { format = \"pem\" } }", "path is required"),
            (
                "BundlePublisher \"file\" { plugin_data { path = \"/x\" format = \"der\" } }",
                "unknown bundle format: \"der\"",
            ),
            (
                "BundlePublisher \"k8s_configmap\" { plugin_data { clusters = { \"c\" = { format = \"spiffe\" } } } }",
                "missing namespace in cluster \"c\"",
            ),
            (
                "BundlePublisher \"k8s_configmap\" { plugin_data { clusters = { \"c\" = { format = \"pem\" \
                 namespace = \"n\" configmap_name = \"m\" configmap_key = \"k\" refresh_hint = \"soon\" } } } }",
                "could not parse refresh_hint from cluster \"c\"",
            ),
            (
                "BundlePublisher \"k8s_configmap\" { plugin_data { clusters = { \"c\" = { format = \"pem\" \
                 namespace = \"n\" configmap_name = \"m\" configmap_key = \"k\" kube_config_path = \"/x\" } } } }",
                "(did you mean \"kubeconfig_path\"?)",
            ),
            (
                "CredentialComposer \"common_name\" { plugin_data { source = \"dns_name\" } }",
                "unknown source \"dns_name\": use spiffe_id or path",
            ),
            (
                "CredentialComposer \"common_name\" { plugin_data { too_long = \"cut\" } }",
                "unknown too_long \"cut\": use omit or keep",
            ),
            ("CredentialComposer \"common_name\" { plugin_data { sorce = \"path\" } }", "(did you mean \"source\"?)"),
            ("CredentialComposer \"uniqueid\" { plugin_data { bits = 64 } }", "\"bits\""),
        ];
        for (plugins, why) in cases {
            let report = refusal("bind_address = \"127.0.0.1\"", plugins).expect(plugins);
            let heading = plugins.split(" {").next().unwrap();
            let start = format!("SPIRE server configuration file is invalid.\nValidation errors:\n\t{heading}:\n\t\t");
            let note = report.strip_prefix(&start).unwrap_or_else(|| panic!("{report}"));
            assert!(note.contains(why) && !note.contains("x509pop: ") && note.lines().count() == 1, "{report}");
        }
    }
}
