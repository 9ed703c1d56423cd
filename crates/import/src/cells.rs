//! One row, cell by cell, whichever database it comes from.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use crate::error::ReadError;
use crate::table::{Column, Table};

#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The cells of a row, in the order of the table's columns. What is NULL reads as SPIRE reads it: empty.
pub(crate) struct Cells {
    table: &'static Table,
    values: std::vec::IntoIter<Value>,
    at: usize,
}

impl Cells {
    pub(crate) fn new(table: &'static Table, values: Vec<Value>) -> Self {
        Self { table, values: values.into_iter(), at: 0 }
    }

    pub(crate) fn integer(&mut self) -> Result<i64, ReadError> {
        match self.next() {
            (_, Value::Null) => Ok(0),
            (_, Value::Integer(number)) => Ok(number),
            (column, other) => Err(self.wrong(column, &other)),
        }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, ReadError> {
        Ok(self.integer()? != 0)
    }

    pub(crate) fn text(&mut self) -> Result<String, ReadError> {
        match self.next() {
            (_, Value::Null) => Ok(String::new()),
            (_, Value::Text(text)) => Ok(text),
            (column, other) => Err(self.wrong(column, &other)),
        }
    }

    pub(crate) fn blob(&mut self) -> Result<Vec<u8>, ReadError> {
        match self.next() {
            (_, Value::Null) => Ok(Vec::new()),
            (_, Value::Blob(bytes)) => Ok(bytes),
            (column, other) => Err(self.wrong(column, &other)),
        }
    }

    /// Unix seconds, rounded down as Go rounds; 0 for NULL.
    pub(crate) fn time(&mut self) -> Result<i64, ReadError> {
        match self.next() {
            (_, Value::Null) => Ok(0),
            (_, Value::Integer(secs)) => Ok(secs),
            (column, Value::Text(text)) => {
                unix_seconds(&text).ok_or_else(|| self.wrong(column, &Value::Text(text.clone())))
            }
            (column, other) => Err(self.wrong(column, &other)),
        }
    }

    fn next(&mut self) -> (&'static Column, Value) {
        let column = &self.table.columns[self.at.min(self.table.columns.len() - 1)];
        self.at += 1;
        (column, self.values.next().unwrap_or(Value::Null))
    }

    /// The value itself is not shown: it may be a token.
    fn wrong(&self, column: &Column, value: &Value) -> ReadError {
        let found = match value {
            Value::Null => "nothing",
            Value::Integer(_) => "a number",
            Value::Text(_) => "a text of another form",
            Value::Blob(_) => "bytes",
        };
        ReadError::Cell { table: self.table.name, column: column.name, found: found.to_owned() }
    }
}

/// `2026-11-25 23:04:54.91123721+00:00`, as Go's SQLite drivers write a time; a missing offset is UTC.
fn unix_seconds(text: &str) -> Option<i64> {
    let (date_time, rest) = text.split_at_checked(DATE_TIME_CHARS)?;
    let date_time = PrimitiveDateTime::parse(&date_time.replace('T', " "), DATE_TIME).ok()?;
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|char: char| char.is_ascii_digit()),
        None => rest,
    };
    let offset = match offset {
        "" | "Z" => UtcOffset::UTC,
        offset => UtcOffset::parse(offset, OFFSET).ok()?,
    };
    let at: OffsetDateTime = date_time.assume_offset(offset);
    Some(at.unix_timestamp())
}

const DATE_TIME_CHARS: usize = "2026-11-25 23:04:54".len();
const DATE_TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
const OFFSET: &[BorrowedFormatItem<'_>] = format_description!("[offset_hour sign:mandatory]:[offset_minute]");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::JOIN_TOKENS;

    #[test]
    fn times_as_go_writes_them() {
        let expected = 1_764_111_894;
        for text in [
            "2025-11-25 23:04:54.99999999+00:00",
            "2025-11-25T23:04:54Z",
            "2025-11-25 23:04:54",
            "2025-11-26 00:04:54.1+01:00",
            "2025-11-25 18:34:54-04:30",
        ] {
            assert_eq!(unix_seconds(text), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2025-13-25 23:04:54", "2025-11-25 23:04:54 CET", "2025-11-25 23:04:5ä"] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_cell_of_another_type_is_named_and_not_shown() {
        let mut cells = Cells::new(&JOIN_TOKENS, vec![Value::Null, Value::Text("canary".to_owned())]);
        assert_eq!(cells.text().unwrap(), "");
        let text = cells.integer().unwrap_err().to_string();
        assert!(text.contains("column expiry of table join_tokens") && !text.contains("canary"), "{text}");
        assert_eq!(cells.integer().unwrap(), 0, "what is missing reads as nothing");
    }
}
