//! The program as data.

use std::pin::Pin;

use steeple_cli::{Call, Command, Failure, Flag, Group, OUTPUT, Program, SocketNames};
use tonic::transport::Channel;

use super::{
    agent, audit, backup, bundle, ca, cluster, debug, entry, federation, healthcheck, import, jwt, local_authority,
    log, logger, oidc, recover, restore, run_flags, seal, shell, token, upstream_authority, why, wit, x509,
};

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Works on files and asks no server.
    Local(Local),
    /// A client of the admin socket.
    Remote(Remote),
    OidcProvider,
    Run,
    Validate,
}

pub type Local = fn(&mut Call) -> Result<(), Failure>;
pub type Remote = for<'a> fn(&'a mut Call, Channel) -> Done<'a>;
pub type Done<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// Makes an [`Action`] of an async function.
macro_rules! remote {
    ($run:path) => {
        $crate::cli::table::Action::Remote(|call, channel| Box::pin($run(call, channel)))
    };
}
pub(super) use remote;

/// `name` is what the binary was called as.
pub fn program(name: &str) -> Program<Action> {
    let whole = whole(name);
    Program { groups: &whole.groups[1..], commands: &whole.commands[1..], ..whole }
}

/// With what stands behind a feature flag.
fn whole(name: &str) -> Program<Action> {
    let name = if name == SPIRE_NAME { SPIRE_NAME } else { OWN_NAME };
    Program { name, version: env!("CARGO_PKG_VERSION"), groups: GROUPS, commands: COMMANDS }
}

/// With the commands of the features that `feature_flags` names, one blank apart.
pub(super) fn program_with(name: &str, feature_flags: &str) -> Program<Action> {
    match feature_flags.split(' ').any(|flag| flag == "wit-svid") {
        true => whole(name),
        false => program(name),
    }
}

/// SPIRE's, as the configuration file's flags are the server's alone.
pub(super) const FEATURE_FLAGS_ENV: &str = "SPIRE_SERVER_FFLAGS";

pub(super) const SOCKET: SocketNames = SocketNames {
    default_path: steeple_config::DEFAULT_SERVER_SOCKET,
    path_env: "SPIRE_SERVER_PRIVATE_SOCKET",
    template_env: "SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE",
    no_template: "you must define SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE to use the instance flag",
};

pub(super) const SOCKET_FLAGS: &[Flag] = &[
    SOCKET.path_flag("Path of the server's admin socket (or environment SPIRE_SERVER_PRIVATE_SOCKET)"),
    Flag::text("instance", "Name that replaces %i in the environment variable SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE"),
];

/// What every command that asks the server for something has.
pub(super) const COMMON_FLAGS: &[Flag] = &[SOCKET_FLAGS[0], SOCKET_FLAGS[1], OUTPUT];

const OWN_NAME: &str = "steeple-server";
const SPIRE_NAME: &str = "spire-server";

/// The first is there behind its feature flag only, as in [`COMMANDS`].
const GROUPS: &[Group] = &[
    Group { path: "wit", synopsis: "WIT-SVIDs" },
    Group { path: "agent", synopsis: "Attested agents" },
    Group { path: "audit", synopsis: "Audit records in files of their own" },
    Group { path: "backup", synopsis: "Backups of the replicated state" },
    Group { path: "bundle", synopsis: "Trust bundles" },
    Group { path: "ca", synopsis: "The life of the signing authorities" },
    Group { path: "cluster", synopsis: "Replicas of this server" },
    shell::GROUP,
    Group { path: "debug", synopsis: "What the server is doing" },
    Group { path: "entry", synopsis: "Registration entries" },
    Group { path: "federation", synopsis: "Dynamic federation relationships" },
    Group { path: "jwt", synopsis: "JWT-SVIDs" },
    Group { path: "localauthority", synopsis: "The server's own signing authorities" },
    Group { path: "localauthority jwt", synopsis: "JWT authorities" },
    Group { path: "localauthority x509", synopsis: "X.509 authorities" },
    Group { path: "log", synopsis: "The replicated log on disk" },
    Group { path: "logger", synopsis: "The log level at run time" },
    Group { path: "recover", synopsis: "A new cluster from what is left of one that lost its quorum for good" },
    Group { path: "seal", synopsis: "What guards this server's sealing key" },
    Group { path: "token", synopsis: "Join tokens" },
    Group { path: "upstreamauthority", synopsis: "X.509 authorities above this server" },
    Group { path: "x509", synopsis: "X.509-SVIDs" },
];

const COMMANDS: &[&[Command<Action>]] = &[
    wit::COMMANDS,
    agent::COMMANDS,
    audit::COMMANDS,
    backup::COMMANDS,
    bundle::COMMANDS,
    ca::COMMANDS,
    cluster::COMMANDS,
    debug::COMMANDS,
    entry::COMMANDS,
    federation::COMMANDS,
    healthcheck::COMMANDS,
    import::COMMANDS,
    jwt::COMMANDS,
    local_authority::COMMANDS,
    log::COMMANDS,
    logger::COMMANDS,
    oidc::COMMANDS,
    recover::COMMANDS,
    restore::COMMANDS,
    run_flags::COMMANDS,
    seal::COMMANDS,
    shell::COMMANDS,
    token::COMMANDS,
    upstream_authority::COMMANDS,
    why::COMMANDS,
    x509::COMMANDS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use steeple_cli::{Environment, Kind, Streams, Values};

    /// Something that a command accepts, or `None` for flags that name files or exclude others.
    fn sample(flag: &Flag) -> Option<String> {
        let value = match flag.name {
            "config" | "data" | "file" | "node" | "path" | "trustDomainBundlePath" | "write" => return None,
            "bundleEndpointProfile" => "https_web",
            "expiresBefore" => "2000-01-01 00:00:00 +0000 -00",
            "format" | "trustDomainBundleFormat" => "pem",
            "keyType" => "ec-p256",
            "kind" => "x509",
            "level" => "debug",
            "matchFederatesWithOn" | "matchSelectorsOn" => "exact",
            "mode" => "delete",
            "output" => "json",
            "parentID" | "spiffeID" => "spiffe://example.org/x",
            "selector" => "unix:uid:1",
            "signingAlgorithm" => "ES256",
            "until" => "2099-12-31",
            _ if flag.kind == Kind::Bool => return Some(format!("-{}", flag.name)),
            _ if matches!(flag.kind, Kind::Int(_)) => "7",
            _ if matches!(flag.kind, Kind::Duration(_) | Kind::ToldDuration(_)) => "1s",
            _ => "x",
        };
        Some(format!("-{}={value}", flag.name))
    }

    #[test]
    fn the_table_is_well_formed() {
        for name in ["x", "spire-server"] {
            let table = Program { name: OWN_NAME, ..program_with(name, "wit-svid") };
            let mut problems = table.problems();
            // Examples are under our own name, with our own flags.
            problems.retain(|problem| name == "x" || !problem.starts_with("healthcheck: "));
            assert_eq!(problems, Vec::<String>::new());
        }
        assert_eq!((program("spire-server").name, program("x").name), ("spire-server", "steeple-server"));
    }

    #[test]
    fn a_feature_flag_adds_its_commands() {
        let paths = |flags| program_with("x", flags).commands().map(|command| command.path).collect::<Vec<_>>();
        assert!(paths("a wit-svid").contains(&"wit mint"));
        for without in ["", "wit", "wit-svids"] {
            assert!(!paths(without).contains(&"wit mint") && paths(without).contains(&"jwt mint"), "{without}");
        }
    }

    /// An example of a client of the server gets as far as the network, or to the file that it names: no flag is
    /// missing, and no value is wrong.
    #[tokio::test]
    async fn every_example_gets_as_far_as_the_network() {
        let program = program_with("x", "wit-svid");
        for args in program.commands().flat_map(|command| program.examples(command)) {
            let run = program.select(&args).unwrap();
            let Action::Remote(remote) = run.command.action else { continue };
            let stdin = if run.command.path == "entry apply" { "{\"entries\": []}" } else { "{\"keys\": []}" };
            let (streams, captured) = Streams::captured(stdin);
            let mut call = Call { values: run.values, environment: Environment::default(), streams };
            let failure = remote(&mut call, steeple_cli::connect(Path::new("/nonexistent/x.sock"))).await;
            let text = format!("{}{}", captured.stderr(), failure.expect_err("there is no server"));
            // The last: it read standard input, which here has no bundle of that form.
            let reached =
                ["connection error", "determine health", "o such file", "could not find", "no authorities found"];
            assert!(reached.iter().any(|reached| text.contains(reached)), "{args:?}: {text}");
        }
    }

    /// Every flag is accepted and read as what it is declared; without a socket, a command gets as far as dialling.
    #[tokio::test]
    async fn every_command_gets_as_far_as_the_network() {
        let for_bundle_set = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem();
        for command in program_with("x", "wit-svid").commands() {
            let remote = match command.action {
                Action::Remote(remote) => remote,
                Action::Local(_) | Action::OidcProvider | Action::Run | Action::Validate => continue,
            };
            if ["entry apply", "why"].contains(&command.path) {
                continue; // They look at what they are given first.
            }
            // `entry show` takes an entry's ID or a filter, not both.
            let fits = |flag: &Flag| (command.path, flag.name) != ("entry show", "entryID");
            let args: Vec<String> = command.flags().filter(fits).filter_map(|flag| sample(&flag)).collect();
            let values = Values::parse(command.flags(), &args).unwrap();
            let (streams, captured) = Streams::captured(&for_bundle_set);
            let mut call = Call { values, environment: Environment::default(), streams };
            let failure = remote(&mut call, steeple_cli::connect(Path::new("/nonexistent/x.sock"))).await.unwrap_err();
            let text = format!("{}{failure}", captured.stderr());
            let dialled =
                text.contains("code = Unavailable desc = connection error") || text.contains("determine health");
            assert!(dialled, "{}: {text}", command.path);
        }
    }
}
