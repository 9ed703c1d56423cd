//! The life of the agent: command line, settings, log, identity, sync, sockets, and an orderly end.

use std::process::ExitCode;

use steeple_agent::app::App;
use steeple_agent::cli::{Outcome, start};
use steeple_cli::{arguments, one_line_of};

fn main() -> ExitCode {
    let args = match arguments() {
        Ok(args) => args,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let flags = match start(&args) {
        Outcome::Exit(code) => return code,
        Outcome::Run(flags) => flags,
    };
    let loaded = match flags.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            // SPIRE names unknown keys in its log, which is standard output, and on standard error says that there are
            // some: scripts compare the latter.
            for hint in error.hints() {
                println!("{hint}");
            }
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match App::new(loaded).and_then(App::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = one_line_of(&*error);
            tracing::error!(error, "Agent crashed");
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
