//! Manual pages in the macros of `man(7)`, written from the table of commands.

use std::fmt::Write as _;

use crate::help::invocations;
use crate::usage::described;
use crate::{Command, Example, Flag, Help, Program};

/// What a program's page says beside its commands.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Completes "NAME - ...".
    pub about: &'static str,
    /// Paragraphs.
    pub description: &'static [&'static str],
    /// Paths, and what is there.
    pub files: &'static [(&'static str, &'static str)],
    pub environment: &'static [(&'static str, &'static str)],
    pub exit: &'static [(&'static str, &'static str)],
    /// Of what takes several commands.
    pub examples: &'static [Example],
    /// Other pages, and where the documents are.
    pub see_also: &'static [&'static str],
}

impl<A> Program<A> {
    /// The program's page in section 8.
    pub fn manual(&self, page: &Page) -> String {
        let name = escaped(self.name);
        let mut text = format!(
            ".\\\" Written from the table of commands: do not edit.\n\
             .TH {} 8 \"\" \"Steeple {}\" \"System administration\"\n\
             .SH NAME\n{name} \\- {}\n\
             .SH SYNOPSIS\n.B {name}\n.I command\n.RI [ flags ]\n.br\n.B {name} help\n.I command\n\
             .SH DESCRIPTION\n",
            escaped(&self.name.to_uppercase()),
            escaped(self.version),
            escaped(page.about),
        );
        for paragraph in page.description {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}\n.PP\n", escaped(paragraph));
        }
        let _ = write!(
            text,
            "Flags come after the command, with one dash or two, as\n.B \\-name value\nor\n.BR \\-name=value .\n\
             .B {name} \\-h\nlists the commands,\n.B {name} help\n.I command\nor\n.B {name}\n.I command\n.B \\-h\n\
             tells what one is for, its flags and examples.\n"
        );
        text += ".SH COMMANDS\n";
        let mut commands: Vec<_> = self.commands().collect();
        commands.sort_unstable_by_key(|command| command.path);
        commands.iter().for_each(|command| put_command(&mut text, command));
        put_terms(&mut text, "FILES", page.files);
        put_terms(&mut text, "ENVIRONMENT", page.environment);
        put_terms(&mut text, "EXIT STATUS", page.exit);
        text += ".SH EXAMPLES\n";
        put_examples(&mut text, page.examples);
        let _ = write!(text, ".SH SEE ALSO\n{}\n", escaped(&page.see_also.join(", ")));
        text
    }

    /// What `page` itself says wrong: its examples have to parse.
    pub fn page_problems(&self, page: &Page) -> Vec<String> {
        let runs = page.examples.iter().flat_map(|(_, line)| invocations(self.name, line));
        let refused = runs.filter_map(|args| Some((args.join(" "), self.select(&args).err()?.text)));
        refused.map(|(line, text)| format!("{line}: {text}")).collect()
    }
}

fn put_command<A>(text: &mut String, command: &Command<A>) {
    let Help { about, words, examples, exit, next, .. } = command.help;
    let heading = [command.path, words].join(" ");
    let _ = write!(text, ".SS \"{}\"\n{}\n", escaped(heading.trim_end()), escaped(about));
    let mut flags: Vec<Flag> = command.flags().collect();
    flags.sort_by_key(|flag| flag.name);
    for flag in flags {
        let (argument, default) = described(flag.kind);
        let argument = argument.trim_start();
        let argument = if argument.is_empty() { String::new() } else { format!(" \\fI{argument}\\fR") };
        let help = escaped(&format!("{}{default}", flag.help));
        let _ = write!(text, ".TP\n\\fB\\-{}\\fR{argument}\n{help}\n", escaped(flag.name));
    }
    for (title, sentences) in [("Exit status", exit), ("Next", next)] {
        if !sentences.is_empty() {
            let _ = write!(text, ".PP\n{title}: {}\n", escaped(sentences));
        }
    }
    put_examples(text, examples);
}

fn put_examples(text: &mut String, examples: &[Example]) {
    for (what, line) in examples {
        let lines: Vec<String> = line.lines().map(escaped).collect();
        let _ = write!(text, ".PP\n{}:\n.PP\n.in +4n\n.EX\n{}\n.EE\n.in\n", escaped(what), lines.join("\n"));
    }
}

fn put_terms(text: &mut String, title: &str, terms: &[(&str, &str)]) {
    let _ = writeln!(text, ".SH {title}");
    for (term, meaning) in terms {
        let _ = write!(text, ".TP\n.B {}\n{}\n", escaped(term), escaped(meaning));
    }
}

/// As text: a backslash begins a request in a line, a dot or an apostrophe one at its start.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;

    const PAGE: Page = Page {
        about: "does things",
        description: &["It is one program."],
        files: &[("/etc/prog.conf", "What it reads.")],
        environment: &[("PROG", "Its name.")],
        exit: &[("0", "Success.")],
        examples: &[("Both", "the-prog run && the-prog entry create -ttl 9")],
        see_also: &["other(8)"],
    };

    #[test]
    fn a_page_has_every_command_with_its_flags_and_examples() {
        static COMMANDS: [Command<u8>; 2] = [
            Command {
                path: "run",
                synopsis: "Runs it",
                help: Help::ours("Runs it.", &[("Run it", "the-prog run \\\n    word")])
                    .words("WORD")
                    .exit("2 if not."),
                flags: &[],
                action: 0,
            },
            Command {
                path: "entry create",
                synopsis: "Creates",
                help: Help::spire(".Creates.", &[]),
                flags: &[&[Flag::int("ttl", 5, "Seconds, not C:\\"), Flag::bool("dry-run", "Only says")]],
                action: 0,
            },
        ];
        static LISTS: [&[Command<u8>]; 1] = [&COMMANDS];
        let program = Program { name: "the-prog", version: "1.2", groups: &[], commands: &LISTS };
        let page = program.manual(&PAGE);
        let commands = "\
.SS \"entry create\"
\\&.Creates.
.TP
\\fB\\-dry\\-run\\fR
Only says
.TP
\\fB\\-ttl\\fR \\fIint\\fR
Seconds, not C:\\e (default 5)
.SS \"run WORD\"
Runs it.
.PP
Exit status: 2 if not.
.PP
Run it:
.PP
.in +4n
.EX
the\\-prog run \\e
    word
.EE
.in
.SH FILES
.TP
.B /etc/prog.conf
What it reads.
";
        assert!(page.contains(commands), "{page}");
        assert!(page.contains(".SH NAME\nthe\\-prog \\- does things\n"), "{page}");
        assert!(page.ends_with(".SH SEE ALSO\nother(8)\n"), "{page}");
        assert!(program.page_problems(&PAGE).is_empty());
        let wrong = Page { examples: &[("Wrong", "the-prog run | the-prog dance")], ..PAGE };
        assert_eq!(program.page_problems(&wrong).len(), 1);
    }
}
