//! What a command's help says beyond its flags, as data: what it is for, examples, what its exit code means, and what
//! comes next. Help, manual page and `docs/commands.md` are written from it.

use std::fmt::Write as _;

/// The part of a command's declaration that teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Help {
    pub origin: Origin,
    /// What it does and when it is wanted: whole sentences.
    pub about: &'static str,
    /// What stands behind the flags, such as `ID`; empty where nothing does.
    pub words: &'static str,
    pub examples: &'static [Example],
    /// What the exit code means, beyond 0 for success and 1 for failure: whole sentences, or nothing.
    pub exit: &'static str,
    /// What to do afterwards: whole sentences, or nothing.
    pub next: &'static str,
}

/// Whose command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// SPIRE has none of that name: its help begins with what it is for.
    Ours,
    /// Its help begins with the flags, as SPIRE's does.
    Spire,
}

/// What is wanted, without a full stop, and the line of shell that does it.
pub type Example = (&'static str, &'static str);

impl Help {
    pub const fn ours(about: &'static str, examples: &'static [Example]) -> Self {
        Self { origin: Origin::Ours, about, words: "", examples, exit: "", next: "" }
    }

    pub const fn spire(about: &'static str, examples: &'static [Example]) -> Self {
        Self { origin: Origin::Spire, ..Self::ours(about, examples) }
    }

    pub const fn words(self, words: &'static str) -> Self {
        Self { words, ..self }
    }

    pub const fn exit(self, exit: &'static str) -> Self {
        Self { exit, ..self }
    }

    pub const fn next(self, next: &'static str) -> Self {
        Self { next, ..self }
    }

    /// Of SPIRE's commands none minds a word that it does not read.
    pub(crate) fn takes_no_words(&self) -> bool {
        self.origin == Origin::Ours && self.words.is_empty()
    }

    /// Around `flags`, the usage in the layout of Go.
    pub(crate) fn around(&self, flags: &str) -> String {
        let about = wrapped(self.about);
        let mut text = match self.origin {
            Origin::Ours => format!("{about}\n{flags}"),
            Origin::Spire => format!("{flags}\n{about}"),
        };
        for (title, sentences) in [("Exit status", self.exit), ("Next", self.next)] {
            if !sentences.is_empty() {
                let _ = write!(text, "\n{}", wrapped(&format!("{title}: {sentences}")));
            }
        }
        if !self.examples.is_empty() {
            text += "\nExamples:\n";
        }
        for (what, line) in self.examples {
            let _ = write!(text, "\n  # {what}\n  {line}\n");
        }
        text
    }

    /// What is wrong with the texts themselves.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.about.is_empty() {
            problems.push("nothing says what it is for".to_owned());
        }
        if self.examples.is_empty() {
            problems.push("it has no example".to_owned());
        }
        for sentences in [self.about, self.exit, self.next] {
            if !sentences.is_empty() && !sentences.ends_with('.') || sentences.contains('\n') {
                problems.push(format!("{sentences:?} is no row of sentences"));
            }
        }
        for (what, line) in self.examples {
            if what.is_empty() || what.ends_with('.') || line.lines().any(|line| line.len() > EXAMPLE_BYTES_MAX) {
                problems.push(format!("{what:?}: {line:?} is no text without a full stop with a line that fits"));
            }
        }
        problems
    }
}

/// Lines for a terminal. None of them looks like a flag: scripts read flags from lines that begin with a dash.
pub(crate) fn wrapped(sentences: &str) -> String {
    let mut lines = vec![String::new()];
    for word in sentences.split(' ') {
        let line = lines.last_mut().expect("one line at least");
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH && !word.starts_with('-') {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The invocations of `program` in a line of shell: quotes, and operators between words, are as much of its grammar as
/// examples need.
pub(crate) fn invocations(program: &str, line: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut is_open = false;
    for token in tokens(line) {
        match token {
            Token::Operator => is_open = false,
            Token::Word(word) if is_open => found.last_mut().expect("an open invocation").push(word),
            Token::Word(word) if word == program => {
                found.push(Vec::new());
                is_open = true;
            }
            Token::Word(_) => {}
        }
    }
    found
}

enum Token {
    Operator,
    Word(String),
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (Some('"') | None, '\\') => match letters.next() {
                None | Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => tokens.extend(word.take().map(Token::Word)),
            (None, '\n' | '|' | '>' | '<' | '&' | ';' | '(' | ')') => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Operator);
            }
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

/// Columns of a help text.
const WIDTH: usize = 100;
/// With the indentation it fits into the lines of the documents.
const EXAMPLE_BYTES_MAX: usize = 116;

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: Help =
        Help::ours("Does it.", &[("Do it", "prog do -x 1")]).exit("2 if it was done before.").next("Look at it.");

    #[test]
    fn ours_says_first_what_it_is_for_and_spires_the_flags() {
        let rest = "\nExit status: 2 if it was done before.\n\nNext: Look at it.\n\nExamples:\n\n  # Do it\n  \
                    prog do -x 1\n";
        assert_eq!(HELP.around("Usage of do:\n"), format!("Does it.\n\nUsage of do:\n{rest}"));
        let spire = Help { origin: Origin::Spire, ..HELP };
        assert_eq!(spire.around("Usage of do:\n"), format!("Usage of do:\n\nDoes it.\n{rest}"));
    }

    #[test]
    fn lines_are_short_and_look_like_no_flags() {
        let words = vec!["-flag word"; 60].join(" ");
        let text = wrapped(&words);
        assert!(text.lines().count() > 4 && text.lines().all(|line| line.len() <= WIDTH + 6), "{text}");
        assert!(text.lines().skip(1).all(|line| !line.starts_with('-')), "{text}");
        assert_eq!(text.replace('\n', " ").trim_end(), words);
    }

    #[test]
    fn a_line_of_shell_is_read_as_the_shell_does() {
        let line = "sudo prog a -x 'b c' \"d\\\"e\" \\\n  f|cut -d' ' -f2>out; source <(prog z) && other prog";
        let found = invocations("prog", line);
        let expected: [&[&str]; 3] = [&["a", "-x", "b c", "d\"e", "f"], &["z"], &[]];
        assert_eq!(found, expected);
        assert!(invocations("prog", "other 'prog a'").is_empty());
    }

    #[test]
    fn texts_are_checked() {
        assert!(HELP.problems().is_empty());
        assert_eq!(Help::ours("", &[]).problems().len(), 2);
        assert_eq!(Help::ours("No sentence", &[("Do it.", "prog")]).problems().len(), 2);
    }
}
