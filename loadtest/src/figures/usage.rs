//! What a process uses, as /proc tells it.

use anyhow::Context as _;

/// Linux shows CPU time in hundredths of a second, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in bytes.
pub(super) fn resident_bytes(pid: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(path)?;
    resident_of(&text).context("no VmRSS in the status of the process")
}

/// User and system time since the start, all threads.
pub(super) fn cpu_seconds(pid: i32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).context(path)?;
    Ok(ticks_of(&text).context("unreadable stat of the process")? as f64 / TICKS_PER_SECOND)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The name, in parentheses, may hold spaces and parentheses: fields are counted after the last one (proc(5)).
fn ticks_of(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(14)? + field(15)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let status = "Name:\tx\nVmHWM:\t   9 kB\nVmRSS:\t   1234 kB\n";
        assert_eq!(resident_of(status), Some(1234 * 1024));
        assert_eq!(resident_of("Name:\tx\n"), None);
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 12345 1 1";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("12 (a) S"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let pid = std::process::id() as i32;
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(cpu_seconds(pid).unwrap() < 1e6);
    }
}
