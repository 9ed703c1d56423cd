//! The locator of old (`use_new_container_locator = false`), for files that still ask for it: patterns over the whole
//! path, the container ID at its end, cgroups only.

use super::extract::{Conflict, Container};
use super::text::{CONTAINER_ID_CHARS, is_hex};

/// `None` when no path names a container.
pub fn extract_legacy<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<Option<Container>, Conflict> {
    let mut known: Option<Container> = None;
    for found in paths.into_iter().filter_map(from_path) {
        match known {
            Some(known) if known.container_id != found.container_id => {
                return Err(Conflict::ContainerIds(known.container_id, found.container_id));
            }
            Some(known) if known.pod_uid != found.pod_uid => {
                return Err(Conflict::PodUids(known.pod_uid, found.pod_uid));
            }
            _ => known = Some(found),
        }
    }
    Ok(known)
}

/// `…<p>pod<uid><p>…<p><id>`, or `…crio<p><id>` without any pod; `<p>` is one character of punctuation.
fn from_path(path: &str) -> Option<Container> {
    let path = path.strip_suffix(".scope").unwrap_or(path);
    let (before, container_id) = path.split_at_checked(path.len().checked_sub(CONTAINER_ID_CHARS)?)?;
    if !is_hex(container_id) {
        return None;
    }
    let found = |pod_uid| Some(Container { pod_uid, container_id: container_id.to_owned() });
    let mut names_pod = false;
    for (at, _) in before.match_indices(POD) {
        let Some((uid, rest)) = uid(&before[at + POD.len()..]) else { continue };
        names_pod = true;
        if before[..at].ends_with(|c: char| c.is_ascii_punctuation()) && is_separated(rest) {
            return found(uid);
        }
    }
    let runtime = before.strip_suffix(|c: char| c.is_ascii_punctuation())?;
    if names_pod || !runtime.ends_with("crio") {
        return None;
    }
    found(String::new())
}

/// The UID at the start of `text` with dashes, and what follows it.
fn uid(text: &str) -> Option<(String, &str)> {
    let (mut uid, mut rest) = (String::new(), text);
    for chars in [8, 4, 4, 4, 12] {
        if !uid.is_empty() {
            let joined = rest.strip_prefix(|c: char| c.is_ascii_punctuation());
            uid.extend(joined.map(|_| '-'));
            rest = joined.unwrap_or(rest);
        }
        let (group, after) = rest.split_at_checked(chars)?;
        if !is_hex(group) {
            return None;
        }
        uid.push_str(group);
        rest = after;
    }
    Some((uid, rest))
}

/// Between pod and container: names, each set off by one character of punctuation.
fn is_separated(between: &str) -> bool {
    let is_punctuation = |c: char| c.is_ascii_punctuation();
    let two_in_a_row = between.as_bytes().windows(2).any(|pair| pair.iter().all(u8::is_ascii_punctuation));
    between.starts_with(is_punctuation) && between.ends_with(is_punctuation) && !two_in_a_row
}

const POD: &str = "pod";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{ID, OTHER_ID, OTHER_UID, UID};
    use super::*;

    #[test]
    fn the_shapes_of_old() {
        let escaped = UID.replace('-', "_");
        for path in [
            format!("/kubepods/burstable/pod{UID}/{ID}"),
            format!("/docker/{OTHER_ID}/kubepods/besteffort/pod{UID}/{ID}"),
            format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID}.slice/docker-{ID}.scope"),
            format!("/kubepods-besteffort-pod{escaped}.slice:cri-containerd:{ID}"),
            format!("/kubepods.slice/kubepods-pod{escaped}.slice/crio-{ID}.scope"),
            format!("/../../pod{UID}/{ID}"),
        ] {
            let expected = Container { pod_uid: UID.to_owned(), container_id: ID.to_owned() };
            assert_eq!(from_path(&path), Some(expected), "{path}");
        }
        let alone = Container { pod_uid: String::new(), container_id: ID.to_owned() };
        assert_eq!(from_path(&format!("/../crio-{ID}.scope")), Some(alone));
        for path in [
            format!("/docker/{ID}"),
            format!("/kubepods/pod{UID}/{ID}/below"),
            format!("/kubepods/pod{UID}//{ID}"),
            format!("/pod{UID}x/crio{ID}"),
            ID.to_owned(),
            "é".repeat(40),
        ] {
            assert_eq!(from_path(&path), None, "{path}");
        }
    }

    #[test]
    fn paths_that_disagree_are_refused() {
        let (first, second) = (format!("/kubepods/pod{UID}/{ID}"), format!("/kubepods/pod{UID}/{OTHER_ID}"));
        assert!(matches!(extract_legacy([&*first, &*second]), Err(Conflict::ContainerIds(..))));
        let second = format!("/kubepods/pod{OTHER_UID}/{ID}");
        assert!(matches!(extract_legacy([&*first, &*second]), Err(Conflict::PodUids(..))));
        assert!(extract_legacy([&*first, "/", &*first]).unwrap().is_some());
        assert_eq!(extract_legacy(["/"]), Ok(None));
    }

    proptest! {
        #[test]
        fn never_panics(path in "[/a-f0-9pod_:.é-]{0,300}") {
            let _ = from_path(&path);
        }
    }
}
