//! Decoding of quoted texts, heredocs and numbers, as HCL1's `strconv` and `token` packages do it.

use super::error::SyntaxFault;

/// Bytes that the escape after a backslash takes, or `None` when it is not one.
pub(crate) fn escape_length(after_backslash: &str) -> Option<usize> {
    let bytes = after_backslash.as_bytes();
    let digits = |from: usize, count: usize, valid: fn(&u8) -> bool| {
        bytes.get(from..from + count).filter(|digits| digits.iter().all(valid)).map(|_| from + count)
    };
    match bytes.first()? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'"' => Some(1),
        b'0'..=b'7' => digits(0, 3, |byte| matches!(byte, b'0'..=b'7')),
        b'x' => digits(1, 2, u8::is_ascii_hexdigit),
        b'u' => digits(1, 4, u8::is_ascii_hexdigit),
        b'U' => digits(1, 8, u8::is_ascii_hexdigit),
        _ => None,
    }
}

/// What stands between two quotes, with escapes decoded; `${ … }` passes through untouched.
pub(crate) fn unquote(mut text: &str) -> Result<String, SyntaxFault> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    while let Some(c) = text.chars().next() {
        if text.starts_with("${") {
            let length = interpolation_length(text).ok_or(SyntaxFault::UnclosedText)?;
            out.extend_from_slice(&text.as_bytes()[..length]);
            text = &text[length..];
        } else if c == '\\' {
            let length = escape_length(&text[1..]).ok_or(SyntaxFault::IllegalEscape)?;
            push_escape(&mut out, &text[1..=length])?;
            text = &text[1 + length..];
        } else {
            out.extend_from_slice(&text.as_bytes()[..c.len_utf8()]);
            text = &text[c.len_utf8()..];
        }
    }
    String::from_utf8(out).map_err(|_| SyntaxFault::EscapesNotUtf8)
}

/// Bytes of the `${ … }` that `text` begins with, braces balanced.
fn interpolation_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(offset + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `escape` is one that `escape_length` measured, without its backslash.
fn push_escape(out: &mut Vec<u8>, escape: &str) -> Result<(), SyntaxFault> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).map_err(|_| SyntaxFault::IllegalEscape);
    let byte = |value: u32| u8::try_from(value).map_err(|_| SyntaxFault::IllegalEscape);
    let plain = match escape.as_bytes()[0] {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'x' => byte(number(&escape[1..], 16)?)?,
        b'0'..=b'7' => byte(number(escape, 8)?)?,
        b'u' | b'U' => {
            let code = number(&escape[1..], 16)?;
            // Go writes U+FFFD for a surrogate and refuses what lies beyond Unicode.
            let surrogate = (0xd800..=0xdfff).contains(&code).then_some(char::REPLACEMENT_CHARACTER);
            let c = surrogate.or(char::from_u32(code)).ok_or(SyntaxFault::IllegalEscape)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        itself => itself,
    };
    out.push(plain);
    Ok(())
}

/// The content of a heredoc: `body` ends with a line end, `indent` stands before the closing anchor.
///
/// Without `-` the indent belongs to the content (HCL1 cuts only the anchor off). With it, the indent is removed from
/// every line when every line has it.
pub(crate) fn heredoc_text(body: &str, indent: &str, indented: bool) -> String {
    if !indented {
        return format!("{body}{indent}");
    }
    let lines = || body.split_terminator('\n');
    if lines().all(|line| line.starts_with(indent)) {
        return lines().map(|line| format!("{}\n", &line[indent.len()..])).collect();
    }
    body.to_owned()
}

/// Whether Go's `strconv` reads `text` as an integer with base prefix or as a decimal fraction.
pub(crate) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let octal = digits.len() > 1 && digits.starts_with('0');
        return !digits.is_empty() && (!octal || digits.bytes().all(|byte| byte < b'8'));
    }
    digits.parse::<f64>().is_ok()
}

/// Go's `strconv.ParseInt(text, 0, 64)`: sign, prefixes `0x`, `0o`, `0b` and `0`, underscores between digits.
pub(crate) fn go_int(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let prefixed = digits.len() < lower.len();
    let misplaced = digits.ends_with('_') || digits.contains("__") || (digits.starts_with('_') && !prefixed);
    if digits.is_empty() || misplaced || digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_go_reads_them() {
        let cases = [
            ("8081", Some(8081)),
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("0770", Some(0o770)),
            ("0x1F", Some(31)),
            ("0b11", Some(3)),
            ("1_000", Some(1000)),
            ("0", Some(0)),
            ("", None),
            ("port", None),
            ("08", None),
            ("1__0", None),
            ("_1", None),
            ("--1", None),
            ("1.5", None),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
        ];
        for (text, expected) in cases {
            assert_eq!(go_int(text), expected, "{text}");
        }
    }

    #[test]
    fn escapes() {
        let cases = [
            (r#"a\"b\\c\n\t"#, Ok("a\"b\\c\n\t")),
            (r"\x41\101\u00e9\U0001F600", Ok("AAé😀")),
            (r"\xc3\xa9", Ok("é")),
            (r"\xff", Err(SyntaxFault::EscapesNotUtf8)),
            (r"\ud800", Ok("\u{fffd}")),
            (r"\400", Err(SyntaxFault::IllegalEscape)),
            (r#"x${a "\n" {b}}y"#, Ok(r#"x${a "\n" {b}}y"#)),
        ];
        for (text, expected) in cases {
            assert_eq!(unquote(text), expected.map(str::to_owned), "{text}");
        }
    }
}
