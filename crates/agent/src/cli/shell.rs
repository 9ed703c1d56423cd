//! `completion bash|fish|zsh` and `man`, written from the table that `-h` is written from.

use std::io::Write;

use steeple_cli::{Call, Command, Failure, Group, Shell};

use super::Action;
use super::table::program;

pub(super) const GROUP: Group = Group { path: "completion", synopsis: "Completion of command lines" };

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "completion bash",
        synopsis: "Prints the script for bash: source <(steeple-agent completion bash)",
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Bash)),
    },
    Command {
        path: "completion fish",
        synopsis: "Prints the script for fish: steeple-agent completion fish | source",
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Fish)),
    },
    Command {
        path: "completion zsh",
        synopsis: "Prints the script for zsh: source <(steeple-agent completion zsh)",
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Zsh)),
    },
    Command {
        path: "man",
        synopsis: "Prints the manual page: steeple-agent man | man -l -",
        flags: &[],
        action: Action::Local(manual),
    },
];

fn completion(call: &mut Call, shell: Shell) -> Result<(), Failure> {
    Ok(call.streams.stdout.write_all(program("").completion(shell).as_bytes())?)
}

fn manual(call: &mut Call) -> Result<(), Failure> {
    Ok(call.streams.stdout.write_all(program("").manual(ABOUT).as_bytes())?)
}

const ABOUT: &str = "gives the workloads of its node their SPIFFE identities, compatible with SPIRE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_manual_page() {
        steeple_testkit::assert_committed("deploy/man/steeple-agent.8", &program("").manual(ABOUT));
    }
}
