//! Whether the lines of audit files are what was written, and all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use steeple_state::AuditAnchor;

use super::event::{BEGUN, REOPENED, ROTATED};
use super::gap::missing_from;
use super::{Fault, Hash, Head, Record, Torn};

/// A line of a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub line: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    pub place: Place,
    /// `changed`, `inserted`, `missing` or `torn`.
    pub kind: &'static str,
    pub text: String,
}

/// The part of a chain that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSeen {
    pub node_id: u64,
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
    /// The last record that the cluster knows.
    pub anchored: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub records: u64,
    /// Times of the first and the last record.
    pub from: Option<String>,
    pub to: Option<String>,
    /// In the order of the files.
    pub chains: Vec<ChainSeen>,
    /// The first ones.
    pub breaks: Vec<Break>,
    pub breaks_total: u64,
    /// Ends that a crash cut off and a server marked.
    pub torn: u64,
    /// Records that servers could not write, by their own account.
    pub lost: u64,
    /// The last line has no end yet, and a server writes.
    pub being_written: bool,
}

/// Is fed the lines of one replica's files, the oldest first.
#[derive(Debug)]
pub struct Verifier {
    anchors: BTreeMap<(u64, u64), AuditAnchor>,
    /// Whose chains must be there, whatever the files say.
    node_id: Option<u64>,
    is_live: bool,
    head: Option<Head>,
    pending: Option<Pending>,
    last_place: Place,
    first: Option<First>,
    /// The last record that went with its file, by the account of the latest new file.
    dropped: Option<(u64, u64)>,
    report: Report,
}

/// The first record.
#[derive(Debug)]
struct First {
    place: Place,
    head: Head,
    /// It says that the file before was moved or deleted.
    is_behind_another: bool,
}

/// A line that is no record, until the next one says whether a server marked it.
#[derive(Debug)]
struct Pending {
    place: Place,
    fault: Fault,
    line: Torn,
}

impl Verifier {
    /// The chain alone.
    pub fn offline() -> Self {
        Self {
            anchors: BTreeMap::new(),
            node_id: None,
            is_live: false,
            head: None,
            pending: None,
            last_place: Place { file: PathBuf::new(), line: 0 },
            first: None,
            dropped: None,
            report: Report::default(),
        }
    }

    /// Against what the cluster knows. The files are read after it was asked. `node_id` is the replica whose own files
    /// they are, where that is known.
    pub fn against(anchors: impl IntoIterator<Item = AuditAnchor>, node_id: Option<u64>) -> Self {
        let anchors = anchors.into_iter().map(|anchor| ((anchor.node_id, anchor.epoch), anchor));
        Self { anchors: anchors.collect(), node_id, is_live: true, ..Self::offline() }
    }

    /// The lines of `file` follow, of which there may be none.
    pub fn file(&mut self, file: &Path) {
        self.last_place = Place { file: file.to_owned(), line: 0 };
    }

    /// `bytes` are without the line feed, which only the last line may lack.
    pub fn line(&mut self, file: &Path, line: u64, bytes: &[u8], has_end: bool) {
        let place = Place { file: file.to_owned(), line };
        match Record::parse(bytes) {
            Err(fault) => {
                self.unexplained();
                let fault = if has_end { fault } else { Fault::Torn };
                self.pending = Some(Pending { place: place.clone(), fault, line: Torn::of(bytes) });
            }
            Ok(record) => {
                self.explain(&record);
                self.follow(&place, &record);
            }
        }
        self.last_place = place;
    }

    pub fn finish(mut self) -> Report {
        match &self.pending {
            Some(Pending { fault: Fault::Torn, .. }) if self.is_live => self.report.being_written = true,
            _ => self.unexplained(),
        }
        self.check_beginning();
        self.check_anchors();
        self.report
    }

    /// A marked line is what a crash leaves behind.
    fn explain(&mut self, record: &Record) {
        let Some(pending) = &self.pending else { return };
        if pending.line.is_marked_by(record) {
            self.pending = None;
            self.report.torn += 1;
        } else {
            self.unexplained();
        }
    }

    fn unexplained(&mut self) {
        if let Some(pending) = self.pending.take() {
            let kind = if pending.fault == Fault::Torn { "torn" } else { "changed" };
            self.broken(pending.place, kind, pending.fault.to_string());
            // What follows it cannot be compared with anything.
            self.head = None;
        }
    }

    fn follow(&mut self, place: &Place, record: &Record) {
        let now = &record.head;
        match self.head.take() {
            Some(before) if (before.node_id, before.epoch) == (now.node_id, now.epoch) => {
                self.compare(place, &before, record);
            }
            Some(before) => self.compare_chains(place, &before, record),
            None => {}
        }
        self.first.get_or_insert_with(|| First {
            place: place.clone(),
            head: now.clone(),
            is_behind_another: record.event() == Some(REOPENED),
        });
        let known = self.anchors.get(&(now.node_id, now.epoch));
        if known.is_some_and(|anchor| anchor.sequence == now.sequence && anchor.hash != now.hash) {
            let text = format!("changed: the cluster knows another record {} of this chain", now.sequence);
            self.broken(place.clone(), "changed", text);
        }
        self.count(record);
        self.head = Some(record.head.clone());
    }

    fn compare(&mut self, place: &Place, before: &Head, record: &Record) {
        let (expected, found) = (before.sequence + 1, record.head.sequence);
        if found > expected {
            let hint = if record.event() == Some(REOPENED) { FILE_BEFORE } else { "" };
            let text = format!("missing: record {} follows record {}{hint}", found, before.sequence);
            self.broken(place.clone(), "missing", text);
        } else if found < expected {
            let text = format!("inserted or moved: record {} stands behind record {}", found, before.sequence);
            self.broken(place.clone(), "inserted", text);
        } else if record.previous != before.hash {
            let text = format!("inserted: record {found} was not made after the record before it");
            self.broken(place.clone(), "inserted", text);
        }
    }

    /// Another chain begins at its beginning, and later than the one before.
    fn compare_chains(&mut self, place: &Place, before: &Head, record: &Record) {
        let now = &record.head;
        if now.node_id == before.node_id && now.epoch < before.epoch {
            let text = format!("inserted or moved: chain {} stands behind chain {}", now.epoch, before.epoch);
            self.broken(place.clone(), "inserted", text);
        } else if now.sequence != 1 || record.previous != Hash::default() || record.event() != Some(BEGUN) {
            let text = format!("missing: chain {} begins with record {}", now.epoch, now.sequence);
            self.broken(place.clone(), "missing", text);
        }
    }

    fn count(&mut self, record: &Record) {
        match record.event() {
            Some(ROTATED) => self.dropped = record.dropped(),
            // Whoever moved or deleted the file before is no excuse for what is not there.
            Some(REOPENED) => self.dropped = record.dropped().or(self.dropped),
            _ => self.report.lost += record.number("lost_records").unwrap_or(0),
        }
        let report = &mut self.report;
        report.records += 1;
        report.from.get_or_insert_with(|| record.time.clone());
        report.to = Some(record.time.clone());
        let Head { node_id, epoch, sequence, .. } = record.head;
        let has_room = report.chains.len() < CHAINS_MAX;
        match report.chains.iter_mut().find(|seen| (seen.node_id, seen.epoch) == (node_id, epoch)) {
            Some(seen) => seen.last = seen.last.max(sequence),
            None if has_room => {
                let anchored = self.anchors.get(&(node_id, epoch)).map(|anchor| anchor.sequence);
                report.chains.push(ChainSeen { node_id, epoch, first: sequence, last: sequence, anchored });
            }
            None => {}
        }
    }

    /// What stood before the first record went with its file, or is missing.
    fn check_beginning(&mut self) {
        let Some(First { place, head: Head { epoch, sequence, .. }, is_behind_another }) = self.first.take() else {
            return self.check_nothing();
        };
        if let Some(from) = missing_from(self.dropped, epoch, sequence) {
            let hint = if is_behind_another { FILE_BEFORE } else { "" };
            let text = format!(
                "missing: chain {epoch} begins here with record {sequence}, without records {from} to {}{hint}",
                sequence - 1
            );
            self.broken(place, "missing", text);
        }
    }

    /// Files of nobody knows whom, without a record: of whichever replica they are, it wrote some.
    fn check_nothing(&mut self) {
        if self.node_id.is_some() || self.anchors.is_empty() {
            return;
        }
        let latest: BTreeMap<u64, (u64, u64)> =
            self.anchors.values().map(|anchor| (anchor.node_id, (anchor.epoch, anchor.sequence))).collect();
        let told = latest.iter().take(NODES_TOLD_MAX);
        let told = told.map(|(node, (epoch, sequence))| format!("record {sequence} of chain {epoch} of node {node}"));
        let told = told.collect::<Vec<_>>().join(", ");
        let text = format!("missing: there is no record here, and the cluster knows {told}");
        self.broken(self.last_place.clone(), "missing", text);
    }

    fn check_anchors(&mut self) {
        let anchors: Vec<AuditAnchor> = self.anchors.values().cloned().collect();
        for anchor in anchors {
            let AuditAnchor { node_id, epoch, sequence, .. } = anchor;
            let of_node = || self.report.chains.iter().filter(|seen| seen.node_id == node_id);
            let seen = of_node().find(|seen| seen.epoch == epoch).cloned();
            let missing = match seen {
                Some(seen) if seen.last < sequence => Some(format!(
                    "missing: chain {epoch} ends with record {}, and the cluster knows record {sequence}",
                    seen.last
                )),
                Some(_) => None,
                None if of_node().next().is_none() && self.node_id != Some(node_id) => None,
                None if self.dropped >= Some((epoch, sequence)) => None,
                None => Some(format!(
                    "missing: chain {epoch} of node {node_id}, of which the cluster knows record {sequence}"
                )),
            };
            if let Some(text) = missing {
                self.broken(self.last_place.clone(), "missing", text);
            }
        }
    }

    fn broken(&mut self, place: Place, kind: &'static str, text: String) {
        self.report.breaks_total += 1;
        if self.report.breaks.len() < BREAKS_MAX {
            self.report.breaks.push(Break { place, kind, text });
        }
    }
}

const FILE_BEFORE: &str =
    "; the file before was moved or deleted: if it is kept, name all files with -file, oldest first";
/// Of replicas whose chains a file without a record may lack.
const NODES_TOLD_MAX: usize = 8;
/// Enough to see where to look.
const BREAKS_MAX: usize = 20;
/// More than a replica begins.
const CHAINS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steeple_core::Timestamp;
    use steeple_telemetry::log::Fields;

    use super::super::{Event, Stamp};
    use super::*;

    const FILE: &str = "audit.log";

    /// Lines with their ends, and the head behind each.
    struct Written {
        lines: Vec<Vec<u8>>,
        heads: Vec<Head>,
    }

    impl Written {
        fn new(records: usize) -> Self {
            let mut written = Self { lines: Vec::new(), heads: vec![Head::beginning(1, 100)] };
            written.put(&Event::Begun { reason: "a test".to_owned(), torn: None }.fields());
            for number in 1..records {
                written.put(&Fields::from([("request_id".to_owned(), format!("call-{number}").into())]));
            }
            written
        }

        fn put(&mut self, fields: &Fields) {
            let (mut head, mut line) = (self.heads.last().unwrap().clone(), Vec::new());
            let stamp = Stamp { at: Timestamp::from_secs(1_000 + self.lines.len() as i64), index: 7, term: 1 };
            head.append(stamp, fields, &mut line);
            self.lines.push(line);
            self.heads.push(head);
        }

        fn anchor(&self, sequence: usize) -> AuditAnchor {
            let Head { node_id, epoch, sequence, hash } = self.heads[sequence].clone();
            AuditAnchor { node_id, epoch, sequence, hash }
        }
    }

    fn verify(mut verifier: Verifier, bytes: &[u8]) -> Report {
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let (line, has_end) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
            verifier.line(Path::new(FILE), number as u64 + 1, line, has_end);
        }
        verifier.finish()
    }

    fn first(report: &Report) -> Option<(&'static str, u64)> {
        report.breaks.first().map(|found| (found.kind, found.place.line))
    }

    #[test]
    fn what_is_whole_is_counted() {
        let written = Written::new(5);
        let report = verify(Verifier::against([written.anchor(3)], Some(1)), &written.lines.concat());
        assert_eq!((report.records, report.breaks_total), (5, 0));
        assert_eq!(report.from.as_deref(), Some("1970-01-01T00:16:40.000Z"));
        let chain = ChainSeen { node_id: 1, epoch: 100, first: 1, last: 5, anchored: Some(3) };
        assert_eq!(report.chains, [chain]);
    }

    #[test]
    fn each_kind_of_damage_has_its_name_and_its_line() {
        let written = Written::new(6);
        let of = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut lines = written.lines.clone();
            change(&mut lines);
            first(&verify(Verifier::offline(), &lines.concat()))
        };
        assert_eq!(of(&|lines| lines[2][70] ^= 1), Some(("changed", 3)));
        assert_eq!(of(&|lines| drop(lines.remove(2))), Some(("missing", 3)));
        assert_eq!(of(&|lines| lines.insert(4, lines[1].clone())), Some(("inserted", 5)));
        assert_eq!(of(&|lines| lines.swap(2, 3)), Some(("missing", 3)));
        assert_eq!(of(&|lines| lines.insert(3, b"a line\n".to_vec())), Some(("changed", 4)));
        assert_eq!(of(&|lines| lines[5].truncate(30)), Some(("torn", 6)));
        assert_eq!(of(&|lines| drop(lines.remove(0))), Some(("missing", 1)));
        // The end is what the cluster's anchor is for.
        assert_eq!(of(&|lines| drop(lines.pop())), None);
        let cut = verify(Verifier::against([written.anchor(6)], None), &written.lines[..5].concat());
        assert_eq!(first(&cut), Some(("missing", 5)));
        let gone = verify(Verifier::against([written.anchor(6)], Some(1)), b"");
        assert_eq!(first(&gone), Some(("missing", 0)));
        assert_eq!(first(&verify(Verifier::against([written.anchor(6)], Some(2)), b"")), None, "another node's");
        let mut empty = Verifier::against([written.anchor(6)], None);
        empty.file(Path::new(FILE));
        let report = empty.finish();
        assert_eq!((first(&report), report.breaks[0].place.file.as_path()), (Some(("missing", 0)), Path::new(FILE)));
        let text = "missing: there is no record here, and the cluster knows record 6 of chain 100 of node 1";
        assert_eq!(report.breaks[0].text, text);
        assert_eq!(first(&verify(Verifier::offline(), b"")), None, "nobody knows better");
    }

    #[test]
    fn a_record_in_the_place_of_another_is_told_by_the_one_behind_it_or_by_the_anchor() {
        let (written, mut forged) = (Written::new(4), Written::new(3));
        forged.put(&Fields::from([("request_id".to_owned(), "forged".into())]));
        let mut lines = written.lines.clone();
        lines[3] = forged.lines[3].clone();
        assert_eq!(first(&verify(Verifier::offline(), &lines.concat())), None, "nothing follows it");
        let anchored = Verifier::against([written.anchor(4)], None);
        assert_eq!(first(&verify(anchored, &lines.concat())), Some(("changed", 4)));
        let mut longer = Written::new(5);
        longer.lines[3] = forged.lines[3].clone();
        assert_eq!(first(&verify(Verifier::offline(), &longer.lines.concat())), Some(("inserted", 5)));
    }

    #[test]
    fn an_end_that_a_crash_cut_off_is_marked_once() {
        let mut written = Written::new(3);
        let torn = b"{\"time\":\"2026".to_vec();
        written.put(&Event::Torn(Torn::of(&torn)).fields());
        written.put(&Event::Opened.fields());
        let mut lines = written.lines.clone();
        lines.insert(3, [torn.clone(), b"\n".to_vec()].concat());
        let report = verify(Verifier::offline(), &lines.concat());
        assert_eq!((report.breaks_total, report.torn, report.records), (0, 1, 5));
        lines[3] = b"{\"time\":\"2027\n".to_vec();
        assert_eq!(first(&verify(Verifier::offline(), &lines.concat())), Some(("changed", 4)), "not what was marked");

        let end = [written.lines[..3].concat(), torn].concat();
        assert_eq!(first(&verify(Verifier::offline(), &end)), Some(("torn", 4)));
        let report = verify(Verifier::against([], None), &end);
        assert_eq!((report.breaks_total, report.being_written), (0, true));
    }

    #[test]
    fn files_that_were_rotated_away_are_told_from_files_that_are_gone() {
        let dropped = |dropped: Option<(u64, u64)>| {
            let mut written = Written::new(4);
            written.put(&Event::Rotated { dropped }.fields());
            written
        };
        let without = |written: &Written, first: usize| {
            verify(Verifier::against([written.anchor(2)], None), &written.lines[first..].concat()).breaks_total
        };
        assert_eq!(without(&dropped(Some((100, 2))), 2), 0);
        assert_eq!(without(&dropped(Some((100, 2))), 3), 1);
        assert_eq!(without(&dropped(None), 2), 1);
    }

    #[test]
    fn a_file_that_was_moved_or_deleted_is_missing_until_it_is_named() {
        let reopened = |dropped: Option<(u64, u64)>| {
            let mut moved = Written::new(4);
            moved.put(&Event::Reopened { dropped }.fields());
            moved.put(&Event::Opened.fields());
            moved
        };
        let moved = reopened(None);
        for anchors in [vec![], vec![moved.anchor(4)], vec![moved.anchor(6)]] {
            let report = verify(Verifier::against(anchors, Some(1)), &moved.lines[4..].concat());
            assert_eq!(first(&report), Some(("missing", 1)));
            let text = format!("missing: chain 100 begins here with record 5, without records 1 to 4{FILE_BEFORE}");
            assert_eq!((report.breaks_total, report.breaks[0].text.as_str()), (1, text.as_str()));
        }
        assert_eq!(first(&verify(Verifier::offline(), &moved.lines[4..].concat())), Some(("missing", 1)));
        assert_eq!(verify(Verifier::offline(), &moved.lines.concat()).breaks_total, 0, "it is named");
        let report = verify(Verifier::offline(), &[&moved.lines[..2], &moved.lines[4..]].concat().concat());
        assert_eq!(report.breaks[0].text, format!("missing: record 5 follows record 2{FILE_BEFORE}"));

        // What rotation let go is no part of it.
        let report = verify(Verifier::offline(), &reopened(Some((100, 2))).lines[4..].concat());
        assert!(report.breaks[0].text.contains("without records 3 to 4;"), "{:?}", report.breaks);
        assert_eq!(verify(Verifier::offline(), &reopened(Some((100, 2))).lines[2..].concat()).breaks_total, 0);
    }

    #[test]
    fn a_chain_that_is_gone_is_missed_until_its_files_are_rotated_away() {
        let before = AuditAnchor { node_id: 1, epoch: 50, sequence: 9, hash: [1; 32] };
        let mut written = Written::new(3);
        let report = verify(Verifier::against([before.clone()], None), &written.lines.concat());
        assert_eq!(first(&report), Some(("missing", 3)));
        written.put(&Event::Rotated { dropped: Some((50, 7)) }.fields());
        let report = verify(Verifier::against([before.clone()], None), &written.lines.concat());
        assert_eq!(report.breaks_total, 1, "its last two records were in no file that rotation let go");
        written.put(&Event::Rotated { dropped: Some((60, 2)) }.fields());
        assert_eq!(verify(Verifier::against([before], None), &written.lines.concat()).breaks_total, 0);
    }

    #[test]
    fn another_chain_begins_at_its_beginning() {
        let (mut lines, mut later) = (Written::new(3).lines, Written::new(0));
        later.lines.clear();
        later.heads = vec![Head::beginning(1, 200)];
        later.put(&Event::Begun { reason: "a break".to_owned(), torn: None }.fields());
        later.put(&Event::Opened.fields());
        let whole = [lines.concat(), later.lines.concat()].concat();
        assert_eq!(verify(Verifier::offline(), &whole).breaks_total, 0);
        let late = [lines.concat(), later.lines[1].clone()].concat();
        assert_eq!(first(&verify(Verifier::offline(), &late)), Some(("missing", 4)));
        lines.splice(0..0, later.lines);
        assert_eq!(first(&verify(Verifier::offline(), &lines.concat())), Some(("inserted", 3)), "in the wrong order");
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Set(usize, u8),
        Insert(usize, u8),
        Remove(usize),
        Cut(usize),
        DropLine(usize),
        Repeat(usize, usize),
        Swap(usize, usize),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let at = any::<prop::sample::Index>;
        prop_oneof![
            (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at.index(1 << 20), byte)),
            (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Insert(at.index(1 << 20), byte)),
            at().prop_map(|at| Edit::Remove(at.index(1 << 20))),
            at().prop_map(|at| Edit::Cut(at.index(1 << 20))),
            at().prop_map(|at| Edit::DropLine(at.index(1 << 20))),
            (at(), at()).prop_map(|(from, to)| Edit::Repeat(from.index(1 << 20), to.index(1 << 20))),
            (at(), at()).prop_map(|(one, two)| Edit::Swap(one.index(1 << 20), two.index(1 << 20))),
        ]
    }

    fn edited(lines: &[Vec<u8>], edit: &Edit) -> Vec<u8> {
        let (mut bytes, mut lines) = (lines.concat(), lines.to_vec());
        let (length, count) = (bytes.len(), lines.len());
        match *edit {
            Edit::Set(at, byte) => bytes[at % length] = byte,
            Edit::Insert(at, byte) => bytes.insert(at % (length + 1), byte),
            Edit::Remove(at) => drop(bytes.remove(at % length)),
            Edit::Cut(at) => bytes.truncate(at % length),
            Edit::DropLine(at) => {
                lines.remove(at % count);
                bytes = lines.concat();
            }
            Edit::Repeat(from, to) => {
                lines.insert(to % (count + 1), lines[from % count].clone());
                bytes = lines.concat();
            }
            Edit::Swap(one, two) => {
                lines.swap(one % count, two % count);
                bytes = lines.concat();
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn no_edit_of_an_anchored_file_goes_unseen(records in 2usize..12, edit in edit()) {
            let written = Written::new(records);
            let before = written.lines.concat();
            let after = edited(&written.lines, &edit);
            // A file without its last line feed has lost nothing.
            prop_assume!(after != before && [after.as_slice(), b"\n"].concat() != before);
            let anchored = Verifier::against([written.anchor(records)], Some(1));
            let report = verify(anchored, &after);
            prop_assert!(report.breaks_total > 0 || report.being_written, "{edit:?}");
            if report.breaks_total == 0 {
                // Behind the anchored end there is nothing but what was appended.
                prop_assert!(after.starts_with(&before), "{edit:?}");
            }
        }
    }
}
