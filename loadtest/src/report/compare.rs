//! One scenario against two servers in turns, and what one makes of it for each of the other's.

use std::fmt::Write as _;

use serde::Serialize;

use super::reading::shown;
use super::{Better, Report};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    A,
    B,
}

/// All runs of both.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub a: Vec<Report>,
    pub b: Vec<Report>,
    pub rows: Vec<Row>,
}

/// A reading that both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    /// Medians.
    pub a: f64,
    pub b: f64,
    /// How many times as good as B A is; `None` where neither way is better or nothing can be divided.
    pub a_over_b: Option<f64>,
}

impl Side {
    /// ABBA ABBA: what drifts with time strikes both alike.
    pub fn turns(rounds: usize) -> impl Iterator<Item = Self> {
        (0..rounds).flat_map(|round| if round % 2 == 0 { [Self::A, Self::B] } else { [Self::B, Self::A] })
    }
}

impl Comparison {
    pub fn of(a: Vec<Report>, b: Vec<Report>) -> Self {
        let mut rows = Vec::new();
        for reading in a.first().map_or(&[][..], |report| report.readings.as_slice()) {
            let (Some(of_a), Some(of_b)) = (median(&a, &reading.name), median(&b, &reading.name)) else { continue };
            let ratio = match reading.better {
                Better::More => Some(of_a / of_b),
                Better::Less => Some(of_b / of_a),
                Better::Neither => None,
            };
            let a_over_b = ratio.filter(|ratio| ratio.is_finite());
            rows.push(Row { name: reading.name.clone(), unit: reading.unit, a: of_a, b: of_b, a_over_b });
        }
        Self { a, b, rows }
    }

    pub fn passed(&self) -> bool {
        self.a.iter().chain(&self.b).all(Report::passed)
    }

    pub fn print(&self) {
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let target = |reports: &[Report]| reports.first().map_or(String::new(), |report| report.target.clone());
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "A: {}\nB: {}", target(&self.a), target(&self.b));
        let _ = writeln!(text, "  {:<58} {:>12} {:>12}  {:>9}  unit", "median", "A", "B", "A is");
        for row in &self.rows {
            let ratio = row.a_over_b.map_or(String::new(), |ratio| format!("{}x", shown(ratio)));
            let (a, b) = (shown(row.a), shown(row.b));
            let _ = writeln!(text, "  {:<58} {a:>12} {b:>12}  {ratio:>9}  {}", row.name, row.unit);
        }
        for (side, reports) in [("A", &self.a), ("B", &self.b)] {
            for (round, report) in reports.iter().enumerate() {
                for gate in report.gates.iter().filter(|gate| !gate.passed) {
                    let _ = writeln!(text, "  BROKEN by {side} in run {}: {}: {}", round + 1, gate.name, gate.detail);
                }
                let generator = report.windows.iter().map(|usage| usage.generator_cpu_share).fold(0.0, f64::max);
                let others = report.windows.iter().map(|usage| usage.others_cpu_share).fold(0.0, f64::max);
                let _ = writeln!(
                    text,
                    "  {side} run {}: at most {generator:.2} cores used by the generator, {others:.2} by others",
                    round + 1
                );
            }
        }
        text
    }
}

fn median(reports: &[Report], name: &str) -> Option<f64> {
    let mut values: Vec<f64> = reports
        .iter()
        .filter_map(|report| report.readings.iter().find(|reading| reading.name == name))
        .map(|reading| reading.value)
        .collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::Reading;
    use super::*;

    fn report(readings: &[Reading]) -> Report {
        let mut report = Report::new("issue", String::new(), String::new());
        report.readings = readings.to_vec();
        report
    }

    #[test]
    fn twice_as_good_is_two_whichever_way_is_better() {
        let of = |rate, latency| {
            report(&[
                Reading::more("rate", rate, "/s"),
                Reading::less("latency", latency, "ms"),
                Reading::fact("entries", 5.0, ""),
            ])
        };
        let comparison = Comparison::of(vec![of(20.0, 5.0), of(20.0, 5.0)], vec![of(8.0, 9.0), of(12.0, 11.0)]);
        let ratios: Vec<Option<f64>> = comparison.rows.iter().map(|row| row.a_over_b).collect();
        assert_eq!(ratios, [Some(2.0), Some(2.0), None]);
        assert_eq!(comparison.rows[0].b, 10.0);
    }

    #[test]
    fn what_only_one_has_is_left_out_and_zero_divides_nothing() {
        let a = report(&[Reading::more("rate", 1.0, "/s"), Reading::more("native", 1.0, "/s")]);
        let b = report(&[Reading::more("rate", 0.0, "/s")]);
        let comparison = Comparison::of(vec![a], vec![b]);
        assert_eq!(comparison.rows.len(), 1);
        assert_eq!(comparison.rows[0].a_over_b, None);
    }

    #[test]
    fn turns_are_balanced() {
        use Side::{A, B};
        assert_eq!(Side::turns(2).collect::<Vec<_>>(), [A, B, B, A]);
    }
}
