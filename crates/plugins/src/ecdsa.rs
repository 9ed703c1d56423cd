//! ECDSA signatures between the forms of their two integers.

/// `SEQUENCE { INTEGER r, INTEGER s }`; `None` when a value is longer than any curve allows.
pub(crate) fn der_signature(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for value in [r, s] {
        let value = minimal(value);
        if value.len() > COORDINATE_BYTES_MAX {
            return None;
        }
        let sign_byte = value.first().is_none_or(|first| first & 0x80 != 0);
        body.push(0x02);
        body.push(value.len() as u8 + u8::from(sign_byte));
        if sign_byte {
            body.push(0);
        }
        body.extend_from_slice(value);
    }
    let mut der = vec![0x30];
    if body.len() > 127 {
        der.push(0x81);
    }
    der.push(u8::try_from(body.len()).ok()?);
    der.extend_from_slice(&body);
    Some(der)
}

/// A big-endian integer without leading zeros.
pub(crate) fn minimal(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// A coordinate of P-521, the largest curve.
const COORDINATE_BYTES_MAX: usize = 66;
