//! From arguments to an exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use steeple_cli::{Call, Failure, Values};

use super::table::{Action, FEATURE_FLAGS_ENV, Remote, SOCKET, program_with};
use super::{RunFlags, oidc, validate};

/// What main does next.
#[derive(Debug)]
pub enum Outcome {
    /// The command ran; end with this code.
    Exit(ExitCode),
    /// `run`: start the server.
    Run(Box<RunFlags>),
}

/// `args` begins with the name that the program was called as.
pub fn start(args: &[String]) -> Outcome {
    let called_as = args.first().map(String::as_str).unwrap_or_default();
    let name = Path::new(called_as).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name == oidc::PROGRAM {
        return Outcome::Exit(steeple_oidc::main(name, args.get(1..).unwrap_or_default()));
    }
    let feature_flags = std::env::var(FEATURE_FLAGS_ENV).unwrap_or_default();
    match program_with(name, &feature_flags).select(args.get(1..).unwrap_or_default()) {
        Err(exit) => {
            // With standard error gone there is nobody to tell.
            let _ = std::io::stderr().write_all(exit.text.as_bytes());
            Outcome::Exit(ExitCode::from(exit.code))
        }
        Ok(invocation) => match invocation.command.action {
            Action::Local(local) => Outcome::Exit(finish(Call::of_process(invocation.values), local)),
            Action::Remote(remote) => {
                Outcome::Exit(finish(Call::of_process(invocation.values), |call| ask(call, remote)))
            }
            Action::OidcProvider => Outcome::Exit(steeple_oidc::start(&invocation.values)),
            Action::Run | Action::Validate if let Some(stray) = stray(&invocation.values) => {
                let _ = writeln!(std::io::stderr(), "Error: unexpected argument {stray:?}: name a file with -config");
                Outcome::Exit(ExitCode::FAILURE)
            }
            Action::Run => Outcome::Run(Box::new(RunFlags::of(&invocation.values))),
            Action::Validate => Outcome::Exit(validate::validate(&RunFlags::of(&invocation.values))),
        },
    }
}

/// A word that stands where the configuration file was meant, perhaps. SPIRE ignores it and asks for its default file;
/// a server that starts without a file would found another trust domain.
fn stray(values: &Values) -> Option<&String> {
    values.rest().first().filter(|_| values.text_if_any("config").is_none())
}

fn finish(mut call: Call, run: impl FnOnce(&mut Call) -> Result<(), Failure>) -> ExitCode {
    let result = run(&mut call).and_then(|()| Ok(call.streams.stdout.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::FAILURE,
        Err(failure) => {
            let _ = writeln!(call.streams.stderr, "Error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn ask(call: &mut Call, remote: Remote) -> Result<(), Failure> {
    let socket = SOCKET.resolve(&call.values, &call.environment).map_err(Failure::message)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = steeple_cli::connect(&socket);
        remote(call, channel).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_place_of_the_file_is_refused() {
        let started = |words: &[&str]| start(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        for command in ["run", "validate"] {
            let refused = started(&["steeple-server", command, "server.conf"]);
            assert!(matches!(refused, Outcome::Exit(code) if code == ExitCode::FAILURE), "{refused:?}");
        }
        assert!(matches!(started(&["steeple-server", "run"]), Outcome::Run(_)));
        assert!(matches!(started(&["steeple-server", "run", "-config", "a.conf", "b.conf"]), Outcome::Run(_)));
    }
}
