//! The way back to rows: all of a state's, in the order of their keys.

use crate::codec::{self, AuthorityRow, BundleRow, EntryRow, RelationshipRow, Row, SealedRow, Slot};
use crate::{KeptAnchor, SealedName, State, Table};
use steeple_core::{AcmeAccount, AcmeChallenge, AuthorityKind, JoinToken, WebCertificate};

/// One row with its table.
pub type StateRow = (Table, Vec<u8>, Vec<u8>);

impl State {
    /// What [`State::from_rows`] reads.
    pub fn rows(&self) -> Vec<StateRow> {
        let mut rows = Vec::new();
        if !self.meta.is_new() {
            put(&mut rows, &self.meta);
        }
        for (number, entry) in self.entries.after(0) {
            put(&mut rows, &EntryRow { number, entry: entry.clone() });
        }
        self.agents.rows().for_each(|agent| put(&mut rows, agent));
        for (value, expires_at) in &self.join_tokens {
            put(&mut rows, &JoinToken { value: value.clone(), expires_at: *expires_at });
        }
        for (number, bundle) in self.bundles.after(0) {
            put(&mut rows, &BundleRow { number, bundle: bundle.clone() });
        }
        for (number, relationship) in self.relationships.after(0) {
            put(&mut rows, &RelationshipRow { number, relationship: relationship.clone() });
        }
        for set in AuthorityKind::ALL.map(|kind| self.authority_set(kind)) {
            for (slot, authority) in [(Slot::Active, &set.active), (Slot::Next, &set.next)] {
                if let Some(authority) = authority {
                    put(&mut rows, &AuthorityRow { slot, authority: authority.clone() });
                }
            }
        }
        self.cluster.iter().for_each(|cluster| put(&mut rows, cluster));
        self.members.values().for_each(|member| put(&mut rows, member));
        self.requests.rows().for_each(|request| put(&mut rows, request));
        for (name, sealed) in [(SealedName::Keyring, &self.keyring), (SealedName::PeerCa, &self.peer_ca)] {
            if let Some(sealed) = sealed {
                put(&mut rows, &SealedRow { name, sealed: sealed.clone() });
            }
        }
        self.acme_accounts.values().for_each(|account| put::<AcmeAccount>(&mut rows, account));
        self.acme_challenges.values().for_each(|challenge| put::<AcmeChallenge>(&mut rows, challenge));
        self.web_certificates.values().for_each(|certificate| put::<WebCertificate>(&mut rows, certificate));
        self.audit_anchors.values().for_each(|kept| put::<KeptAnchor>(&mut rows, kept));
        rows.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        rows
    }
}

fn put<R: Row>(rows: &mut Vec<StateRow>, row: &R) {
    rows.push((R::TABLE, row.key(), codec::encode_row(row)));
}
