//! `oidc-discovery-provider`: SPIRE's separate program, here a command and another name of this one.

use steeple_cli::Command;

use super::table::Action;

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: PROGRAM,
    synopsis: "Runs an OIDC discovery provider for a trust domain's JWT-SVIDs",
    flags: &[&steeple_oidc::FLAGS],
    action: Action::OidcProvider,
}];

/// SPIRE's name for it.
pub(super) const PROGRAM: &str = "oidc-discovery-provider";
