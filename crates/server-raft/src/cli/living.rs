//! Replicas that still serve although their cluster begins anew: what happens then, and what to do first.

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use steeple_cli::Failure;
use steeple_config::ServerSettings;
use steeple_core::{Clock, SystemClock};
use steeple_state::Uuid;

use super::offline::wait_for;
use crate::peer::{Tcp, clusters_at};

/// Whoever answers at the addresses that the configuration expects members at.
pub(super) struct Living(Vec<(String, Uuid)>);

impl Living {
    /// Asks for two seconds at most. This server does not run.
    pub(super) fn at_peers_of(settings: &ServerSettings) -> Result<Self, Failure> {
        let addresses: Vec<String> = settings.cluster.join.iter().map(ToString::to_string).collect();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        wait_for(clusters_at(&addresses, &Tcp, clock)).map(Self)
    }

    pub(super) fn as_json(&self) -> Json {
        let one = |(address, cluster): &(String, Uuid)| {
            let cluster = uuid::Uuid::from_bytes(*cluster).to_string();
            json!({ "address": address, "cluster_uuid": cluster })
        };
        self.0.iter().map(one).collect()
    }

    /// What to do next: `alone` where nobody answers.
    pub(super) fn print_next(&self, out: &mut dyn Write, alone: &str) -> io::Result<()> {
        if self.0.is_empty() {
            return out.write_all(alone.as_bytes());
        }
        writeln!(
            out,
            "DO NOT START THIS SERVER YET. Another cluster serves where its peers are expected (cluster.join):"
        )?;
        for (address, cluster) in &self.0 {
            writeln!(out, "    {address}  cluster {}", uuid::Uuid::from_bytes(*cluster))?;
        }
        write!(out, "{STILL_SERVED}{alone}")
    }
}

const STILL_SERVED: &str = "\
They know nothing of this one. Two clusters would then serve one trust domain with one CA and one sealing key: agents
find now the one, now the other, who is banned in one is served by the other, and a server with an empty directory joins
whichever answers first.

First stop every server of that cluster for good, on all hosts; or, if that one is to live on and this is a rehearsal,
give this server other addresses, a cluster.join without those, and no agents. When nobody serves there any more:

";

#[cfg(test)]
mod tests {
    use super::*;

    fn next(living: &Living) -> String {
        let mut out = Vec::new();
        living.print_next(&mut out, "Next: start it.\n").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn who_still_serves_has_to_be_stopped_first() {
        assert_eq!(next(&Living(Vec::new())), "Next: start it.\n");
        let living = Living(vec![("b:8082".to_owned(), [7; 16])]);
        let told = next(&living);
        assert!(told.starts_with("DO NOT START THIS SERVER YET."), "{told}");
        assert!(told.contains("b:8082  cluster 07070707-0707") && told.contains("First stop every server"), "{told}");
        assert!(told.ends_with("any more:\n\nNext: start it.\n"), "{told}");
        assert_eq!(living.as_json()[0]["address"], "b:8082");
    }
}
