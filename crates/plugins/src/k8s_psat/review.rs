//! What a TokenReview says about a token: pure.

use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UserNameError {
    #[error("empty username")]
    Empty,
    #[error("unexpected username format: {0}")]
    Format(String),
    #[error("missing namespace")]
    Namespace,
    #[error("missing service account name")]
    ServiceAccount,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BoundPodError {
    #[error("missing pod {0}")]
    Missing(&'static str),
    #[error("expected 1 {what} but got: {found}")]
    Count { what: &'static str, found: usize },
    #[error("pod {0} is empty")]
    Empty(&'static str),
}

/// Namespace and name of the service account, from `system:serviceaccount:NAMESPACE:NAME`.
pub(super) fn service_account(user: &UserInfo) -> Result<(&str, &str), UserNameError> {
    let name = user.username.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(UserNameError::Empty);
    }
    let parts: Vec<&str> = name.split(':').collect();
    match parts.as_slice() {
        [_, _, "", _] => Err(UserNameError::Namespace),
        [_, _, _, ""] => Err(UserNameError::ServiceAccount),
        [_, _, namespace, service_account] => Ok((namespace, service_account)),
        _ => Err(UserNameError::Format(name.to_owned())),
    }
}

/// The name of the pod that the token is bound to.
pub(super) fn pod_name(user: &UserInfo) -> Result<&str, BoundPodError> {
    one(user, "authentication.kubernetes.io/pod-name", "name")
}

pub(super) fn pod_uid(user: &UserInfo) -> Result<&str, BoundPodError> {
    one(user, "authentication.kubernetes.io/pod-uid", "UID")
}

fn one<'a>(user: &'a UserInfo, key: &str, what: &'static str) -> Result<&'a str, BoundPodError> {
    let values = user.extra.as_ref().and_then(|extra| extra.get(key)).ok_or(BoundPodError::Missing(what))?;
    match values.as_slice() {
        [value] if value.is_empty() => Err(BoundPodError::Empty(what)),
        [value] => Ok(value),
        several => Err(BoundPodError::Count { what, found: several.len() }),
    }
}

/// Whether the API server looked for one of `wanted`: one that does not know audiences says of none that it did, and
/// its token may be anybody's.
pub(super) fn knows_audience(status: &TokenReviewStatus, wanted: &[String]) -> bool {
    let seen = status.audiences.as_deref().unwrap_or_default();
    wanted.is_empty() || wanted.iter().any(|audience| seen.contains(audience))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn user(name: &str, extra: &[(&str, &[&str])]) -> UserInfo {
        let values = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let extra: BTreeMap<String, Vec<String>> =
            extra.iter().map(|(key, list)| ((*key).to_owned(), values(list))).collect();
        UserInfo { username: Some(name.to_owned()), extra: Some(extra), ..UserInfo::default() }
    }

    #[test]
    fn names_of_service_accounts_and_spires_texts() {
        let agent = user("system:serviceaccount:spire:spire-agent", &[]);
        assert_eq!(service_account(&agent), Ok(("spire", "spire-agent")));
        for (name, text) in [
            ("", "empty username"),
            ("admin", "unexpected username format: admin"),
            ("system:serviceaccount:a:b:c", "unexpected username format: system:serviceaccount:a:b:c"),
            ("system:serviceaccount::b", "missing namespace"),
            ("system:serviceaccount:a:", "missing service account name"),
        ] {
            assert_eq!(service_account(&user(name, &[])).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn a_token_is_bound_to_one_pod() {
        const NAME: &str = "authentication.kubernetes.io/pod-name";
        const UID: &str = "authentication.kubernetes.io/pod-uid";
        let bound = user("x", &[(NAME, &["agent-1"]), (UID, &["u-1"])]);
        assert_eq!((pod_name(&bound), pod_uid(&bound)), (Ok("agent-1"), Ok("u-1")));
        let text = |extra: &[(&str, &[&str])]| {
            let user = user("x", extra);
            [pod_name(&user).unwrap_err().to_string(), pod_uid(&user).unwrap_err().to_string()]
        };
        assert_eq!(text(&[]), ["missing pod name", "missing pod UID"]);
        assert_eq!(
            text(&[(NAME, &["a", "b"]), (UID, &[])]),
            ["expected 1 name but got: 2", "expected 1 UID but got: 0"]
        );
        assert_eq!(text(&[(NAME, &[""]), (UID, &[""])]), ["pod name is empty", "pod UID is empty"]);
    }

    #[test]
    fn an_audience_that_was_asked_for_must_have_been_looked_for() {
        let of = |audiences: Option<&[&str]>| TokenReviewStatus {
            audiences: audiences.map(|list| list.iter().map(|&audience| audience.to_owned()).collect()),
            ..TokenReviewStatus::default()
        };
        let wanted = ["spire-server".to_owned(), "other".to_owned()];
        assert!(knows_audience(&of(Some(&["other"])), &wanted));
        assert!(!knows_audience(&of(Some(&["api"])), &wanted));
        assert!(!knows_audience(&of(None), &wanted));
        assert!(knows_audience(&of(None), &[]));
    }
}
