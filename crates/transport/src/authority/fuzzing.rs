//! The rewriter without a socket, for `crates/fuzz`.

use super::AuthorityError;
use super::rewriter::Rewriter;

/// What goes on to the HTTP/2 server when a client's bytes come in these pieces, up to an error.
pub fn rewrite<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, Option<AuthorityError>) {
    let (mut rewriter, mut waiting, mut out) = (Rewriter::new(), Vec::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            let step = match rewriter.step(&waiting) {
                Ok(step) => step,
                Err(error) => return (out, Some(error)),
            };
            out.extend(waiting.drain(..step.pass));
            let Some(replacement) = step.replace else { break };
            waiting.drain(..replacement.consumed);
            out.extend_from_slice(&replacement.with);
        }
    }
    (out, None)
}
