//! `validate`.

use std::process::ExitCode;

use super::RunFlags;

pub(super) fn validate(flags: &RunFlags) -> ExitCode {
    match flags.load() {
        Ok(loaded) => {
            // Scripts compare standard output with SPIRE's one line.
            for notice in loaded.notices {
                eprintln!("{}", notice.message);
            }
            println!("SPIRE server configuration file is valid.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("{}", error.validation_report("server"));
            ExitCode::FAILURE
        }
    }
}
