//! `api fetch|fetch x509|fetch jwt|validate jwt|watch`: what a workload with the caller's identity would get.

mod client;
mod fetch_jwt;
mod fetch_x509;
mod print;
mod validate_jwt;
mod watch;

use steeple_cli::{Command, Flag, Kind, OUTPUT, OutputFormat};
use steeple_config::GoDuration;

use super::Action;
use super::table::{PUBLIC_SOCKET_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "api fetch",
        synopsis: "Fetches X509-SVIDs, as `api fetch x509` does",
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, X509, JWT],
        action: Action::Public("", remote!(fetch_x509::fetch)),
    },
    Command {
        path: "api fetch jwt",
        synopsis: "Fetches a JWT-SVID",
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, JWT],
        action: Action::Public("", remote!(fetch_jwt::fetch)),
    },
    Command {
        path: "api fetch x509",
        synopsis: "Fetches X509-SVIDs",
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, X509],
        action: Action::Public("", remote!(fetch_x509::fetch)),
    },
    Command {
        path: "api validate jwt",
        synopsis: "Checks a JWT-SVID",
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, VALIDATE],
        action: Action::Public("", remote!(validate_jwt::validate)),
    },
    Command {
        path: "api watch",
        synopsis: "Prints X509-SVIDs whenever they change",
        flags: &[PUBLIC_SOCKET_FLAGS],
        action: Action::Public("", remote!(watch::watch)),
    },
];

const COMMON: &[Flag] =
    &[OUTPUT, Flag::told_duration("timeout", GoDuration::from_secs(5), "How long to wait for each answer")];

const X509: &[Flag] = &[
    Flag::bool("silent", "Print nothing"),
    Flag::text("write", "Directory to write SVIDs, keys and bundles to; not with -output json"),
];

const JWT: &[Flag] = &[
    Flag::comma_texts("audience", "Whom the token is for, separated by commas"),
    Flag { name: "format", kind: Kind::Output(OutputFormat::Pretty), help: "Older name of -output" },
    Flag::text("spiffeID", "Only a token for this SPIFFE ID"),
];

const VALIDATE: &[Flag] =
    &[Flag::text("audience", "Whom the token must be for"), Flag::text("svid", "The JWT-SVID to check")];
