//! Go's layout `2006-01-02 15:04:05 -0700 -07`, in which clients send `by_expires_before`.

use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// Unix seconds; `None` for an empty text and for one that does not fit the layout.
pub fn parse(text: &str) -> Option<i64> {
    // Go's `-07` repeats the hours of the offset: whatever stands there is redundant.
    let (moment, hours) = text.rsplit_once(' ')?;
    let moment = OffsetDateTime::parse(moment, LAYOUT).ok()?;
    let hours: i8 = hours.parse().ok()?;
    UtcOffset::from_hms(hours, 0, 0).ok()?;
    Some(moment.unix_timestamp())
}

const LAYOUT: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_command_line_sends() {
        assert_eq!(parse("2026-01-02 03:04:05 +0000 +00"), Some(1_767_323_045));
        assert_eq!(parse("2026-01-02 05:04:05 +0200 +02"), Some(1_767_323_045));
        for text in ["", "tomorrow", "2026-01-02", "2026-01-02 03:04:05 +0000", "2026-13-02 03:04:05 +0000 +00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
