//! Where a log ends, and whether what was synced ends with it.

use std::fmt;
use std::io::{self, Read};

use super::fragments::{BLOCK_BYTES, Found, Fragments, Kind};
use super::mark::Mark;

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a record that is whole.
    Whole,
    /// With damage to what was not synced. Nothing behind it counts.
    Torn,
    /// With damage in a log of an older release, which does not say what was synced.
    Unmarked,
}

/// Synced data that is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The last change before the damage.
    intact: Option<u64>,
    synced: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { intact, synced } = self;
        match intact {
            Some(intact) => write!(formatter, "it is intact to change {intact}, and was synced to change {synced}"),
            None => write!(formatter, "its beginning is damaged, and it was synced to change {synced}"),
        }
    }
}

/// Reads one file after the other, a block at a time.
#[derive(Default)]
pub(crate) struct Reader {
    /// The last change of the last record that is whole, before any damage.
    intact: Option<u64>,
    is_damaged: bool,
    /// Records that are whole: any, and any with a mark.
    has_records: bool,
    has_marks: bool,
    lost: Option<Lost>,
    record: Record,
}

impl Reader {
    pub(crate) fn read(&mut self, mut file: impl Read) -> io::Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            let read = fill(&mut file, &mut block)?;
            for found in Fragments::of(&block[..read]) {
                self.see(&found);
            }
            if read < BLOCK_BYTES {
                break;
            }
        }
        // A record does not go on in the next file.
        if self.record.is_open {
            self.damage();
        }
        Ok(())
    }

    pub(crate) fn lost(&self) -> Option<Lost> {
        self.lost
    }

    pub(crate) fn end(&self) -> End {
        match self.is_damaged {
            false => End::Whole,
            true if self.has_records && !self.has_marks => End::Unmarked,
            true => End::Torn,
        }
    }

    fn see(&mut self, found: &Found) {
        match *found {
            Found::Damage | Found::CutOff => self.damage(),
            Found::Fragment(Kind::Other, _) => {}
            Found::Fragment(kind, content) => {
                if matches!(kind, Kind::Full | Kind::First) {
                    if self.record.is_open {
                        self.damage();
                    }
                    self.record.begin();
                } else if !self.record.is_open {
                    self.damage();
                }
                self.record.add(content);
                if matches!(kind, Kind::Full | Kind::Last) {
                    self.ended();
                }
            }
        }
    }

    fn damage(&mut self) {
        self.is_damaged = true;
        self.record = Record::default();
    }

    fn ended(&mut self) {
        let record = std::mem::take(&mut self.record);
        let mark = record.mark();
        self.has_records = true;
        self.has_marks |= mark.is_some();
        if !self.is_damaged {
            match record.last_change() {
                Some(last) => self.intact = Some(last),
                None => self.is_damaged = true,
            }
            return;
        }
        if let Some(mark) = mark {
            self.vouch(mark);
        }
    }

    /// Something that was written after all that was read so far says what was synced.
    pub(super) fn vouch(&mut self, mark: Mark) {
        if !self.is_damaged {
            return;
        }
        let was_synced = match self.intact {
            Some(intact) => mark.synced > intact,
            // The first record is damaged: was anything of this log synced?
            None => mark.synced >= mark.begun,
        };
        if was_synced && self.lost.is_none() {
            self.lost = Some(Lost { intact: self.intact, synced: mark.synced });
        }
    }
}

/// What is kept of a record while its fragments go by: its header and its end.
#[derive(Default)]
struct Record {
    is_open: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// The sequence number of its first change, and how many there are.
const HEAD_BYTES: usize = 12;
/// More than a mark.
const TAIL_BYTES: usize = 64;

impl Record {
    fn begin(&mut self) {
        *self = Self { is_open: true, ..Self::default() };
    }

    fn add(&mut self, content: &[u8]) {
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend(content.iter().take(missing));
        self.tail.extend(&content[content.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
    }

    fn last_change(&self) -> Option<u64> {
        let (first, count) = self.head.split_first_chunk::<8>()?;
        let count = u32::from_le_bytes(count.try_into().ok()?);
        u64::from_le_bytes(*first).checked_add(u64::from(count))?.checked_sub(1)
    }

    fn mark(&self) -> Option<Mark> {
        Mark::at_the_end_of(&self.tail)
    }
}

/// Fills as much of `block` as there is.
pub(super) fn fill(file: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::super::written::{batch, fragment, log};
    use super::*;

    fn read(files: &[&[u8]]) -> Result<End, Lost> {
        let mut reader = Reader::default();
        files.iter().for_each(|file| reader.read(*file).unwrap());
        reader.lost().map_or(Ok(reader.end()), Err)
    }

    #[test]
    fn a_whole_log_is_whole() {
        assert_eq!(read(&[]), Ok(End::Whole));
        assert_eq!(read(&[&[]]), Ok(End::Whole));
        assert_eq!(read(&[&log(&[(10, Some(9)), (11, Some(10))]), &log(&[(12, Some(11))])]), Ok(End::Whole));
        assert_eq!(read(&[&log(&[(10, None), (11, None)])]), Ok(End::Whole), "of an older release");
    }

    #[test]
    fn damage_is_an_end_unless_a_later_batch_vouches_for_what_was_there() {
        let mut damaged = log(&[(10, Some(9)), (11, Some(10))]);
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(read(&[&damaged]), Ok(End::Torn));
        // Written when 11 was not synced yet, and when it was.
        assert_eq!(read(&[&[&damaged[..], &log(&[(12, Some(10))])].concat()]), Ok(End::Torn));
        let lost = Lost { intact: Some(10), synced: 11 };
        assert_eq!(read(&[&[&damaged[..], &log(&[(12, Some(11))])].concat()]), Err(lost));
        // The same in the next file.
        assert_eq!(read(&[&damaged, &log(&[(12, Some(10))])]), Ok(End::Torn));
        assert_eq!(read(&[&damaged, &log(&[(12, Some(11))])]), Err(lost));
    }

    #[test]
    fn a_log_without_marks_is_left_to_rocksdb() {
        let mut damaged = log(&[(10, None), (11, None), (12, None)]);
        damaged[40] ^= 1;
        assert_eq!(read(&[&damaged]), Ok(End::Unmarked));
        assert_eq!(read(&[&log(&[(10, None)])[..20]]), Ok(End::Torn), "nothing is left that could tell");
    }

    #[test]
    fn a_log_whose_first_batch_is_gone_was_synced_or_not() {
        let zeros = [0; 60];
        assert_eq!(read(&[&[&zeros[..], &log(&[(11, Some(9))])].concat()]), Ok(End::Torn));
        let lost = Lost { intact: None, synced: 10 };
        assert_eq!(read(&[&[&zeros[..], &log(&[(11, Some(10))])].concat()]), Err(lost));
    }

    #[test]
    fn a_batch_in_fragments_is_read_as_one_and_its_end_vouches_alone() {
        let wide = [&batch(11, None)[..], &[7; 100], &batch(11, Some(10))[20..]].concat();
        let parts: Vec<Vec<u8>> =
            vec![fragment(2, &wide[..50]), fragment(3, &wide[50..110]), fragment(4, &wide[110..])];
        let first = log(&[(10, Some(9))]);
        assert_eq!(read(&[&[&first[..], &parts.concat(), &log(&[(12, Some(11))])].concat()]), Ok(End::Whole));
        // Cut off within.
        assert_eq!(read(&[&[&first[..], &parts[..2].concat()].concat()]), Ok(End::Torn));
        assert_eq!(read(&[&[&first[..], &parts[..2].concat()].concat(), &log(&[(12, Some(10))])]), Ok(End::Torn));
        // The batch before it is gone, its beginning, or its middle.
        let zeros = vec![0; parts[1].len()];
        let mut gone = first.clone();
        gone[20] ^= 1;
        let lost = Lost { intact: None, synced: 10 };
        assert_eq!(read(&[&[&gone[..], &parts.concat()].concat()]), Err(lost));
        assert_eq!(read(&[&[&gone[..], &parts[2]].concat()]), Err(lost));
        assert_eq!(read(&[&[&first[..], &parts[0], &zeros, &parts[2]].concat()]), Ok(End::Torn));
    }

    #[test]
    fn a_block_ends_in_zeros_where_no_header_fits() {
        let filler = fragment(1, &[&batch(10, None)[..], &vec![0; BLOCK_BYTES - 7 - 20 - 5]].concat());
        let padded = [&filler[..], &[0; 5], &log(&[(11, Some(9))])].concat();
        assert_eq!(read(&[&padded]), Ok(End::Whole));
        let mut dirty = padded;
        dirty[BLOCK_BYTES - 2] = 1;
        assert_eq!(read(&[&dirty]), Ok(End::Torn));
    }
}
