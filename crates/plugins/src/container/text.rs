//! Words in the sense of `\b` in RE2, which SPIRE's patterns are written for.

/// ASCII letters, digits and `_`.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The first word of exactly [`CONTAINER_ID_CHARS`] hexadecimal digits: where it begins, and itself.
pub(super) fn container_id(text: &str) -> Option<(usize, &str)> {
    let mut at = 0;
    for word in text.split(|c: char| !c.is_ascii() || !is_word(c as u8)) {
        if word.len() == CONTAINER_ID_CHARS && is_hex(word) {
            return Some((at, word));
        }
        // A separator may have more than one byte; look for where the next word begins.
        at += word.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    None
}

/// What Docker, containerd and CRI-O give their containers, by convention.
pub const CONTAINER_ID_CHARS: usize = 64;
