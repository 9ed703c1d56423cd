//! SPIRE's buckets for samples, named as tally names them: by both bounds, the upper one within.

/// The upper bounds of a histogram; a last bucket reaches from the highest to infinity.
#[derive(Clone, Copy, Debug)]
pub(super) enum Buckets {
    /// Whole milliseconds.
    Durations,
    Values,
}

impl Buckets {
    /// A call's time is the one duration among the samples.
    pub(super) fn of(key: &str) -> Self {
        if key.ends_with(".elapsed_time") { Self::Durations } else { Self::Values }
    }

    pub(super) fn len(self) -> usize {
        self.bounds().len() + 1
    }

    /// In which bucket `value` falls.
    pub(super) fn index(self, value: f64) -> usize {
        let value = match self {
            Self::Durations => value.trunc(),
            Self::Values => value,
        };
        self.bounds().partition_point(|bound| *bound < value)
    }

    pub(super) fn name(self, index: usize) -> String {
        let bound = |at: Option<usize>| Some(self.bound_name(*self.bounds().get(at?)?));
        let lower = bound(index.checked_sub(1)).unwrap_or_else(|| "-infinity".to_owned());
        let upper = bound(Some(index)).unwrap_or_else(|| "infinity".to_owned());
        format!("{lower}-{upper}")
    }

    fn bounds(self) -> &'static [f64] {
        match self {
            Self::Durations => &DURATIONS_MS,
            Self::Values => &VALUES,
        }
    }

    fn bound_name(self, bound: f64) -> String {
        match self {
            Self::Durations if bound == 0.0 => "0".to_owned(),
            Self::Durations if bound < 1000.0 => format!("{bound}ms"),
            Self::Durations => format!("{}s", bound / 1000.0),
            Self::Values => format!("{bound:.6}"),
        }
    }
}

const DURATIONS_MS: [f64; 20] = [
    0.0, 10.0, 25.0, 50.0, 75.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
    15_000.0, 20_000.0, 25_000.0, 30_000.0,
];
const VALUES: [f64; 6] = [0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tallys() {
        let (durations, values) = (Buckets::of("rpc.x.elapsed_time"), Buckets::of("wal.sync"));
        for (buckets, value, name) in [
            (durations, -1.0, "-infinity-0"),
            (durations, 0.9, "-infinity-0"),
            (durations, 10.0, "0-10ms"),
            (durations, 11.0, "10ms-25ms"),
            (durations, 801.0, "800ms-1s"),
            (durations, 30_001.0, "30s-infinity"),
            (values, 0.0, "-infinity-0.000000"),
            (values, 0.5, "0.000000-1.000000"),
            (values, 10_001.0, "10000.000000-infinity"),
        ] {
            assert_eq!(buckets.name(buckets.index(value)), name);
        }
        assert_eq!((durations.len(), values.len()), (21, 7));
    }
}
