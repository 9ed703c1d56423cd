//! From arguments to an exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use steeple_cli::{Call, Failure};

use super::table::{Action, PUBLIC_SOCKET, Remote, program};
use super::{RunFlags, spiffe_helper, validate};

/// What main does next.
#[derive(Debug)]
pub enum Outcome {
    /// The command ran; end with this code.
    Exit(ExitCode),
    /// `run`: start the agent.
    Run(Box<RunFlags>),
}

/// `args` begins with the name that the program was called as.
pub fn start(args: &[String]) -> Outcome {
    let called_as = args.first().map(String::as_str).unwrap_or_default();
    let name = Path::new(called_as).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let command = (name == spiffe_helper::OTHER_NAME).then(|| spiffe_helper::PATH.to_owned());
    let args: Vec<String> = command.into_iter().chain(args.iter().skip(1).cloned()).collect();
    let invocation = match program(name).select(&args) {
        Ok(invocation) => invocation,
        Err(exit) => {
            // With standard error gone there is nobody to tell.
            let _ = std::io::stderr().write_all(exit.text.as_bytes());
            return Outcome::Exit(ExitCode::from(exit.code));
        }
    };
    match invocation.command.action {
        Action::Admin(remote) => {
            let call = Call::of_process(invocation.values);
            let socket = PathBuf::from(call.values.text("socketPath"));
            Outcome::Exit(finish(call, "Error: ", |call| ask(call, &socket, remote)))
        }
        Action::Local(local) => Outcome::Exit(finish(Call::of_process(invocation.values), "Error: ", local)),
        Action::Public(before_error, remote) => {
            let call = Call::of_process(invocation.values);
            Outcome::Exit(finish(call, before_error, |call| {
                let socket = PUBLIC_SOCKET.resolve(&call.values, &call.environment).map_err(Failure::message)?;
                ask(call, &socket, remote)
            }))
        }
        Action::Run => Outcome::Run(Box::new(RunFlags::of(&invocation.values))),
        Action::SpiffeHelper => Outcome::Exit(crate::spiffe_helper::run(&invocation.values)),
        Action::Validate => Outcome::Exit(validate::validate(&RunFlags::of(&invocation.values))),
    }
}

fn finish(mut call: Call, before_error: &str, run: impl FnOnce(&mut Call) -> Result<(), Failure>) -> ExitCode {
    match run(&mut call).and_then(|()| Ok(call.streams.stdout.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::FAILURE,
        Err(failure) => {
            let _ = writeln!(call.streams.stderr, "{before_error}{failure}");
            ExitCode::FAILURE
        }
    }
}

fn ask(call: &mut Call, socket: &Path, remote: Remote) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = steeple_cli::connect(socket);
        remote(call, channel).await
    })
}
