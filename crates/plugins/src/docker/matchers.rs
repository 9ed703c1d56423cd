//! `container_id_cgroup_matchers`: where in a cgroup path the container ID stands, in the administrator's words.

/// Patterns of which at most one can match a path: `/docker/<id>`, `/my.slice/*/<id>/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matchers {
    patterns: Vec<Vec<Component>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Component {
    /// `*`
    Any,
    /// `<id>`
    Id,
    Is(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchersError {
    #[error("pattern {0:?} must contain the container id token \"<id>\" exactly once")]
    NotOneId(String),
    #[error("dockerfinder: patterns must not be ambiguous: {0:?}")]
    Ambiguous(Vec<String>),
}

/// The paths of a process do not tell one container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    #[error("workloadattestor/docker: multiple container IDs found in cgroups ({0}, {1})")]
    Several(String, String),
    #[error("workloadattestor/docker: a pattern matched, but no container id was found")]
    Blank,
}

impl Matchers {
    pub fn new(patterns: &[String]) -> Result<Self, MatchersError> {
        let parsed: Vec<Vec<Component>> =
            patterns.iter().map(|pattern| pattern.split('/').map(Component::parse).collect()).collect();
        let same = |a: &[Component], b: &[Component]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || !a.is_fixed() || !b.is_fixed())
        };
        let is_ambiguous =
            |at: &usize| (0..parsed.len()).any(|other| other != *at && same(&parsed[*at], &parsed[other]));
        let ambiguous: Vec<String> = (0..patterns.len()).filter(is_ambiguous).map(|at| patterns[at].clone()).collect();
        if !ambiguous.is_empty() {
            return Err(MatchersError::Ambiguous(ambiguous));
        }
        for (pattern, components) in patterns.iter().zip(&parsed) {
            if components.iter().filter(|component| **component == Component::Id).count() != 1 {
                return Err(MatchersError::NotOneId(pattern.clone()));
            }
        }
        Ok(Self { patterns: parsed })
    }

    /// `None` when no path matches.
    pub(super) fn container_id<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> Result<Option<String>, MatchError> {
        let mut known: Option<&str> = None;
        for path in paths {
            let Some(found) = self.patterns.iter().find_map(|pattern| id_of(pattern, path)) else { continue };
            match known {
                Some(known) if !known.is_empty() && known != found => {
                    return Err(MatchError::Several(known.to_owned(), found.to_owned()));
                }
                _ => known = Some(found),
            }
        }
        match known {
            Some("") => Err(MatchError::Blank),
            known => Ok(known.map(ToOwned::to_owned)),
        }
    }
}

fn id_of<'p>(pattern: &[Component], path: &'p str) -> Option<&'p str> {
    let mut id = None;
    let mut segments = path.split('/');
    for component in pattern {
        let segment = segments.next()?;
        match component {
            Component::Any => {}
            Component::Id => id = Some(segment),
            Component::Is(text) if text == segment => {}
            Component::Is(_) => return None,
        }
    }
    id.filter(|_| segments.next().is_none())
}

impl Component {
    fn parse(text: &str) -> Self {
        match text {
            "*" => Self::Any,
            "<id>" => Self::Id,
            other => Self::Is(other.to_owned()),
        }
    }

    fn is_fixed(&self) -> bool {
        matches!(self, Self::Is(_))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matchers(patterns: &[&str]) -> Result<Matchers, MatchersError> {
        Matchers::new(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_has_one_id_and_no_double() {
        assert_eq!(matchers(&["/a/*"]), Err(MatchersError::NotOneId("/a/*".to_owned())));
        assert!(matches!(matchers(&["/<id>/<id>"]), Err(MatchersError::NotOneId(_))));
        let ambiguous = matchers(&["/a/b/<id>", "/c/<id>", "/*/b/<id>"]);
        assert_eq!(ambiguous, Err(MatchersError::Ambiguous(vec!["/a/b/<id>".to_owned(), "/*/b/<id>".to_owned()])));
        assert!(matchers(&["/a/b/<id>", "/a/c/<id>", "/a/<id>"]).is_ok());
    }

    #[test]
    fn paths_are_matched_from_end_to_end() {
        let matchers = matchers(&["/docker/<id>", "/my.slice/*/<id>/*"]).unwrap();
        let of = |paths: &[&str]| matchers.container_id(paths.iter().copied());
        assert_eq!(of(&["/docker/short"]), Ok(Some("short".to_owned())));
        assert_eq!(of(&["/my.slice/x/abc/y", "/elsewhere"]), Ok(Some("abc".to_owned())));
        assert_eq!(of(&["/myxslice/x/abc/y", "/docker/a/b", "/x/docker/a"]), Ok(None));
        assert_eq!(of(&["/docker/a", "/docker/b"]), Err(MatchError::Several("a".to_owned(), "b".to_owned())));
        assert_eq!(of(&["/docker/"]), Err(MatchError::Blank));
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(id in "[a-zA-Z0-9._-]{1,80}", any in "[^/]{0,20}") {
            let matchers = matchers(&["/a/*/x/<id>"]).unwrap();
            let path = format!("/a/{any}/x/{id}");
            prop_assert_eq!(matchers.container_id([path.as_str()]), Ok(Some(id)));
        }
    }
}
