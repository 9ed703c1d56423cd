//! What a program shows, in one table: constants for those who record, `# HELP` for those who scrape, and the page of
//! the documentation, which tests compare with it.

/// One metric, or the two of a call counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Without the prefix that SPIRE's are shown under.
    pub name: &'static str,
    pub kind: Kind,
    /// Beside those of every series, and `le` and `quantile`.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `<name>{status}` and the summary `<name>.elapsed_time{status}`.
    Calls,
    Counter,
    Gauge,
    /// With the upper bounds of its buckets, ascending. Empty where it is counted elsewhere.
    Histogram(&'static [f64]),
    Summary,
}

/// Defines a constant for each name, and `ALL`, in the order of `docs/metrics.md`.
///
/// ```
/// steeple_telemetry::metric_table! {
///     Gauge UPTIME_MS = "uptime_in_ms" [] "milliseconds since the start";
///     Histogram(&[0.1, 1.0]) WAIT_SECS = "steeple_wait_seconds" [queue] "how long things wait";
/// }
/// assert_eq!((WAIT_SECS, ALL.len()), ("steeple_wait_seconds", 2));
/// ```
#[macro_export]
macro_rules! metric_table {
    ($($kind:ident $(($buckets:expr))? $constant:ident = $name:literal [$($label:ident)*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $name;
        )*

        /// In the order of `docs/metrics.md`.
        pub const ALL: &[$crate::metric::Metric] = &[$(
            $crate::metric::Metric {
                name: $constant,
                kind: $crate::metric::Kind::$kind $(($buckets))?,
                labels: &[$(stringify!($label)),*],
                help: $help,
            }
        ),*];
    };
}

impl Metric {
    /// Names and help of what is shown.
    pub(super) fn helps(&self) -> Vec<(String, String)> {
        match self.kind {
            Kind::Calls => calls_help(self.name, self.help),
            Kind::Counter | Kind::Gauge | Kind::Histogram(_) | Kind::Summary => {
                vec![(self.name.to_owned(), self.help.to_owned())]
            }
        }
    }

    /// As [`rows`] reads it.
    pub fn documented(&self) -> String {
        let kind = match self.kind {
            Kind::Calls => "call counter: ",
            Kind::Histogram(_) => "histogram: ",
            Kind::Summary => "summary: ",
            Kind::Counter | Kind::Gauge => "",
        };
        format!("{} | {} | {kind}{}", self.name.replace('.', "_"), self.labels.join(", "), self.help)
    }
}

/// Of a call counter that counts `what`.
pub(super) fn calls_help(name: &str, what: &str) -> Vec<(String, String)> {
    vec![
        (name.to_owned(), format!("calls that ended, by the name of the gRPC code: {what}")),
        (format!("{name}.elapsed_time"), format!("milliseconds that calls took: {what}")),
    ]
}

/// The rows of the tables in a part of a Markdown page, without marks and links.
pub fn rows(page: &str) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `").and_then(|line| line.strip_suffix(" |")));
    rows.map(|row| without_links(row).replace('`', "")).map(|row| row.replace(" | | ", " |  | ")).collect()
}

/// `[text](target)` becomes `text`.
fn without_links(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    match rest.split_once("](").and_then(|(shown, rest)| Some((shown, rest.split_once(')')?.1))) {
        Some((shown, after)) => format!("{before}{shown}{}", without_links(after)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_page_says_what_the_table_says() {
        let page = "\
            | name | labels | meaning |\n|---|---|---|\n\
            | `a_b` | `x`, `y` | summary: `1` while so ([why](x.md), [how](y.md#z)) |\n\
            | `c` | | call counter: it |\n";
        let table = [
            Metric { name: "a.b", kind: Kind::Summary, labels: &["x", "y"], help: "1 while so (why, how)" },
            Metric { name: "c", kind: Kind::Calls, labels: &[], help: "it" },
        ];
        assert_eq!(rows(page), table.map(|metric| metric.documented()));
    }
}
