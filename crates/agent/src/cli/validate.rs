//! `validate`.

use std::process::ExitCode;

use super::RunFlags;

pub(super) fn validate(flags: &RunFlags) -> ExitCode {
    match flags.load_with_any_plugin() {
        Ok(loaded) => {
            // Scripts compare standard output with SPIRE's one line.
            for notice in loaded.notices {
                eprintln!("{}", notice.message);
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
