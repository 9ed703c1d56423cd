//! One number with its name.

use serde::Serialize;

use crate::load::Quantiles;

/// What a scenario found out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    pub better: Better,
}

/// Which way is better; some numbers only explain others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    Less,
    More,
    Neither,
}

impl Reading {
    pub fn more(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, better: Better::More }
    }

    pub fn less(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, better: Better::Less }
    }

    pub fn fact(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, better: Better::Neither }
    }

    /// p50, p99 and the maximum of `what`.
    pub fn latencies(what: &str, quantiles: Quantiles) -> [Self; 3] {
        let Quantiles { p50, p99, max, .. } = quantiles;
        [("p50", p50), ("p99", p99), ("max", max)]
            .map(|(name, value)| Self::less(format!("{what}, {name}"), value, "ms"))
    }
}

/// Four digits where there are so many, no noise behind them.
pub(super) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => grouped(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.4}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let cases =
            [(0.0, "0"), (0.01234, "0.0123"), (1.5, "1.50"), (12.34, "12.3"), (123.4, "123"), (-1234.0, "-1,234")];
        for (value, text) in cases {
            assert_eq!(shown(value), text);
        }
        assert_eq!(shown(1_234_567.8), "1,234,568");
    }
}
