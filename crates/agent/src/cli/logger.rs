//! `logger get|set|reset`.

use steeple_api::agent::logger::logger_client::LoggerClient;
use steeple_api::agent::logger::{GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest};
use steeple_cli::{Call, Command, Context, Failure, Flag, Help, OUTPUT, log_level, print_logger};
use tonic::transport::Channel;

use super::Action;
use super::table::{ADMIN_SOCKET_FLAG, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "logger get",
        synopsis: "Shows the log level",
        help: Help::spire("Shows the log level.", &[("Show it", "steeple-agent logger get")]),
        flags: &[FLAGS],
        action: Action::Admin(remote!(get)),
    },
    Command {
        path: "logger reset",
        synopsis: "Restores the log level of the configuration",
        help: Help::spire(
            "Restores the log level of the configuration.",
            &[("Restore it", "steeple-agent logger reset")],
        ),
        flags: &[FLAGS],
        action: Action::Admin(remote!(reset)),
    },
    Command {
        path: "logger set",
        synopsis: "Changes the log level",
        help: Help::spire(
            "Changes the log level until the agent restarts.",
            &[("See more", "steeple-agent logger set -level debug")],
        )
        .next("`logger reset` when done."),
        flags: &[FLAGS, &[Flag::text("level", "panic, fatal, error, warn, info, debug or trace")]],
        action: Action::Admin(remote!(set)),
    },
];

const FLAGS: &[Flag] = &[ADMIN_SOCKET_FLAG, OUTPUT];

async fn get(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let logger = LoggerClient::new(channel).get_logger(GetLoggerRequest {}).await;
    call.print(&logger.context("error fetching logger")?.into_inner(), print_logger)
}

async fn set(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let level = log_level(call.values.text("level"))?;
    let logger = LoggerClient::new(channel).set_log_level(SetLogLevelRequest { new_level: level.into() }).await;
    call.print(&logger.context("failed to set log level")?.into_inner(), print_logger)
}

async fn reset(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let logger = LoggerClient::new(channel).reset_log_level(ResetLogLevelRequest {}).await;
    call.print(&logger.context("failed to reset log level")?.into_inner(), print_logger)
}
