//! From a workload's view and the names it asked for to Envoy's secrets.

use steeple_api::envoy::core::DataSource;
use steeple_api::envoy::core::data_source::Specifier;
use steeple_api::envoy::tls::secret::Type;
use steeple_api::envoy::tls::{Secret, TlsCertificate};
use steeple_cli::pem_text;
use steeple_config::SdsSettings;

use super::names::{Resource, ResourceNames};
use super::{SdsError, Validation};
use crate::cache::{WorkloadView, X509Svid};

/// Each under the name by which it was asked for; all of them or none.
pub fn secrets(
    names: &ResourceNames,
    settings: &SdsSettings,
    validation: Validation,
    view: &WorkloadView,
) -> Result<Vec<Secret>, SdsError> {
    let resources = names.resolve(settings, view)?;
    let secrets = resources.into_iter().map(|(name, resource)| {
        let secret = match resource {
            Resource::AllBundles => Type::ValidationContext(validation.of_all(view.bundles())?),
            Resource::Bundle(bundle) => Type::ValidationContext(validation.of_one(bundle)),
            Resource::Svid(svid) => Type::TlsCertificate(tls_certificate(svid)),
        };
        Ok(Secret { name, r#type: Some(secret) })
    });
    secrets.collect()
}

pub(super) fn inline(pem: String) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(pem.into_bytes())) }
}

fn tls_certificate(svid: &X509Svid) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(inline(svid.chain.iter().map(|der| pem_text("CERTIFICATE", der)).collect())),
        private_key: Some(inline(pem_text("PRIVATE KEY", svid.key.expose()))),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use steeple_core::{Bundle, TrustDomain, X509Authority};

    use super::*;
    use crate::cache::tests::{entry, svid};
    use crate::cache::{WorkloadIdentity, WorkloadView};

    /// Identities `spiffe://td/ID` and bundles of `td` and of `federated`.
    pub(crate) fn view(ids: &[&str], federated: &[&str]) -> WorkloadView {
        let bundle = |name: &str| Bundle {
            x509_authorities: vec![X509Authority { der: vec![3], tainted: false }],
            ..Bundle::empty(TrustDomain::parse(name).unwrap())
        };
        let identity =
            |id: &&str| WorkloadIdentity { entry: Arc::new(entry(id, &["1"])), svid: Arc::new(svid(id, 0, 10)) };
        WorkloadView {
            identities: ids.iter().map(identity).collect(),
            bundle: Some(Arc::new(bundle("td"))),
            federated: federated
                .iter()
                .map(|name| (TrustDomain::parse(name).unwrap(), Arc::new(bundle(name))))
                .collect(),
            awaited: 0,
        }
    }

    fn kinds(names: &[&str], validation: Validation) -> Result<Vec<(String, &'static str)>, SdsError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let names = ResourceNames::parse(&names).unwrap();
        let secrets = secrets(&names, &SdsSettings::default(), validation, &view(&["a"], &["one.test"]))?;
        let kind = |secret: Secret| match secret.r#type {
            Some(Type::TlsCertificate(_)) => (secret.name, "certificate"),
            Some(Type::ValidationContext(context)) if context.trusted_ca.is_some() => (secret.name, "plain"),
            Some(Type::ValidationContext(_)) => (secret.name, "validator"),
            None => (secret.name, "nothing"),
        };
        Ok(secrets.into_iter().map(kind).collect())
    }

    #[test]
    fn secrets_have_the_names_they_were_asked_by() {
        let named = |name: &str, kind: &'static str| (name.to_owned(), kind);
        assert_eq!(
            kinds(&["default", "ROOTCA", "ALL"], Validation::Spiffe).unwrap(),
            [named("ALL", "validator"), named("ROOTCA", "validator"), named("default", "certificate")]
        );
        assert_eq!(
            kinds(&[], Validation::Plain).unwrap(),
            [named("spiffe://td", "plain"), named("spiffe://one.test", "plain"), named("spiffe://td/a", "certificate")]
        );
    }

    #[test]
    fn one_refusal_refuses_all() {
        assert_eq!(kinds(&["default", "ALL"], Validation::Plain), Err(SdsError::ValidatorNeeded));
        assert_eq!(kinds(&["default", "x"], Validation::Spiffe), Err(SdsError::NotAuthorized(vec!["x".into()])));
    }

    #[test]
    fn an_svid_is_pem_with_its_key() {
        let certificate = tls_certificate(&X509Svid { chain: vec![vec![1], vec![0]], ..svid("a", 0, 10) });
        let chain = "-----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n\
                     -----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(certificate.certificate_chain, Some(inline(chain.into())));
        let key = "-----BEGIN PRIVATE KEY-----\nAg==\n-----END PRIVATE KEY-----\n";
        assert_eq!(certificate.private_key, Some(inline(key.into())));
    }
}
