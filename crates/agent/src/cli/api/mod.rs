//! `api fetch|fetch x509|fetch jwt|validate jwt|watch`: what a workload with the caller's identity would get.

mod client;
mod fetch_jwt;
mod fetch_x509;
mod print;
mod validate_jwt;
mod watch;

use steeple_cli::{Command, Flag, Help, Kind, OUTPUT, OutputFormat};
use steeple_config::GoDuration;

use super::Action;
use super::table::{PUBLIC_SOCKET_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "api fetch",
        synopsis: "Fetches X509-SVIDs, as `api fetch x509` does",
        help: Help::spire(
            "Fetches the X509-SVIDs that the calling process would get, as `api fetch x509` does.",
            &[
                ("What this user gets", "steeple-agent api fetch"),
                ("Only whether there are any", "steeple-agent api fetch -silent"),
            ],
        )
        .exit("1 when there is no identity for the caller."),
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, X509, JWT],
        action: Action::Public("", remote!(fetch_x509::fetch)),
    },
    Command {
        path: "api fetch jwt",
        synopsis: "Fetches a JWT-SVID",
        help: Help::spire(
            "Fetches a JWT-SVID for an audience.",
            &[
                ("For one audience", "steeple-agent api fetch jwt -audience reports"),
                ("For a script", "steeple-agent api fetch jwt -audience reports -output json"),
            ],
        ),
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, JWT],
        action: Action::Public("", remote!(fetch_jwt::fetch)),
    },
    Command {
        path: "api fetch x509",
        synopsis: "Fetches X509-SVIDs",
        help: Help::spire(
            "Fetches the X509-SVIDs that the calling process would get, with keys and bundles.",
            &[
                ("What this user gets", "steeple-agent api fetch x509"),
                ("To files", "steeple-agent api fetch x509 -write ./svids"),
                ("As another user", "sudo -u web steeple-agent api fetch x509"),
            ],
        )
        .exit("1 when there is no identity for the caller.")
        .next("`steeple-server why pid:N` tells what is missing."),
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, X509],
        action: Action::Public("", remote!(fetch_x509::fetch)),
    },
    Command {
        path: "api validate jwt",
        synopsis: "Checks a JWT-SVID",
        help: Help::spire(
            "Checks a JWT-SVID as a workload would: signature, audience, lifetime.",
            &[("Check one", "steeple-agent api validate jwt -audience reports -svid eyJhbGciOiJFUzI1NiJ9")],
        )
        .exit("1 when it is not valid."),
        flags: &[PUBLIC_SOCKET_FLAGS, COMMON, VALIDATE],
        action: Action::Public("", remote!(validate_jwt::validate)),
    },
    Command {
        path: "api watch",
        synopsis: "Prints X509-SVIDs whenever they change",
        help: Help::spire(
            "Prints X509-SVIDs whenever they change, until it is interrupted.",
            &[("Watch", "steeple-agent api watch")],
        )
        .exit("1, also when it is interrupted."),
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
