//! From arguments to an exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use steeple_cli::{Call, Failure, Values};
use steeple_config::SERVER_CONFIG_PATH;

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
            action @ (Action::Run | Action::Validate) => match run_flags(&invocation.values, SERVER_CONFIG_PATH) {
                Err(refusal) => {
                    let _ = writeln!(std::io::stderr(), "Error: {refusal}");
                    Outcome::Exit(ExitCode::FAILURE)
                }
                Ok(flags) if matches!(action, Action::Run) => Outcome::Run(Box::new(flags)),
                Ok(flags) => Outcome::Exit(validate::validate(&flags)),
            },
        },
    }
}

/// A word may stand where the configuration file was meant. SPIRE ignores it and asks for its default file, and so does
/// this server where there is one: without a file it would found another trust domain.
fn run_flags(values: &Values, default_file: &str) -> Result<RunFlags, String> {
    let flags = RunFlags::of(values);
    let Some(word) = values.rest().first().filter(|_| flags.config.is_none()) else { return Ok(flags) };
    if !Path::new(default_file).exists() {
        return Err(format!("unexpected argument {word:?}: name a file with -config"));
    }
    let _ = writeln!(std::io::stderr(), "warning: {word:?} and what follows are ignored; reading {default_file}");
    Ok(RunFlags { config: Some(default_file.into()), ..flags })
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

    #[test]
    fn a_word_is_ignored_where_the_default_file_is() {
        let words = ["run", "config", "other.conf"].map(str::to_owned);
        let values = program_with("steeple-server", "").select(&words).unwrap().values;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.conf");
        let refused = run_flags(&values, file.to_str().unwrap()).unwrap_err();
        assert_eq!(refused, "unexpected argument \"config\": name a file with -config");
        std::fs::write(&file, "").unwrap();
        assert_eq!(run_flags(&values, file.to_str().unwrap()).unwrap().config, Some(file));
    }
}
