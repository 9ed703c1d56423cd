//! `oidc-discovery-provider`: SPIRE's separate program, here a command and another name of this one.

use steeple_cli::{Command, Help};

use super::table::Action;

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: PROGRAM,
    synopsis: "Runs an OIDC discovery provider for a trust domain's JWT-SVIDs",
    help: Help::ours(
        "Runs an OIDC discovery provider, with which relying parties that know no SPIFFE verify JWT-SVIDs. A process \
         of its own, beside a server or an agent; called as oidc-discovery-provider the program is this alone.",
        &[("With its configuration", "steeple-server oidc-discovery-provider -config oidc-discovery-provider.conf")],
    ),
    flags: &[&steeple_oidc::FLAGS],
    action: Action::OidcProvider,
}];

/// SPIRE's name for it.
pub(super) const PROGRAM: &str = "oidc-discovery-provider";
