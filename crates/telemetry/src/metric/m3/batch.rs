//! `M3.emitMetricBatchV2` of tally's interface description, in packets of bounded size.

use super::interval::{Interval, Reading, Value};
use super::thrift::{Type, Writer};
use crate::metric::udp::PACKET_BYTES_MAX;

/// Makes packets for one receiver.
#[derive(Debug)]
pub(super) struct Batches {
    /// Stands before SPIRE's names and is left out of them: the tag says it.
    service: String,
    /// The tags of every metric, written.
    common_tags: Vec<u8>,
    sequence: u32,
}

impl Batches {
    pub(super) fn new(service: &str, env: &str) -> Self {
        let mut common = Writer::default();
        common.list(Type::Struct, 2);
        tag(&mut common, "service", service);
        tag(&mut common, "env", env);
        Self { service: service.to_owned(), common_tags: common.bytes().to_vec(), sequence: 0 }
    }

    /// Hands over one packet after the other. A metric that fills one alone is sent alone.
    pub(super) fn send(&mut self, interval: Interval, unix_nanos: i64, mut send: impl FnMut(&[u8])) {
        let room = PACKET_BYTES_MAX.saturating_sub(self.packet(0, &[]).len() + LIST_LENGTH_BYTES_MAX);
        let (mut metrics, mut count) = (Vec::with_capacity(room), 0);
        for reading in interval.readings() {
            let metric = self.metric(&reading, unix_nanos);
            if count > 0 && metrics.len() + metric.len() > room {
                send(&self.next(count, &metrics));
                metrics.clear();
                count = 0;
            }
            metrics.extend_from_slice(&metric);
            count += 1;
        }
        if count > 0 {
            send(&self.next(count, &metrics));
        }
    }

    fn next(&mut self, count: usize, metrics: &[u8]) -> Vec<u8> {
        // Zero is not counted from: receivers take what comes, and tally begins at one.
        self.sequence = self.sequence.wrapping_add(1);
        self.packet(count, metrics)
    }

    fn packet(&self, count: usize, metrics: &[u8]) -> Vec<u8> {
        let mut packet = Writer::default();
        packet.oneway("emitMetricBatchV2", self.sequence);
        packet.field(Type::Struct);
        packet.field(Type::List);
        packet.list(Type::Struct, count);
        packet.append(metrics);
        packet.field(Type::List);
        packet.append(&self.common_tags);
        packet.stop();
        packet.stop();
        packet.bytes().to_vec()
    }

    fn metric(&self, reading: &Reading<'_>, unix_nanos: i64) -> Vec<u8> {
        let (kind, count, gauge) = match reading.value {
            Value::Count(count) => (COUNTER, i64::try_from(count).unwrap_or(i64::MAX), 0.0),
            Value::Gauge(gauge) => (GAUGE, 0, gauge),
        };
        let mut metric = Writer::default();
        metric.field(Type::Binary);
        metric.text(&self.name(&reading.series.key));
        metric.field(Type::Struct);
        metric.field(Type::I32);
        metric.integer(kind);
        metric.field(Type::I64);
        metric.integer(count);
        metric.field(Type::Double);
        metric.double(gauge);
        metric.field(Type::I64);
        metric.integer(NO_TIMER);
        metric.stop();
        metric.field(Type::I64);
        metric.integer(unix_nanos);
        let labels = reading.series.labels.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let bucket = reading.bucket.iter().flat_map(|(at, name)| {
            // Four digits at least.
            [("bucketid", format!("{at:04}")), ("bucket", name.clone())]
        });
        let tags: Vec<(&str, String)> = labels.chain(bucket).collect();
        if !tags.is_empty() {
            metric.field(Type::List);
            metric.list(Type::Struct, tags.len());
            tags.iter().for_each(|(name, value)| tag(&mut metric, name, value));
        }
        metric.stop();
        metric.bytes().to_vec()
    }

    fn name(&self, key: &str) -> String {
        let own = key.strip_prefix(&self.service).and_then(|rest| rest.strip_prefix('.'));
        own.unwrap_or(key).replace('.', "_")
    }
}

fn tag(writer: &mut Writer, name: &str, value: &str) {
    writer.field(Type::Binary);
    writer.text(name);
    writer.field(Type::Binary);
    writer.text(value);
    writer.stop();
}

/// `MetricType`.
const COUNTER: i64 = 1;
const GAUGE: i64 = 2;
/// Every value has all of its members; histograms have taken the place of timers.
const NO_TIMER: i64 = 0;
/// Of the number of metrics in a packet, beyond the byte that an empty list takes.
const LIST_LENGTH_BYTES_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Event;
    use crate::metric::series::Series;

    /// What tally 4.1.17 sends for the same counter, byte for byte.
    #[test]
    fn a_packet_is_tallys() {
        let mut interval = Interval::default();
        let labels = vec![("status".to_owned(), "OK".to_owned())];
        interval.record(Series { key: "spire_server.rpc.a".to_owned(), labels }, Event::Count(3));
        let mut packets = Vec::new();
        Batches::new("spire_server", "prod").send(interval, 1_000, |packet| packets.push(packet.to_vec()));
        let expected = [
            &b"\x82\x81\x01\x11emitMetricBatchV2\x1c\x19\x1c"[..],
            b"\x18\x05rpc_a\x1c\x15\x02\x16\x06\x17\0\0\0\0\0\0\0\0\x16\0\0\x16\xd0\x0f",
            b"\x19\x1c\x18\x06status\x18\x02OK\0\0",
            b"\x19\x2c\x18\x07service\x18\x0cspire_server\0\x18\x03env\x18\x04prod\0\0\0",
        ]
        .concat();
        assert_eq!(packets, [expected]);
    }

    #[test]
    fn names_of_ours_stay_whole() {
        let batches = Batches::new("spire_server", "prod");
        assert_eq!(batches.name("spire_server.manager.jwt_key.activate"), "manager_jwt_key_activate");
        assert_eq!(batches.name("steeple_raft_term"), "steeple_raft_term");
        assert_eq!(batches.name("spire_server_other.x"), "spire_server_other_x");
    }

    #[test]
    fn nothing_is_sent_of_nothing() {
        Batches::new("spire_server", "prod").send(Interval::default(), 0, |packet| panic!("{packet:?}"));
    }
}
