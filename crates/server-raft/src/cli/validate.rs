//! `validate`.

use std::process::ExitCode;

use super::RunFlags;

pub(super) fn validate(flags: &RunFlags) -> ExitCode {
    match flags.load() {
        Ok(loaded) => {
            for notice in loaded.notices {
                println!("{}", notice.message);
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
