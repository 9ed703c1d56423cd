//! Values of several runs, and how they are shown.

use clap::ValueEnum;
use serde::Serialize;

use super::Measure;

/// One measure's values, one for each run.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub measure: Measure,
    pub unit: &'static str,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub runs: usize,
    /// What prints it.
    pub command: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Pretty,
    Json,
}

impl Figure {
    pub(super) fn of(measure: Measure, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let runs = values.len();
        let at = |position: usize| values.get(position).copied().unwrap_or(f64::NAN);
        let median = (at(runs.saturating_sub(1) / 2) + at(runs / 2)) / 2.0;
        Self {
            measure,
            unit: measure.unit(),
            median,
            min: at(0),
            max: at(runs.saturating_sub(1)),
            runs,
            command: format!("figures --only {} --runs {runs}", measure.name()),
        }
    }
}

/// Writes all figures to standard output.
pub fn print(figures: &[Figure], output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(figures)?),
        Output::Pretty => {
            println!("{:<44} {:>10}  {:>10} {:>10}  {:<16} command", "figure", "median", "min", "max", "unit");
            for figure in figures {
                let Figure { median, min, max, unit, command, .. } = figure;
                let title = figure.measure.title();
                println!("{title:<44} {median:>10.1}  {min:>10.1} {max:>10.1}  {unit:<16} {command}");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let figure = |values: &[f64]| Figure::of(Measure::ServerRss, values.to_vec());
        assert_eq!(figure(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(figure(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let one = figure(&[7.0]);
        assert_eq!((one.min, one.median, one.max, one.runs), (7.0, 7.0, 7.0, 1));
        assert_eq!(one.command, "figures --only server-rss --runs 1");
    }
}
