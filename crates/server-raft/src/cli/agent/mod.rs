//! `agent list|show|count|ban|evict|purge`.

mod by_id;
mod count;
mod filter;
mod list;
mod print;
mod purge;

pub(super) use list::fetch_all;
use steeple_cli::{Command, Help};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "agent ban",
        synopsis: "Bans an agent: it keeps its record and can never attest again",
        help: Help::spire(
            "Bans an agent: its connections end, its record stays, and it can never attest again. For a node that is \
             in foreign hands; `agent evict` lets it come back.",
            &[
                ("Ban one", "steeple-server agent ban -spiffeID spiffe://example.org/spire/agent/join_token/node-1"),
                ("Which are banned", "steeple-server agent list -banned true"),
            ],
        )
        .next(
            "Rotate what the node could read: `ca rotate` if it was a server, the secrets of its workloads in any \
             case.",
        ),
        flags: &[COMMON_FLAGS, by_id::FLAGS],
        action: remote!(by_id::ban),
    },
    Command {
        path: "agent count",
        synopsis: "Counts attested agents",
        help: Help::spire(
            "Counts attested agents, all or those that fit the filters.",
            &[
                ("All of them", "steeple-server agent count"),
                (
                    "Those that came by join token and can never attest again",
                    "steeple-server agent count -attestationType join_token -canReattest false",
                ),
            ],
        ),
        flags: &[COMMON_FLAGS, filter::FLAGS],
        action: remote!(count::count),
    },
    Command {
        path: "agent evict",
        synopsis: "Removes an agent: it has to attest again",
        help: Help::spire(
            "Removes an agent: it loses its identity and has to attest again. For a node that is gone, or whose \
             attestation is to be repeated.",
            &[("Evict one", "steeple-server agent evict -spiffeID spiffe://example.org/spire/agent/join_token/node-1")],
        )
        .next("One that attested by join token needs a new one: `token generate`."),
        flags: &[COMMON_FLAGS, by_id::FLAGS],
        action: remote!(by_id::evict),
    },
    Command {
        path: "agent list",
        synopsis: "Lists attested agents",
        help: Help::spire(
            "Lists attested agents, all or those that fit the filters.",
            &[
                ("All of them", "steeple-server agent list"),
                (
                    "Those that expire before a date, for a script",
                    "steeple-server agent list -expiresBefore \"2026-12-31 00:00:00 +0000 +00\" -output json",
                ),
                (
                    "Those on nodes of one kind",
                    "steeple-server agent list -selector x509pop:subject:cn:web -matchSelectorsOn superset",
                ),
            ],
        ),
        flags: &[COMMON_FLAGS, filter::FLAGS],
        action: remote!(list::list),
    },
    Command {
        path: "agent purge",
        synopsis: "Removes agents that expired some time ago and are able to attest again",
        help: Help::spire(
            "Removes agents that expired some time ago and are able to attest again, so that lists show what is \
             there. Agents that cannot attest again are left alone.",
            &[
                ("Look first", "steeple-server agent purge -expiredFor 720h -dryRun"),
                ("Then do it", "steeple-server agent purge -expiredFor 720h"),
            ],
        ),
        flags: &[COMMON_FLAGS, purge::FLAGS],
        action: remote!(purge::purge),
    },
    Command {
        path: "agent show",
        synopsis: "Shows one agent with its selectors",
        help: Help::spire(
            "Shows one agent with its selectors, which node aliases are matched against.",
            &[("One agent", "steeple-server agent show -spiffeID spiffe://example.org/spire/agent/join_token/node-1")],
        ),
        flags: &[COMMON_FLAGS, by_id::FLAGS],
        action: remote!(by_id::show),
    },
];
