//! `localauthority x509|jwt show|prepare|activate|taint|revoke`.

mod jwt;
mod print;
mod x509;

use steeple_cli::{Command, Failure, Flag, Help, Values};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "localauthority jwt activate",
        synopsis: "Signs with a prepared JWT authority from now on",
        help: Help::spire(
            "Signs with the prepared JWT authority from now on. It waits for nobody: `ca rotate` waits until agents \
             know it.",
            &[("Activate it", "steeple-server localauthority jwt activate -authorityID 3f1c9a")],
        ),
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(jwt::activate),
    },
    Command {
        path: "localauthority jwt prepare",
        synopsis: "Makes and publishes a new JWT authority",
        help: Help::spire(
            "Makes and publishes a new JWT authority, which does not sign yet.",
            &[("Prepare one", "steeple-server localauthority jwt prepare")],
        )
        .next("Wait until agents hold the bundle (`ca status`), then `localauthority jwt activate`."),
        flags: &[COMMON_FLAGS],
        action: remote!(jwt::prepare),
    },
    Command {
        path: "localauthority jwt revoke",
        synopsis: "Removes a tainted JWT authority from the bundle",
        help: Help::spire(
            "Removes a tainted JWT authority from the bundle: nothing that it signed is trusted then.",
            &[("Revoke it", "steeple-server localauthority jwt revoke -authorityID 3f1c9a")],
        ),
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(jwt::revoke),
    },
    Command {
        path: "localauthority jwt show",
        synopsis: "Shows the JWT authorities",
        help: Help::spire(
            "Shows the JWT authorities: active, prepared and old.",
            &[("Show them", "steeple-server localauthority jwt show")],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(jwt::show),
    },
    Command {
        path: "localauthority jwt taint",
        synopsis: "Marks an old JWT authority as not to be trusted",
        help: Help::spire(
            "Marks an old JWT authority as not to be trusted: agents replace what it signed.",
            &[("Taint it", "steeple-server localauthority jwt taint -authorityID 3f1c9a")],
        )
        .next("Wait until agents have replaced it (`ca status`), then `localauthority jwt revoke`."),
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(jwt::taint),
    },
    Command {
        path: "localauthority x509 activate",
        synopsis: "Signs with a prepared X.509 authority from now on",
        help: Help::spire(
            "Signs with the prepared X.509 authority from now on. It waits for nobody: `ca rotate` waits until \
             agents know it.",
            &[("Activate it", "steeple-server localauthority x509 activate -authorityID 3f1c9a")],
        ),
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(x509::activate),
    },
    Command {
        path: "localauthority x509 prepare",
        synopsis: "Makes and publishes a new X.509 authority",
        help: Help::spire(
            "Makes and publishes a new X.509 authority, which does not sign yet.",
            &[("Prepare one", "steeple-server localauthority x509 prepare")],
        )
        .next("Wait until agents hold the bundle (`ca status`), then `localauthority x509 activate`."),
        flags: &[COMMON_FLAGS],
        action: remote!(x509::prepare),
    },
    Command {
        path: "localauthority x509 revoke",
        synopsis: "Removes a tainted X.509 authority from the bundle",
        help: Help::spire(
            "Removes a tainted X.509 authority from the bundle: nothing that it signed is trusted then.",
            &[("Revoke it", "steeple-server localauthority x509 revoke -authorityID 3f1c9a")],
        ),
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(x509::revoke),
    },
    Command {
        path: "localauthority x509 show",
        synopsis: "Shows the X.509 authorities",
        help: Help::spire(
            "Shows the X.509 authorities: active, prepared and old.",
            &[("Show them", "steeple-server localauthority x509 show")],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(x509::show),
    },
    Command {
        path: "localauthority x509 taint",
        synopsis: "Marks an old X.509 authority as not to be trusted",
        help: Help::spire(
            "Marks an old X.509 authority as not to be trusted: agents replace what it signed.",
            &[("Taint it", "steeple-server localauthority x509 taint -authorityID 3f1c9a")],
        )
        .next("Wait until agents have replaced it (`ca status`), then `localauthority x509 revoke`."),
        flags: &[COMMON_FLAGS, AUTHORITY],
        action: remote!(x509::taint),
    },
];

const AUTHORITY: &[Flag] = &[Flag::text("authorityID", "The authority, as `show` prints it")];

fn authority_id(values: &Values) -> Result<String, Failure> {
    let id = values.text_if_any("authorityID").ok_or_else(|| Failure::message("an authority ID is required"))?;
    Ok(id.to_owned())
}
