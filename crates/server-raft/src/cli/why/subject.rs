//! Whom a question is about.

use std::fmt;

use steeple_core::SpiffeId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Entry(String),
    Id(SpiffeId),
    Process(i32),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSubject {
    #[error("name one SPIFFE ID, entry ID or pid:N behind the flags, for example: why -output json spiffe://td/web")]
    NotOne,
    #[error("{0:?} names no process: pid:N, with the number that the process has on this machine")]
    Pid(String),
    #[error("{0:?} is no SPIFFE ID: {1}")]
    Id(String, steeple_core::IdError),
}

impl Subject {
    pub(super) fn of(words: &[String]) -> Result<Self, NoSubject> {
        let [word] = words else { return Err(NoSubject::NotOne) };
        if let Some(pid) = word.strip_prefix("pid:") {
            let pid = pid.parse().ok().filter(|pid| *pid > 0);
            return pid.map(Self::Process).ok_or_else(|| NoSubject::Pid(word.clone()));
        }
        if word.contains("://") {
            return SpiffeId::parse(word).map(Self::Id).map_err(|error| NoSubject::Id(word.clone(), error));
        }
        Ok(Self::Entry(word.clone()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(id) => f.write_str(id),
            Self::Id(id) => write!(f, "{id}"),
            Self::Process(pid) => write!(f, "pid:{pid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_says_what_it_is() {
        let of = |words: &[&str]| Subject::of(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&["pid:7"]), Ok(Subject::Process(7)));
        assert_eq!(of(&["web-1"]), Ok(Subject::Entry("web-1".to_owned())));
        assert!(matches!(of(&["spiffe://example.org/web"]), Ok(Subject::Id(_))));
        assert_eq!(of(&[]), Err(NoSubject::NotOne));
        assert_eq!(of(&["web-1", "-output"]), Err(NoSubject::NotOne));
        for (word, text) in [("pid:x", "names no process"), ("pid:-1", "no process"), ("http://a/b", "no SPIFFE ID")] {
            let refused = of(&[word]).unwrap_err().to_string();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
