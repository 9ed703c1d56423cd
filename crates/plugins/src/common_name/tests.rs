use std::sync::Arc;

use steeple_ca::template::Template;
use steeple_ca::{DistinguishedName, Serial};
use steeple_core::SpiffeId;
use steeple_core::plugin::CredentialComposer;

use super::{COMMON_NAME_CHARS_MAX, CommonName, SettingsError, Source, TooLong};
use crate::uniqueid::UniqueId;

const WEB: &str = "spiffe://example.org/ns/default/sa/web";

/// With a DNS name and a subject that a caller asked for.
fn minted(id: &str, composers: &[Arc<dyn CredentialComposer>]) -> Template {
    let asked = DistinguishedName { common_name: "spiffe://example.org/admin".into(), ..DistinguishedName::default() };
    let id = SpiffeId::parse(id).unwrap();
    Template::workload_svid(id, vec!["web.test".into()], Some(asked), Serial::from(1)).composed(&[], composers).unwrap()
}

fn common_name(id: &str, plugin: CommonName) -> String {
    minted(id, &[Arc::new(plugin)]).subject.common_name
}

#[test]
fn the_name_is_what_the_source_says_and_the_rest_of_the_certificate_stays() {
    assert_eq!(common_name(WEB, CommonName::default()), WEB);
    let path = CommonName { source: Source::Path, ..CommonName::default() };
    assert_eq!(common_name(WEB, path), "/ns/default/sa/web");

    let (before, after) = (minted(WEB, &[]), minted(WEB, &[Arc::new(CommonName::default())]));
    assert_eq!((&after.spiffe_id, &after.dns_names), (&before.spiffe_id, &before.dns_names));
    let subject = DistinguishedName { common_name: WEB.into(), ..before.subject };
    assert_eq!(after.subject, subject);
}

#[test]
fn a_name_of_64_characters_fits_and_a_longer_one_leaves_no_other() {
    let id = |chars: usize| format!("spiffe://example.org/{}", "a".repeat(chars - "spiffe://example.org/".len()));
    let (longest, longer) = (id(COMMON_NAME_CHARS_MAX), id(COMMON_NAME_CHARS_MAX + 1));
    assert_eq!(common_name(&longest, CommonName::default()), longest);
    assert_eq!(common_name(&longer, CommonName::default()), "", "neither the DNS name nor what the caller asked for");
    let keep = CommonName { too_long: TooLong::Keep, ..CommonName::default() };
    assert_eq!(common_name(&longer, keep), longer);
    // The bound is the name's, not the SPIFFE ID's.
    let path = CommonName { source: Source::Path, ..CommonName::default() };
    assert!(common_name(&longer, path).starts_with("/aaa"));
}

#[test]
fn both_composers_leave_each_others_names_alone() {
    let (one, other): (Arc<dyn CredentialComposer>, Arc<dyn CredentialComposer>) =
        (Arc::new(CommonName::default()), Arc::new(UniqueId));
    let there = minted(WEB, &[Arc::clone(&one), Arc::clone(&other)]).subject;
    assert_eq!((there.common_name.as_str(), there.unique_identifier.len()), (WEB, 32));
    assert_eq!(minted(WEB, &[other, one]).subject, there);
}

#[test]
fn other_settings_have_another_description() {
    let mut described: Vec<String> = Vec::new();
    for source in ["spiffe_id", "path"] {
        for too_long in ["omit", "keep"] {
            described
                .push(CommonName { source: source.parse().unwrap(), too_long: too_long.parse().unwrap() }.described());
        }
    }
    assert_eq!(described[0], "common_name (source spiffe_id, too_long omit)");
    described.sort();
    described.dedup();
    assert_eq!(described.len(), 4);
    assert_eq!("dns".parse::<Source>(), Err(SettingsError::Source("dns".into())));
    assert_eq!("cut".parse::<TooLong>(), Err(SettingsError::TooLong("cut".into())));
}
