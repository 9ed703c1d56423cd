//! `federation create|update|show|list|delete|refresh`.

mod change;
mod data;
mod print;
mod query;

use steeple_cli::{Command, Flag, Help};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "federation create",
        synopsis: "Creates relationships with other trust domains",
        help: Help::spire(
            "Creates a relationship with another trust domain, whose bundle the servers then fetch and keep.",
            &[
                (
                    "With a web certificate",
                    "steeple-server federation create -trustDomain other.test -bundleEndpointProfile https_web \\\n  \
                     -bundleEndpointURL https://other.test/bundle",
                ),
                (
                    "With a SPIFFE certificate, and its first bundle",
                    "steeple-server federation create -trustDomain other.test -bundleEndpointProfile https_spiffe \
                     \\\n    -bundleEndpointURL https://other.test:8443 -endpointSpiffeID \
                     spiffe://other.test/spire/server \\\n    -trustDomainBundlePath other.bundle \
                     -trustDomainBundleFormat spiffe",
                ),
            ],
        )
        .next("`federation refresh -id other.test` fetches the bundle at once and says what is wrong."),
        flags: &[COMMON_FLAGS, data::FLAGS],
        action: remote!(change::create),
    },
    Command {
        path: "federation delete",
        synopsis: "Deletes a relationship; the bundle stays",
        help: Help::spire(
            "Deletes a relationship. The bundle that was fetched stays until `bundle delete`.",
            &[("End it", "steeple-server federation delete -id other.test")],
        ),
        flags: &[COMMON_FLAGS, ID],
        action: remote!(change::delete),
    },
    Command {
        path: "federation list",
        synopsis: "Lists relationships",
        help: Help::spire(
            "Lists relationships with other trust domains.",
            &[("All", "steeple-server federation list")],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(query::list),
    },
    Command {
        path: "federation refresh",
        synopsis: "Fetches a trust domain's bundle now",
        help: Help::spire(
            "Fetches a trust domain's bundle now, rather than at its next turn, and says what is wrong.",
            &[("Fetch it", "steeple-server federation refresh -id other.test")],
        ),
        flags: &[COMMON_FLAGS, ID],
        action: remote!(query::refresh),
    },
    Command {
        path: "federation show",
        synopsis: "Shows one relationship",
        help: Help::spire(
            "Shows one relationship with the bundle that is there.",
            &[("One", "steeple-server federation show -trustDomain other.test")],
        ),
        flags: &[COMMON_FLAGS, &[Flag::text("trustDomain", "Name of the other trust domain")]],
        action: remote!(query::show),
    },
    Command {
        path: "federation update",
        synopsis: "Replaces relationships",
        help: Help::spire(
            "Replaces a relationship: every field is what the flags say.",
            &[(
                "Another address",
                "steeple-server federation update -trustDomain other.test -bundleEndpointProfile https_web \\\n  \
                 -bundleEndpointURL https://new.other.test/bundle",
            )],
        ),
        flags: &[COMMON_FLAGS, data::FLAGS],
        action: remote!(change::update),
    },
];

const ID: &[Flag] = &[Flag::text("id", "The other trust domain")];
