//! How Envoy is told whom to trust: by its SPIFFE validator with a bundle for each trust domain, or as plain roots.

use prost_types::value::Kind;
use steeple_api::any;
use steeple_api::envoy::core::node::UserAgentVersionType;
use steeple_api::envoy::core::{Node, TypedExtensionConfig};
use steeple_api::envoy::tls::spiffe_cert_validator_config::TrustDomain;
use steeple_api::envoy::tls::{CertificateValidationContext, SpiffeCertValidatorConfig};
use steeple_cli::pem_text;
use steeple_config::SdsSettings;
use steeple_core::Bundle;

use super::SdsError;
use super::resources::inline;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// `trusted_ca`: one set of roots, and Envoy checks no SPIFFE ID by itself.
    Plain,
    /// `envoy.tls.cert_validator.spiffe`
    Spiffe,
}

impl Validation {
    /// What this Envoy understands and is configured for. Its metadata overrides the agent's configuration; a version
    /// that it does not report counts as new enough (SPIRE behaviour).
    pub fn for_node(node: Option<&Node>, settings: &SdsSettings) -> Self {
        let disabled = node.and_then(disabled_by_metadata).unwrap_or(settings.disable_spiffe_cert_validation);
        if disabled || node.is_some_and(is_too_old) { Self::Plain } else { Self::Spiffe }
    }

    pub fn of_one(self, bundle: &Bundle) -> CertificateValidationContext {
        match self {
            Self::Plain => CertificateValidationContext {
                trusted_ca: Some(inline(roots_pem(bundle))),
                custom_validator_config: None,
            },
            Self::Spiffe => spiffe_validator([bundle]),
        }
    }

    /// Sorted by trust domain. Plain roots can not be told apart by trust domain, so that form is refused.
    pub fn of_all<'b>(
        self,
        bundles: impl IntoIterator<Item = &'b Bundle>,
    ) -> Result<CertificateValidationContext, SdsError> {
        if self == Self::Plain {
            return Err(SdsError::ValidatorNeeded);
        }
        let mut bundles: Vec<&Bundle> = bundles.into_iter().collect();
        bundles.sort_by(|a, b| a.trust_domain.cmp(&b.trust_domain));
        Ok(spiffe_validator(bundles))
    }
}

fn spiffe_validator<'b>(bundles: impl IntoIterator<Item = &'b Bundle>) -> CertificateValidationContext {
    let trust_domains = bundles
        .into_iter()
        .map(|bundle| TrustDomain {
            name: bundle.trust_domain.name().to_owned(),
            trust_bundle: Some(inline(roots_pem(bundle))),
        })
        .collect();
    CertificateValidationContext {
        trusted_ca: None,
        custom_validator_config: Some(TypedExtensionConfig {
            name: SPIFFE_VALIDATOR.to_owned(),
            typed_config: Some(any::pack(&SpiffeCertValidatorConfig { trust_domains })),
        }),
    }
}

fn roots_pem(bundle: &Bundle) -> String {
    bundle.x509_authorities.iter().map(|root| pem_text("CERTIFICATE", &root.der)).collect()
}

/// A value that is no truth value says nothing.
fn disabled_by_metadata(node: &Node) -> Option<bool> {
    match node.metadata.as_ref()?.fields.get(DISABLED)?.kind.as_ref()? {
        Kind::BoolValue(flag) => Some(*flag),
        Kind::StringValue(text) => parse_bool(text),
        _ => None,
    }
}

/// As Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The validator came with 1.18.
fn is_too_old(node: &Node) -> bool {
    let Some(UserAgentVersionType::UserAgentBuildVersion(build)) = &node.user_agent_version_type else { return false };
    build.version.as_ref().is_some_and(|version| (version.major_number, version.minor_number) <= (1, 17))
}

const SPIFFE_VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";
/// A key of the node's metadata, named as the configuration's.
const DISABLED: &str = "disable_spiffe_cert_validation";

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{Struct, Value};
    use steeple_api::envoy::core::BuildVersion;
    use steeple_core::{TrustDomain, X509Authority};

    use super::*;

    fn with_metadata(kind: Kind) -> Node {
        let fields = [(DISABLED.to_owned(), Value { kind: Some(kind) })].into();
        Node { metadata: Some(Struct { fields }), ..Node::default() }
    }

    fn with_version(major_number: u32, minor_number: u32) -> Node {
        let mut build = BuildVersion { version: Some(Default::default()), metadata: None };
        let version = build.version.as_mut().unwrap();
        (version.major_number, version.minor_number) = (major_number, minor_number);
        Node { user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(build)), ..Node::default() }
    }

    #[test]
    fn the_nodes_word_overrides_the_configuration() {
        let settings = |disabled| SdsSettings { disable_spiffe_cert_validation: disabled, ..SdsSettings::default() };
        let text = |text: &str| Some(with_metadata(Kind::StringValue(text.into())));
        for (node, with_validator, without) in [
            (None, Validation::Spiffe, Validation::Plain),
            (Some(Node::default()), Validation::Spiffe, Validation::Plain),
            (Some(with_metadata(Kind::BoolValue(true))), Validation::Plain, Validation::Plain),
            (Some(with_metadata(Kind::BoolValue(false))), Validation::Spiffe, Validation::Spiffe),
            (text("true"), Validation::Plain, Validation::Plain),
            (text("F"), Validation::Spiffe, Validation::Spiffe),
            (text("yes"), Validation::Spiffe, Validation::Plain),
            (Some(with_metadata(Kind::NumberValue(1.0))), Validation::Spiffe, Validation::Plain),
        ] {
            assert_eq!(Validation::for_node(node.as_ref(), &settings(false)), with_validator, "{node:?}");
            assert_eq!(Validation::for_node(node.as_ref(), &settings(true)), without, "{node:?}");
        }
    }

    #[test]
    fn only_a_newer_envoy_has_the_validator() {
        let of = |node: &Node| Validation::for_node(Some(node), &SdsSettings::default());
        for old in [(0, 99), (1, 0), (1, 17)] {
            assert_eq!(of(&with_version(old.0, old.1)), Validation::Plain, "{old:?}");
        }
        for new in [(1, 18), (1, 100), (2, 0)] {
            assert_eq!(of(&with_version(new.0, new.1)), Validation::Spiffe, "{new:?}");
        }
        let without = BuildVersion::default();
        let node = Node {
            user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(without)),
            ..Node::default()
        };
        assert_eq!(of(&node), Validation::Spiffe);
        // No metadata makes an old Envoy new.
        let old = Node { metadata: with_metadata(Kind::BoolValue(false)).metadata, ..with_version(1, 17) };
        assert_eq!(of(&old), Validation::Plain);
    }

    #[test]
    fn all_bundles_are_sorted_and_need_the_validator() {
        let bundle = |name: &str, roots: &[u8]| Bundle {
            x509_authorities: roots.iter().map(|byte| X509Authority { der: vec![*byte], tainted: false }).collect(),
            ..Bundle::empty(TrustDomain::parse(name).unwrap())
        };
        let bundles = [bundle("td", &[0, 1]), bundle("one.test", &[2])];
        let context = Validation::Spiffe.of_all(&bundles).unwrap();
        let typed = context.custom_validator_config.unwrap().typed_config.unwrap();
        let config = SpiffeCertValidatorConfig::decode(typed.value.as_slice()).unwrap();
        let names: Vec<&str> = config.trust_domains.iter().map(|domain| domain.name.as_str()).collect();
        assert_eq!(names, ["one.test", "td"]);
        let two = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n\
                   -----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n";
        assert_eq!(config.trust_domains[1].trust_bundle, Some(inline(two.into())));
        assert_eq!(Validation::Plain.of_all(&bundles), Err(SdsError::ValidatorNeeded));
        let plain = Validation::Plain.of_one(&bundles[0]);
        assert_eq!((plain.trusted_ca, plain.custom_validator_config), (Some(inline(two.into())), None));
    }
}
