//! The two facts read from `/proc/<pid>`. Bytes, not text: a process may call itself anything.

use super::PeerError;

/// Start time in clock ticks since boot: field 22 of `/proc/<pid>/stat` (proc(5)). Together with the pid it names one
/// process. The command name in field 2 may hold spaces and parentheses, so fields are counted from the *last* `)`.
pub(super) fn start_time(stat: &[u8]) -> Result<u64, PeerError> {
    let malformed = || PeerError::Malformed { file: "stat" };
    let name_end = stat.iter().rposition(|byte| *byte == b')').ok_or_else(malformed)?;
    if !stat[..name_end].contains(&b'(') {
        return Err(malformed());
    }
    let fields: Vec<&[u8]> = stat[name_end + 1..].split(u8::is_ascii_whitespace).filter(|f| !f.is_empty()).collect();
    if FIELDS_BEFORE_NAME_END + fields.len() < STAT_FIELDS_MIN {
        return Err(malformed());
    }
    number(fields[START_TIME_FIELD - FIELDS_BEFORE_NAME_END - 1]).ok_or_else(malformed)
}

/// Effective uid and gid: second numbers of the `Uid:` and `Gid:` lines of `/proc/<pid>/status`. They stay right for
/// processes that are not dumpable, whose `/proc/<pid>` belongs to root.
pub(super) fn effective_ids(status: &[u8]) -> Result<(u32, u32), PeerError> {
    let effective = |label: &[u8]| {
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(label))?;
        let second = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(1)?;
        u32::try_from(number(second)?).ok()
    };
    let ids = effective(b"Uid:").zip(effective(b"Gid:"));
    ids.ok_or(PeerError::Malformed { file: "status" })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// pid and comm.
const FIELDS_BEFORE_NAME_END: usize = 2;
const START_TIME_FIELD: usize = 22;
/// Fewer come from no kernel that we run on (SPIRE behaviour).
const STAT_FIELDS_MIN: usize = 38;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stat(name: &[u8], fields: usize) -> Vec<u8> {
        let mut stat = [b"4711 (", name, b") S"].concat();
        for field in 4..=fields {
            stat.extend_from_slice(if field == START_TIME_FIELD { b" 987654" } else { b" 1" });
        }
        stat.push(b'\n');
        stat
    }

    #[test]
    fn reads_start_time_whatever_the_command_is_called() {
        for name in [&b"sh"[..], b"", b"a b", b") R 1 1 1", b"((", b"))", b"\xff\xfe", b"x\ny"] {
            assert_eq!(start_time(&stat(name, 52)), Ok(987_654), "{name:?}");
        }
    }

    #[test]
    fn refuses_a_short_or_foreign_stat() {
        let malformed = Err(PeerError::Malformed { file: "stat" });
        assert_eq!(start_time(&stat(b"sh", 37)), malformed);
        assert_eq!(start_time(&stat(b"sh", 38)), Ok(987_654));
        assert_eq!(start_time(b""), malformed);
        assert_eq!(start_time(b")"), malformed);
        let not_a_number = String::from_utf8(stat(b"sh", 52)).unwrap().replace("987654", "-1");
        assert_eq!(start_time(not_a_number.as_bytes()), malformed);
    }

    #[test]
    fn reads_effective_ids() {
        let status = b"Name:\t\xff Uid: 9 9\nUmask:\t0022\nUid:\t1\t1000\t3\t4\nGid:\t5\t1001\t7\t8\n";
        assert_eq!(effective_ids(status), Ok((1000, 1001)));
        assert_eq!(effective_ids(b"Uid:\t1\n"), Err(PeerError::Malformed { file: "status" }));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = start_time(&bytes);
            let _ = effective_ids(&bytes);
        }
    }
}
