//! One record as a line, and back.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value as Json, json};
use steeple_core::Timestamp;
use steeple_telemetry::log::{Fields, Value};

pub type Hash = [u8; 32];

/// The last record of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub node_id: u64,
    /// Names the chain: Unix milliseconds of its beginning.
    pub epoch: u64,
    /// From 1 on; 0 before the first record.
    pub sequence: u64,
    /// Zeros before the first record.
    pub hash: Hash,
}

/// When a record was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub at: Timestamp,
    /// The last log entry that the replica had applied.
    pub index: u64,
    pub term: u64,
}

/// A line that is what it was when it was written, as far as it alone can tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// RFC 3339, UTC.
    pub time: String,
    /// With this record as the last one.
    pub head: Head,
    pub index: u64,
    pub term: u64,
    pub previous: Hash,
    /// All but `time`, `chain` and `hash`.
    pub fields: Map<String, Json>,
}

/// What is wrong with a line by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is no audit record")]
    NotARecord,
    #[error("changed: the record does not have the hash that stands in it")]
    Changed,
    #[error("torn: the line has no end")]
    Torn,
}

impl Head {
    /// Of a chain without a record.
    pub fn beginning(node_id: u64, epoch: u64) -> Self {
        Self { node_id, epoch, sequence: 0, hash: [0; 32] }
    }

    /// Appends the line of the next record to `lines`; this is its head then.
    pub fn append(&mut self, stamp: Stamp, fields: &Fields, lines: &mut Vec<u8>) {
        let mut record = Map::new();
        record.insert("time".to_owned(), time(stamp.at).into());
        let chain = json!({
            "node": self.node_id,
            "epoch": self.epoch,
            "sequence": self.sequence + 1,
            "index": stamp.index,
            "term": stamp.term,
            "previous": hex::encode(self.hash),
        });
        record.insert(CHAIN.to_owned(), chain);
        for (name, value) in fields {
            // As the log moves a field out of the way of a fixed one.
            let is_fixed = ["time", CHAIN, HASH].contains(&name.as_str());
            let name = if is_fixed { format!("fields.{name}") } else { name.clone() };
            record.insert(name, value.into());
        }
        let text = Json::Object(record).to_string();
        // Without the bracket at the end: the hash comes before it.
        let hashed = &text.as_bytes()[..text.len() - 1];
        self.sequence += 1;
        self.hash = sha256(hashed);
        lines.extend_from_slice(hashed);
        lines.extend_from_slice(ending(&self.hash).as_bytes());
        lines.push(b'\n');
    }
}

impl Record {
    /// `line` is without its line feed.
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        let (hashed, end) = line.split_at_checked(line.len().wrapping_sub(ENDING_BYTES)).ok_or(Fault::NotARecord)?;
        let hash = sha256(hashed);
        let is_whole = line.len() <= LINE_BYTES_MAX && end.starts_with(ENDING_START.as_bytes());
        if !is_whole {
            return Err(if line.starts_with(b"{\"time\":") { Fault::Changed } else { Fault::NotARecord });
        }
        if end != ending(&hash).as_bytes() {
            return Err(Fault::Changed);
        }
        Self::read(line, hash).ok_or(Fault::NotARecord)
    }

    fn read(line: &[u8], hash: Hash) -> Option<Self> {
        let Json::Object(mut fields) = serde_json::from_slice(line).ok()? else { return None };
        let Json::String(time) = fields.shift_remove("time")? else { return None };
        let chain = fields.shift_remove(CHAIN)?;
        fields.shift_remove(HASH)?;
        let number = |name: &str| chain.get(name).and_then(Json::as_u64);
        let mut previous = Hash::default();
        hex::decode_to_slice(chain.get("previous")?.as_str()?, &mut previous).ok()?;
        let sequence = number("sequence").filter(|sequence| *sequence > 0)?;
        Some(Self {
            time,
            head: Head { node_id: number("node")?, epoch: number("epoch")?, sequence, hash },
            index: number("index")?,
            term: number("term")?,
            previous,
            fields,
        })
    }

    /// Empty where there is no such text.
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Json::as_u64)
    }

    /// Epoch and sequence of the last record that went by rotation, as the first record of a file tells them.
    pub fn dropped(&self) -> Option<(u64, u64)> {
        Some((self.number("dropped_epoch")?, self.number("dropped_sequence")?)).filter(|_| self.event().is_some())
    }

    /// Which event of the chain it is; `None` of records of calls.
    pub fn event(&self) -> Option<&str> {
        Some(self.text("event")).filter(|_| self.text("type") == super::event::TYPE)
    }
}

/// Long texts are cut and told by hash, so that a record has a bound.
pub fn bounded(mut fields: Fields) -> Fields {
    for value in fields.values_mut() {
        if let Value::Text(text) = value
            && text.len() > TEXT_BYTES_MAX
        {
            let whole = format!("... ({} bytes, SHA-256 {})", text.len(), hex::encode(sha256(text.as_bytes())));
            text.truncate(text.floor_char_boundary(TEXT_BYTES_SHOWN));
            text.push_str(&whole);
        }
    }
    fields
}

pub(super) fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// RFC 3339 in UTC with milliseconds.
fn time(at: Timestamp) -> String {
    let seconds = Timestamp::from_secs(at.as_secs()).to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), at.as_ms().rem_euclid(1000))
}

fn ending(hash: &Hash) -> String {
    format!("{ENDING_START}{}\"}}", hex::encode(hash))
}

const CHAIN: &str = "chain";
const HASH: &str = "hash";
const ENDING_START: &str = ",\"hash\":\"";
const ENDING_BYTES: usize = ENDING_START.len() + 64 + 2;
/// A record has some thirty fields, and JSON writes a control character as six bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;
const TEXT_BYTES_MAX: usize = 4 << 10;
const TEXT_BYTES_SHOWN: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp { at: Timestamp::from_ms(1_767_323_045_006), index: 41, term: 2 }
    }

    #[test]
    fn a_record_comes_back_and_names_the_one_before() {
        let fields = Fields::from([("method".to_owned(), "GetEntry".into()), ("hash".to_owned(), "mine".into())]);
        let (mut head, mut lines) = (Head::beginning(3, 100), Vec::new());
        head.append(stamp(), &fields, &mut lines);
        let first = head.clone();
        head.append(stamp(), &fields, &mut lines);
        let lines: Vec<&[u8]> = lines.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
        let [one, two] = [lines[0], lines[1]].map(|line| Record::parse(line).unwrap());
        assert_eq!((&one.head, one.previous, two.previous), (&first, [0; 32], first.hash));
        assert_eq!((two.head.sequence, two.head.node_id, two.head.epoch), (2, 3, 100));
        assert_eq!((one.time.as_str(), one.index, one.term), ("2026-01-02T03:04:05.006Z", 41, 2));
        assert_eq!((one.text("method"), one.text("fields.hash"), one.event()), ("GetEntry", "mine", None));
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let (mut head, mut line) = (Head::beginning(1, 1), Vec::new());
        head.append(stamp(), &Fields::from([("a".to_owned(), "b".into())]), &mut line);
        line.pop();
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.clone();
                changed[at] ^= 1 << bit;
                assert!(Record::parse(&changed).is_err(), "bit {bit} of byte {at}");
            }
            assert!(Record::parse(&line[..at]).is_err() && Record::parse(&line[at + 1..]).is_err(), "cut at {at}");
        }
        assert_eq!(Record::parse(b""), Err(Fault::NotARecord));
        assert_eq!(Record::parse(&vec![b'x'; LINE_BYTES_MAX + 1]), Err(Fault::NotARecord));
    }

    #[test]
    fn the_largest_record_has_a_bound() {
        let field = |number: usize| (format!("field_{number}"), Value::Text("\u{1}".repeat(1 << 20)));
        let fields = bounded((0..30).map(field).collect());
        let (mut head, mut line) = (Head::beginning(1, 1), Vec::new());
        head.append(stamp(), &fields, &mut line);
        assert!(line.len() < LINE_BYTES_MAX, "{}", line.len());
        let parsed = Record::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
        assert!(parsed.text("field_0").contains("... (1048576 bytes, SHA-256 "));
        let short = Fields::from([("a".to_owned(), "ä".repeat(TEXT_BYTES_MAX / 2).into())]);
        assert_eq!(bounded(short.clone()), short);
    }
}
