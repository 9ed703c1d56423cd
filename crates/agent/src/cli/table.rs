//! The program as data.

use std::pin::Pin;

use steeple_cli::{Call, Command, Failure, Flag, Group, Program, SocketNames};
use tonic::transport::Channel;

use super::{api, debug, healthcheck, logger, run_flags, shell, spiffe_helper};

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// A client of the admin socket.
    Admin(Remote),
    /// Asks nobody.
    Local(Local),
    /// A client of the Workload API socket. The text stands before an error.
    Public(&'static str, Remote),
    Run,
    /// Reads a configuration file of its own.
    SpiffeHelper,
    Validate,
}

pub type Local = fn(&mut Call) -> Result<(), Failure>;
pub type Remote = for<'a> fn(&'a mut Call, Channel) -> Done<'a>;
pub type Done<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// Makes a [`Remote`] of an async function.
macro_rules! remote {
    ($run:path) => {
        |call, channel| Box::pin($run(call, channel))
    };
}
pub(super) use remote;

/// `name` is what the binary was called as.
pub fn program(name: &str) -> Program<Action> {
    let name = if name == SPIRE_NAME { SPIRE_NAME } else { OWN_NAME };
    Program { name, version: env!("CARGO_PKG_VERSION"), groups: GROUPS, commands: COMMANDS }
}

pub(super) const PUBLIC_SOCKET: SocketNames = SocketNames {
    default_path: "/tmp/spire-agent/public/api.sock",
    path_env: "SPIRE_AGENT_PUBLIC_SOCKET",
    template_env: "SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE",
    // The blank is SPIRE's.
    no_template: " SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE environment variable must be defined when using the instance \
                  flag",
};

pub(super) const PUBLIC_SOCKET_FLAGS: &[Flag] = &[
    PUBLIC_SOCKET.path_flag("Path of the agent's Workload API socket (or environment SPIRE_AGENT_PUBLIC_SOCKET)"),
    Flag::text("instance", "Name that replaces %i in the environment variable SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE"),
];

pub(super) const ADMIN_SOCKET_FLAG: Flag =
    Flag::text_or("socketPath", "/tmp/spire-agent/private/admin.sock", "Path of the agent's admin socket");

const OWN_NAME: &str = "steeple-agent";
const SPIRE_NAME: &str = "spire-agent";

const GROUPS: &[Group] = &[
    Group { path: "api", synopsis: "What a workload gets" },
    Group { path: "api validate", synopsis: "Checks of SVIDs" },
    shell::GROUP,
    Group { path: "debug", synopsis: "What the agent is doing" },
    Group { path: "logger", synopsis: "The log level at run time" },
];

const COMMANDS: &[&[Command<Action>]] = &[
    api::COMMANDS,
    debug::COMMANDS,
    healthcheck::COMMANDS,
    logger::COMMANDS,
    run_flags::COMMANDS,
    shell::COMMANDS,
    spiffe_helper::COMMANDS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use steeple_cli::{Environment, Kind, Streams, Values};

    /// Something that a command accepts, or `None` for flags that name files or exclude others.
    fn sample(flag: &Flag) -> Option<String> {
        let value = match flag.name {
            "write" => return None,
            "level" => "debug",
            "format" | "output" => "json",
            _ if flag.kind == Kind::Bool => return Some(format!("-{}", flag.name)),
            _ if matches!(flag.kind, Kind::Int(_)) => "7",
            _ if matches!(flag.kind, Kind::Duration(_) | Kind::ToldDuration(_)) => "1s",
            _ => "x",
        };
        Some(format!("-{}={value}", flag.name))
    }

    #[test]
    fn the_table_is_well_formed() {
        assert_eq!(program("x").problems(), Vec::<String>::new());
        assert_eq!((program("spire-agent").name, program("x").name), ("spire-agent", "steeple-agent"));
    }

    /// An example of a client gets as far as the network: no flag is missing, and no value is wrong.
    #[tokio::test]
    async fn every_example_gets_as_far_as_the_network() {
        let program = program("x");
        for args in program.commands().flat_map(|command| program.examples(command)) {
            let run = program.select(&args).unwrap();
            let (Action::Admin(remote) | Action::Public(_, remote)) = run.command.action else { continue };
            if run.command.path == "api watch" {
                continue; // It retries for ever.
            }
            let (streams, captured) = Streams::captured("");
            let mut call = Call { values: run.values, environment: Environment::default(), streams };
            let failure = remote(&mut call, steeple_cli::connect(Path::new("/nonexistent/x.sock"))).await;
            let text = format!("{}{}", captured.stderr(), failure.expect_err("there is no agent"));
            let reached = ["connection error", "determine health"];
            assert!(reached.iter().any(|reached| text.contains(reached)), "{args:?}: {text}");
        }
    }

    /// Every flag is accepted and read as what it is declared; without a socket, a command gets as far as dialling.
    #[tokio::test]
    async fn every_command_gets_as_far_as_the_network() {
        for command in program("x").commands() {
            let remote = match command.action {
                Action::Admin(remote) | Action::Public(_, remote) => remote,
                Action::Local(_) | Action::Run | Action::SpiffeHelper | Action::Validate => continue,
            };
            if command.path == "api watch" {
                continue; // It retries for ever.
            }
            let args: Vec<String> = command.flags().filter_map(|flag| sample(&flag)).collect();
            let values = Values::parse(command.flags(), &args).unwrap();
            let (streams, captured) = Streams::captured("");
            let mut call = Call { values, environment: Environment::default(), streams };
            let failure = remote(&mut call, steeple_cli::connect(Path::new("/nonexistent/x.sock"))).await.unwrap_err();
            let text = format!("{}{failure}", captured.stderr());
            let dialled =
                text.contains("code = Unavailable desc = connection error") || text.contains("determine health");
            assert!(dialled, "{}: {text}", command.path);
        }
    }
}
