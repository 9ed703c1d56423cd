//! Agents: who is banned, what they hold, and whether they can verify what is issued.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// By SPIFFE ID.
#[derive(Debug, Default)]
pub struct Agents {
    banned: BTreeSet<String>,
    held: BTreeMap<String, Held>,
    /// By authority, as far as bundles had it: from then on no server waits for who lacks its successor. It is about to
    /// end, and one that was prepared late, for want of a quorum, has to sign.
    unwaited_from: BTreeMap<String, Duration>,
    /// Those that were seen to sign, the latest last.
    signed: Vec<String>,
}

/// The bundle that an agent holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub sequence: u64,
    /// Subject key ids in hex.
    pub authorities: BTreeSet<String>,
    /// When its servers heard from it last; `None` before its first call as itself.
    pub heard_at: Option<Duration>,
}

impl Held {
    /// For how long it was not heard from, if it lacks `authority` and was heard from within `lately`.
    fn missed(&self, authority: &str, now: Duration, lately: Duration) -> Option<Duration> {
        let silence = now.saturating_sub(self.heard_at?);
        (!self.authorities.contains(authority) && silence <= lately).then_some(silence)
    }
}

/// What was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svid {
    pub spiffe_id: String,
    pub serial: Vec<u8>,
    /// Authority key id in hex.
    pub authority: String,
}

impl Agents {
    /// The ban was acknowledged.
    pub fn ban(&mut self, id: &str) {
        self.banned.insert(id.to_owned());
        self.held.remove(id);
    }

    pub fn is_banned(&self, id: &str) -> bool {
        self.banned.contains(id)
    }

    /// Of agents that are let in.
    pub fn living(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    /// An agent took a bundle. None is older than the one before it.
    pub fn took(&mut self, id: &str, held: Held) -> Result<(), String> {
        let before = self.held.get(id).map_or(0, |before| before.sequence);
        if held.sequence < before {
            return Err(format!("{id} was given bundle {} after bundle {before}", held.sequence));
        }
        self.held.insert(id.to_owned(), held);
        Ok(())
    }

    /// Bundles have `authority`, which nobody waits beyond.
    pub fn ends(&mut self, authority: &str, unwaited_from: Duration) {
        self.unwaited_from.insert(authority.to_owned(), unwaited_from);
    }

    /// Whether the one that signed before `authority` is about to end.
    fn has_to_sign(&self, authority: &str, now: Duration) -> bool {
        let before = self.signed.iter().rev().find(|signed| *signed != authority);
        before.and_then(|before| self.unwaited_from.get(before)).is_some_and(|from| now >= *from)
    }

    /// It is gone, and holds nothing any more.
    pub fn left(&mut self, id: &str) {
        self.held.remove(id);
    }

    /// Whether `id` lacks `authority`, and nobody had to wait for it: it was not heard from for longer than `lately`,
    /// or its authorities are about to end.
    pub fn is_behind(&self, id: &str, authority: &str, now: Duration, lately: Duration) -> bool {
        let Some(held) = self.held.get(id) else { return false };
        let is_silent = || held.heard_at.is_some() && held.missed(authority, now, lately).is_none();
        !held.authorities.contains(authority) && (self.has_to_sign(authority, now) || is_silent())
    }

    /// Everybody who was heard from within `lately`, and for whom there was time to wait, can verify it.
    pub fn verify(&mut self, svid: &Svid, now: Duration, lately: Duration) -> Result<(), String> {
        if self.signed.last() != Some(&svid.authority) {
            self.signed.push(svid.authority.clone());
        }
        if self.has_to_sign(&svid.authority, now) {
            return Ok(());
        }
        let missed = |(agent, held)| Some((agent, held, Held::missed(held, &svid.authority, now, lately)?));
        match self.held.iter().find_map(missed) {
            None => Ok(()),
            Some((agent, held, silence)) => Err(format!(
                "{} was signed by authority {}, which is not in bundle {} of {agent}, heard from {} ms ago",
                svid.spiffe_id,
                svid.authority,
                held.sequence,
                silence.as_millis()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(sequence: u64, authorities: &[&str], heard_at_secs: u64) -> Held {
        let authorities = authorities.iter().map(|id| (*id).to_owned()).collect();
        Held { sequence, authorities, heard_at: Some(Duration::from_secs(heard_at_secs)) }
    }

    #[test]
    fn an_svid_that_somebody_cannot_verify_is_told() {
        let mut agents = Agents::default();
        agents.took("a", held(1, &["one"], 100)).unwrap();
        agents.took("b", held(2, &["one", "two"], 100)).unwrap();
        let of = |authority: &str| Svid { spiffe_id: "w".to_owned(), serial: vec![1], authority: authority.to_owned() };
        let (now, lately) = (Duration::from_secs(110), Duration::from_secs(20));
        assert_eq!(agents.verify(&of("one"), now, lately), Ok(()));
        assert!(agents.verify(&of("two"), now, lately).is_err());
        assert_eq!(agents.verify(&of("two"), Duration::from_secs(200), lately), Ok(()), "a is away for long");
        let behind =
            |agents: &Agents, id, authority, secs| agents.is_behind(id, authority, Duration::from_secs(secs), lately);
        assert!(
            behind(&agents, "a", "two", 200) && !behind(&agents, "a", "two", 110) && !behind(&agents, "a", "one", 200)
        );
        agents.ends("two", now);
        assert!(agents.verify(&of("two"), now, lately).is_err(), "it is the one before that counts");
        agents.ends("one", now);
        assert_eq!(agents.verify(&of("two"), now, lately), Ok(()), "the one before is about to end");
        assert!(behind(&agents, "a", "two", 110));
        agents.ends("one", 2 * now);
        agents.took("c", Held { heard_at: None, ..held(1, &["one"], 0) }).unwrap();
        agents.ban("a");
        assert_eq!(agents.verify(&of("two"), now, lately), Ok(()));
        assert!(agents.is_banned("a") && agents.took("b", held(1, &["one"], 120)).is_err());
    }
}
