//! `logger get|set|reset`.

use steeple_api::server::logger::logger_client::LoggerClient;
use steeple_api::server::logger::{GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest};
use steeple_cli::{Call, Command, Context, Failure, Flag, Help, log_level, print_logger};
use tonic::transport::Channel;

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "logger get",
        synopsis: "Shows the log level",
        help: Help::spire("Shows the log level.", &[("Show it", "steeple-server logger get")]),
        flags: &[COMMON_FLAGS],
        action: remote!(get),
    },
    Command {
        path: "logger reset",
        synopsis: "Restores the log level of the configuration",
        help: Help::spire(
            "Restores the log level of the configuration.",
            &[("Restore it", "steeple-server logger reset")],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(reset),
    },
    Command {
        path: "logger set",
        synopsis: "Changes the log level",
        help: Help::spire(
            "Changes the log level of the server that answers, until it restarts.",
            &[("See more", "steeple-server logger set -level debug")],
        )
        .next("`logger reset` when done."),
        flags: &[COMMON_FLAGS, LEVEL],
        action: remote!(set),
    },
];

const LEVEL: &[Flag] = &[Flag::text("level", "panic, fatal, error, warn, info, debug or trace")];

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
