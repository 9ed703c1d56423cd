//! `import`: what a SPIRE server knew, into this one; `import publish`: this server's roots, into that one.

mod batches;
mod publish;
mod report;
mod run;
mod send;

use steeple_cli::{Command, Flag};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "import",
        synopsis: "Brings entries, agents, bundles, join tokens and CA keys of a SPIRE server's datastore",
        flags: &[COMMON_FLAGS, FLAGS],
        action: remote!(run::import),
    },
    Command {
        path: "import publish",
        synopsis: "Publishes this server's roots and JWT keys in the bundle of an old server",
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
