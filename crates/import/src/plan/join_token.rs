//! Join tokens that can still be used.

use steeple_core::{JoinToken, Timestamp};

use super::{Noun, Plan};
use crate::Database;

pub(super) fn read(database: &Database, now: Timestamp, plan: &mut Plan) {
    for row in &database.join_tokens {
        if row.expires_at < now.as_secs() {
            plan.leave(Noun::JoinToken, "", "it has expired");
        } else {
            plan.join_tokens.push(JoinToken { value: row.token.clone(), expires_at: row.expires_at });
        }
    }
}
