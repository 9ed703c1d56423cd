//! From tracing's events and spans to lines.

use jiff::Zoned;
use steeple_config::{LogFormat, LogLevel};
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::Sink;
use super::format::format_line;
use super::level::{level_filter, level_of};
use super::record::{Caller, Collector, Fields, Record};

/// Writes a line for each event; the fields of the spans around it come along.
pub(crate) struct Layer {
    pub sink: Sink,
    pub format: LogFormat,
    pub source_location: bool,
}

/// What is logged at a level: everything of ours, and only warnings of the libraries below, whose debug messages would
/// drown ours; at trace all of it. Of the consensus library only errors: it warns at every message and every vote that
/// a peer does not take, many times a second while one is away, and the server tells of that itself, once. Of its calls
/// not even those: they fail whenever a replica stops, and whoever made one tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threshold(pub LogLevel);

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut collector = Collector::default();
        attributes.record(&mut collector);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(collector.fields);
        }
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        let mut collector = Collector::default();
        values.record(&mut collector);
        if let Some(span) = context.span(id) {
            let mut extensions = span.extensions_mut();
            if let Some(fields) = extensions.get_mut::<Fields>() {
                fields.extend(collector.fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(inherited) = span.extensions().get::<Fields>() {
                fields.extend(inherited.clone());
            }
        }
        let mut collector = Collector::default();
        event.record(&mut collector);
        fields.extend(collector.fields);
        let record = Record {
            time: rfc3339(&Zoned::now()),
            level: level_of(event.metadata().level()),
            message: collector.message,
            caller: self.source_location.then(|| caller(event.metadata())),
            fields,
        };
        self.sink.write(&format_line(self.format, &record));
    }
}

impl Threshold {
    fn allows(self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let limit = if target.starts_with(OWN_TARGETS) || self.0 == LogLevel::Trace {
            level_filter(self.0)
        } else if target.starts_with(CONSENSUS_CALLS) {
            LevelFilter::OFF
        } else if target.starts_with(CONSENSUS_TARGETS) {
            level_filter(self.0).min(LevelFilter::ERROR)
        } else {
            level_filter(self.0).min(LevelFilter::WARN)
        };
        *metadata.level() <= limit
    }
}

impl<S> Filter<S> for Threshold {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level_filter(self.0))
    }
}

fn caller(metadata: &Metadata<'_>) -> Caller {
    Caller {
        function: metadata.module_path().unwrap_or("").to_owned(),
        file: format!("{}:{}", metadata.file().unwrap_or(""), metadata.line().unwrap_or(0)),
    }
}

pub(super) fn rfc3339(time: &Zoned) -> String {
    let form = if time.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    time.strftime(form).to_string()
}

/// Every crate of this workspace has this prefix.
const OWN_TARGETS: &str = "steeple";
const CONSENSUS_TARGETS: &str = "openraft";
const CONSENSUS_CALLS: &str = "openraft::raft::";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_the_zone_in_the_form_of_go() {
        let time: Zoned = "2026-01-02T03:04:05.678+00[UTC]".parse().unwrap();
        assert_eq!(rfc3339(&time), "2026-01-02T03:04:05Z");
        let time: Zoned = "2026-07-02T03:04:05+02[Europe/Berlin]".parse().unwrap();
        assert_eq!(rfc3339(&time), "2026-07-02T03:04:05+02:00");
    }
}
