//! The hops, for people and for scripts.

use std::io::{self, Write};

use steeple_cli::{Call, Failure, one_line};

use super::hop::{Explanation, Verdict, Way};

/// Fails when no way is whole, so that scripts can ask.
pub(super) fn print(call: &mut Call, explanation: &Explanation) -> Result<(), Failure> {
    if call.is_json() {
        let value = serde_json::to_value(explanation).map_err(Failure::message)?;
        writeln!(call.streams.stdout, "{}", one_line(value))?;
    } else {
        explanation.ways.iter().try_for_each(|way| print_way(&mut call.streams.stdout, way))?;
    }
    if explanation.whole {
        return Ok(());
    }
    Err(Failure::Message(format!("no workload gets an identity by {}", explanation.subject)))
}

fn print_way(out: &mut dyn Write, way: &Way) -> io::Result<()> {
    match (way.spiffe_id.as_str(), way.entry_id.as_str()) {
        ("", "") => {}
        (id, "") => writeln!(out, "{id}")?,
        (id, entry) => writeln!(out, "{id} by entry {entry}")?,
    }
    for hop in &way.hops {
        let verdict = match hop.verdict {
            Verdict::Whole => "ok",
            Verdict::Doubtful => "?",
            Verdict::Broken => "FAILS",
        };
        writeln!(out, "  {verdict:<6}{:<10}{}", hop.hop, hop.text)?;
        if let Some(mend) = &hop.mend {
            writeln!(out, "{:18}mend: {mend}", "")?;
        }
    }
    writeln!(out)
}
