//! Why a text is not a configuration.

use super::Span;

/// A syntax error and its place. Prints as HCL's own errors do: `At 17:2: object expected …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", at(.span))]
pub struct SyntaxError {
    pub span: Span,
    pub fault: SyntaxFault,
}

/// What is wrong. Texts that HCL's parser has too are HCL's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxFault {
    #[error("object expected closing RBRACE got: EOF (the block was opened at {opened})")]
    UnclosedObject { opened: Span },
    #[error("list expected closing RBRACK got: EOF (the list was opened at {opened})")]
    UnclosedList { opened: Span },
    #[error("key '{keys}' expected start of object ('{{') or assignment ('=')")]
    KeyWithoutValue { keys: String },
    #[error("expected: IDENT | STRING | ASSIGN | LBRACE got: {found}")]
    ExpectedKey { found: &'static str },
    #[error("no object keys found!")]
    NoKey,
    #[error("expected: IDENT | STRING got: LBRACE")]
    BlockWithoutName,
    #[error("nested object expected: LBRACE got: ASSIGN (a block with labels takes no '=')")]
    AssignAfterLabels,
    #[error("expected a value, got: {found} (a text needs quotes)")]
    ExpectedValue { found: &'static str },
    #[error("error parsing list, expected comma or list end, got: {found}")]
    ExpectedComma { found: &'static str },
    #[error("unexpected token while parsing list: {found}")]
    UnexpectedInList { found: &'static str },
    #[error("illegal character {0:?}")]
    IllegalCharacter(char),
    #[error("illegal UTF-8 encoding")]
    NotUtf8,
    #[error("expected '/' for comment")]
    SlashAlone,
    #[error("comment not terminated")]
    UnclosedComment,
    #[error("literal not terminated")]
    UnclosedText,
    #[error("illegal char escape")]
    IllegalEscape,
    #[error("the text's escapes do not form UTF-8")]
    EscapesNotUtf8,
    #[error("illegal number {0:?}")]
    IllegalNumber(String),
    #[error("heredoc expected second '<', didn't see it")]
    HeredocStart,
    #[error("invalid characters in heredoc anchor")]
    HeredocAnchor,
    #[error("zero-length heredoc anchor")]
    HeredocAnchorEmpty,
    #[error("heredoc not terminated")]
    UnclosedHeredoc,
    #[error("{0}")]
    Json(String),
    #[error("the file has {bytes} bytes or more, at most {max} are read")]
    TooLarge { bytes: usize, max: usize },
    #[error("blocks are nested deeper than {max} levels")]
    TooDeep { max: usize },
    #[error("the file holds more than {max} keys and list items")]
    TooManyNodes { max: usize },
}

impl SyntaxError {
    pub(crate) fn new(span: Span, fault: SyntaxFault) -> Self {
        Self { span, fault }
    }
}

fn at(span: &Span) -> String {
    if span.is_known() { format!("At {span}: ") } else { String::new() }
}
