//! HTTP/2 frames in, HTTP/2 frames out: the decision, without I/O (RFC 9113, sections 4 and 6.2).

use bytes::{BufMut, Bytes, BytesMut};
use http::uri::Authority;

use super::hpack::{Decoder, Field, HpackError, encode_literal, field_bytes};

/// Why a connection cannot go on. What is merely wrong HTTP/2 is passed on for h2 to refuse in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    #[error("header block is spread over more than {CONTINUATIONS_MAX} continuation frames")]
    ContinuationFlood,
    #[error("header block is longer than {HEADER_BLOCK_BYTES_MAX} bytes")]
    HeaderBlockTooLarge,
    #[error("header list is longer than {HEADER_LIST_BYTES_MAX} bytes")]
    HeaderListTooLarge,
    #[error("header block cannot be decoded: {0}")]
    Hpack(#[from] HpackError),
    #[error("HEADERS frame is malformed")]
    MalformedHeaders,
}

/// What to do with the bytes given: `pass` of them go on as they are; then `consumed` more are replaced.
/// Nothing to do at all means that more input is needed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) pass: usize,
    pub(super) replace: Option<Replacement>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) consumed: usize,
    pub(super) with: Bytes,
}

#[derive(Debug)]
pub(super) struct Rewriter {
    mode: Mode,
    decoder: Decoder,
    /// Bytes yet to come that concern us not: the preface, or the rest of a frame.
    passing: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing refused so far: original bytes pass, the table is followed.
    Watching,
    /// h2's table is no longer the client's: every block is re-encoded.
    Rewriting,
    /// The client broke the protocol before anything was rewritten: h2 sees exactly what it sent.
    Blind,
}

impl Rewriter {
    pub(super) fn new() -> Self {
        Self { mode: Mode::Watching, decoder: Decoder::new(), passing: PREFACE.len() }
    }

    /// As if a refused authority had been seen already.
    #[cfg(test)]
    pub(super) fn rewriting() -> Self {
        Self { mode: Mode::Rewriting, ..Self::new() }
    }

    /// `input` continues where the last step's `pass` and `consumed` ended.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, AuthorityError> {
        let mut pass = 0;
        while self.mode != Mode::Blind {
            let skipped = self.passing.min(input.len() - pass);
            pass += skipped;
            self.passing -= skipped;
            let rest = &input[pass..];
            let Some(head) = FrameHead::parse(rest) else { return Ok(Step { pass, replace: None }) };
            if head.kind != HEADERS {
                self.passing = FRAME_HEAD_BYTES + head.length;
                continue;
            }
            match HeaderBlock::collect(rest)? {
                Collected::Incomplete => return Ok(Step { pass, replace: None }),
                Collected::Malformed => self.give_up(AuthorityError::MalformedHeaders)?,
                Collected::Block(block) => match self.judge(&block) {
                    Ok(None) => pass += block.bytes,
                    Ok(Some(with)) => {
                        return Ok(Step { pass, replace: Some(Replacement { consumed: block.bytes, with }) });
                    }
                    Err(error @ AuthorityError::Hpack(_)) => self.give_up(error)?,
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(Step { pass: input.len(), replace: None })
    }

    /// What stands in for the block, if it may not pass as it is.
    fn judge(&mut self, block: &HeaderBlock<'_>) -> Result<Option<Bytes>, AuthorityError> {
        let (mut literals, mut list_bytes, mut refused, mut connect) = (BytesMut::new(), 0, false, false);
        self.decoder.decode(&block.fragments(), |field| {
            list_bytes += field_bytes(field.name, field.value);
            if list_bytes > HEADER_LIST_BYTES_MAX {
                return;
            }
            connect |= field.name == b":method" && field.value == b"CONNECT";
            let bad_authority = field.name == b":authority" && Authority::try_from(field.value).is_err();
            refused |= bad_authority;
            encode_literal(if bad_authority { Field { value: REPLACEMENT, ..field } } else { field }, &mut literals);
        })?;
        if list_bytes > HEADER_LIST_BYTES_MAX {
            return Err(AuthorityError::HeaderListTooLarge);
        }
        // The target of CONNECT is its authority: that is for h2 to judge.
        if refused && !connect {
            self.mode = Mode::Rewriting;
        }
        Ok((self.mode == Mode::Rewriting).then(|| block.rebuilt(&literals)))
    }

    /// Before anything was rewritten, h2 can still be left to refuse the client in its own words.
    fn give_up(&mut self, error: AuthorityError) -> Result<(), AuthorityError> {
        if self.mode == Mode::Rewriting {
            return Err(error);
        }
        self.mode = Mode::Blind;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
struct FrameHead {
    length: usize,
    kind: u8,
    flags: u8,
    /// As it came, reserved bit included.
    stream: [u8; 4],
}

impl FrameHead {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; FRAME_HEAD_BYTES] = bytes.first_chunk()?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        Some(Self { length: u32::from_be_bytes([0, a, b, c]) as usize, kind, flags, stream })
    }

    fn put(self, out: &mut BytesMut) {
        // Lengths come from a three-byte field, or are bounded by FRAME_PAYLOAD_BYTES_MAX.
        out.extend_from_slice(&(self.length as u32).to_be_bytes()[1..]);
        out.put_u8(self.kind);
        out.put_u8(self.flags);
        out.extend_from_slice(&self.stream);
    }
}

/// A HEADERS frame and the CONTINUATION frames that complete it.
struct HeaderBlock<'a> {
    head: FrameHead,
    /// Pad length and priority, as they stood before the first fragment.
    prefix: &'a [u8],
    padding: &'a [u8],
    first: &'a [u8],
    continued: Vec<&'a [u8]>,
    /// All frames together.
    bytes: usize,
}

enum Collected<'a> {
    Block(HeaderBlock<'a>),
    Incomplete,
    /// No further bytes could make this right.
    Malformed,
}

impl<'a> HeaderBlock<'a> {
    fn collect(input: &'a [u8]) -> Result<Collected<'a>, AuthorityError> {
        let Some((head, payload, mut rest)) = split_frame(input, 0)? else { return Ok(Collected::Incomplete) };
        let Some((prefix, first, padding)) = split_headers(head.flags, payload) else {
            return Ok(Collected::Malformed);
        };
        let mut block = Self { head, prefix, padding, first, continued: Vec::new(), bytes: input.len() - rest.len() };
        let mut flags = head.flags;
        while flags & END_HEADERS == 0 {
            if block.continued.len() == CONTINUATIONS_MAX {
                return Err(AuthorityError::ContinuationFlood);
            }
            let Some((next, fragment, after)) = split_frame(rest, block.bytes)? else {
                return Ok(Collected::Incomplete);
            };
            if next.kind != CONTINUATION || next.stream != head.stream {
                return Ok(Collected::Malformed);
            }
            block.continued.push(fragment);
            (flags, rest) = (next.flags, after);
            block.bytes = input.len() - rest.len();
        }
        Ok(Collected::Block(block))
    }

    fn fragments(&self) -> std::borrow::Cow<'a, [u8]> {
        if self.continued.is_empty() {
            return self.first.into();
        }
        let mut all = self.first.to_vec();
        self.continued.iter().for_each(|fragment| all.extend_from_slice(fragment));
        all.into()
    }

    /// The same block with other header fields; flags, priority and padding stay.
    fn rebuilt(&self, literals: &[u8]) -> Bytes {
        let room = FRAME_PAYLOAD_BYTES_MAX - self.prefix.len() - self.padding.len();
        let (first, continued) = literals.split_at(room.min(literals.len()));
        let frames = continued.len().div_ceil(FRAME_PAYLOAD_BYTES_MAX);
        let mut out = BytesMut::with_capacity(
            FRAME_HEAD_BYTES * (1 + frames) + self.prefix.len() + literals.len() + self.padding.len(),
        );
        let last_if = |last: bool| if last { END_HEADERS } else { 0 };
        let length = self.prefix.len() + first.len() + self.padding.len();
        let flags = self.head.flags & !END_HEADERS | last_if(continued.is_empty());
        FrameHead { length, flags, ..self.head }.put(&mut out);
        out.extend_from_slice(self.prefix);
        out.extend_from_slice(first);
        out.extend_from_slice(self.padding);
        for (index, fragment) in continued.chunks(FRAME_PAYLOAD_BYTES_MAX).enumerate() {
            let flags = last_if(index + 1 == frames);
            FrameHead { length: fragment.len(), kind: CONTINUATION, flags, ..self.head }.put(&mut out);
            out.extend_from_slice(fragment);
        }
        out.freeze()
    }
}

/// Head, payload and what follows.
type Frame<'a> = (FrameHead, &'a [u8], &'a [u8]);

/// The first frame of `input`. `before` bytes of the same block came earlier.
fn split_frame(input: &[u8], before: usize) -> Result<Option<Frame<'_>>, AuthorityError> {
    let Some(head) = FrameHead::parse(input) else { return Ok(None) };
    let bytes = FRAME_HEAD_BYTES + head.length;
    if matches!(head.kind, HEADERS | CONTINUATION) && before + bytes > HEADER_BLOCK_BYTES_MAX {
        return Err(AuthorityError::HeaderBlockTooLarge);
    }
    let Some((frame, rest)) = input.split_at_checked(bytes) else { return Ok(None) };
    Ok(Some((head, &frame[FRAME_HEAD_BYTES..], rest)))
}

/// A HEADERS payload as (pad length and priority, fragment, padding).
fn split_headers(flags: u8, payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let pad_field = usize::from(flags & PADDED != 0);
    let priority = if flags & PRIORITY != 0 { PRIORITY_BYTES } else { 0 };
    let pad = if pad_field == 1 { usize::from(*payload.first()?) } else { 0 };
    let (prefix, rest) = payload.split_at_checked(pad_field + priority)?;
    let (fragment, padding) = rest.split_at_checked(rest.len().checked_sub(pad)?)?;
    Some((prefix, fragment, padding))
}

/// What grpc-go sends on Unix sockets.
const REPLACEMENT: &[u8] = b"localhost";
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const FRAME_HEAD_BYTES: usize = 9;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_BYTES: usize = 5;
/// SETTINGS_MAX_FRAME_SIZE's initial value; h2 accepts this much from anyone.
const FRAME_PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// As held in memory while a block is incomplete. gRPC's own limit on headers is 8 to 16 KiB.
const HEADER_BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Decoded; one byte of a block can name a 4 KiB field. Above h2's limit of 16 KiB, so that h2 answers the near misses.
const HEADER_LIST_BYTES_MAX: usize = 64 * 1024;
/// A block within its limit needs 4 full frames; more than this is a CONTINUATION flood (RUSTSEC-2024-0332).
const CONTINUATIONS_MAX: usize = 16;
