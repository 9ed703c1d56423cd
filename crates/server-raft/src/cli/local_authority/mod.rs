//! `localauthority x509|jwt show|prepare|activate|taint|revoke`.

mod jwt;
mod print;
mod x509;

use steeple_cli::{Command, Failure, Flag, Values};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "localauthority jwt activate",
        synopsis: "Signs with a prepared JWT authority from now on",
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(jwt::activate),
    },
    Command {
        path: "localauthority jwt prepare",
        synopsis: "Makes and publishes a new JWT authority",
        flags: &[COMMON_FLAGS],
        action: remote!(jwt::prepare),
    },
    Command {
        path: "localauthority jwt revoke",
        synopsis: "Removes a tainted JWT authority from the bundle",
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(jwt::revoke),
    },
    Command {
        path: "localauthority jwt show",
        synopsis: "Shows the JWT authorities",
        flags: &[COMMON_FLAGS],
        action: remote!(jwt::show),
    },
    Command {
        path: "localauthority jwt taint",
        synopsis: "Marks an old JWT authority as not to be trusted",
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(jwt::taint),
    },
    Command {
        path: "localauthority x509 activate",
        synopsis: "Signs with a prepared X.509 authority from now on",
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(x509::activate),
    },
    Command {
        path: "localauthority x509 prepare",
        synopsis: "Makes and publishes a new X.509 authority",
        flags: &[COMMON_FLAGS],
        action: remote!(x509::prepare),
    },
    Command {
        path: "localauthority x509 revoke",
        synopsis: "Removes a tainted X.509 authority from the bundle",
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(x509::revoke),
    },
    Command {
        path: "localauthority x509 show",
        synopsis: "Shows the X.509 authorities",
        flags: &[COMMON_FLAGS],
        action: remote!(x509::show),
    },
    Command {
        path: "localauthority x509 taint",
        synopsis: "Marks an old X.509 authority as not to be trusted",
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(x509::taint),
    },
];

const AUTHORITY: &[Flag] = &[Flag::text("authorityID", "The authority, as `show` prints it")];

fn authority_id(values: &Values) -> Result<String, Failure> {
    let id = values.text_if_any("authorityID").ok_or_else(|| Failure::message("an authority ID is required"))?;
    Ok(id.to_owned())
}
