//! The part of thrift's compact protocol that a batch of metrics needs
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>). No structure here leaves a
//! field out before another, so that each field's number is one more than that of the field before it.

/// Writes what it is told; whoever calls knows the structure.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

/// The types of fields and elements that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    I32 = 5,
    I64 = 6,
    Double = 7,
    Binary = 8,
    List = 9,
    Struct = 12,
}

impl Writer {
    /// A call that is not answered.
    pub(super) fn oneway(&mut self, method: &str, sequence: u32) {
        self.0.extend([PROTOCOL_ID, VERSION | ONEWAY << 5]);
        self.varint(sequence.into());
        self.text(method);
    }

    /// The field after the one before it, or the first one.
    pub(super) fn field(&mut self, kind: Type) {
        self.0.push(1 << 4 | kind as u8);
    }

    /// The end of a structure.
    pub(super) fn stop(&mut self) {
        self.0.push(0);
    }

    pub(super) fn list(&mut self, kind: Type, len: usize) {
        match u8::try_from(len) {
            Ok(short) if short < 15 => self.0.push(short << 4 | kind as u8),
            _ => {
                self.0.push(0xf0 | kind as u8);
                self.varint(len as u64);
            }
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Also an i32, which is written alike.
    pub(super) fn integer(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Little-endian, as every implementation writes it.
    pub(super) fn double(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// What was written elsewhere.
    pub(super) fn append(&mut self, written: &[u8]) {
        self.0.extend_from_slice(written);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

const PROTOCOL_ID: u8 = 0x82;
const VERSION: u8 = 1;
const ONEWAY: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_lists() {
        let written = |write: &dyn Fn(&mut Writer)| {
            let mut writer = Writer::default();
            write(&mut writer);
            writer.0
        };
        for (value, bytes) in [(0, &[0][..]), (-1, &[1]), (2, &[4]), (64, &[0x80, 1]), (-65, &[0x81, 1])] {
            assert_eq!(written(&|writer| writer.integer(value)), bytes, "{value}");
        }
        assert_eq!(written(&|writer| writer.integer(i64::MIN)).len(), 10);
        assert_eq!(written(&|writer| writer.list(Type::Struct, 3)), [0x3c]);
        assert_eq!(written(&|writer| writer.list(Type::Struct, 50)), [0xfc, 50]);
        assert_eq!(written(&|writer| writer.list(Type::Binary, 300)), [0xf8, 0xac, 2]);
        assert_eq!(written(&|writer| writer.oneway("m", 1)), [0x82, 0x81, 1, 1, b'm']);
    }
}
