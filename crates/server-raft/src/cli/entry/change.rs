//! What `create` and `update` have in common: an entry from flags or from a file, and the results of a batch.

use std::io::Write;

use steeple_api::types::entry::AdditionalAttributes;
use steeple_api::types::{Entry, Spiffeid, Status};
use steeple_cli::{Call, Failure, Flag, Streams, Values};

use super::data::parse_entries;
use super::print::print_entry;
use crate::cli::reply::{described, is_ok};
use crate::cli::selectors::{SELECTOR, int32, parse_id, parse_selector};

pub(super) const FLAGS: &[Flag] = &[
    Flag::bool("admin", "Let holders of the SPIFFE ID use the server's management API"),
    Flag::text("data", "File with entries as JSON, - for standard input, instead of the other flags"),
    Flag::bool("disableX509SVIDPrefetch", "Let agents fetch the X509-SVID only when a workload asks for it"),
    Flag::texts("dns", "A DNS name for the SVIDs; repeatable, the first becomes the common name"),
    Flag::bool("downstream", "Let holders of the SPIFFE ID run a server below this one"),
    Flag::int("entryExpiry", 0, "When the entry is removed, in seconds since the Unix epoch"),
    Flag::text("entryID", "The entry's ID; made up by the server when absent"),
    Flag::texts("federatesWith", "A trust domain whose bundle the workload gets; repeatable"),
    Flag::text("hint", "Tells apart entries of one workload"),
    Flag::bool("jwtSVIDIncludeJTI", "Give each JWT-SVID a unique jti claim, which keeps agents from caching it"),
    Flag::int("jwtSVIDTTL", 0, "Lifetime of JWT-SVIDs in seconds; 0 is the server's default"),
    Flag::text("parentID", "SPIFFE ID of the agent, or of the node entry, that may serve this entry"),
    SELECTOR,
    Flag::text("spiffeID", "SPIFFE ID that the entry grants"),
    Flag::bool("storeSVID", "Let the agent store the SVID through an SVIDStore plugin"),
    Flag::int("x509SVIDTTL", 0, "Lifetime of X509-SVIDs in seconds; 0 is the server's default"),
];

/// Entries of the file or standard input that `-data` names, or `None` without that flag.
pub(super) fn entries_from_data(call: &mut Call) -> Result<Option<Vec<Entry>>, Failure> {
    let Some(path) = call.values.text_if_any("data").map(str::to_owned) else {
        return Ok(None);
    };
    let parsed = parse_entries(&call.read(&path, "-")?).map_err(Failure::message)?;
    for warning in parsed.warnings {
        writeln!(call.streams.stderr, "Warning: {warning}")?;
    }
    Ok(Some(parsed.entries))
}

/// Checks that come before any parsing, in SPIRE's order.
pub(super) fn check_ttls(values: &Values) -> Result<(), Failure> {
    if values.int("x509SVIDTTL") < 0 {
        return Err(Failure::message("a positive x509-SVID TTL is required"));
    }
    if values.int("jwtSVIDTTL") < 0 {
        return Err(Failure::message("a positive JWT-SVID TTL is required"));
    }
    Ok(())
}

/// The entry that the flags describe. `parent_id` depends on the command.
pub(super) fn entry_from_flags(
    values: &Values,
    parent_id: impl FnOnce(&Spiffeid) -> Result<Spiffeid, Failure>,
) -> Result<Entry, Failure> {
    let spiffe_id = parse_id(values.text("spiffeID")).map_err(Failure::message)?;
    let parent_id = parent_id(&spiffe_id)?;
    let attributes = AdditionalAttributes {
        disable_x509_svid_prefetch: values.bool("disableX509SVIDPrefetch"),
        jwt_svid_include_jti: values.bool("jwtSVIDIncludeJTI"),
    };
    Ok(Entry {
        id: values.text("entryID").to_owned(),
        x509_svid_ttl: int32("X509 SVID TTL", values.int("x509SVIDTTL"))?,
        jwt_svid_ttl: int32("JWT SVID TTL", values.int("jwtSVIDTTL"))?,
        selectors: values.texts("selector").iter().map(|text| parse_selector(text)).collect::<Result<_, _>>()?,
        spiffe_id: Some(spiffe_id),
        parent_id: Some(parent_id),
        federates_with: values.texts("federatesWith").to_vec(),
        admin: values.bool("admin"),
        downstream: values.bool("downstream"),
        expires_at: values.int("entryExpiry"),
        dns_names: values.texts("dns").to_vec(),
        store_svid: values.bool("storeSVID"),
        hint: values.text("hint").to_owned(),
        additional_attributes: Some(attributes).filter(|attributes| *attributes != AdditionalAttributes::default()),
        ..Entry::default()
    })
}

/// Prints a batch's entries: the good ones on standard output, the others with their reason on standard error.
/// `verb` is `create` or `update`.
pub(super) fn print_results<'r>(
    streams: &mut Streams,
    verb: &str,
    results: impl Iterator<Item = (Option<&'r Status>, Option<&'r Entry>)>,
) -> Result<(), Failure> {
    let (succeeded, failed): (Vec<_>, Vec<_>) = results.partition(|(status, _)| is_ok(*status));
    for entry in succeeded.into_iter().filter_map(|(_, entry)| entry) {
        print_entry(&mut streams.stdout, entry)?;
    }
    for (status, entry) in &failed {
        writeln!(streams.stderr, "Failed to {verb} the following entry ({}):", described(*status))?;
        if let Some(entry) = entry {
            print_entry(&mut streams.stderr, entry)?;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Message(format!("failed to {verb} one or more entries"))) }
}
