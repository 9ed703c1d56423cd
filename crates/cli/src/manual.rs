//! Manual pages in the macros of `man(7)`, written from the table of commands.

use std::fmt::Write as _;

use crate::usage::described;
use crate::{Flag, Program};

impl<A> Program<A> {
    /// The program's page in section 8. `about` completes "NAME - ...".
    pub fn manual(&self, about: &str) -> String {
        let name = escaped(self.name);
        let mut page = format!(
            ".\\\" Written from the table of commands: do not edit.\n\
             .TH {} 8 \"\" \"Steeple {}\" \"System administration\"\n\
             .SH NAME\n{name} \\- {}\n\
             .SH SYNOPSIS\n.B {name}\n.I command\n.RI [ flags ]\n\
             .SH DESCRIPTION\nFlags come after the command, with one dash or two, as\n.B \\-name value\nor\n\
             .BR \\-name=value .\n.B {name} \\-h\nlists the commands,\n.B {name}\n.I command\n.B \\-h\n\
             the flags of one.\n\
             .SH COMMANDS\n",
            escaped(&self.name.to_uppercase()),
            escaped(self.version),
            escaped(about),
        );
        let mut commands: Vec<_> = self.commands().collect();
        commands.sort_unstable_by_key(|command| command.path);
        for command in commands {
            // Writing to a string cannot fail.
            let _ = write!(page, ".SS \"{}\"\n{}.\n", escaped(command.path), escaped(command.synopsis));
            let mut flags: Vec<Flag> = command.flags().collect();
            flags.sort_by_key(|flag| flag.name);
            for flag in flags {
                let (argument, default) = described(flag.kind);
                let argument = argument.trim_start();
                let argument = if argument.is_empty() { String::new() } else { format!(" \\fI{argument}\\fR") };
                let text = escaped(&format!("{}{default}", flag.help));
                let _ = write!(page, ".TP\n\\fB\\-{}\\fR{argument}\n{text}\n", escaped(flag.name));
            }
        }
        page += ".SH EXIT STATUS\n0 on success, 1 on failure, 127 if there is no such command.\n";
        page
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

    #[test]
    fn a_page_has_every_command_with_its_flags() {
        static COMMANDS: [Command<u8>; 2] = [
            Command { path: "run", synopsis: "Runs it", flags: &[], action: 0 },
            Command {
                path: "entry create",
                synopsis: ".Creates",
                flags: &[&[Flag::int("ttl", 5, "Seconds, not C:\\"), Flag::bool("dry-run", "Only says")]],
                action: 0,
            },
        ];
        static LISTS: [&[Command<u8>]; 1] = [&COMMANDS];
        let program = Program { name: "the-prog", version: "1.2", groups: &[], commands: &LISTS };
        let page = program.manual("does things");
        let commands = "\
.SS \"entry create\"
\\&.Creates.
.TP
\\fB\\-dry\\-run\\fR
Only says
.TP
\\fB\\-ttl\\fR \\fIint\\fR
Seconds, not C:\\e (default 5)
.SS \"run\"
Runs it.
";
        assert!(page.contains(commands), "{page}");
        assert!(page.contains(".SH NAME\nthe\\-prog \\- does things\n"), "{page}");
    }
}
