//! An agent as people read it.

use std::io::{self, Write};

use steeple_api::types::Agent;
use steeple_cli::local_time;

use crate::cli::selectors::id_text;

/// The block of one agent with the blank line after it.
pub(super) fn print_agent(out: &mut dyn Write, agent: &Agent) -> io::Result<()> {
    let mut line = |label: &str, value: &dyn std::fmt::Display| writeln!(out, "{label:<18}: {value}");
    line("SPIFFE ID", &id_text(agent.id.as_ref()))?;
    line("Attestation type", &agent.attestation_type)?;
    line("Expiration time", &local_time(agent.x509svid_expires_at))?;
    if agent.banned {
        // A banned agent has no serial number any more.
        line("Banned", &true)?;
    } else {
        line("Serial number", &agent.x509svid_serial_number)?;
    }
    line("Can re-attest", &agent.can_reattest)?;
    if !agent.agent_version.is_empty() {
        line("Agent version", &agent.agent_version)?;
    }
    writeln!(out)
}
