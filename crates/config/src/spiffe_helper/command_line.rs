//! `cmd_args`: arguments as spiffe-helper takes them apart, which is one line of comma-separated values with blanks in
//! the place of the commas.

/// Why `cmd_args` cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    #[error("bare \" in an argument without quotes: put the argument in quotes and double the \" in it")]
    BareQuote,
    #[error("extraneous or missing \" in a quoted argument: a \" in it is doubled, and a blank follows its end")]
    Quote,
    #[error("it has more than one line: put a line feed in quotes")]
    Lines,
}

/// One blank stands between two arguments: two in a row have an empty argument between them. Quotes stand around an
/// argument as a whole, and a doubled one in it is one.
pub(super) fn arguments(line: &str) -> Result<Vec<String>, CommandLineError> {
    if line.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = Vec::new();
    let mut rest = line;
    loop {
        let (argument, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_argument(quoted)?,
            None => plain_argument(rest)?,
        };
        arguments.push(argument);
        match after {
            Some(after) => rest = after,
            None => return Ok(arguments),
        }
    }
}

/// With what follows the blank after it.
type Argument<'l> = (String, Option<&'l str>);

fn plain_argument(rest: &str) -> Result<Argument<'_>, CommandLineError> {
    let (argument, after) = match rest.split_once(' ') {
        Some((argument, after)) => (argument, Some(after)),
        None => (rest, None),
    };
    if argument.contains('"') {
        return Err(CommandLineError::BareQuote);
    }
    if argument.contains(['\n', '\r']) {
        return Err(CommandLineError::Lines);
    }
    Ok((argument.to_owned(), after))
}

fn quoted_argument(quoted: &str) -> Result<Argument<'_>, CommandLineError> {
    let mut argument = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"').ok_or(CommandLineError::Quote)?;
        argument += part;
        match after.chars().next() {
            None => return Ok((argument, None)),
            Some(' ') => return Ok((argument, Some(&after[1..]))),
            Some('"') => {
                argument.push('"');
                rest = &after[1..];
            }
            Some(_) => return Err(CommandLineError::Quote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_apart_as_by_spiffe_helper() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("-v", &["-v"]),
            ("-c conf -g x", &["-c", "conf", "-g", "x"]),
            ("a  b ", &["a", "", "b", ""]),
            (r#"-c "echo hello""#, &["-c", "echo hello"]),
            (r#""one ""quote"" in it" b"#, &[r#"one "quote" in it"#, "b"]),
            ("-c 'echo hello'", &["-c", "'echo", "hello'"]),
            ("\"two\nlines\" é", &["two\nlines", "é"]),
        ];
        for (line, expected) in cases {
            let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(arguments(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn quotes_that_do_not_match_are_refused() {
        for (line, expected) in [
            (r#"a"b"#, CommandLineError::BareQuote),
            (r#""a"b"#, CommandLineError::Quote),
            (r#""a"#, CommandLineError::Quote),
            ("a\nb", CommandLineError::Lines),
        ] {
            assert_eq!(arguments(line), Err(expected), "{line}");
        }
    }
}
