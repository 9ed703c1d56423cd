//! Audiences of JWT-SVIDs.

use tonic::Status;

/// Blanks beside others are dropped, duplicates stay; an empty list and a list of blanks are two different errors
/// (SPIRE behaviour).
pub fn checked(audience: Vec<String>) -> Result<Vec<String>, Status> {
    if audience.is_empty() {
        return Err(Status::invalid_argument("at least one audience is required"));
    }
    let kept: Vec<String> = audience.into_iter().filter(|name| !name.is_empty()).collect();
    if kept.is_empty() {
        return Err(Status::internal("failed to sign JWT-SVID: invalid JWT-SVID audience: cannot be empty"));
    }
    if kept.len() > AUDIENCES_MAX || kept.iter().map(String::len).sum::<usize>() > AUDIENCE_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "the audience has more than {AUDIENCES_MAX} members or {AUDIENCE_BYTES_MAX} bytes"
        )));
    }
    Ok(kept)
}

const AUDIENCES_MAX: usize = 1000;
/// A token with more does not fit into any HTTP header.
const AUDIENCE_BYTES_MAX: usize = 64 * 1024;
