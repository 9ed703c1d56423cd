//! Records of trust domains, one each, by name and in the order of their creation.

use std::collections::BTreeMap;

use steeple_core::TrustDomain;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ByDomain<T> {
    by_number: BTreeMap<u64, T>,
    numbers: BTreeMap<TrustDomain, u64>,
}

impl<T> Default for ByDomain<T> {
    fn default() -> Self {
        Self { by_number: BTreeMap::new(), numbers: BTreeMap::new() }
    }
}

impl<T> ByDomain<T> {
    /// Returns the record that had this number. The caller gives a record that is replaced the number that it has.
    pub(crate) fn insert(&mut self, number: u64, trust_domain: TrustDomain, record: T) -> Option<T> {
        self.numbers.insert(trust_domain, number);
        self.by_number.insert(number, record)
    }

    pub(crate) fn remove(&mut self, trust_domain: &TrustDomain) -> Option<(u64, T)> {
        let number = self.numbers.remove(trust_domain)?;
        self.by_number.remove(&number).map(|record| (number, record))
    }

    pub(crate) fn get(&self, trust_domain: &TrustDomain) -> Option<&T> {
        self.by_number.get(&self.number_of(trust_domain)?)
    }

    pub(crate) fn number_of(&self, trust_domain: &TrustDomain) -> Option<u64> {
        self.numbers.get(trust_domain).copied()
    }

    pub(crate) fn holds_number(&self, number: u64) -> bool {
        self.by_number.contains_key(&number)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// In the order of creation, from above `cursor`.
    pub(crate) fn after(&self, cursor: u64) -> impl Iterator<Item = (u64, &T)> {
        // A cursor of u64::MAX has nothing above it; the range would be inverted otherwise.
        let from = cursor.checked_add(1);
        from.into_iter().flat_map(|from| self.by_number.range(from..)).map(|(number, record)| (*number, record))
    }
}
