//! `completion bash|fish|zsh` and `man`, written from the table that `-h` is written from.

use std::io::Write;

use steeple_cli::{Call, Command, Failure, Group, Help, Page, Shell};

use super::Action;
use super::table::program;

pub(super) const GROUP: Group = Group { path: "completion", synopsis: "Completion of command lines" };

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "completion bash",
        synopsis: "Prints the script for bash: source <(steeple-server completion bash)",
        help: Help::ours(
            "Prints the script that completes commands and flags in bash. The Debian package installs it already.",
            &[
                ("For this shell", "source <(steeple-server completion bash)"),
                (
                    "For good, as root",
                    "steeple-server completion bash > /usr/share/bash-completion/completions/steeple-server",
                ),
            ],
        ),
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Bash)),
    },
    Command {
        path: "completion fish",
        synopsis: "Prints the script for fish: steeple-server completion fish | source",
        help: Help::ours(
            "Prints the script that completes commands and flags in fish. The Debian package installs it already.",
            &[
                ("For this shell", "steeple-server completion fish | source"),
                ("For good", "steeple-server completion fish > ~/.config/fish/completions/steeple-server.fish"),
            ],
        ),
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Fish)),
    },
    Command {
        path: "completion zsh",
        synopsis: "Prints the script for zsh: source <(steeple-server completion zsh)",
        help: Help::ours(
            "Prints the script that completes commands and flags in zsh. The Debian package installs it already.",
            &[
                ("For this shell", "source <(steeple-server completion zsh)"),
                (
                    "For good, as root",
                    "steeple-server completion zsh > /usr/share/zsh/vendor-completions/_steeple-server",
                ),
            ],
        ),
        flags: &[],
        action: Action::Local(|call| completion(call, Shell::Zsh)),
    },
    Command {
        path: "man",
        synopsis: "Prints the manual page: steeple-server man | man -l -",
        help: Help::ours(
            "Prints the manual page: every command with its flags and examples, files, environment and exit codes. For \
             machines without the package, which installs it.",
            &[("Read it", "steeple-server man | man -l -")],
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
    about: "a highly available SPIFFE identity server, compatible with SPIRE",
    description: &[
        "steeple-server gives workloads SPIFFE identities: it attests nodes, keeps registration entries and signs \
         SVIDs. Three or five of them are one cluster that replicates all of this, the sealed CA keys included; one \
         alone is a cluster of one, and needs no configuration.",
        "It speaks SPIRE's APIs and reads SPIRE's configuration files. Called as spire-server it behaves the same.",
        "`run` is the server. All other commands are its clients, over the admin socket of a server on this machine, \
         or work on files without one: `backup inspect|list|verify`, `restore`, `recover`, `log inspect`, `audit \
         show`, `seal migrate` and `validate`.",
        "Any replica may be asked. What changes something goes to the leader, and is refused while there is none. \
         `-output json` prints what programs can read.",
    ],
    files: &[
        (
            "/etc/steeple/server.conf",
            "The configuration of the packaged service. `run` without -config reads \
             conf/server/server.conf in the working directory, and takes defaults where that is missing.",
        ),
        (
            "/etc/steeple/sealing.key",
            "The sealing key of the packaged service (`cluster.sealing_key_path`), mode 0600. \
             Without it neither data directory nor backup can be opened: keep a copy elsewhere.",
        ),
        ("/var/lib/steeple/server", "The data directory of the packaged service (`data_dir`; ./data by default)."),
        (
            "/tmp/spire-server/private/api.sock",
            "The admin socket, where no flag, variable or configuration names \
             another. Whoever may open it is an administrator.",
        ),
    ],
    environment: &[
        ("SPIRE_SERVER_PRIVATE_SOCKET", "The admin socket that commands ask, where -socketPath is not given."),
        ("SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE", "A path with %i in it, which -instance replaces."),
        ("SPIRE_SERVER_FFLAGS", "Feature flags of the command line: wit-svid adds `wit mint`."),
        ("PGPASSWORD", "The password with which `import` reads a PostgreSQL datastore."),
        (
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3",
            "How backups in buckets are \
             reached, where the configuration does not say it.",
        ),
        ("NOTIFY_SOCKET, WATCHDOG_USEC", "systemd's: `run` says when it is ready, and that it is alive."),
        ("any other", "With -expandEnv, $VARIABLE and ${VARIABLE} in the configuration file."),
    ],
    exit: &[
        ("0", "Success. With -output json also where items of a batch were refused: the answer says which."),
        ("1", "Failure. Standard error says what it was and, where that is known, what to do."),
        (
            "3",
            "`run` only: this server was removed from its cluster. It is not to be started again on this data \
             directory; with an empty one it joins anew.",
        ),
        ("127", "There is no such command."),
    ],
    examples: &[
        (
            "A server without configuration, and the first workload",
            "steeple-server run &\n\
          steeple-server bundle show > bundle.pem\n\
          steeple-server token generate -spiffeID spiffe://example.org/node\n\
          steeple-server entry create -parentID spiffe://example.org/node \\\n    \
          -spiffeID spiffe://example.org/web -selector unix:uid:1000",
        ),
        ("How a cluster is", "steeple-server cluster status && steeple-server ca status"),
        ("Why a workload gets no identity", "steeple-server why spiffe://example.org/web"),
        (
            "Before and after anything daring",
            "steeple-server backup create -path /mnt/backups/before.backup\n\
          steeple-server backup verify -path /mnt/backups/before.backup -config /etc/steeple/server.conf",
        ),
    ],
    see_also: &[
        "steeple-agent(8)",
        "systemd.service(5)",
        "docs/commands.md, docs/cluster.md, docs/backup.md, docs/ca.md \
         and docs/runbook.md of the source",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_manual_page() {
        assert_eq!(program("").page_problems(&PAGE), Vec::<String>::new());
        steeple_testkit::assert_committed("deploy/man/steeple-server.8", &program("").manual(&PAGE));
    }

    #[test]
    fn committed_reference_of_commands() {
        steeple_testkit::assert_committed_part("docs/commands.md", "steeple-server", &program("").reference());
    }
}
