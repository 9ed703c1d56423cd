//! `completion bash|fish|zsh` and `man`, written from the table that `-h` is written from.

use std::io::Write;

use steeple_cli::{Call, Command, Failure, Group, Help, Page, Shell};

use super::Action;
use super::table::program;

pub(super) const GROUP: Group = Group { path: "completion", synopsis: "Completion of command lines" };

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "completion bash",
        synopsis: "Prints the script for bash: source <(steeple-agent completion bash)",
        help: Help::ours(
            "Prints the script that completes commands and flags in bash. The Debian package installs it already.",
            &[
                ("For this shell", "source <(steeple-agent completion bash)"),
                (
                    "For good, as root",
                    "steeple-agent completion bash > /usr/share/bash-completion/completions/steeple-agent",
                ),
            ],
        ),
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Bash)),
    },
    Command {
        path: "completion fish",
        synopsis: "Prints the script for fish: steeple-agent completion fish | source",
        help: Help::ours(
            "Prints the script that completes commands and flags in fish. The Debian package installs it already.",
            &[
                ("For this shell", "steeple-agent completion fish | source"),
                ("For good", "steeple-agent completion fish > ~/.config/fish/completions/steeple-agent.fish"),
            ],
        ),
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Fish)),
    },
    Command {
        path: "completion zsh",
        synopsis: "Prints the script for zsh: source <(steeple-agent completion zsh)",
        help: Help::ours(
            "Prints the script that completes commands and flags in zsh. The Debian package installs it already.",
            &[
                ("For this shell", "source <(steeple-agent completion zsh)"),
                (
                    "For good, as root",
                    "steeple-agent completion zsh > /usr/share/zsh/vendor-completions/_steeple-agent",
                ),
            ],
        ),
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Zsh)),
    },
    Command {
        path: "man",
        synopsis: "Prints the manual page: steeple-agent man | man -l -",
        help: Help::ours(
            "Prints the manual page: every command with its flags and examples, files, environment and exit codes. For \
             machines without the package, which installs it.",
            &[("Read it", "steeple-agent man | man -l -")],
        ),
        flags: &[],
        action: Action::Local(manual),
    },
];

fn completion(call: &mut Call, shell: Shell) -> Result<(), Failure> {
    Ok(call.streams.stdout.write_all(program("").completion(shell).as_bytes())?)
}

fn manual(call: &mut Call) -> Result<(), Failure> {
    Ok(call.streams.stdout.write_all(program("").manual(&PAGE).as_bytes())?)
}

const PAGE: Page = Page {
    about: "gives the workloads of its node their SPIFFE identities, compatible with SPIRE",
    description: &[
        "steeple-agent runs once on every node. It attests the node to a server, keeps the identities that are meant \
         for its workloads, and hands each workload its own over the Workload API, as Envoy's SDS, or in files \
         (`helper`).",
        "It works with Steeple's servers and with SPIRE's, and reads SPIRE's configuration files. Called as \
         spire-agent it behaves the same; called as spiffe-helper it is `helper`.",
    ],
    files: &[
        (
            "/etc/steeple/agent.conf",
            "The configuration of the packaged service. `run` without -config reads \
             conf/agent/agent.conf in the working directory.",
        ),
        (
            "/tmp/spire-agent/public/api.sock",
            "The Workload API, where neither a flag nor the configuration names \
             another socket. Every workload may open it.",
        ),
        ("/tmp/spire-agent/private/admin.sock", "The admin socket that `debug` and `logger` ask."),
    ],
    environment: &[
        (
            "SPIRE_AGENT_PUBLIC_SOCKET",
            "The Workload API that `api` and `healthcheck` ask, where -socketPath is not \
             given.",
        ),
        ("SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE", "A path with %i in it, which -instance replaces."),
        ("SPIFFE_ENDPOINT_SOCKET", "Where `helper` finds the Workload API, where its file does not say it."),
        ("NOTIFY_SOCKET, WATCHDOG_USEC", "systemd's: `run` says when it is ready, and that it is alive."),
        ("any other", "With -expandEnv, $VARIABLE and ${VARIABLE} in the configuration file."),
    ],
    exit: &[
        ("0", "Success."),
        ("1", "Failure. Standard error says what it was and, where that is known, what to do."),
        ("127", "There is no such command."),
    ],
    examples: &[
        (
            "An agent with a join token, and what a workload of it gets",
            "steeple-agent run -serverAddress 10.0.0.1 \
             -serverPort 8081 -trustDomain example.org \\\n    -trustBundle bundle.pem -joinTokenFile join-token &\n\
          steeple-agent api fetch x509",
        ),
        ("Whether it is well", "steeple-agent healthcheck -verbose"),
    ],
    see_also: &["steeple-server(8)", "docs/helper.md, docs/sds.md and docs/push.md of the source"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_manual_page() {
        assert_eq!(program("").page_problems(&PAGE), Vec::<String>::new());
        steeple_testkit::assert_committed("deploy/man/steeple-agent.8", &program("").manual(&PAGE));
    }

    #[test]
    fn committed_reference_of_commands() {
        steeple_testkit::assert_committed_part("docs/commands.md", "steeple-agent", &program("").reference());
    }
}
