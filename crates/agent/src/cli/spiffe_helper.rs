//! `helper`: what spiffe-helper does, also under that name.

use steeple_cli::{Command, Help};

use super::Action;
use crate::spiffe_helper::FLAGS;

/// What a program is called as that is this command and nothing else.
pub(super) const OTHER_NAME: &str = "spiffe-helper";

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: PATH,
    synopsis: "Keeps SVIDs and bundles in files, as spiffe-helper does",
    help: Help::ours(
        "Keeps SVIDs and bundles in files and tells programs when they change, as spiffe-helper does and with its \
         configuration. For programs that know no Workload API. Called as spiffe-helper the program is this alone.",
        &[
            ("With its configuration", "steeple-agent helper -config helper.conf"),
            ("Once, for an init container", "steeple-agent helper -config helper.conf -daemon-mode=false"),
        ],
    ),
    flags: &[FLAGS],
    action: Action::SpiffeHelper,
}];

pub(super) const PATH: &str = "helper";
