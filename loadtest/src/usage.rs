//! What a process uses, as /proc tells it.

use anyhow::Context as _;

/// Linux shows CPU time in hundredths of a second, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(path)?;
    kibibytes_of(&text, "VmRSS:").context("no VmRSS in the status of the process")
}

/// The most resident memory since the process began or [`forget_peak`], in bytes.
pub(crate) fn peak_bytes(pid: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(path)?;
    kibibytes_of(&text, "VmHWM:").context("no VmHWM in the status of the process")
}

/// Begins the peak anew. Only the owner of the process may; without it the peak is that of its whole life.
pub(crate) fn forget_peak(pid: i32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// CPU time of the whole machine that was not idle, and what its host took away, in seconds.
pub(crate) fn machine_cpu_seconds() -> anyhow::Result<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let (busy, stolen) = machine_ticks_of(&text).context("unreadable /proc/stat")?;
    Ok((busy as f64 / TICKS_PER_SECOND, stolen as f64 / TICKS_PER_SECOND))
}

/// User and system time since the start, all threads.
pub(crate) fn cpu_seconds(pid: i32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).context(path)?;
    Ok(ticks_of(&text).context("unreadable stat of the process")? as f64 / TICKS_PER_SECOND)
}

fn kibibytes_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The name, in parentheses, may hold spaces and parentheses: fields are counted after the last one (proc(5)).
fn ticks_of(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(14)? + field(15)?)
}

/// Of the first line: user, nice, system, idle, iowait, irq, softirq, steal; guests count as user (proc(5)).
fn machine_ticks_of(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = *ticks.first_chunk::<8>()?;
    Some((user + nice + system + irq + softirq, steal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let status = "Name:\tx\nVmHWM:\t   9 kB\nVmRSS:\t   1234 kB\n";
        assert_eq!(kibibytes_of(status, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(kibibytes_of(status, "VmHWM:"), Some(9 * 1024));
        assert_eq!(kibibytes_of("Name:\tx\n", "VmRSS:"), None);
        assert_eq!(machine_ticks_of("cpu  10 1 5 900 7 2 3 4 0 0\ncpu0 1 1\n"), Some((21, 4)));
        assert_eq!(machine_ticks_of("cpu  10 1\n"), None);
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 12345 1 1";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("12 (a) S"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let pid = std::process::id() as i32;
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(peak_bytes(pid).unwrap() >= resident_bytes(pid).unwrap() / 2);
        assert!(cpu_seconds(pid).unwrap() < 1e6);
        assert!(machine_cpu_seconds().unwrap().0 > 0.0);
    }
}
