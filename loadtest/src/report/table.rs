//! Reports for people.

use std::fmt::Write as _;

use super::reading::shown;
use super::{Report, Usage};

/// Writes the report to standard output.
pub fn print_report(report: &Report) {
    print!("{}", text(report));
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}: {}", report.scenario, report.target);
    for reading in &report.readings {
        let _ = writeln!(text, "  {:<58} {:>12} {}", reading.name, shown(reading.value), reading.unit);
    }
    for usage in &report.windows {
        let _ = writeln!(text, "  {}", shares(usage));
    }
    for gate in &report.gates {
        let verdict = if gate.passed { "kept" } else { "BROKEN" };
        let _ = writeln!(text, "  {verdict:<7} {}: {}", gate.name, gate.detail);
    }
    let _ = writeln!(text, "  again: {}", report.command);
    text
}

fn shares(usage: &Usage) -> String {
    format!(
        "{}: {:.1} s; cores used: server {:.2}, generator {:.2}, others {:.2}, stolen {:.3}; server peak {} MiB",
        usage.window,
        usage.seconds,
        usage.server_cpu_share,
        usage.generator_cpu_share,
        usage.others_cpu_share,
        usage.steal_share,
        usage.server_peak_bytes / (1 << 20),
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Gate, Reading};
    use super::*;

    #[test]
    fn a_broken_gate_is_seen() {
        let mut report = Report::new("issue", "loadtest issue".to_owned(), "server".to_owned());
        report.readings.push(Reading::more("X.509-SVIDs", 12_345.0, "a CPU-second"));
        report.gates.push(Gate::new("serials unique", true, "100 of 100"));
        assert!(report.passed());
        report.gates.push(Gate::new("read back", false, "1 of 10 lost"));
        assert!(!report.passed());
        let text = text(&report);
        assert!(text.contains("12,345 a CPU-second") && text.contains("BROKEN  read back: 1 of 10 lost"), "{text}");
    }
}
