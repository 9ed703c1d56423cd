//! HCL1 text into tokens.

use super::error::{SyntaxError, SyntaxFault};
use super::{Span, literal};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Ident(String),
    Bool(bool),
    Number(String),
    Text(String),
    Heredoc(String),
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Assign,
    Period,
    Plus,
    Minus,
    End,
}

/// Walks over text whose line ends are `\n`.
pub(crate) struct Scanner<'t> {
    text: &'t str,
    offset: usize,
    here: Span,
}

impl TokenKind {
    /// The name that HCL's messages use.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ident(_) => "IDENT",
            Self::Bool(_) => "BOOL",
            Self::Number(digits) if digits.contains(['.', 'e', 'E']) && !is_hexadecimal(digits) => "FLOAT",
            Self::Number(_) => "NUMBER",
            Self::Text(_) => "STRING",
            Self::Heredoc(_) => "HEREDOC",
            Self::LeftBrace => "LBRACE",
            Self::RightBrace => "RBRACE",
            Self::LeftBracket => "LBRACK",
            Self::RightBracket => "RBRACK",
            Self::Comma => "COMMA",
            Self::Assign => "ASSIGN",
            Self::Period => "PERIOD",
            Self::Plus => "ADD",
            Self::Minus => "SUB",
            Self::End => "EOF",
        }
    }
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, offset: 0, here: Span { line: 1, column: 1 } }
    }

    pub(crate) fn next_token(&mut self) -> Result<Token, SyntaxError> {
        self.skip_blanks_and_comments()?;
        let span = self.here;
        let Some(c) = self.peek() else {
            return Ok(Token { kind: TokenKind::End, span });
        };
        let kind = match c {
            '"' => TokenKind::Text(self.quoted(span)?),
            '<' => TokenKind::Heredoc(self.heredoc(span)?),
            c if is_letter(c) => self.word(),
            c if self.number_starts(c) => TokenKind::Number(self.number(span)?),
            '{' => self.single(TokenKind::LeftBrace),
            '}' => self.single(TokenKind::RightBrace),
            '[' => self.single(TokenKind::LeftBracket),
            ']' => self.single(TokenKind::RightBracket),
            ',' => self.single(TokenKind::Comma),
            '=' => self.single(TokenKind::Assign),
            '.' => self.single(TokenKind::Period),
            '+' => self.single(TokenKind::Plus),
            '-' => self.single(TokenKind::Minus),
            c => return Err(SyntaxError::new(span, SyntaxFault::IllegalCharacter(c))),
        };
        Ok(Token { kind, span })
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), SyntaxError> {
        loop {
            let span = self.here;
            match self.peek() {
                Some(' ' | '\t' | '\n' | '\r') => _ = self.advance(),
                Some('#') => self.skip_line(),
                Some('/') => match self.rest().as_bytes().get(1) {
                    Some(b'/') => self.skip_line(),
                    Some(b'*') => {
                        let length = self.rest()[2..].find("*/");
                        let length = length.ok_or(SyntaxError::new(span, SyntaxFault::UnclosedComment))?;
                        self.take(length + 4);
                    }
                    _ => return Err(SyntaxError::new(span, SyntaxFault::SlashAlone)),
                },
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        self.take(self.rest().find('\n').unwrap_or(self.rest().len()));
    }

    fn word(&mut self) -> TokenKind {
        let length = self.length_while(|c| is_letter(c) || is_digit(c) || matches!(c, '-' | '.'));
        match self.take(length) {
            "true" => TokenKind::Bool(true),
            "false" => TokenKind::Bool(false),
            word => TokenKind::Ident(word.to_owned()),
        }
    }

    fn number_starts(&self, c: char) -> bool {
        c.is_ascii_digit() || (matches!(c, '-' | '.') && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()))
    }

    /// Decimal, octal (`0770`), hexadecimal (`0x1f`) or floating point; the digits stay as written.
    fn number(&mut self, span: Span) -> Result<String, SyntaxError> {
        let sign = usize::from(self.rest().starts_with('-'));
        let digits = &self.rest()[sign..];
        let run = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let length = if digits.starts_with("0x") || digits.starts_with("0X") {
            2 + digits[2..].bytes().take_while(u8::is_ascii_hexdigit).count()
        } else {
            let mut length = run(digits);
            if digits[length..].starts_with('.') {
                length += 1;
                length += run(&digits[length..]);
            }
            if digits[length..].starts_with(['e', 'E']) {
                length += 1;
                length += usize::from(digits[length..].starts_with(['+', '-']));
                length += run(&digits[length..]);
            }
            length
        };
        let number = self.take(sign + length);
        if literal::is_number(number) {
            Ok(number.to_owned())
        } else {
            Err(SyntaxError::new(span, SyntaxFault::IllegalNumber(number.to_owned())))
        }
    }

    /// A quoted text with its escapes decoded. Within `${ … }` quotes and line ends are ordinary characters.
    fn quoted(&mut self, start: Span) -> Result<String, SyntaxError> {
        let from = self.offset;
        self.advance();
        let mut braces = 0_usize;
        loop {
            let here = self.here;
            match self.advance() {
                None => return Err(SyntaxError::new(start, SyntaxFault::UnclosedText)),
                Some('\n') if braces == 0 => return Err(SyntaxError::new(start, SyntaxFault::UnclosedText)),
                Some('"') if braces == 0 => break,
                Some('$') if braces == 0 && self.peek() == Some('{') => {
                    self.advance();
                    braces = 1;
                }
                Some('{') if braces > 0 => braces += 1,
                Some('}') if braces > 0 => braces -= 1,
                Some('\\') => {
                    let length = literal::escape_length(self.rest());
                    self.take(length.ok_or(SyntaxError::new(here, SyntaxFault::IllegalEscape))?);
                }
                Some(_) => {}
            }
        }
        let inside = &self.text[from + 1..self.offset - 1];
        literal::unquote(inside).map_err(|fault| SyntaxError::new(start, fault))
    }

    /// `<<EOF` or `<<-EOF` up to a line that holds only the anchor.
    fn heredoc(&mut self, start: Span) -> Result<String, SyntaxError> {
        let fail = |fault| Err(SyntaxError::new(start, fault));
        if !self.rest().starts_with("<<") {
            return fail(SyntaxFault::HeredocStart);
        }
        self.take(2);
        let indented = self.rest().starts_with('-');
        self.take(usize::from(indented));
        let anchor_length = self.length_while(|c| is_letter(c) || is_digit(c));
        let anchor = self.take(anchor_length);
        match self.advance() {
            Some('\n') if anchor.is_empty() => return fail(SyntaxFault::HeredocAnchorEmpty),
            Some('\n') => {}
            Some(_) => return fail(SyntaxFault::HeredocAnchor),
            None => return fail(SyntaxFault::UnclosedHeredoc),
        }
        let body = self.rest();
        let mut length = 0;
        loop {
            let Some(end) = body[length..].find('\n') else {
                return fail(SyntaxFault::UnclosedHeredoc);
            };
            let line = &body[length..length + end];
            if line.trim_end_matches('\r').trim_start_matches(is_space) == anchor {
                break;
            }
            length += end + 1;
        }
        self.take(length);
        let indent = self.take(self.length_while(is_space));
        self.take(anchor.len());
        Ok(literal::heredoc_text(&body[..length], indent, indented))
    }

    fn single(&mut self, kind: TokenKind) -> TokenKind {
        self.advance();
        kind
    }

    fn rest(&self) -> &'t str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        if c == '\n' {
            self.here = Span { line: self.here.line + 1, column: 1 };
        } else {
            self.here.column += 1;
        }
        Some(c)
    }

    /// Moves over `bytes` bytes, which end at a character's end, and returns them.
    fn take(&mut self, bytes: usize) -> &'t str {
        let from = self.offset;
        while self.offset < from + bytes && self.advance().is_some() {}
        &self.text[from..self.offset]
    }

    fn length_while(&self, wanted: impl Fn(char) -> bool) -> usize {
        self.rest().find(|c| !wanted(c)).unwrap_or(self.rest().len())
    }
}

/// Whether `word` can stand as a key without quotes.
pub(crate) fn is_identifier(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(is_letter)
        && chars.all(|c| is_letter(c) || is_digit(c) || matches!(c, '-' | '.'))
        && !matches!(word, "true" | "false")
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || (!c.is_ascii() && c.is_alphabetic())
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric())
}

/// The POSIX class `[:space:]` without the line end.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

fn is_hexadecimal(digits: &str) -> bool {
    digits.trim_start_matches('-').starts_with(['0']) && digits.contains(['x', 'X'])
}
