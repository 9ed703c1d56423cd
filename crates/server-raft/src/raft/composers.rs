//! Whether replicas would write the same subject into a workload's SVID. Nothing breaks when they do not, but whoever
//! maps subjects to users then lets a workload in or not by who signed its SVID.

use std::collections::BTreeMap;

use super::types::NodeId;

/// Which peers compose otherwise, as far as the log has been told.
#[derive(Debug, Default)]
pub(super) struct ComposerComparison {
    /// What each of them has instead.
    differing: BTreeMap<NodeId, Vec<String>>,
}

/// What is new in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Differs,
    AgreesAgain,
}

impl ComposerComparison {
    /// One line when a peer composes otherwise than this replica, or in yet another way, and one when it agrees again.
    pub(super) fn tell(&mut self, id: NodeId, name: &str, ours: &[String], theirs: &[String]) {
        match self.news(id, ours, theirs) {
            Some(News::Differs) => tracing::warn!(
                node_id = id,
                name,
                ours = shown(ours),
                theirs = shown(theirs),
                "replicas have different credential composers: subjects of X.509-SVIDs depend on who signs. Give all \
                 replicas the same CredentialComposer blocks, in the same order"
            ),
            Some(News::AgreesAgain) => {
                tracing::info!(node_id = id, name, "the replica has the same credential composers as this one");
            }
            None => {}
        }
    }

    fn news(&mut self, id: NodeId, ours: &[String], theirs: &[String]) -> Option<News> {
        if ours == theirs {
            return self.differing.remove(&id).map(|_| News::AgreesAgain);
        }
        let before = self.differing.insert(id, theirs.to_vec());
        (before.as_deref() != Some(theirs)).then_some(News::Differs)
    }
}

fn shown(composers: &[String]) -> String {
    if composers.is_empty() { "none".into() } else { composers.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_told_once_and_so_is_its_end() {
        let [none, one, both, turned]: [Vec<String>; 4] =
            [&[][..], &["a"], &["a", "b"], &["b", "a"]].map(|names| names.iter().map(|&name| name.into()).collect());
        let mut comparison = ComposerComparison::default();
        assert_eq!(comparison.news(2, &none, &none), None);
        assert_eq!(comparison.news(2, &both, &both), None);
        assert_eq!(comparison.news(2, &both, &one), Some(News::Differs));
        assert_eq!(comparison.news(2, &both, &one), None);
        assert_eq!(comparison.news(3, &both, &none), Some(News::Differs));
        assert_eq!(comparison.news(2, &both, &turned), Some(News::Differs), "their order matters");
        assert_eq!(comparison.news(2, &both, &both), Some(News::AgreesAgain));
        assert_eq!(comparison.news(2, &both, &both), None);
        assert_eq!((shown(&none).as_str(), shown(&both).as_str()), ("none", "a, b"));
    }
}
