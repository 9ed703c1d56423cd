//! Pod and container from the paths of cgroups, by SPIRE's rules.
//!
//! Within a path the segments are read from the last to the first. The container ID is the first word of 64
//! hexadecimal digits that turns up; the pod UID is looked for from what stands before it in its segment onwards, so
//! that an outer container (`/docker/<outer>/kubelet/kubepods/…/pod<uid>/<inner>`) never wins over an inner one.

use super::text::{container_id, is_hex, is_word};

/// What the paths say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// With dashes, as Kubernetes writes it; empty when no path names a pod.
    pub pod_uid: String,
    pub container_id: String,
}

/// How much is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `docker`: a pod's container is a container like any other.
    ContainerOnly,
    /// `k8s`.
    PodAndContainer,
}

/// The paths disagree. Whoever is told so chooses nothing: one of them may be forged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("multiple pod UIDs found ({0:?}, {1:?})")]
    PodUids(String, String),
    #[error("multiple container IDs found ({0:?}, {1:?})")]
    ContainerIds(String, String),
}

/// `None` when no path names a container.
///
/// A path with a pod UID counts more than one without: a node that is a container itself shows, in the hierarchies
/// that it does not divide further, only the container that it is.
pub fn extract<'p>(paths: impl IntoIterator<Item = &'p str>, wanted: Wanted) -> Result<Option<Container>, Conflict> {
    let mut known = Container::default();
    for path in paths {
        let found = from_path(path, wanted).unwrap_or_default();
        if !known.pod_uid.is_empty() && found.pod_uid.is_empty() {
            continue;
        }
        if known.pod_uid.is_empty() && !found.pod_uid.is_empty() {
            known = found;
            continue;
        }
        if known.pod_uid != found.pod_uid {
            return Err(Conflict::PodUids(known.pod_uid, found.pod_uid));
        }
        if !known.container_id.is_empty() && known.container_id != found.container_id {
            return Err(Conflict::ContainerIds(known.container_id, found.container_id));
        }
        known = found;
    }
    Ok((!known.container_id.is_empty()).then_some(known))
}

/// What one path says.
pub fn from_path(path: &str, wanted: Wanted) -> Option<Container> {
    // An empty segment ends the search, as in SPIRE: no runtime writes any.
    let mut segments = path.rsplit('/').take_while(|segment| !segment.is_empty());
    let (before, container_id) = segments.find_map(|segment| {
        let (at, id) = container_id(segment)?;
        Some((&segment[..at], id.to_owned()))
    })?;
    let pod_uid = match wanted {
        Wanted::ContainerOnly => None,
        Wanted::PodAndContainer => pod_uid(before).or_else(|| segments.find_map(pod_uid)),
    };
    Some(Container { pod_uid: pod_uid.unwrap_or_default(), container_id })
}

/// `pod` at the beginning of a word, then a UUID whose groups are joined by `-` (cgroupfs) or `_` (systemd).
fn pod_uid(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    segment.match_indices(POD).find_map(|(at, _)| {
        let begins_word = at == 0 || !is_word(bytes[at - 1]);
        let uid = segment.get(at + POD.len()..at + POD.len() + UID_CHARS)?;
        let ends_word = bytes.get(at + POD.len() + UID_CHARS).is_none_or(|next| !is_word(*next));
        (begins_word && ends_word && is_uid(uid)).then(|| uid.replace('_', "-"))
    })
}

fn is_uid(text: &str) -> bool {
    let groups: Vec<&str> = text.split(['-', '_']).collect();
    groups.len() == UID_GROUPS.len()
        && groups.iter().zip(UID_GROUPS).all(|(group, chars)| group.len() == chars && is_hex(group))
}

const POD: &str = "pod";
const UID_CHARS: usize = 36;
const UID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{ID, OTHER_ID, OTHER_UID, PATHS, UID};
    use super::*;

    fn pod(paths: &[&str]) -> Result<Option<Container>, Conflict> {
        extract(paths.iter().copied(), Wanted::PodAndContainer)
    }

    #[test]
    fn every_shape_that_runtimes_write() {
        for sample in PATHS {
            let found = from_path(&sample.path(), Wanted::PodAndContainer).unwrap_or_default();
            let expected = (sample.pod_uid.unwrap_or(""), sample.container_id.unwrap_or(""));
            assert_eq!((found.pod_uid.as_str(), found.container_id.as_str()), expected, "{}", sample.path());
            let alone = from_path(&sample.path(), Wanted::ContainerOnly).unwrap_or_default();
            assert_eq!((alone.pod_uid.as_str(), alone.container_id.as_str()), ("", expected.1), "{}", sample.path());
        }
    }

    #[test]
    fn a_path_with_a_pod_counts_more_than_one_without() {
        let expected = Ok(Some(Container { pod_uid: UID.to_owned(), container_id: ID.to_owned() }));
        let (inner, outer) = (format!("/docker/{OTHER_ID}/kubepods/pod{UID}/{ID}"), format!("/docker/{OTHER_ID}"));
        assert_eq!(pod(&[&inner, &outer, "/"]), expected);
        assert_eq!(pod(&[&outer, &inner]), expected);
        assert_eq!(pod(&["/", &inner, &inner]), expected);
    }

    #[test]
    fn paths_that_disagree_are_refused() {
        let at = |uid: &str, id: &str| format!("/kubepods/pod{uid}/{id}");
        let pods = pod(&[&at(UID, ID), &at(OTHER_UID, ID)]).unwrap_err();
        assert_eq!(pods.to_string(), format!("multiple pod UIDs found (\"{UID}\", \"{OTHER_UID}\")"));
        let containers = pod(&[&at(UID, ID), &at(UID, OTHER_ID)]).unwrap_err();
        assert_eq!(containers.to_string(), format!("multiple container IDs found (\"{ID}\", \"{OTHER_ID}\")"));
        let docker = extract([&*format!("/docker/{ID}"), &*format!("/docker/{OTHER_ID}")], Wanted::ContainerOnly);
        assert!(matches!(docker, Err(Conflict::ContainerIds(..))));
        // A process that is in the container by some hierarchies only.
        assert!(matches!(pod(&[&format!("/docker/{ID}"), "/"]), Err(Conflict::ContainerIds(..))));
    }

    proptest! {
        #[test]
        fn never_panics_and_invents_nothing(path in "[/a-f0-9pod_:.é-]{0,300}") {
            if let Some(found) = from_path(&path, Wanted::PodAndContainer) {
                prop_assert!(path.contains(&found.container_id) && found.container_id.len() == 64);
                let written = path.replace('_', "-");
                let pod = format!("pod{}", found.pod_uid);
                prop_assert!(found.pod_uid.is_empty() || written.contains(&pod));
            }
        }

        #[test]
        fn any_pod_and_any_container_come_back(
            uid in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            id in "[0-9a-fA-F]{64}",
            class in "(besteffort|burstable|guaranteed)",
            runtime in "(cri-containerd|crio|docker)",
        ) {
            let expected = Some(Container { pod_uid: uid.clone(), container_id: id.clone() });
            let plain = format!("/kubepods/{class}/pod{uid}/{id}");
            prop_assert_eq!(from_path(&plain, Wanted::PodAndContainer), expected.clone());
            let escaped = uid.replace('-', "_");
            let slice = format!("/kubepods.slice/kubepods-{class}.slice/kubepods-{class}-pod{escaped}.slice");
            let scope = format!("{slice}/{runtime}-{id}.scope");
            prop_assert_eq!(from_path(&scope, Wanted::PodAndContainer), expected.clone());
            let colons = format!("{slice}:{runtime}:{id}");
            prop_assert_eq!(from_path(&colons, Wanted::PodAndContainer), expected);
        }

        #[test]
        fn the_order_of_agreeing_paths_does_not_matter(count in 1usize..6) {
            let path = format!("/kubepods/pod{UID}/{ID}");
            let found = pod(&vec![path.as_str(); count]).unwrap().unwrap();
            prop_assert_eq!((found.pod_uid.as_str(), found.container_id.as_str()), (UID, ID));
        }
    }
}
