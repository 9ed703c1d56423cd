//! Times as Go prints them.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

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

/// `26h 3m 1s`: whole seconds.
pub fn span(duration: Duration) -> String {
    let whole = SignedDuration::from_secs(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX));
    format!("{whole:#}")
}

/// Unix seconds of `2006-01-02 15:04:05 -0700 -07`, the form of `-expiresBefore`; `None` for a text of another form. As
/// lenient as Go: the hour may have one digit, and the seconds a fraction, which is dropped.
pub fn parse_offset_time(text: &str) -> Option<i64> {
    let fields: Vec<&str> = text.split(' ').collect();
    let [date, time, offset, hours] = fields.try_into().ok()?;
    let date = numbers(date, '-', [4..=4, 2..=2, 2..=2])?;
    let [hour, minute, second] = numbers(without_fraction(time)?, ':', [1..=2, 2..=2, 2..=2])?;
    let days = days_of(date);
    let offset = signed(offset, 4)?.abs();
    let fits = date_of(days) == date && hour < 24 && minute < 60 && second < 60;
    // Go lets an offset have 24 hours and 60 minutes.
    if !fits || offset / 100 > 24 || offset % 100 > 60 {
        return None;
    }
    // The last field wins: Go reads the hours of the offset twice, and its minutes are lost.
    let hours = signed(hours, 2).filter(|hours| hours.abs() <= 24)?;
    Some(days * DAY + (hour - hours) * 3600 + minute * 60 + second)
}

/// Unix seconds of a time as Go marshals it, with whatever offset and fraction. `None` when it is none.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn format_in(secs: i64, zone: TimeZone) -> String {
    match Timestamp::from_second(secs) {
        Ok(time) => time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
        Err(_) => far_off(secs),
    }
}

/// What no time zone has rules for is shown in UTC.
fn far_off(secs: i64) -> String {
    let [year, month, day] = date_of(secs.div_euclid(DAY));
    let second = secs.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
}

/// Servers may send any number; what RFC 3339 cannot say is shown as its edge.
fn clamped(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap_or(if secs < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// As many numbers as there are `lengths`, each of so many digits, with `separator` between them.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [RangeInclusive<usize>; N]) -> Option<[i64; N]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let parts: [&str; N] = parts.try_into().ok()?;
    let fits = |(part, lengths): (&&str, &RangeInclusive<usize>)| lengths.contains(&part.len()) && is_digits(part);
    let all = parts.iter().zip(&lengths).all(fits);
    all.then(|| parts.map(|part| part.parse().unwrap_or_default()))
}

fn without_fraction(time: &str) -> Option<&str> {
    match time.split_once(['.', ',']) {
        None => Some(time),
        Some((whole, fraction)) => is_digits(fraction).then_some(whole),
    }
}

/// A sign and so many digits.
fn signed(text: &str, digits: usize) -> Option<i64> {
    let number = text.strip_prefix(['+', '-'])?;
    (number.len() == digits && is_digits(number)).then(|| text.parse().ok()).flatten()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Days since 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day is their last; an
/// era is 400 of them.
fn days_of([year, month, day]: [i64; 3]) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - EPOCH_DAYS
}

/// The other way round.
fn date_of(days: i64) -> [i64; 3] {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    [era * 400 + year + i64::from(month <= 2), month, day]
}

/// Seconds.
const DAY: i64 = 86_400;
const ERA_DAYS: i64 = 146_097;
/// From the first of March of the year 0 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_go() {
        assert_eq!(utc_time(4_102_444_800), "2100-01-01 00:00:00 +0000 UTC");
        assert_eq!(utc_time(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(rfc3339_time(1_708_497_925), "2024-02-21T06:45:25Z");
        assert_eq!(utc_time(253_402_300_800), "10000-01-01 00:00:00 +0000 UTC");
        assert_eq!(utc_time(i64::MAX), "292277026596-12-04 15:30:07 +0000 UTC");
        assert!(rfc3339_time(i64::MAX).starts_with("9999-"));
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
        assert_eq!(parse_offset_time("9999-12-31 23:59:59 +0000 +00"), Some(253_402_300_799));
        assert_eq!(parse_offset_time("0001-01-01 00:00:00 +0000 +00"), Some(-62_135_596_800));
    }

    #[test]
    fn expires_before_is_as_lenient_as_go() {
        for text in ["0:00:00 +0000 +00", "00:00:00.999 +0000 +00", "00:00:00,5 +0000 +00", "00:00:00 +0530 +00"] {
            assert_eq!(parse_offset_time(&format!("2000-01-01 {text}")), Some(946_684_800), "{text}");
        }
        let strict = [
            "2000-1-01 00:00:00 +0000 +00",
            "2000-01-1 00:00:00 +0000 +00",
            "2001-02-29 00:00:00 +0000 +00",
            "2000-01-01 00:0:00 +0000 +00",
            "2000-01-01 00:00:00. +0000 +00",
            "2000-01-01 24:00:00 +0000 +00",
            "2000-01-01 00:00:00 0000 +00",
            "2000-01-01 00:00:00 +0000 +0",
            "2000-01-01 00:00:00 +0000 +25",
            " 2000-01-01 00:00:00 +0000 +00",
        ];
        for text in strict {
            assert_eq!(parse_offset_time(text), None, "{text}");
        }
    }

    #[test]
    fn days_and_dates_are_each_other_s_inverse() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            assert_eq!(days_of(date_of(days)), days);
        }
        assert_eq!([date_of(0), date_of(11_016), date_of(-719_162)], [[1970, 1, 1], [2000, 2, 29], [1, 1, 1]]);
    }
}
