//! Times as Go prints them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2006-01-02 15:04:05 +0000 UTC`, Go's default form; `secs` since the Unix epoch.
pub fn utc_time(secs: i64) -> String {
    format_in(secs, TimeZone::UTC)
}

/// As [`utc_time`], in the zone of this machine, with its abbreviation: `2006-01-02 17:04:05 +0200 CEST`.
pub fn local_time(secs: i64) -> String {
    format_in(secs, TimeZone::system())
}

/// `2006-01-02T15:04:05Z`.
pub fn rfc3339_time(secs: i64) -> String {
    clamped(secs).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Unix seconds of `2006-01-02 15:04:05 -0700 -07`, the form that `-expiresBefore` takes; the last word is redundant,
/// as in SPIRE. `None` when the text has another form.
pub fn parse_offset_time(text: &str) -> Option<i64> {
    let (time, zone) = text.rsplit_once(' ')?;
    let hours = zone.strip_prefix(['+', '-'])?;
    if hours.len() != 2 || !hours.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let zoned = jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S %z", time).ok()?;
    Some(zoned.to_timestamp().ok()?.as_second())
}

/// Unix seconds of a time as Go marshals it, with whatever offset and fraction. `None` when it is none.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn format_in(secs: i64, zone: TimeZone) -> String {
    clamped(secs).to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// Servers may send any number; what no calendar holds is shown as the calendar's edge.
fn clamped(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap_or(if secs < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_go() {
        assert_eq!(utc_time(4_102_444_800), "2100-01-01 00:00:00 +0000 UTC");
        assert_eq!(utc_time(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(rfc3339_time(1_708_497_925), "2024-02-21T06:45:25Z");
        assert!(utc_time(i64::MAX).starts_with("9999-"));
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(format_in(1_719_000_000, berlin), "2024-06-21 22:00:00 +0200 CEST");
    }

    #[test]
    fn expires_before_has_one_form() {
        assert_eq!(parse_offset_time("2000-01-01 00:00:00 +0000 -00"), Some(946_684_800));
        assert_eq!(parse_offset_time("2000-01-01 02:00:00 +0200 +02"), Some(946_684_800));
        for text in
            ["soon", "2000-01-01 00:00:00 +0000", "2000-01-01 00:00:00 +0000 UTC", "2000-13-01 00:00:00 +0000 -00", ""]
        {
            assert_eq!(parse_offset_time(text), None, "{text}");
        }
    }
}
