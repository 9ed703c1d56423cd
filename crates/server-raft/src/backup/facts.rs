//! What can be told of a backup without the key, and how its file is called.

use std::io::Read;

use steeple_api::steeple::backup as pb;
use steeple_cli::{parse_rfc3339, rfc3339_time};
use steeple_core::{Timestamp, TrustDomain};

use super::BackupError;
use super::reader::{BackupReader, End};

/// Reads all of it and checks every hash.
pub fn facts<R: Read>(input: R) -> Result<pb::Facts, BackupError> {
    let mut reader = BackupReader::begin(input)?;
    let (end, size_bytes) = reader.finish()?;
    Ok(of(reader.header(), &end, size_bytes))
}

/// `steeple-example.org-20261125T201500Z.backup`: sorted by name, the backups of a trust domain are sorted by age.
pub fn file_name(trust_domain: &TrustDomain, at: Timestamp) -> String {
    let time: String = rfc3339_time(at.as_secs()).chars().filter(|char| !matches!(char, '-' | ':')).collect();
    format!("{PREFIX}{}-{time}{SUFFIX}", trust_domain.name())
}

/// Whether a file is called as backups are, by us or by people.
pub fn is_backup_name(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// The time in a name that [`file_name`] can have given to a backup of `trust_domain`; `None` for any other name.
pub fn named_at(name: &str, trust_domain: &TrustDomain) -> Option<Timestamp> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix(trust_domain.name())?;
    let digits: Vec<char> = rest.strip_prefix('-')?.strip_suffix(SUFFIX)?.chars().collect();
    let part = |at: std::ops::Range<usize>| digits.get(at).map(|part| part.iter().collect::<String>());
    let time = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        part(13..15)?
    );
    let at = Timestamp::from_secs(parse_rfc3339(&time)?);
    Some(at).filter(|at| file_name(trust_domain, *at) == name)
}

pub(super) fn of(header: &pb::Header, end: &End, size_bytes: u64) -> pb::Facts {
    let summary = &end.summary;
    pb::Facts {
        path: String::new(),
        size_bytes,
        backup_id: hex::encode(&header.backup_id),
        cluster_uuid: uuid::Uuid::from_slice(&header.cluster_uuid).unwrap_or_default().to_string(),
        trust_domain: header.trust_domain.clone(),
        created_at: Timestamp::from_ms(header.created_at_ms).as_secs(),
        applied_index: header.applied_index,
        feature_level: header.feature_level,
        version: header.version.clone(),
        sealing_key_id: header.sealing_key_id.clone(),
        rows: summary.rows,
        entries: summary.entries,
        agents: summary.agents,
        bundles: summary.bundles,
        federation_relationships: summary.federation_relationships,
        join_tokens: summary.join_tokens,
        state_hash: hex::encode(&summary.state_hash),
        sha256: hex::encode(&end.sha256),
        verified: false,
    }
}

const PREFIX: &str = "steeple-";
const SUFFIX: &str = ".backup";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_tell_trust_domains_apart() {
        let domain = |name| TrustDomain::from_name(name).unwrap();
        let name = file_name(&domain("example.org"), Timestamp::from_secs(1_700_000_000));
        assert_eq!(name, "steeple-example.org-20231114T221320Z.backup");
        assert!(name < file_name(&domain("example.org"), Timestamp::from_secs(1_700_000_001)));
        assert_eq!(named_at(&name, &domain("example.org")), Some(Timestamp::from_secs(1_700_000_000)));
        for other in ["example.or", "example.org-2", "other.org"] {
            assert_eq!(named_at(&name, &domain(other)), None, "{other}");
        }
        for time in ["by-hand", "20231314T221320Z", "20231114x221320Z", "20231114T221320ZZ", "20231114T221320", ""] {
            let name = format!("steeple-example.org-{time}.backup");
            assert_eq!(named_at(&name, &domain("example.org")), None, "{time}");
        }
    }
}
