//! The table of commands and the choice of one, as `mitchellh/cli` (SPIRE's library) makes it.

use crate::help::invocations;
use crate::usage::usage;
use crate::{Flag, Help, Values};

/// A program: its name as it was called, and its commands. `A` is what the program does for a command.
#[derive(Clone, Copy, Debug)]
pub struct Program<A: 'static> {
    pub name: &'static str,
    pub version: &'static str,
    pub groups: &'static [Group],
    /// Lists, so that each group of commands stands next to its code.
    pub commands: &'static [&'static [Command<A>]],
}

/// A word that only holds further commands, such as `entry`.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Words separated by one space.
    pub path: &'static str,
    pub synopsis: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub struct Command<A> {
    /// Words separated by one space, such as `entry create`.
    pub path: &'static str,
    pub synopsis: &'static str,
    pub help: Help,
    /// Lists, so that commands share what they have in common.
    pub flags: &'static [&'static [Flag]],
    pub action: A,
}

/// A command that is to run.
#[derive(Clone, Debug)]
pub struct Invocation<A: 'static> {
    pub command: &'static Command<A>,
    pub values: Values,
}

/// The command line is dealt with already: print `text` on standard error and end with `code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub text: String,
    pub code: u8,
}

impl<A> Command<A> {
    pub fn flags(&self) -> impl Iterator<Item = Flag> + '_ {
        self.flags.iter().flat_map(|list| list.iter().copied())
    }

    pub fn usage(&self) -> String {
        usage(self.path, self.flags())
    }

    /// What `-h` prints.
    pub fn help(&self) -> String {
        match self.help.words {
            "" => self.help.around(&self.usage()),
            words => self.help.around(&usage(&format!("{} [flags] {words}", self.path), self.flags())),
        }
    }
}

impl<A> Program<A> {
    /// `args` without the program's name.
    pub fn select(&self, args: &[String]) -> Result<Invocation<A>, Exit> {
        let words = before_terminator(args);
        let help = words.iter().any(|word| is_one_of(word, &["-h", "-help", "--help"]));
        let Some(first) = words.iter().position(|word| !word.starts_with('-')) else {
            return Err(self.without_command(words, help));
        };
        if words[..first].iter().any(|word| is_version(word)) {
            return Err(self.version());
        }
        if let Some(flag) = words[..first].iter().find(|word| !is_one_of(word, &["-h", "-help", "--help"])) {
            let text = format!("{flag} stands before the command; put flags of a command behind it\n");
            return Err(Exit { text, code: EXIT_FAILURE });
        }
        let words = &args[first..];
        if let Some(asked) = words.strip_prefix(&["help".to_owned()]).filter(|asked| !asked.is_empty()) {
            return Err(self.help_on(asked));
        }
        let command = self.commands().filter(|command| starts_with_path(words, command.path));
        if let Some(command) = command.max_by_key(|command| command.path.len()) {
            return if help { Err(self.command_help(command)) } else { parse(command, words) };
        }
        let group = self.groups.iter().filter(|group| starts_with_path(words, group.path));
        match group.max_by_key(|group| group.path.len()) {
            Some(group) => Err(self.group_help(group, if help { 0 } else { EXIT_FAILURE })),
            None => Err(Exit { text: self.overview(), code: EXIT_UNKNOWN_COMMAND }),
        }
    }

    pub fn commands(&self) -> impl Iterator<Item = &'static Command<A>> + use<A> {
        self.commands.iter().copied().flatten()
    }

    /// The top level help.
    pub fn overview(&self) -> String {
        format!(
            "Usage: {name} [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n{}\n\
             `{name} help COMMAND` tells what a command is for, its flags and examples; `{name} man | man -l -` all.\n",
            self.children(""),
            name = self.name,
        )
    }

    /// What is wrong with the table itself, for a test of each program: paths given twice, words without a group, flags
    /// given twice, texts that are no sentence fragment, help that teaches nothing, examples that do not parse.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut paths: Vec<&str> = Vec::new();
        for command in self.commands() {
            let path = command.path;
            if paths.contains(&path) {
                problems.push(format!("{path} is there twice"));
            }
            paths.push(path);
            if let Some((above, _)) = path.rsplit_once(' ')
                && !self.groups.iter().any(|group| group.path == above)
                && !self.commands().any(|command| command.path == above)
            {
                problems.push(format!("{path} has no group"));
            }
            let mut names: Vec<&str> = command.flags().map(|flag| flag.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            if names.len() != count {
                problems.push(format!("{path} has a flag twice"));
            }
            let texts = command.flags().map(|flag| flag.help).chain([command.synopsis]);
            problems.extend(
                texts
                    .filter(|text| text.is_empty() || text.ends_with('.') || text.contains('\n'))
                    .map(|text| format!("{path}: {text:?} is not one line without a full stop")),
            );
            let help = command.help.problems().into_iter().chain(self.wrong_examples(command));
            problems.extend(help.map(|problem| format!("{path}: {problem}")));
        }
        problems
    }

    /// Each example runs this program, each command has one of itself, and all of it parses.
    fn wrong_examples(&self, command: &Command<A>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut shows_itself = command.help.examples.is_empty();
        for (_, line) in command.help.examples {
            let runs = invocations(self.name, line);
            if runs.is_empty() {
                problems.push(format!("{line:?} does not run {}", self.name));
            }
            for args in runs {
                match self.select(&args) {
                    Err(exit) => problems.push(format!("{line:?} is refused: {}", exit.text)),
                    Ok(run) if run.command.help.words.is_empty() && !run.values.rest().is_empty() => {
                        problems.push(format!("{line:?} has words that nothing reads: {:?}", run.values.rest()));
                    }
                    Ok(run) => shows_itself |= run.command.path == command.path,
                }
            }
        }
        if !shows_itself {
            problems.push("no example is of itself".to_owned());
        }
        problems
    }

    /// The lines of shell that the examples of `command` run this program with.
    pub fn examples(&self, command: &Command<A>) -> Vec<Vec<String>> {
        command.help.examples.iter().flat_map(|(_, line)| invocations(self.name, line)).collect()
    }

    fn help_on(&self, words: &[String]) -> Exit {
        let command = self.commands().filter(|command| starts_with_path(words, command.path));
        let group = self.groups.iter().filter(|group| starts_with_path(words, group.path));
        match (command.max_by_key(|command| command.path.len()), group.max_by_key(|group| group.path.len())) {
            (Some(command), _) => self.command_help(command),
            (None, Some(group)) => self.group_help(group, 0),
            (None, None) => Exit { text: self.overview(), code: EXIT_UNKNOWN_COMMAND },
        }
    }

    fn without_command(&self, words: &[String], help: bool) -> Exit {
        if words.iter().any(|word| is_version(word)) {
            return self.version();
        }
        Exit { text: self.overview(), code: if help { 0 } else { EXIT_UNKNOWN_COMMAND } }
    }

    fn version(&self) -> Exit {
        Exit { text: format!("{}\n", self.version), code: 0 }
    }

    fn command_help(&self, command: &Command<A>) -> Exit {
        let mut text = command.help();
        let children = self.children(command.path);
        if !children.is_empty() {
            text += &format!("\nSubcommands:\n{children}");
        }
        Exit { text, code: 0 }
    }

    fn group_help(&self, group: &Group, code: u8) -> Exit {
        let text = format!(
            "Usage: {name} {path} <subcommand> [<args>]\n\n{}\n\nSubcommands:\n{}\n\
             `{name} help {path} SUBCOMMAND` tells what one is for, its flags and examples.\n",
            group.synopsis,
            self.children(group.path),
            name = self.name,
            path = group.path,
        );
        Exit { text, code }
    }

    /// One line for each command or group directly below `path`.
    fn children(&self, path: &str) -> String {
        let lines = self.words_below(path);
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        lines.iter().map(|(name, synopsis)| format!("    {name:width$}    {synopsis}\n")).collect()
    }

    /// Commands and groups directly below `path`, in order.
    pub(crate) fn words_below(&self, path: &str) -> Vec<(&'static str, &'static str)> {
        let commands = self.commands().map(|command| (command.path, command.synopsis));
        let groups = self.groups.iter().map(|group| (group.path, group.synopsis));
        let mut words: Vec<_> = commands
            .chain(groups)
            .filter_map(|(child, synopsis)| Some((last_word_below(path, child)?, synopsis)))
            .collect();
        words.sort_unstable();
        words.dedup_by_key(|(name, _)| *name);
        words
    }
}

fn is_version(word: &str) -> bool {
    is_one_of(word, &["-v", "-version", "--version"])
}

fn parse<A>(command: &'static Command<A>, words: &[String]) -> Result<Invocation<A>, Exit> {
    let args = &words[command.path.split(' ').count()..];
    match Values::parse(command.flags(), args) {
        Ok(values) => match values.rest().first().filter(|_| command.help.takes_no_words()) {
            // Go stops at the first word, and SPIRE's commands with it: what stands behind is not read.
            Some(word) => {
                let path = command.path;
                let text = format!("nothing was done: {word:?} is no flag of `{path}`; flags begin with a dash\n");
                Err(Exit { text: text + &command.usage(), code: EXIT_FAILURE })
            }
            None => Ok(Invocation { command, values }),
        },
        Err(error) => Err(Exit { text: format!("{error}\n{}", command.usage()), code: EXIT_FAILURE }),
    }
}

fn before_terminator(args: &[String]) -> &[String] {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    &args[..end]
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.contains(&word)
}

fn starts_with_path(words: &[String], path: &str) -> bool {
    let mut words = words.iter();
    path.split(' ').all(|part| words.next().is_some_and(|word| word == part))
}

/// The name of `child` when it stands exactly one word below `path`.
fn last_word_below<'a>(path: &str, child: &'a str) -> Option<&'a str> {
    let rest = if path.is_empty() { child } else { child.strip_prefix(path)?.strip_prefix(' ')? };
    (!rest.contains(' ')).then_some(rest)
}

const EXIT_FAILURE: u8 = 1;
/// What `mitchellh/cli` answers to a command that it does not know.
const EXIT_UNKNOWN_COMMAND: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: Help = Help::ours("Creates one.", &[("Create one", "prog entry create")]);
    const RUN: Help = Help::ours("Runs it.", &[("Run it", "prog run")]);
    static COMMANDS: [Command<u8>; 4] = [
        Command {
            path: "api fetch",
            synopsis: "Fetches",
            help: Help::spire("Fetches it.", &[("Fetch it", "prog api fetch -silent")]).words("WORD"),
            flags: &[&[Flag::bool("silent", "No output")]],
            action: 1,
        },
        Command {
            path: "api fetch jwt",
            synopsis: "Fetches a JWT",
            help: Help::spire("Fetches one.", &[("Fetch one", "prog api fetch jwt -audience a | prog run")]),
            flags: &[&[Flag::text("audience", "For whom")]],
            action: 2,
        },
        Command { path: "entry create", synopsis: "Creates", help: CREATE, flags: &[], action: 3 },
        Command { path: "run", synopsis: "Runs", help: RUN, flags: &[], action: 4 },
    ];
    const PROGRAM: Program<u8> = Program {
        name: "prog",
        version: "1.2.3",
        groups: &[Group { path: "api", synopsis: "API" }, Group { path: "entry", synopsis: "Entries" }],
        commands: &[&COMMANDS],
    };

    fn select(line: &str) -> Result<Invocation<u8>, Exit> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        PROGRAM.select(&args)
    }

    fn code(line: &str) -> u8 {
        select(line).unwrap_err().code
    }

    #[test]
    fn the_longest_command_wins() {
        assert_eq!(select("api fetch -silent").unwrap().command.action, 1);
        let jwt = select("api fetch jwt -audience a").unwrap();
        assert_eq!((jwt.command.action, jwt.values.text("audience")), (2, "a"));
        assert_eq!(select("api fetch other").unwrap().values.rest(), ["other"]);
    }

    #[test]
    fn exit_codes_are_those_of_mitchellh_cli() {
        for (line, expected) in [
            ("", 127),
            ("dance", 127),
            ("dance -h", 127),
            ("entry", 1),
            ("entry dance", 1),
            ("entry -h", 0),
            ("--help", 0),
            ("--version", 0),
            ("-version run -x", 0),
            ("-x -v dance", 0),
            ("run -version", 1),
            ("run now", 1),
            ("entry create -- now", 1),
            ("run -help", 0),
            ("run -x", 1),
            ("-x run", 1),
            ("help", 127),
            ("help entry", 0),
            ("help entry create", 0),
            ("help dance", 127),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
        assert_eq!(select("--version").unwrap_err().text, "1.2.3\n");
    }

    #[test]
    fn help_lists_flags_and_subcommands() {
        let text = select("api fetch -help").unwrap_err().text;
        assert!(
            text.starts_with("Usage of api fetch [flags] WORD:\n  -silent\n")
                && text.contains("\n    jwt    Fetches a JWT\n"),
            "{text}"
        );
        assert_eq!(select("help api fetch").unwrap_err().text, text);
        let text = select("").unwrap_err().text;
        assert!(text.contains("\n    api      API\n    entry    Entries\n    run      Runs\n"), "{text}");
    }

    #[test]
    fn a_wrong_flag_prints_the_reason_before_the_usage() {
        let text = select("run -nonsense").unwrap_err().text;
        assert_eq!(text, "flag provided but not defined: -nonsense\nUsage of run:\n");
    }

    #[test]
    fn a_table_is_checked() {
        assert!(PROGRAM.problems().is_empty(), "{:?}", PROGRAM.problems());
        const FLAGS: &[Flag] = &[Flag::text("a", "A"), Flag::text("a", "A.")];
        const EXAMPLES: Help = Help::ours(
            "Does it.",
            &[
                ("Words that nothing reads", "prog x y word"),
                ("No such flag", "prog x y -b c"),
                ("Another program", "gorp x y"),
                ("Another one behind it", "prog x y | prog dance"),
            ],
        );
        static BAD: [Command<u8>; 2] = [
            Command { path: "x y", synopsis: "", help: EXAMPLES, flags: &[FLAGS], action: 0 },
            Command { path: "x y", synopsis: "S", help: Help::ours("", &[]), flags: &[], action: 0 },
        ];
        static LISTS: [&[Command<u8>]; 1] = [&BAD];
        let problems = Program { groups: &[], commands: &LISTS, ..PROGRAM }.problems();
        assert_eq!(problems.len(), 12, "{problems:?}");
    }

    #[test]
    fn help_after_the_terminator_is_an_argument() {
        assert_eq!(select("api fetch -- -h").unwrap().values.rest(), ["-h"]);
    }
}
