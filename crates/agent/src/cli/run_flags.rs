//! The flags of `run` and `validate`, and the settings they lead to.

use std::path::PathBuf;

use steeple_cli::{Command, Flag, Help, Values};
use steeple_config::{AgentOverrides, AgentSettings, ConfigError, Loaded, Supported, load_agent};
use steeple_core::Secret;
use steeple_plugins::{AGENT_PLUGINS, EXTERNAL_AGENT_KINDS};

use super::Action;

/// What the command line of `run` said.
#[derive(Debug, Default)]
pub struct RunFlags {
    /// `-config`; SPIRE's default path applies when it is absent.
    pub config: Option<PathBuf>,
    pub expand_env: bool,
    /// Flags that win over the file.
    pub overrides: AgentOverrides,
}

impl RunFlags {
    pub fn of(values: &Values) -> Self {
        let text = |name: &str| values.text_if_any(name).map(str::to_owned);
        let mut overrides = AgentOverrides {
            allow_unauthenticated_verifiers: values.bool("allowUnauthenticatedVerifiers"),
            data_dir: text("dataDir"),
            disable_sds_api: values.bool("disableSDSAPI"),
            disable_workload_api: values.bool("disableWorkloadAPI"),
            join_token: text("joinToken").map(|token| Secret::new(token.into_bytes())),
            join_token_file: text("joinTokenFile"),
            log_file: text("logFile"),
            log_format: text("logFormat"),
            log_level: text("logLevel"),
            log_source_location: values.bool("logSourceLocation"),
            rebootstrap_delay: text("rebootstrapDelay"),
            rebootstrap_mode: text("rebootstrapMode"),
            server_address: text("serverAddress"),
            server_port: Some(values.int("serverPort")).filter(|port| *port != 0),
            socket_path: text("socketPath"),
            trust_domain: text("trustDomain"),
            ..AgentOverrides::default()
        };
        overrides.trust_bundle.path = text("trustBundle");
        overrides.trust_bundle.url = text("trustBundleUrl");
        overrides.trust_bundle.format = text("trustBundleFormat");
        overrides.trust_bundle.insecure_bootstrap = values.bool("insecureBootstrap");
        Self { config: text("config").map(PathBuf::from), expand_env: values.bool("expandEnv"), overrides }
    }

    /// The settings, checked against what this agent can do. Reads the configuration file.
    pub fn load(&self) -> Result<Loaded<AgentSettings>, ConfigError> {
        let plugins: Vec<(&str, &str)> =
            AGENT_PLUGINS.iter().map(|plugin| (plugin.kind.config_name(), plugin.name)).collect();
        self.load_with(Some(&plugins))
    }

    /// As SPIRE's agent validates: any plugin will do. What [`Self::load`] says of them is told beside it.
    pub fn load_with_any_plugin(&self) -> Result<Loaded<AgentSettings>, ConfigError> {
        self.load_with(None)
    }

    fn load_with(&self, plugins: Option<&[(&str, &str)]>) -> Result<Loaded<AgentSettings>, ConfigError> {
        let supported = Supported { plugins, external: EXTERNAL_AGENT_KINDS, refused_keys: &[REFUSED_KEYS] };
        load_agent(self.config.as_deref(), self.expand_env, &self.overrides, &supported)
    }
}

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "run",
        synopsis: "Runs the agent",
        help: Help::spire(
            "Runs the agent: it attests this node to a server, and serves the Workload API.",
            &[
                (
                    "With a join token",
                    "steeple-agent run -serverAddress 10.0.0.1 -serverPort 8081 -trustDomain example.org \\\n    \
                     -trustBundle bundle.pem -joinTokenFile join-token",
                ),
                ("With a configuration", "steeple-agent run -config /etc/steeple/agent.conf"),
            ],
        ),
        flags: &[FLAGS],
        action: Action::Run,
    },
    Command {
        path: "validate",
        synopsis: "Checks a configuration file without starting the agent",
        help: Help::spire(
            "Checks a configuration file without starting the agent.",
            &[("Before a restart", "steeple-agent validate -config /etc/steeple/agent.conf")],
        )
        .exit("1 when the agent would not start with it; each reason is told."),
        flags: &[FLAGS],
        action: Action::Validate,
    },
];

const FLAGS: &[Flag] = &[
    Flag::bool("allowUnauthenticatedVerifiers", "Let processes without an identity fetch trust bundles"),
    Flag::text("config", "Path of the configuration file; without one, conf/agent/agent.conf or built-in defaults"),
    Flag::text("dataDir", "Directory of the agent's own SVID and keys"),
    Flag::bool("disableSDSAPI", "Do not serve Envoy's secret discovery service"),
    Flag::bool("disableWorkloadAPI", "Do not serve the Workload API"),
    Flag::bool("expandEnv", "Replace $VARIABLE and ${VARIABLE} in the configuration file"),
    Flag::bool("insecureBootstrap", "Trust whatever server answers first; only for trials"),
    Flag::text("joinToken", "A token from `token generate` on the server"),
    Flag::text("joinTokenFile", "File with such a token"),
    Flag::text("logFile", "File to write the log to instead of standard output"),
    Flag::text("logFormat", "text or json"),
    Flag::text("logLevel", "panic, fatal, error, warn, info, debug or trace"),
    Flag::bool("logSourceLocation", "Add file, line and function to each line of the log"),
    Flag::text("rebootstrapDelay", "How long the server may be untrusted before the agent bootstraps anew"),
    Flag::text("rebootstrapMode", "When the agent bootstraps anew: never, auto or always"),
    Flag::text("serverAddress", "Address or DNS name of the server"),
    Flag::int("serverPort", 0, "Port of the server"),
    Flag::text("socketPath", "Path of the Workload API socket to create"),
    Flag::text("trustBundle", "File with the bundle that the server is first checked against"),
    Flag::text("trustBundleFormat", "Form of the bundle: pem or spiffe"),
    Flag::text("trustBundleUrl", "HTTPS URL of that bundle"),
    Flag::text("trustDomain", "The trust domain that this agent belongs to"),
];

/// SPIRE's keys that would change what the agent does and that it cannot honour.
const REFUSED_KEYS: &[(&str, &str)] =
    &[("agent.profiling_enabled", "use perf or another profiler of the operating system")];

#[cfg(test)]
mod tests {
    use super::*;

    fn load(agent: &str) -> Result<Loaded<AgentSettings>, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("agent.conf");
        let text = format!(
            r#"agent {{ trust_domain = "example.org" data_dir = "/srv/data" server_address = "localhost"
                server_port = 8081 insecure_bootstrap = true join_token = "t" {agent} }}
            plugins {{ NodeAttestor "join_token" {{}} KeyManager "memory" {{}} WorkloadAttestor "unix" {{}} }}"#
        );
        std::fs::write(&config, text).unwrap();
        RunFlags { config: Some(config), ..RunFlags::default() }.load()
    }

    /// What SPIRE's agent has and this one has not: none of it passes in silence.
    #[test]
    fn keys_that_an_agent_does_not_honour_are_refused_by_name() {
        let error = load("profiling_enabled = true").unwrap_err().to_string();
        assert!(error.starts_with("agent.profiling_enabled is not supported: "), "{error}");
    }
}
