//! The flags of `run` and `validate`, and the settings they lead to.

use std::path::PathBuf;

use steeple_cli::{Command, Flag, Help, Values};
use steeple_config::{ConfigError, Loaded, ServerOverrides, ServerSettings, Supported, load_server};
use steeple_plugins::{EXTERNAL_SERVER_KINDS, SERVER_PLUGINS};

use super::Action;

/// What the command line of `run` said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFlags {
    /// `-config`; SPIRE's default path applies when it is absent.
    pub config: Option<PathBuf>,
    pub expand_env: bool,
    /// Flags that win over the file.
    pub overrides: ServerOverrides,
}

impl RunFlags {
    pub fn of(values: &Values) -> Self {
        let text = |name: &str| values.text_if_any(name).map(str::to_owned);
        let port = Some(values.int("serverPort")).filter(|port| *port != 0);
        Self {
            config: text("config").map(PathBuf::from),
            expand_env: values.bool("expandEnv"),
            overrides: ServerOverrides {
                bind_address: text("bindAddress"),
                bind_port: port,
                data_dir: text("dataDir"),
                log_file: text("logFile"),
                log_format: text("logFormat"),
                log_level: text("logLevel"),
                log_source_location: values.bool("logSourceLocation"),
                socket_path: text("socketPath"),
                trust_domain: text("trustDomain"),
            },
        }
    }

    /// The settings, checked against what this server can do. Reads the configuration file.
    pub fn load(&self) -> Result<Loaded<ServerSettings>, ConfigError> {
        let plugins: Vec<(&str, &str)> =
            SERVER_PLUGINS.iter().map(|plugin| (plugin.kind.config_name(), plugin.name)).collect();
        let supported =
            Supported { plugins: Some(&plugins), external: EXTERNAL_SERVER_KINDS, refused_keys: &[REFUSED_KEYS] };
        load_server(self.config.as_deref(), self.expand_env, &self.overrides, &supported)
    }
}

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "run",
        synopsis: "Runs the server",
        help: Help::spire(
            "Runs the server. Without a configuration it founds a cluster of one in ./data for the trust domain \
             example.org; with a cluster block it is one of several replicas.",
            &[
                ("To try it", "steeple-server run"),
                ("With a configuration", "steeple-server run -config /etc/steeple/server.conf"),
                (
                    "One file for all replicas",
                    "REPLICA=server-1 FOUNDER=true steeple-server run -config replica.conf -expandEnv",
                ),
            ],
        )
        .exit("0 after SIGTERM or SIGINT; 3 when this server was removed from its cluster; 1 for any other failure."),
        flags: &[FLAGS],
        action: Action::Run,
    },
    Command {
        path: "validate",
        synopsis: "Checks a configuration file without starting the server",
        help: Help::spire(
            "Checks a configuration file without starting the server: keys, values, plugins, files that it names.",
            &[
                ("Before a restart", "steeple-server validate -config /etc/steeple/server.conf"),
                (
                    "With variables",
                    "REPLICA=server-1 FOUNDER=false steeple-server validate -config replica.conf -expandEnv",
                ),
            ],
        )
        .exit("1 when the server would not start with it; each reason is told."),
        flags: &[FLAGS],
        action: Action::Validate,
    },
];

const FLAGS: &[Flag] = &[
    Flag::text("bindAddress", "IP address that agents and clients connect to"),
    Flag::text("config", "Path of the configuration file; without one, conf/server/server.conf or built-in defaults"),
    Flag::text("dataDir", "Directory of the replicated state"),
    Flag::bool("expandEnv", "Replace $VARIABLE and ${VARIABLE} in the configuration file"),
    Flag::text("logFile", "File to write the log to instead of standard output"),
    Flag::text("logFormat", "text or json"),
    Flag::text("logLevel", "panic, fatal, error, warn, info, debug or trace"),
    Flag::bool("logSourceLocation", "Add file, line and function to each line of the log"),
    Flag::int("serverPort", 0, "Port that agents and clients connect to"),
    Flag::text("socketPath", "Path of the admin socket to create"),
    Flag::text("trustDomain", "The trust domain that this server is the authority of"),
];

/// SPIRE's keys that would change what the server does and that it cannot honour.
const REFUSED_KEYS: &[(&str, &str)] =
    &[("server.profiling_enabled", "use perf or another profiler of the operating system")];

#[cfg(test)]
mod tests {
    use super::*;

    fn load(server: &str, rest: &str) -> Result<Loaded<ServerSettings>, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("server.conf");
        let text = format!(
            r#"server {{ trust_domain = "example.org" data_dir = "/srv/data" {server} }}
            plugins {{ DataStore "sql" {{ plugin_data {{}} }} KeyManager "memory" {{ plugin_data {{}} }} }}
            {rest}"#
        );
        std::fs::write(&config, text).unwrap();
        RunFlags { config: Some(config), ..RunFlags::default() }.load()
    }

    /// What SPIRE's server has and this one has not: none of it passes in silence.
    #[test]
    fn keys_that_are_not_honoured_are_refused_by_name() {
        for (key, value) in [
            ("profiling_enabled", "= true"),
            ("experimental.auth_opa_policy_engine", "{ local { rego_path = \"x\" } }"),
        ] {
            let line = match key.split_once('.') {
                Some((section, key)) => format!("{section} {{ {key} {value} }}"),
                None => format!("{key} {value}"),
            };
            let error = load(&line, "").unwrap_err().to_string();
            assert!(error.starts_with(&format!("server.{key} is not supported: ")), "{error}");
        }
        let error = load("", "cluster { signing = \"followers\" }").unwrap_err().to_string();
        assert!(error.contains("cluster.signing \"followers\" is neither \"leader\" nor \"replicas\""), "{error}");
    }
}
