//! Metrics sent as they happen: the line protocols of statsd and DogStatsD over UDP, in go-metrics' spelling.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::Event;
use super::series::Series;
use super::udp::{PACKET_BYTES_MAX, Peer, host_port};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Has no labels: their values follow the key.
    Statsd,
    /// Labels are tags.
    DogStatsd,
}

/// One receiver.
#[derive(Clone, Debug)]
pub struct StatsdSink {
    flavor: Flavor,
    lines: SyncSender<String>,
}

impl StatsdSink {
    pub(super) fn start(flavor: Flavor, address: String) -> io::Result<Self> {
        let address = host_port("a statsd", address)?;
        let (lines, queue) = sync_channel(LINES_WAITING_MAX);
        std::thread::Builder::new().name("statsd".to_owned()).spawn(move || send(address, &queue))?;
        Ok(Self { flavor, lines })
    }

    pub(super) fn send(&self, series: &Series, event: Event) {
        let _ = self.lines.try_send(line(self.flavor, series, event));
    }
}

fn line(flavor: Flavor, series: &Series, event: Event) -> String {
    let key = flat(&series.key);
    match flavor {
        Flavor::Statsd => {
            let values = series.labels.iter().map(|(_, value)| format!(".{}", flat(value)));
            let key = key + &values.collect::<String>();
            match event {
                Event::Count(count) => format!("{key}:{:.6}|c\n", count as f64),
                Event::Gauge(value) => format!("{key}:{value:.6}|g\n"),
                Event::Sample(value) => format!("{key}:{value:.6}|ms\n"),
            }
        }
        Flavor::DogStatsd => {
            let tags: Vec<String> = series.labels.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            let tags = if tags.is_empty() { String::new() } else { format!("|#{}", tags.join(",")) };
            match event {
                Event::Count(count) => format!("{key}:{count}|c{tags}\n"),
                Event::Gauge(value) => format!("{key}:{value}|g{tags}\n"),
                Event::Sample(value) => format!("{key}:{value:.6}|ms{tags}\n"),
            }
        }
    }
}

/// Without what separates a key from its value.
fn flat(text: &str) -> String {
    text.replace([':', ' '], "_")
}

/// Packs lines into datagrams until nobody can send lines any more.
fn send(address: String, queue: &Receiver<String>) {
    let mut peer = Peer::new(address);
    let mut packet = String::with_capacity(PACKET_BYTES_MAX);
    let mut flush = |packet: &mut String| {
        peer.send(packet.as_bytes());
        packet.clear();
    };
    loop {
        match queue.recv_timeout(FLUSH_AFTER) {
            Ok(line) => {
                if packet.len() + line.len() > PACKET_BYTES_MAX {
                    flush(&mut packet);
                }
                packet.push_str(&line);
            }
            Err(RecvTimeoutError::Timeout) => flush(&mut packet),
            Err(RecvTimeoutError::Disconnected) => return flush(&mut packet),
        }
    }
}

/// Those of go-metrics.
const LINES_WAITING_MAX: usize = 4096;
const FLUSH_AFTER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn series(labels: &[(&str, &str)]) -> Series {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Series { key: "spire_server.rpc.agent.v1.agent.attest_agent".to_owned(), labels }
    }

    #[test]
    fn lines_are_those_of_go_metrics() {
        let labelled = series(&[("status", "OK"), ("host", "node:1")]);
        let key = "spire_server.rpc.agent.v1.agent.attest_agent";
        for (flavor, event, expected) in [
            (Flavor::Statsd, Event::Count(1), format!("{key}.OK.node_1:1.000000|c\n")),
            (Flavor::Statsd, Event::Gauge(2.5), format!("{key}.OK.node_1:2.500000|g\n")),
            (Flavor::Statsd, Event::Sample(0.25), format!("{key}.OK.node_1:0.250000|ms\n")),
            (Flavor::DogStatsd, Event::Count(1), format!("{key}:1|c|#status:OK,host:node:1\n")),
            (Flavor::DogStatsd, Event::Gauge(2.5), format!("{key}:2.5|g|#status:OK,host:node:1\n")),
            (Flavor::DogStatsd, Event::Sample(0.25), format!("{key}:0.250000|ms|#status:OK,host:node:1\n")),
        ] {
            assert_eq!(line(flavor, &labelled, event), expected);
        }
        assert_eq!(line(Flavor::DogStatsd, &series(&[]), Event::Count(3)), format!("{key}:3|c\n"));
    }

    #[test]
    fn an_address_without_a_port_is_refused() {
        for address in ["nohostport", "127.0.0.1:x", ""] {
            let refused = StatsdSink::start(Flavor::Statsd, address.to_owned()).unwrap_err().to_string();
            assert!(refused.contains(&format!("{address:?} of a statsd receiver is not host:port")), "{refused}");
        }
    }

    #[test]
    fn lines_arrive_in_datagrams_of_bounded_size() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let address = receiver.local_addr().unwrap().to_string();
        let sink = StatsdSink::start(Flavor::Statsd, address).unwrap();
        let lines = 100;
        for _ in 0..lines {
            sink.send(&series(&[("status", "OK")]), Event::Count(1));
        }
        let (mut seen, mut packet) = (0, [0; 2 * PACKET_BYTES_MAX]);
        while seen < lines {
            let length = receiver.recv(&mut packet).unwrap();
            assert!(length <= PACKET_BYTES_MAX);
            let text = std::str::from_utf8(&packet[..length]).unwrap();
            assert!(text.ends_with("|c\n"), "{text}");
            seen += text.lines().count();
        }
        assert_eq!(seen, lines);
    }
}
