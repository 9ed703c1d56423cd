//! Who used the processors while something was measured.

use std::time::Instant;

use serde::Serialize;

use crate::usage::{cpu_seconds, forget_peak, machine_cpu_seconds, peak_bytes};

/// A stretch that is being measured.
#[derive(Clone, Debug)]
pub struct Window {
    name: String,
    pids: Vec<i32>,
    began: Instant,
    server: f64,
    generator: f64,
    machine: (f64, f64),
}

/// What was used in a window. CPU shares are in cores.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    pub window: String,
    pub seconds: f64,
    /// User and system time of the servers together.
    pub server_cpu_seconds: f64,
    pub server_cpu_share: f64,
    /// The load generator's own.
    pub generator_cpu_share: f64,
    /// Everybody else's on this machine; above 0.2 the figures suffer.
    pub others_cpu_share: f64,
    /// Taken away by the host; above 0.02 repeat the run.
    pub steal_share: f64,
    /// The most that the servers held at one time, together.
    pub server_peak_bytes: u64,
}

impl Window {
    /// Begins now; `pids` are the servers'.
    pub fn open(name: &str, pids: Vec<i32>) -> anyhow::Result<Self> {
        pids.iter().copied().for_each(forget_peak);
        let began = Instant::now();
        let (server, generator) = (sum(&pids)?, cpu_seconds(own_pid())?);
        Ok(Self { name: name.to_owned(), pids, began, server, generator, machine: machine_cpu_seconds()? })
    }

    pub fn close(self) -> anyhow::Result<Usage> {
        let seconds = self.began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let server = (sum(&self.pids)? - self.server).max(0.0);
        let generator = (cpu_seconds(own_pid())? - self.generator).max(0.0);
        let (busy, stolen) = machine_cpu_seconds()?;
        let others = (busy - self.machine.0 - server - generator).max(0.0);
        Ok(Usage {
            window: self.name,
            seconds,
            server_cpu_seconds: server,
            server_cpu_share: server / seconds,
            generator_cpu_share: generator / seconds,
            others_cpu_share: others / seconds,
            steal_share: (stolen - self.machine.1).max(0.0) / seconds,
            server_peak_bytes: self.pids.iter().filter_map(|pid| peak_bytes(*pid).ok()).sum(),
        })
    }
}

impl Usage {
    /// Work for each second of CPU that the servers used. At least a tick is assumed to have been.
    pub fn per_cpu_second(&self, work: f64) -> f64 {
        work / self.server_cpu_seconds.max(0.01)
    }
}

fn sum(pids: &[i32]) -> anyhow::Result<f64> {
    pids.iter().map(|pid| cpu_seconds(*pid)).sum()
}

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_burn_is_counted_as_ours() {
        let window = Window::open("w", vec![own_pid()]).unwrap();
        let before = cpu_seconds(own_pid()).unwrap();
        while cpu_seconds(own_pid()).unwrap() < before + 0.1 {
            std::hint::black_box(0);
        }
        let usage = window.close().unwrap();
        assert!(usage.server_cpu_seconds >= 0.09, "{usage:?}");
        assert!(usage.generator_cpu_share > 0.0 && usage.server_peak_bytes > 100_000, "{usage:?}");
        assert!(usage.per_cpu_second(10.0) <= 112.0, "{usage:?}");
    }
}
