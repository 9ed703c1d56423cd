//! `validate`.

use std::process::ExitCode;

use super::RunFlags;

pub(super) fn validate(flags: &RunFlags) -> ExitCode {
    match flags.load_with_any_plugin() {
        Ok(loaded) => {
            for notice in loaded.notices {
                println!("{}", notice.message);
            }
            println!("SPIRE agent configuration file is valid.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("{}", error.validation_report("agent"));
            ExitCode::FAILURE
        }
    }
}
