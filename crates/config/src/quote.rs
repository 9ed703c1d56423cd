//! Go's `%q`, because SPIRE's error texts and logrus' lines quote values with it.

use std::fmt::Write;

/// `text` in double quotes, escaped as Go's `%q` does.
pub fn go_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => push_code(&mut out, 'x', 2, c),
            c if is_printable(c) => out.push(c),
            c if c <= '\u{ffff}' => push_code(&mut out, 'u', 4, c),
            c => push_code(&mut out, 'U', 8, c),
        }
    }
    out.push('"');
    out
}

fn push_code(out: &mut String, kind: char, width: usize, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{kind}{:0width$x}", u32::from(c));
}

/// Rust escapes what it holds for unprintable; that is Go's notion in all but exotic scripts.
fn is_printable(c: char) -> bool {
    c.is_ascii() || !c.escape_debug().to_string().starts_with('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_go_does() {
        for (text, quoted) in [
            ("a \"b\"\n\u{1}é", r#""a \"b\"\n\x01é""#),
            ("a\\b\t", r#""a\\b\t""#),
            ("\u{1b}[0m", r#""\x1b[0m""#),
            ("\u{7f}", r#""\x7f""#),
            ("\u{200b}\u{e0001}", r#""\u200b\U000e0001""#),
            ("it's", r#""it's""#),
        ] {
            assert_eq!(go_quoted(text), quoted);
        }
    }
}
