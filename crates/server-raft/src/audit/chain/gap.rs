//! What is missing before and between the files of a trail, by their ends alone.

use super::Head;

/// What stands in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: Head,
    pub last: Head,
}

/// The first record of chain `epoch` that should stand before record `first`, where the files begin: rotation let go
/// those up to `dropped`. `None`: nothing is missing.
pub(super) fn missing_from(dropped: Option<(u64, u64)>, epoch: u64, first: u64) -> Option<u64> {
    let expected = match dropped {
        Some((later, _)) if later > epoch => return None,
        Some((same, sequence)) if same == epoch => sequence.saturating_add(1),
        _ => 1,
    };
    (first > expected).then_some(expected)
}

/// The first gap, of files from the oldest to the current one; `None` of one whose ends are no records. The lines
/// between the ends are for [`super::Verifier`].
pub fn gap(files: &[Option<Span>], dropped: Option<(u64, u64)>) -> Option<String> {
    let told = |from: u64, next: &Head| {
        format!("records {from} to {} of chain {} are in no file", next.sequence.saturating_sub(1), next.epoch)
    };
    if let Some(Some(Span { first, .. })) = files.first()
        && let Some(from) = missing_from(dropped, first.epoch, first.sequence)
    {
        return Some(told(from, first));
    }
    files.windows(2).find_map(|pair| {
        let [Some(Span { last: before, .. }), Some(Span { first: now, .. })] = pair else { return None };
        let is_same_chain = (before.node_id, before.epoch) == (now.node_id, now.epoch);
        let expected = if is_same_chain { before.sequence.saturating_add(1) } else { 1 };
        (now.sequence > expected).then(|| told(expected, now))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(epoch: u64, first: u64, last: u64) -> Option<Span> {
        let head = |sequence| Head { node_id: 1, epoch, sequence, hash: [0; 32] };
        Some(Span { first: head(first), last: head(last) })
    }

    #[test]
    fn what_rotation_let_go_is_no_gap() {
        let spans = [span(100, 31, 60), span(100, 61, 90)];
        assert_eq!(gap(&spans, Some((100, 30))), None);
        assert_eq!(gap(&[], None), None);
        assert_eq!(gap(&[span(100, 1, 30), None, span(100, 61, 90)], None), None, "nobody knows what is in it");
        assert_eq!(gap(&[span(100, 1, 60), span(200, 1, 5)], None), None, "another chain begins");
        assert_eq!(gap(&[span(200, 1, 5)], Some((100, 60))), None);
    }

    #[test]
    fn a_file_that_is_gone_is_a_gap() {
        let text =
            |from: u64, to: u64, epoch: u64| Some(format!("records {from} to {to} of chain {epoch} are in no file"));
        assert_eq!(gap(&[span(100, 58, 60)], None), text(1, 57, 100));
        assert_eq!(gap(&[span(100, 61, 90)], Some((100, 30))), text(31, 60, 100));
        assert_eq!(gap(&[span(100, 1, 30), span(100, 61, 90)], None), text(31, 60, 100));
        assert_eq!(gap(&[span(100, 1, 30), span(200, 3, 9)], None), text(1, 2, 200));
    }
}
