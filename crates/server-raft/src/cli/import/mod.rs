//! `import`: what a SPIRE server knew, into this one; `import publish`: this server's roots, into that one.

mod batches;
mod publish;
mod report;
mod run;
mod send;

use steeple_cli::{Command, Flag, Help};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "import",
        synopsis: "Brings entries, agents, bundles, join tokens and CA keys of a SPIRE server's datastore",
        help: Help::ours(
            "Brings entries, agents, bundles, join tokens and CA keys of a SPIRE server's datastore into this \
             cluster, so that agents and workloads go on. The datastore is only read.",
            &[
                (
                    "Rehearse: what would become of each record",
                    "steeple-server import -from sqlite:datastore.sqlite3 -keys keys.json -dry-run",
                ),
                (
                    "Do it, from PostgreSQL",
                    "PGPASSWORD=... steeple-server import -from 'postgres://spire@db.example.org/spire' -keys \
                     keys.json",
                ),
            ],
        )
        .exit(
            "1 when a record was refused or is in conflict; the report names each. What is there already is left \
             alone, so it may be repeated.",
        )
        .next("docs/migration.md has the cut-over, and the way back: `import publish`."),
        flags: &[COMMON_FLAGS, FLAGS],
        action: remote!(run::import),
    },
    Command {
        path: "import publish",
        synopsis: "Publishes this server's roots and JWT keys in the bundle of an old server",
        help: Help::ours(
            "Publishes this server's roots and JWT keys in the bundle of an old SPIRE server, so that what both sign \
             is trusted while both run.",
            &[(
                "In the server at that admin socket",
                "steeple-server import publish -to /tmp/spire-server/private/api.sock",
            )],
        ),
        flags: &[
            COMMON_FLAGS,
            &[Flag::text("to", "Admin socket of the old server, for example -to /tmp/spire-server/private/api.sock")],
        ],
        action: remote!(publish::publish),
    },
];

const FLAGS: &[Flag] = &[
    Flag::bool("allowInUse", "Import although another program has the datastore open: what it writes later is missed"),
    Flag::bool(
        "dry-run",
        "Only say what would be imported, for example: import -from sqlite:datastore.sqlite3 -dry-run",
    ),
    Flag::text(
        "from",
        "The datastore: sqlite:FILE or postgres://USER@HOST/DATABASE (password in the environment: PGPASSWORD)",
    ),
    Flag::texts("keys", "The keys.json of an old server's disk key manager; repeat it for several servers"),
    Flag::text("rootCAPath", "PEM file with the roots of the PostgreSQL server's certificate; default: the system's"),
];
