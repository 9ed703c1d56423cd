//! `validate`.

use std::process::ExitCode;

use steeple_cli::one_line_of;
use steeple_config::AgentSettings;
use steeple_telemetry::log;

use super::RunFlags;
use crate::plugins;

pub(super) fn validate(flags: &RunFlags) -> ExitCode {
    let loaded = flags.load_with_any_plugin().map_err(|error| {
        error.hints_beside().iter().for_each(|hint| println!("{hint}"));
        error.validation_report(PROGRAM)
    });
    match loaded.and_then(|loaded| log::refusal_of(&loaded.settings.log, PROGRAM).map_or(Ok(loaded), Err)) {
        Ok(loaded) => {
            // Scripts compare standard output with SPIRE's one line.
            for notice in loaded.notices {
                eprintln!("{}", notice.message);
            }
            for refusal in refused_by_run(flags, &loaded.settings) {
                eprintln!("warning: run would refuse this file: {refusal}");
            }
            println!("SPIRE agent configuration file is valid.");
            ExitCode::SUCCESS
        }
        Err(report) => {
            eprint!("{report}");
            ExitCode::FAILURE
        }
    }
}

/// What is wrong with plugins. SPIRE's agent looks at none here, and scripts go by its exit code.
fn refused_by_run(flags: &RunFlags, settings: &AgentSettings) -> Vec<String> {
    if let Err(error) = flags.load() {
        return vec![error.explained()];
    }
    plugins::refusals(settings).iter().map(|refusal| one_line_of(&**refusal)).collect()
}

const PROGRAM: &str = "agent";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(plugins: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("agent.conf");
        let text = format!(
            "agent {{ trust_domain = \"example.org\" data_dir = \"/srv/data\" server_address = \"localhost\"
             server_port = 8081 insecure_bootstrap = true }}
             plugins {{ {plugins} }}"
        );
        std::fs::write(&config, text).unwrap();
        let flags = RunFlags { config: Some(config), ..RunFlags::default() };
        let loaded = flags.load_with_any_plugin().unwrap();
        refused_by_run(&flags, &loaded.settings)
    }

    #[test]
    fn what_run_would_say_of_plugins_is_told() {
        let others = "KeyManager \"memory\" {} WorkloadAttestor \"unix\" {}";
        let (token, unix) = ("NodeAttestor \"join_token\" {}", "WorkloadAttestor \"unix\" {}");
        let fine = refused(&format!("{others} {token}"));
        assert!(fine.is_empty(), "{fine:?}");
        for (plugins, told) in [
            (
                format!("{others} NodeAttestor \"mine\" {{ plugin_cmd = \"/bin/mine\" }}"),
                "failed to load plugin \"mine\": failed to launch plugin: fork/exec /bin/mine: no such file or \
                 directory",
            ),
            (
                format!(
                    "{others} NodeAttestor \"mine\" {{ plugin_cmd = \"/bin/sh\" plugin_checksum = \"{}\" }}",
                    "00".repeat(32)
                ),
                "failed to load plugin \"mine\": failed to launch plugin: checksums did not match: /bin/sh has the \
                 SHA-256 ",
            ),
            (format!("{others} NodeAttestor \"nonsense\" {{}}"), "failed to load plugin \"nonsense\""),
            (others.to_owned(), "plugin type \"NodeAttestor\" constraint not satisfied: expected exactly 1"),
            (
                format!("{others} NodeAttestor \"x509pop\" {{}}"),
                "x509pop: private_key_path and certificate_path are required",
            ),
            (
                format!("{others} NodeAttestor \"x509pop\" {{ plugin_data_file = \"/no/such\" }}"),
                "NodeAttestor \"x509pop\": failed to read plugin configuration: open /no/such",
            ),
            (
                format!("{others} NodeAttestor \"tpm_devid\" {{}}"),
                "tpm_devid: invalid configuration: devid_cert_path is required",
            ),
            (
                format!(
                    "{others} NodeAttestor \"tpm_devid\" {{ plugin_data {{ tpm_device_path = \"/dev/null\" \
                     devid_cert_path = \"/none\" devid_priv_path = \"/none\" devid_pub_path = \"/none\" }} }}"
                ),
                "tpm_devid: unable to load DevID files: cannot load certificate(s): open /none: no such file",
            ),
            (format!("{token} {unix} KeyManager \"disk\" {{}}"), "KeyManager \"disk\": directory is required"),
            (
                format!("{others} {token} WorkloadAttestor \"systemd\" {{ plugin_data {{ x = 1 }} }}"),
                "unknown plugin_data of WorkloadAttestor \"systemd\"",
            ),
        ] {
            let refusals = refused(&plugins);
            assert!(refusals.len() == 1 && refusals[0].starts_with(told), "{plugins}: {refusals:?}");
        }
    }
}
