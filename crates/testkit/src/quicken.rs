//! Alert rules for people who wait: every duration divided by 60.

use anyhow::{Context as _, bail, ensure};

const FACTOR: u64 = 60;
/// What Prometheus knows, in milliseconds, the longest first.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
/// Seconds that stand in expressions as numbers and mean how long something has gone on. Thresholds on lifetimes stay.
const LITERALS: [(&str, &str); 2] = [("26 * 3600", "26 * 60"), ("4 * 3600", "4 * 60")];

/// `rules` with each duration after `for:`, `interval:`, `keep_firing_for:` and `offset`, and in `[...]` outside of
/// quotes, sixty times shorter.
pub fn sixty_times_quicker(rules: &str) -> anyhow::Result<String> {
    let lines = rules.lines().map(|line| Ok(quicker(line).with_context(|| line.to_owned())? + "\n"));
    lines.collect::<anyhow::Result<String>>()
}

fn quicker(line: &str) -> anyhow::Result<String> {
    let field = line.trim_start().trim_start_matches("- ");
    if field.starts_with('#') {
        return Ok(line.to_owned());
    }
    for key in ["for: ", "interval: ", "keep_firing_for: "] {
        if let Some(duration) = field.strip_prefix(key) {
            let before = &line[..line.len() - duration.len()];
            return Ok(before.to_owned() + &divided(duration.trim_end())?);
        }
    }
    let is_prose = ["summary:", "description:", "runbook:"].iter().any(|key| field.starts_with(key));
    if is_prose { Ok(line.to_owned()) } else { expression(line) }
}

fn expression(text: &str) -> anyhow::Result<String> {
    let mut result = String::new();
    let (mut rest, mut quoted) = (text, false);
    while let Some(first) = rest.chars().next() {
        let literal = LITERALS.iter().find(|(literal, _)| !quoted && rest.starts_with(literal));
        if let Some((literal, shorter)) = literal {
            result += shorter;
            rest = &rest[literal.len()..];
        } else if let Some(range) = rest.strip_prefix('[').filter(|_| !quoted) {
            let (range, after) = range.split_once(']').context("a range without an end")?;
            let parts: Vec<String> = range.split(':').map(optional).collect::<anyhow::Result<_>>()?;
            result += &format!("[{}]", parts.join(":"));
            rest = after;
        } else if let Some(offset) = rest.strip_prefix("offset ").filter(|_| !quoted) {
            let end = offset.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(offset.len());
            result += &format!("offset {}", divided(&offset[..end])?);
            rest = &offset[end..];
        } else {
            quoted ^= first == '"';
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(result)
}

/// The step of a subquery may be missing.
fn optional(duration: &str) -> anyhow::Result<String> {
    if duration.is_empty() { Ok(String::new()) } else { divided(duration) }
}

/// `1h30m` becomes `1m30s`.
fn divided(duration: &str) -> anyhow::Result<String> {
    let ms = parse(duration)?;
    let shorter = ms / FACTOR;
    ensure!(shorter > 0 || ms == 0, "{duration:?} is too short to be divided");
    Ok(shown(shorter))
}

fn parse(duration: &str) -> anyhow::Result<u64> {
    let (mut rest, mut total) = (duration, 0_u64);
    ensure!(!duration.is_empty(), "an empty duration");
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).with_context(|| format!("{duration:?} has no unit"))?;
        let number: u64 = rest[..digits].parse().with_context(|| format!("{duration:?} is no duration"))?;
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let unit = &rest[digits..digits + letters];
        let Some((_, ms)) = UNITS.iter().find(|(name, _)| *name == unit) else { bail!("{duration:?}: unit {unit:?}") };
        total = number.checked_mul(*ms).and_then(|ms| total.checked_add(ms)).context("a duration without end")?;
        rest = &rest[digits + letters..];
    }
    Ok(total)
}

fn shown(mut ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in &UNITS[2..] {
        if ms >= *length {
            text += &format!("{}{unit}", ms / length);
            ms %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_divided_and_nothing_else() {
        let rules = "  for: 15m\n  expr: rate(a{x=\"[1h]\"}[5m]) > 300 and b[2d]\n  # for: 1h [2h]\n";
        let quicker = "  for: 15s\n  expr: rate(a{x=\"[1h]\"}[5s]) > 300 and b[48m]\n  # for: 1h [2h]\n";
        assert_eq!(sixty_times_quicker(rules).unwrap(), quicker);
        let rules = "expr: time() - a > 26 * 3600 or max_over_time(b[1h30m:1m] offset 5m) < 2592000\n";
        let quicker = "expr: time() - a > 26 * 60 or max_over_time(b[1m30s:1s] offset 5s) < 2592000\n";
        assert_eq!(sixty_times_quicker(rules).unwrap(), quicker);
    }

    #[test]
    fn durations_have_units_and_stay_above_nothing() {
        for (duration, expected) in
            [("1h30m", "1m30s"), ("10s", "166ms"), ("1w", "2h48m"), ("0s", "0s"), ("30d", "12h")]
        {
            assert_eq!(divided(duration).unwrap(), expected, "{duration}");
        }
        for wrong in ["", "5", "m", "5x", "1ms", "99999999999999999999y", "18446744073709551615y"] {
            divided(wrong).unwrap_err();
        }
    }
}
