//! HCL version 1 and JSON, read into one ordered [`Tree`] (docs/adr/0005-hcl1-reader.md).
//!
//! `scan` makes tokens, `parse` makes nodes, `literal` decodes what stands between quotes; `json` makes the same tree
//! from JSON, and `print` writes a tree as HCL. Input is bounded in bytes, depth and nodes (`limits`).

mod error;
mod json;
mod limits;
mod literal;
mod parse;
mod print;
mod scan;
mod span;
mod tree;

pub use error::{SyntaxError, SyntaxFault};
pub(crate) use limits::FILE_BYTES_MAX;
pub(crate) use literal::go_int;
pub use parse::parse;
pub use print::print;
pub use span::Span;
pub use tree::{Node, Tree, Value};
