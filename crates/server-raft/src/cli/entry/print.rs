//! An entry as people read it.

use std::io::{self, Write};

use steeple_api::types::Entry;
use steeple_cli::utc_time;

use crate::cli::selectors::id_text;

/// The block of one entry with the blank line after it. What is rare shows only when it is set.
pub(super) fn print_entry(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    let mut line = |label: &str, value: &dyn std::fmt::Display| writeln!(out, "{label:<24}: {value}");
    let ttl = |secs: i32| if secs == 0 { "default".to_owned() } else { secs.to_string() };
    line("Entry ID", &if entry.id.is_empty() { "(none)" } else { &entry.id })?;
    line("SPIFFE ID", &id_text(entry.spiffe_id.as_ref()))?;
    line("Parent ID", &id_text(entry.parent_id.as_ref()))?;
    line("Revision", &entry.revision_number)?;
    if entry.downstream {
        line("Downstream", &true)?;
    }
    line("X509-SVID TTL", &ttl(entry.x509_svid_ttl))?;
    line("JWT-SVID TTL", &ttl(entry.jwt_svid_ttl))?;
    if entry.expires_at != 0 {
        line("Expiration time", &utc_time(entry.expires_at))?;
    }
    for selector in &entry.selectors {
        line("Selector", &format_args!("{}:{}", selector.r#type, selector.value))?;
    }
    for trust_domain in &entry.federates_with {
        line("FederatesWith", trust_domain)?;
    }
    for name in &entry.dns_names {
        line("DNS name", name)?;
    }
    if entry.admin {
        line("Admin", &true)?;
    }
    if entry.store_svid {
        line("StoreSvid", &true)?;
    }
    if !entry.hint.is_empty() {
        line("Hint", &entry.hint)?;
    }
    let attributes = entry.additional_attributes.unwrap_or_default();
    if attributes.disable_x509_svid_prefetch {
        line("DisableX509SvidPrefetch", &true)?;
    }
    if attributes.jwt_svid_include_jti {
        line("JwtSvidIncludeJti", &true)?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_api::types::{Selector, Spiffeid, entry::AdditionalAttributes};

    #[test]
    fn the_layout_that_scripts_cut_apart() {
        let id = |path: &str| Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() });
        let entry = Entry {
            spiffe_id: id("/w"),
            parent_id: id("/p"),
            selectors: vec![Selector { r#type: "unix".into(), value: "uid:1".into() }],
            downstream: true,
            x509_svid_ttl: 60,
            expires_at: 4_102_444_800,
            additional_attributes: Some(AdditionalAttributes { jwt_svid_include_jti: true, ..Default::default() }),
            ..Entry::default()
        };
        let mut text = Vec::new();
        print_entry(&mut text, &entry).unwrap();
        let expected = "\
Entry ID                : (none)
SPIFFE ID               : spiffe://example.org/w
Parent ID               : spiffe://example.org/p
Revision                : 0
Downstream              : true
X509-SVID TTL           : 60
JWT-SVID TTL            : default
Expiration time         : 2100-01-01 00:00:00 +0000 UTC
Selector                : unix:uid:1
JwtSvidIncludeJti       : true

";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
