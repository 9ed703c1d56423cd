//! Durations in Go's notation (`1h30m`, `500ms`), which SPIRE's files, flags and outputs use.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::quote::go_quoted;

/// Go's `time.Duration`: signed nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// Why a text is no duration. The texts are those of Go's `time.ParseDuration`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("time: invalid duration {}", go_quoted(.0))]
    Invalid(String),
    #[error("time: missing unit in duration {}", go_quoted(.0))]
    MissingUnit(String),
    #[error("time: unknown unit {} in duration {}", go_quoted(.unit), go_quoted(.text))]
    UnknownUnit { unit: String, text: String },
}

impl GoDuration {
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(SECOND))
    }

    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// `None` when negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

impl From<Duration> for GoDuration {
    /// Saturates at about 292 years, Go's limit.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        // Magnitudes need one bit more than i64 has: -2^63 ns is a duration.
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (nanos, tail) = leading_term(rest, text)?;
            total = total.checked_add(nanos).filter(|total| *total <= MAGNITUDE_MAX).ok_or_else(invalid)?;
            rest = tail;
        }
        match (negative, i64::try_from(total)) {
            (true, Ok(nanos)) => Ok(Self(-nanos)),
            (true, Err(_)) => Ok(Self(i64::MIN)),
            (false, Ok(nanos)) => Ok(Self(nanos)),
            (false, Err(_)) => Err(invalid()),
        }
    }
}

/// One `<number><unit>` at the start of `rest`, in nanoseconds, and what follows it.
fn leading_term<'t>(rest: &'t str, whole: &str) -> Result<(u64, &'t str), DurationError> {
    let invalid = || DurationError::Invalid(whole.to_owned());
    let (integer, rest) = leading_digits(rest);
    let (fraction, rest, dotted) = match rest.strip_prefix('.') {
        Some(after) => {
            let (digits, after) = leading_digits(after);
            (digits, after, true)
        }
        None => ("", rest, false),
    };
    if integer.is_empty() && (!dotted || fraction.is_empty()) {
        return Err(invalid());
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(unit_end);
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(whole.to_owned()));
    }
    let scale =
        unit_nanos(unit).ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned(), text: whole.to_owned() })?;
    let count: u64 = if integer.is_empty() { 0 } else { integer.parse().map_err(|_| invalid())? };
    let nanos = count.checked_mul(scale).ok_or_else(invalid)?;
    let nanos = nanos.checked_add(fraction_nanos(fraction, scale)).filter(|nanos| *nanos <= MAGNITUDE_MAX);
    Ok((nanos.ok_or_else(invalid)?, tail))
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// `0.<digits>` of a unit, truncated to nanoseconds; digits beyond u64 are ignored, as in Go.
fn fraction_nanos(digits: &str, scale: u64) -> u64 {
    let (mut value, mut divisor) = (0_u64, 1_f64);
    for digit in digits.bytes().map(|byte| u64::from(byte - b'0')) {
        let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(digit)).filter(|v| *v <= MAGNITUDE_MAX)
        else {
            break;
        };
        value = next;
        divisor *= 10.0;
    }
    (value as f64 * (scale as f64 / divisor)) as u64
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Micro sign and Greek mu are different characters.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND as u64,
        "m" => 60 * SECOND as u64,
        "h" => 3_600 * SECOND as u64,
        _ => return None,
    })
}

impl fmt::Display for GoDuration {
    /// As Go prints it: `72h3m0.5s`, `1.5ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let second = SECOND as u64;
        if magnitude == 0 {
            return f.write_str("0s");
        }
        if magnitude < second {
            let (unit, decimals) = match magnitude {
                0..1_000 => ("ns", 0),
                1_000..1_000_000 => ("µs", 3),
                _ => ("ms", 6),
            };
            return write!(f, "{}{unit}", Decimal { value: magnitude, decimals });
        }
        let (hours, minutes) = (magnitude / (3_600 * second), magnitude / (60 * second) % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", Decimal { value: magnitude % (60 * second), decimals: 9 })
    }
}

/// `value / 10^decimals` without trailing zeros.
struct Decimal {
    value: u64,
    decimals: usize,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u64.pow(self.decimals as u32);
        write!(f, "{}", self.value / scale)?;
        if self.value.is_multiple_of(scale) {
            return Ok(());
        }
        let fraction = format!("{:0width$}", self.value % scale, width = self.decimals);
        write!(f, ".{}", fraction.trim_end_matches('0'))
    }
}

const SECOND: i64 = 1_000_000_000;
/// 2^63, the magnitude of Go's most negative duration.
const MAGNITUDE_MAX: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_as_go_does() {
        let cases = [
            ("0", 0, "0s"),
            ("1h", 3_600 * SECOND, "1h0m0s"),
            ("24h", 24 * 3_600 * SECOND, "24h0m0s"),
            ("90m", 5_400 * SECOND, "1h30m0s"),
            ("1h30m", 5_400 * SECOND, "1h30m0s"),
            ("5s", 5 * SECOND, "5s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            (".5m", 30 * SECOND, "30s"),
            ("100ms", 100_000_000, "100ms"),
            ("1500us", 1_500_000, "1.5ms"),
            ("2µs", 2_000, "2µs"),
            ("7ns", 7, "7ns"),
            ("-1m", -60 * SECOND, "-1m0s"),
            ("+3s", 3 * SECOND, "3s"),
            ("1h0.25s", 3_600 * SECOND + 250_000_000, "1h0m0.25s"),
            ("9223372036854775807ns", i64::MAX, "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s"),
        ];
        for (text, nanos, printed) in cases {
            let parsed: GoDuration = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed.as_nanos(), nanos, "{text}");
            assert_eq!(parsed.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_with_gos_texts() {
        let cases = [
            ("x", "time: invalid duration \"x\""),
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            ("1h 5m", "time: unknown unit \"h \" in duration \"1h 5m\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("99999999999h", "time: invalid duration \"99999999999h\""),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<GoDuration>().unwrap_err().to_string(), error, "{text}");
        }
    }
}
