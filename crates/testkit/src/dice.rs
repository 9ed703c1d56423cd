//! Chance that can be repeated.

/// A sequence that its seed determines (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly from 0 to `bound - 1`, near enough for choosing victims and pauses.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Evenly from 0 to 1, without 1.
    pub fn fraction(&mut self) -> f64 {
        // As many bits as an f64 holds exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            [(); 50].map(|()| dice.below(10))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let seen: std::collections::BTreeSet<u64> = draw(7).into_iter().collect();
        assert!(seen.len() > 7 && seen.iter().all(|drawn| *drawn < 10), "{seen:?}");
        assert_eq!(Dice::new(1).below(0), 0);
    }

    #[test]
    fn fractions_are_spread_below_one() {
        let mut dice = Dice::new(3);
        let drawn = [(); 1_000].map(|()| dice.fraction());
        assert!(drawn.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        let mean = drawn.iter().sum::<f64>() / 1e3;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
