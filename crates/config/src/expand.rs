//! `-expandEnv`: Go's `os.Expand` over the raw text, as SPIRE applies it before parsing.

/// Replaces `$NAME` and `${NAME}` by `lookup`'s answer (absent names become nothing) and `$$` by `$`.
///
/// Malformed references such as `${` vanish, and a `$` before anything else stays, as in Go.
pub fn expand_env(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let (name, width) = name_at(after);
        match name {
            Some("$") => out.push('$'),
            Some(name) => out.push_str(&lookup(name).unwrap_or_default()),
            None if width == 0 => out.push('$'),
            None => {}
        }
        rest = &after[width..];
    }
    out.push_str(rest);
    out
}

/// The name that begins `after` (what follows a `$`) and how many bytes belong to the reference.
fn name_at(after: &str) -> (Option<&str>, usize) {
    let bytes = after.as_bytes();
    match bytes.first() {
        Some(b'{') => match after.find('}') {
            Some(1) => (None, 2),
            Some(close) => (Some(&after[1..close]), close + 1),
            None => (None, 1),
        },
        Some(byte) if is_special(*byte) => (Some(&after[..1]), 1),
        _ => {
            let width = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            if width == 0 { (None, 0) } else { (Some(&after[..width]), width) }
        }
    }
}

/// The shell's one-character parameters, which Go looks up under that one character.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_go_does() {
        let lookup = |name: &str| (name == "TD").then(|| "example.org".to_owned());
        let cases = [
            ("trust_domain = \"$TD\"", "trust_domain = \"example.org\""),
            ("${TD}/x", "example.org/x"),
            ("$TDx $UNSET|${UNSET}|", " ||"),
            ("cost $$5 and $${TD}", "cost $5 and ${TD}"),
            ("a $ b $", "a $ b $"),
            ("${} ${unclosed", " unclosed"),
            ("$1x $#", "x "),
            ("${$}", "$"),
            ("$é", "$é"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand_env(text, lookup), expected, "{text}");
        }
    }
}
