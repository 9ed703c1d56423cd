use std::sync::Arc;

use steeple_ca::template::Template;
use steeple_ca::{DistinguishedName, Serial};
use steeple_core::SpiffeId;
use steeple_core::plugin::CredentialComposer;

use super::UniqueId;

/// DER of the subject that a workload gets.
fn subject(id: &str, dns_names: &[&str], asked: Option<DistinguishedName>) -> String {
    let id = SpiffeId::parse(id).unwrap();
    let dns_names = dns_names.iter().map(|name| (*name).to_owned()).collect();
    let composers: [Arc<dyn CredentialComposer>; 1] = [Arc::new(UniqueId)];
    let template = Template::workload_svid(id, dns_names, asked, Serial::from(1)).composed(&[], &composers).unwrap();
    hex::encode(template.subject.to_der())
}

/// Cut from SVIDs that a server of SPIRE 1.16 with this plugin minted.
#[test]
fn subjects_are_spires_to_the_byte() {
    let (country, organization) = ("310b3009060355040613025553", "310e300c060355040a13055350495245");
    assert_eq!(
        subject("spiffe://example.org/foo", &[], None),
        format!(
            "3048{country}{organization}3129302706035504\
             2d13206333343036663962313263656234663963393438333138633537396239303562"
        )
    );
    assert_eq!(
        subject("spiffe://example.org/ns/default/sa/web", &["web.default.svc", "b.test"], None),
        format!(
            "3062{country}{organization}31183016060355040\
             3130f7765622e64656661756c742e73766331293027060355042d1320\
             3563343361623738636362396630653066366565633738376135663234396635"
        )
    );
}

#[test]
fn a_caller_cannot_bring_an_identifier_of_its_own() {
    let asked = DistinguishedName { unique_identifier: "forged".into(), ..DistinguishedName::default_svid() };
    let id = "spiffe://example.org/foo";
    assert_eq!(subject(id, &[], Some(asked)), subject(id, &[], None));
}
