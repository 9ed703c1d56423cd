//! Makes HTTP/2 clients on Unix sockets acceptable to `h2`.
//!
//! gRPC in Python, C++, Ruby and PHP sends the percent-encoded socket path as `:authority`, Java sends the raw path.
//! `h2` resets every such stream before a service sees it. [`AuthorityStream`] sits under the HTTP/2 server, reads
//! along, and replaces an authority that h2 would refuse by `localhost`:
//!
//! ```text
//!   socket ── stream ── rewriter (frames) ── hpack (header blocks) ── huffman (strings)
//!                          └─ every byte that is not a header block passes as it came
//! ```
//!
//! Header blocks refer to a table that both ends keep (RFC 7541). So the adaptor decodes every block from the first
//! one on. As long as no authority is refused it passes the original bytes. From the first refused one it re-encodes
//! every block as literals that touch no table: then h2's table no longer matters.

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hpack;
mod huffman;
mod rewriter;
mod static_table;
mod stream;

pub use rewriter::AuthorityError;
pub use stream::AuthorityStream;
