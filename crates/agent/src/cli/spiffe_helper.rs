//! `helper`: what spiffe-helper does, also under that name.

use steeple_cli::Command;

use super::Action;
use crate::spiffe_helper::FLAGS;

/// What a program is called as that is this command and nothing else.
pub(super) const OTHER_NAME: &str = "spiffe-helper";

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: PATH,
    synopsis: "Keeps SVIDs and bundles in files, as spiffe-helper does",
    flags: &[FLAGS],
    action: Action::SpiffeHelper,
}];

pub(super) const PATH: &str = "helper";
