//! `validate`.

use std::process::ExitCode;

use steeple_telemetry::log;

use super::RunFlags;

pub(super) fn validate(flags: &RunFlags) -> ExitCode {
    let loaded = flags.load_with_any_plugin().map_err(|error| {
        error.hints_beside().iter().for_each(|hint| println!("{hint}"));
        error.validation_report(PROGRAM)
    });
    match loaded.and_then(|loaded| log::refusal_of(&loaded.settings.log, PROGRAM).map_or(Ok(loaded), Err)) {
        Ok(loaded) => {
            // Scripts compare standard output with SPIRE's one line.
            for notice in loaded.notices {
                eprintln!("{}", notice.message);
            }
            println!("SPIRE agent configuration file is valid.");
            ExitCode::SUCCESS
        }
        Err(report) => {
            eprint!("{report}");
            ExitCode::FAILURE
        }
    }
}

const PROGRAM: &str = "agent";
