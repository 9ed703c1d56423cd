//! X509-SVIDs as people read them.

use std::io::{self, Write};
use std::time::Duration;

use steeple_cli::utc_time;
use steeple_config::GoDuration;

use crate::workload_client::{Certificate, Svid, Svids};

/// What `fetch` and `watch` print differently (SPIRE behaviour).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Hints, and trust domains as SPIFFE IDs.
    Fetch,
    /// No hints, and bare names of trust domains.
    Watch,
}

pub(super) fn print_svids(out: &mut dyn Write, svids: &Svids, took: Duration, style: Style) -> io::Result<()> {
    let count = svids.svids.len();
    let plural = if count == 1 { "svid" } else { "svids" };
    writeln!(out, "Received {count} {plural} after {}", GoDuration::from(took))?;
    for svid in &svids.svids {
        writeln!(out)?;
        print_svid(out, svid, style)?;
        for (trust_domain, bundle) in &svids.federated {
            let name = match style {
                Style::Fetch => trust_domain,
                Style::Watch => trust_domain.strip_prefix("spiffe://").unwrap_or(trust_domain),
            };
            print_numbered(out, &format!("[{name}] CA"), bundle)?;
        }
    }
    writeln!(out)
}

fn print_svid(out: &mut dyn Write, svid: &Svid, style: Style) -> io::Result<()> {
    writeln!(out, "SPIFFE ID:\t\t{}", svid.id)?;
    if style == Style::Fetch && !svid.hint.is_empty() {
        writeln!(out, "Hint:\t\t\t{}", svid.hint)?;
    }
    if let Some((leaf, intermediates)) = svid.chain.split_first() {
        print_validity(out, "SVID", leaf)?;
        print_numbered(out, "Intermediate", intermediates)?;
    }
    print_numbered(out, "CA", &svid.bundle)
}

fn print_numbered(out: &mut dyn Write, label: &str, certificates: &[Certificate]) -> io::Result<()> {
    for (at, certificate) in certificates.iter().enumerate() {
        print_validity(out, &format!("{label} #{}", at + 1), certificate)?;
    }
    Ok(())
}

fn print_validity(out: &mut dyn Write, label: &str, certificate: &Certificate) -> io::Result<()> {
    writeln!(out, "{label} Valid After:\t{}", utc_time(certificate.not_before.as_secs()))?;
    writeln!(out, "{label} Valid Until:\t{}", utc_time(certificate.not_after.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_core::{Secret, SpiffeId, Timestamp};

    #[test]
    fn the_layout_that_scripts_grep() {
        let certificate = |secs| Certificate {
            der: Vec::new(),
            not_before: Timestamp::from_secs(secs),
            not_after: Timestamp::from_secs(secs),
        };
        let svid = Svid {
            id: SpiffeId::parse("spiffe://example.org/a").unwrap(),
            hint: "h".into(),
            chain: vec![certificate(0), certificate(60)],
            key: Secret::new(Vec::new()),
            bundle: vec![certificate(120)],
        };
        let federated = [("spiffe://one.test".to_owned(), vec![certificate(180)])].into();
        let svids = Svids { svids: vec![svid], federated };
        let text = |style| {
            let mut text = Vec::new();
            print_svids(&mut text, &svids, Duration::from_micros(1500), style).unwrap();
            String::from_utf8(text).unwrap()
        };
        let expected = "\
Received 1 svid after 1.5ms

SPIFFE ID:\t\tspiffe://example.org/a
Hint:\t\t\th
SVID Valid After:\t1970-01-01 00:00:00 +0000 UTC
SVID Valid Until:\t1970-01-01 00:00:00 +0000 UTC
Intermediate #1 Valid After:\t1970-01-01 00:01:00 +0000 UTC
Intermediate #1 Valid Until:\t1970-01-01 00:01:00 +0000 UTC
CA #1 Valid After:\t1970-01-01 00:02:00 +0000 UTC
CA #1 Valid Until:\t1970-01-01 00:02:00 +0000 UTC
[spiffe://one.test] CA #1 Valid After:\t1970-01-01 00:03:00 +0000 UTC
[spiffe://one.test] CA #1 Valid Until:\t1970-01-01 00:03:00 +0000 UTC

";
        assert_eq!(text(Style::Fetch), expected);
        let watched = expected.replace("Hint:\t\t\th\n", "").replace("spiffe://one.test", "one.test");
        assert_eq!(text(Style::Watch), watched);
    }
}
