//! Names of resources: what Envoy asked for, and what each name means to one workload.

use std::collections::BTreeSet;

use steeple_config::SdsSettings;
use steeple_core::Bundle;

use super::SdsError;
use crate::cache::{WorkloadView, X509Svid};

/// The names of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceNames {
    /// None were given: own bundle, other bundles and identities, each under its own name.
    Everything,
    Listed(BTreeSet<String>),
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'v> {
    /// The roots of every trust domain in the view.
    AllBundles,
    Bundle(&'v Bundle),
    Svid(&'v X509Svid),
}

impl ResourceNames {
    /// Empty names count as none.
    pub fn parse(names: &[String]) -> Result<Self, SdsError> {
        if names.len() > RESOURCE_NAMES_MAX {
            return Err(SdsError::TooManyNames(names.len()));
        }
        let names: BTreeSet<String> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        Ok(if names.is_empty() { Self::Everything } else { Self::Listed(names) })
    }

    /// The names with their meanings. SPIRE gives only the first of the own trust domain, `ROOTCA` and `ALL`, and not
    /// `default` beside the ID that it stands for; here each name gets its resource.
    pub fn resolve<'v>(
        &self,
        settings: &SdsSettings,
        view: &'v WorkloadView,
    ) -> Result<Vec<(String, Resource<'v>)>, SdsError> {
        let Self::Listed(names) = self else { return Ok(everything(view)) };
        let mut missing = Vec::new();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match resolve(name, settings, view) {
                Some(resource) => found.push((name.clone(), resource)),
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(SdsError::NotAuthorized(missing)) }
    }
}

/// Where a configured name collides with another, the order is SPIRE's.
pub fn resolve<'v>(name: &str, settings: &SdsSettings, view: &'v WorkloadView) -> Option<Resource<'v>> {
    let own = view.bundle.as_deref();
    if let Some(own) = own
        && (name == own.trust_domain.id().as_str() || name == settings.default_bundle_name)
    {
        return Some(Resource::Bundle(own));
    }
    if own.is_some() && name == settings.default_all_bundles_name {
        return Some(Resource::AllBundles);
    }
    if let Some(bundle) = view.federated.values().find(|bundle| name == bundle.trust_domain.id().as_str()) {
        return Some(Resource::Bundle(bundle));
    }
    let named = view.identities.iter().find(|identity| name == identity.svid.spiffe_id.as_str());
    let default = || view.identities.first().filter(|_| name == settings.default_svid_name);
    named.or_else(default).map(|identity| Resource::Svid(&identity.svid))
}

/// Of two identities with one ID the first is given, as for that name: Envoy wants each name once.
fn everything(view: &WorkloadView) -> Vec<(String, Resource<'_>)> {
    let bundles = view.bundles().map(|bundle| (bundle.trust_domain.id().to_string(), Resource::Bundle(bundle)));
    let mut seen = BTreeSet::new();
    let svids = view
        .identities
        .iter()
        .filter(|identity| seen.insert(identity.svid.spiffe_id.as_str()))
        .map(|identity| (identity.svid.spiffe_id.to_string(), Resource::Svid(&identity.svid)));
    bundles.chain(svids).collect()
}

/// Envoy asks for one name on each stream; each name is looked for among all identities.
pub const RESOURCE_NAMES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sds::resources::tests::view;

    /// What a name means, in a form that can be compared.
    fn meaning(name: &str, settings: &SdsSettings, view: &WorkloadView) -> String {
        match resolve(name, settings, view) {
            Some(Resource::AllBundles) => "all".into(),
            Some(Resource::Bundle(bundle)) => bundle.trust_domain.name().into(),
            Some(Resource::Svid(svid)) => svid.spiffe_id.to_string(),
            None => "nothing".into(),
        }
    }

    fn listed(names: &[&str]) -> ResourceNames {
        ResourceNames::parse(&names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn every_kind_of_name() {
        let (settings, view) = (SdsSettings::default(), view(&["a", "b"], &["one.test"]));
        for (name, expected) in [
            ("spiffe://td", "td"),
            ("ROOTCA", "td"),
            ("ALL", "all"),
            ("spiffe://one.test", "one.test"),
            ("spiffe://two.test", "nothing"),
            ("spiffe://td/b", "spiffe://td/b"),
            ("spiffe://td/c", "nothing"),
            ("default", "spiffe://td/a"),
            ("td", "nothing"),
            ("rootca", "nothing"),
        ] {
            assert_eq!(meaning(name, &settings, &view), expected, "{name}");
        }
    }

    #[test]
    fn names_can_be_configured() {
        let settings = SdsSettings {
            default_svid_name: "me".into(),
            default_bundle_name: "roots".into(),
            default_all_bundles_name: "roots".into(),
            ..SdsSettings::default()
        };
        let view = view(&["a"], &[]);
        assert_eq!(meaning("me", &settings, &view), "spiffe://td/a");
        assert_eq!(meaning("default", &settings, &view), "nothing");
        assert_eq!(meaning("ROOTCA", &settings, &view), "nothing");
        // Equal names: the own bundle wins.
        assert_eq!(meaning("roots", &settings, &view), "td");
    }

    #[test]
    fn nobody_has_no_default_identity() {
        assert_eq!(meaning("default", &SdsSettings::default(), &view(&[], &[])), "nothing");
    }

    #[test]
    fn missing_names_are_sorted_and_quoted() {
        let names = listed(&["unknown", "spiffe://td/a", "a \"b\""]);
        let error = names.resolve(&SdsSettings::default(), &view(&["a"], &[])).unwrap_err();
        assert_eq!(error, SdsError::NotAuthorized(vec!["a \"b\"".into(), "unknown".into()]));
        assert_eq!(
            error.to_string(),
            r#"workload is not authorized for the requested identities ["a \"b\"" "unknown"]"#
        );
    }

    #[test]
    fn each_of_several_names_gets_its_resource() {
        let names = listed(&["ALL", "ROOTCA", "spiffe://td", "default", "spiffe://td/a"]);
        let view = view(&["a"], &[]);
        assert_eq!(names.resolve(&SdsSettings::default(), &view).unwrap().len(), 5);
    }

    #[test]
    fn no_names_are_all_names_once() {
        assert_eq!(listed(&[]), ResourceNames::Everything);
        assert_eq!(listed(&["", ""]), ResourceNames::Everything);
        let view = view(&["b", "a", "a"], &["one.test"]);
        let named = ResourceNames::Everything.resolve(&SdsSettings::default(), &view).unwrap();
        let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["spiffe://td", "spiffe://one.test", "spiffe://td/b", "spiffe://td/a"]);
    }

    #[test]
    fn names_are_bounded() {
        let names = vec!["x".to_owned(); RESOURCE_NAMES_MAX + 1];
        assert_eq!(ResourceNames::parse(&names), Err(SdsError::TooManyNames(RESOURCE_NAMES_MAX + 1)));
    }
}
