//! What is wrong with a text that is no JSON, as Go's `encoding/json` says it: SPIRE's refusals hold it.

/// What has been opened and not closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Object,
    List,
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    open: Vec<Open>,
}

/// `None` for a text that is one JSON value.
pub fn json_syntax_error(text: &[u8]) -> Option<String> {
    Scanner { text, at: 0, open: Vec::new() }.read_all().err()
}

impl Scanner<'_> {
    fn read_all(&mut self) -> Result<(), String> {
        loop {
            if self.begin_value()? {
                self.after_value()?;
            }
            if self.open.is_empty() {
                break;
            }
        }
        self.skip_blanks();
        self.peek().map_or(Ok(()), |_| self.unexpected("after top-level value"))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, String> {
        match self.peek() {
            Some(byte) => Err(format!("invalid character {} {context}", quoted(byte))),
            None => Err("unexpected end of JSON input".to_owned()),
        }
    }

    /// Within a number, a literal and an escape: Go reads on as if a blank followed the text.
    fn unexpected_inside<T>(&self, context: &str) -> Result<T, String> {
        Err(format!("invalid character {} {context}", quoted(self.peek().unwrap_or(b' '))))
    }

    /// Whether a value is complete: a scalar, or an empty list or object.
    fn begin_value(&mut self) -> Result<bool, String> {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => {
                self.push(Open::Object)?;
                self.skip_blanks();
                if self.peek() == Some(b'}') {
                    self.close();
                    return Ok(true);
                }
                self.name()?;
                Ok(false)
            }
            Some(b'[') => {
                self.push(Open::List)?;
                self.skip_blanks();
                if self.peek() == Some(b']') {
                    self.close();
                    return Ok(true);
                }
                Ok(false)
            }
            Some(b'"') => self.string().map(|()| true),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| true),
            Some(b't') => self.literal("true").map(|()| true),
            Some(b'f') => self.literal("false").map(|()| true),
            Some(b'n') => self.literal("null").map(|()| true),
            _ => self.unexpected("looking for beginning of value"),
        }
    }

    fn push(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() == DEPTH_MAX {
            return Err("exceeded max depth".to_owned());
        }
        self.open.push(open);
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.open.pop();
        self.at += 1;
    }

    /// A member's name and its colon.
    fn name(&mut self) -> Result<(), String> {
        self.skip_blanks();
        if self.peek() != Some(b'"') {
            return self.unexpected("looking for beginning of object key string");
        }
        self.string()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return self.unexpected("after object key");
        }
        self.at += 1;
        Ok(())
    }

    /// Closes what ends here, up to where the next value begins or nothing is open.
    fn after_value(&mut self) -> Result<(), String> {
        while let Some(open) = self.open.last().copied() {
            self.skip_blanks();
            match (open, self.peek()) {
                (Open::List, Some(b',')) => {
                    self.at += 1;
                    return Ok(());
                }
                (Open::Object, Some(b',')) => {
                    self.at += 1;
                    return self.name();
                }
                (Open::List, Some(b']')) | (Open::Object, Some(b'}')) => self.close(),
                (Open::List, _) => return self.unexpected("after array element"),
                (Open::Object, _) => return self.unexpected("after object key:value pair"),
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return self.unexpected("in string literal"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        self.at += 1;
        match self.peek() {
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.unexpected_inside("in \\u hexadecimal character escape");
                    }
                    self.at += 1;
                }
            }
            _ => return self.unexpected_inside("in string escape code"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.unexpected_inside(context);
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        for expected in literal.chars() {
            if self.peek().map(char::from) != Some(expected) {
                return self.unexpected_inside(&format!("in literal {literal} (expecting '{expected}')"));
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// Go takes the byte for a character of Latin-1.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

/// Go's own bound.
const DEPTH_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_has_no_fault() {
        for text in
            ["{}", " [ ] ", "null", "-0.5e+3", r#"{"a":[1,{"b":"\u00e9\n"}],"c":true}"#, "\"\u{e9}\"", "[[],{}]"]
        {
            assert_eq!(json_syntax_error(text.as_bytes()), None, "{text}");
        }
    }

    /// What Go 1.26 says of each.
    #[test]
    fn faults_have_gos_words() {
        for (text, told) in [
            ("", "unexpected end of JSON input"),
            (" ", "unexpected end of JSON input"),
            (r#"{"a":"#, "unexpected end of JSON input"),
            ("[1", "unexpected end of JSON input"),
            ("\"a", "unexpected end of JSON input"),
            ("-", "invalid character ' ' in numeric literal"),
            ("tr", "invalid character ' ' in literal true (expecting 'u')"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("{1}", "invalid character '1' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 2}"#, "invalid character '2' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            (r#""\u00g0""#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("-----BEGIN", "invalid character '-' in numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e'", r"invalid character '\'' in exponent of numeric literal"),
            ("nul!", "invalid character '!' in literal null (expecting 'l')"),
        ] {
            assert_eq!(json_syntax_error(text.as_bytes()).as_deref(), Some(told), "{text}");
        }
        let deep = "[".repeat(10_001);
        assert_eq!(json_syntax_error(deep.as_bytes()).as_deref(), Some("exceeded max depth"));
    }
}
