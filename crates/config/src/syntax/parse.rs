//! HCL1 tokens into a tree. JSON is told apart as HCL1 does it: the first character that is not a blank is `{`.

use std::borrow::Cow;

use super::error::{SyntaxError, SyntaxFault};
use super::limits::{DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX};
use super::scan::{Scanner, Token, TokenKind};
use super::{Node, Span, Tree, Value, json};

/// Reads a configuration in HCL1 or JSON.
pub fn parse(bytes: &[u8]) -> Result<Tree, SyntaxError> {
    if bytes.len() > FILE_BYTES_MAX {
        let fault = SyntaxFault::TooLarge { bytes: bytes.len(), max: FILE_BYTES_MAX };
        return Err(SyntaxError::new(Span::UNKNOWN, fault));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| SyntaxError::new(end_of(&bytes[..error.valid_up_to()]), SyntaxFault::NotUtf8))?;
    if let Some(nul) = text.find('\0') {
        return Err(SyntaxError::new(end_of(&bytes[..nul]), SyntaxFault::IllegalCharacter('\0')));
    }
    if text.trim_start().starts_with('{') {
        return json::parse(text);
    }
    let text = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let mut parser = Parser { scanner: Scanner::new(&text), peeked: None, nodes: 0 };
    let nodes = parser.items(None, 0)?;
    Ok(Tree { nodes })
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    peeked: Option<Token>,
    nodes: usize,
}

impl Parser<'_> {
    /// The items of a file, or of the block that was opened at `opened`; takes the closing brace too.
    fn items(&mut self, opened: Option<Span>, depth: usize) -> Result<Vec<Node>, SyntaxError> {
        let mut nodes = Vec::new();
        loop {
            let token = self.peek()?;
            match (&token.kind, opened) {
                (TokenKind::RightBrace, Some(_)) => {
                    self.next()?;
                    return Ok(nodes);
                }
                (TokenKind::End, Some(opened)) => {
                    return Err(SyntaxError::new(token.span, SyntaxFault::UnclosedObject { opened }));
                }
                (TokenKind::End, None) => return Ok(nodes),
                _ => nodes.push(self.item(depth)?),
            }
            if self.peek()?.kind == TokenKind::Comma {
                self.next()?;
            }
        }
    }

    /// `key = value`, `key { … }` or `key "label" … { … }`.
    fn item(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let mut keys: Vec<(String, Span)> = Vec::new();
        loop {
            let token = self.next()?;
            let fail = |fault| Err(SyntaxError::new(token.span, fault));
            match token.kind {
                TokenKind::Ident(key) | TokenKind::Text(key) => {
                    self.count(token.span)?;
                    // Each label is one more level of the tree.
                    self.check_depth(depth + keys.len(), token.span)?;
                    keys.push((key, token.span));
                }
                TokenKind::Assign => match keys.len() {
                    0 => return fail(SyntaxFault::NoKey),
                    1 => break,
                    _ => return fail(SyntaxFault::AssignAfterLabels),
                },
                TokenKind::LeftBrace if keys.is_empty() => return fail(SyntaxFault::BlockWithoutName),
                TokenKind::LeftBrace => {
                    let tree = Tree { nodes: self.items(Some(token.span), depth + keys.len())? };
                    return Ok(nest(keys, Value::Object(tree)));
                }
                TokenKind::End | TokenKind::RightBrace if !keys.is_empty() => {
                    let names: Vec<String> = keys.into_iter().map(|(key, _)| key).collect();
                    return fail(SyntaxFault::KeyWithoutValue { keys: names.join(" ") });
                }
                kind => return fail(SyntaxFault::ExpectedKey { found: kind.name() }),
            }
        }
        let value = self.value(depth + 1)?;
        Ok(nest(keys, value))
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let token = self.next()?;
        match token.kind {
            TokenKind::LeftBrace => Ok(Value::Object(Tree { nodes: self.items(Some(token.span), depth)? })),
            TokenKind::LeftBracket => self.list(token.span, depth),
            kind => match literal(kind) {
                Ok(value) => Ok(value),
                Err(found) => Err(SyntaxError::new(token.span, SyntaxFault::ExpectedValue { found })),
            },
        }
    }

    /// Stray commas are allowed, and so is a missing one after an inner list: HCL1 reads files that have them.
    fn list(&mut self, opened: Span, depth: usize) -> Result<Value, SyntaxError> {
        self.check_depth(depth, opened)?;
        let mut items = Vec::new();
        let mut comma_needed = false;
        loop {
            let token = self.next()?;
            let found = token.kind.name();
            let fail = |fault| Err(SyntaxError::new(token.span, fault));
            match token.kind {
                TokenKind::RightBracket => return Ok(Value::List(items)),
                TokenKind::Comma => comma_needed = false,
                TokenKind::End => return fail(SyntaxFault::UnclosedList { opened }),
                _ if comma_needed => return fail(SyntaxFault::ExpectedComma { found }),
                TokenKind::LeftBracket => items.push(self.list(token.span, depth + 1)?),
                TokenKind::LeftBrace => {
                    items.push(Value::Object(Tree { nodes: self.items(Some(token.span), depth + 1)? }));
                    comma_needed = true;
                }
                kind => match literal(kind) {
                    Ok(value) => {
                        items.push(value);
                        comma_needed = true;
                    }
                    Err(found) => return fail(SyntaxFault::UnexpectedInList { found }),
                },
            }
            self.count(token.span)?;
        }
    }

    fn peek(&mut self) -> Result<&Token, SyntaxError> {
        let token = match self.peeked.take() {
            Some(token) => token,
            None => self.scanner.next_token()?,
        };
        Ok(self.peeked.insert(token))
    }

    fn next(&mut self) -> Result<Token, SyntaxError> {
        match self.peeked.take() {
            Some(token) => Ok(token),
            None => self.scanner.next_token(),
        }
    }

    fn count(&mut self, span: Span) -> Result<(), SyntaxError> {
        self.nodes += 1;
        let within = self.nodes <= NODES_MAX;
        if within { Ok(()) } else { Err(SyntaxError::new(span, SyntaxFault::TooManyNodes { max: NODES_MAX })) }
    }

    fn check_depth(&self, depth: usize, span: Span) -> Result<(), SyntaxError> {
        let within = depth < DEPTH_MAX;
        if within { Ok(()) } else { Err(SyntaxError::new(span, SyntaxFault::TooDeep { max: DEPTH_MAX })) }
    }
}

/// A scalar, or the token's name when it is none.
fn literal(kind: TokenKind) -> Result<Value, &'static str> {
    match kind {
        TokenKind::Bool(value) => Ok(Value::Bool(value)),
        TokenKind::Number(digits) => Ok(Value::Number(digits)),
        TokenKind::Text(text) | TokenKind::Heredoc(text) => Ok(Value::Text(text)),
        kind => Err(kind.name()),
    }
}

/// `a "b" "c" { … }` is `a` holding `b` holding `c`.
fn nest(keys: Vec<(String, Span)>, value: Value) -> Node {
    let mut keys = keys.into_iter().rev();
    // The caller saw at least one key.
    let (key, span) = keys.next().unwrap_or_default();
    let innermost = Node { key, span, value };
    keys.fold(innermost, |inner, (key, span)| Node { key, span, value: Value::Object(Tree { nodes: vec![inner] }) })
}

/// Where text that is valid so far ends.
fn end_of(valid: &[u8]) -> Span {
    let line_start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&valid[line_start..]).chars().count() + 1;
    Span { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
}
