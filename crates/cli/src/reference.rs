//! The part of `docs/commands.md` that is written from the table of commands.

use std::fmt::Write as _;

use crate::{Command, Origin, Program};

impl<A> Program<A> {
    /// A section of Markdown for each command that SPIRE has not.
    pub fn reference(&self) -> String {
        let mut commands: Vec<_> = self.commands().filter(|command| command.help.origin == Origin::Ours).collect();
        commands.sort_unstable_by_key(|command| command.path);
        commands.iter().map(|command| section(self.name, command)).collect()
    }
}

fn section<A>(program: &str, command: &Command<A>) -> String {
    let help = &command.help;
    let heading = [program, command.path, help.words].join(" ");
    let mut text = format!("### `{}`\n\n{}", heading.trim_end(), filled(help.about));
    for (title, sentences) in [("Exit status", help.exit), ("Next", help.next)] {
        if !sentences.is_empty() {
            let _ = write!(text, "\n{}", filled(&format!("{title}: {sentences}")));
        }
    }
    text += "\n```sh\n";
    for (what, line) in help.examples {
        // Writing to a string cannot fail.
        let _ = write!(text, "# {what}\n{line}\n");
    }
    text + "```\n\n"
}

/// Lines as the documents have them. None begins with what would make a list of it.
fn filled(sentences: &str) -> String {
    let mut text = String::new();
    let mut line_bytes = 0;
    for word in sentences.split(' ') {
        if line_bytes > 0 && line_bytes + 1 + word.len() > LINE_BYTES_MAX && !word.starts_with(['-', '#', '*', '+']) {
            text.push('\n');
            line_bytes = 0;
        } else if line_bytes > 0 {
            text.push(' ');
            line_bytes += 1;
        }
        text.push_str(word);
        line_bytes += word.len();
    }
    text + "\n"
}

const LINE_BYTES_MAX: usize = 110;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flag, Help};

    #[test]
    fn what_spire_has_is_not_in_it() {
        const OURS: Help =
            Help::ours("Does it.", &[("Do it", "prog do -x"), ("Again", "prog do")]).words("WORD").next("Look.");
        static COMMANDS: [Command<u8>; 2] = [
            Command { path: "do", synopsis: "Does", help: OURS, flags: &[&[Flag::bool("x", "X")]], action: 0 },
            Command { path: "run", synopsis: "Runs", help: Help::spire("Runs.", &[]), flags: &[], action: 0 },
        ];
        static LISTS: [&[Command<u8>]; 1] = [&COMMANDS];
        let program = Program { name: "prog", version: "1", groups: &[], commands: &LISTS };
        let expected = "### `prog do WORD`\n\nDoes it.\n\nNext: Look.\n\n```sh\n# Do it\nprog do -x\n# Again\nprog do\n\
                        ```\n\n";
        assert_eq!(program.reference(), expected);
    }

    #[test]
    fn lines_fit() {
        let text = filled(&vec!["word"; 90].join(" "));
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= LINE_BYTES_MAX), "{text}");
    }
}
