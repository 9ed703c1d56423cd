//! M3: what happened within a second, in batches of thrift over UDP, as tally's reporter sends them for SPIRE.
//!
//! ```text
//!   events ──► interval: counts added up, last values of gauges, samples in buckets ──► batch ──► datagrams
//!                                                             thrift: the bytes of it
//! ```

mod batch;
mod buckets;
mod interval;
mod thrift;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::batch::Batches;
use self::interval::Interval;
use super::Event;
use super::series::Series;
use super::udp::{Peer, host_port};

/// One receiver.
#[derive(Clone, Debug)]
pub struct M3Sink {
    events: SyncSender<(Series, Event)>,
}

impl M3Sink {
    pub(super) fn start(service: &str, address: String, env: String) -> io::Result<Self> {
        let peer = Peer::new(host_port("an M3", address)?);
        let batches = Batches::new(service, &env);
        let (events, queue) = sync_channel(EVENTS_WAITING_MAX);
        std::thread::Builder::new().name("m3".to_owned()).spawn(move || send(peer, batches, &queue))?;
        Ok(Self { events })
    }

    pub(super) fn send(&self, series: &Series, event: Event) {
        let _ = self.events.try_send((series.clone(), event));
    }
}

/// Sums up and sends until nobody can send events any more.
fn send(mut peer: Peer, mut batches: Batches, queue: &Receiver<(Series, Event)>) {
    let mut interval = Interval::default();
    let mut ends = Instant::now() + INTERVAL;
    loop {
        let open = match queue.recv_timeout(ends.saturating_duration_since(Instant::now())) {
            Ok((series, event)) => {
                interval.record(series, event);
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        };
        if !open || interval.len() >= SERIES_MAX || Instant::now() >= ends {
            batches.send(std::mem::take(&mut interval), unix_nanos(), |packet| peer.send(packet));
            ends = Instant::now() + INTERVAL;
        }
        if !open {
            return;
        }
    }
}

fn unix_nanos() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// That of tally.
const EVENTS_WAITING_MAX: usize = 4096;
/// SPIRE's.
const INTERVAL: Duration = Duration::from_secs(1);
/// An interval with so many series ends early.
const SERIES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::super::udp::PACKET_BYTES_MAX;
    use super::*;

    #[test]
    fn a_receiver_that_cannot_be_one_is_refused() {
        let refused = M3Sink::start("spire_server", "nowhere".to_owned(), "prod".to_owned()).unwrap_err().to_string();
        assert!(refused.contains("\"nowhere\" of an M3 receiver is not host:port"), "{refused}");
    }

    #[test]
    fn whatever_was_recorded_arrives_in_datagrams_of_bounded_size() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let address = receiver.local_addr().unwrap().to_string();
        let sink = M3Sink::start("spire_server", address, "test".to_owned()).unwrap();
        let keys: Vec<String> = (0..200).map(|number| format!("spire_server.some.key.number.{number:03}")).collect();
        for key in &keys {
            sink.send(&Series { key: key.clone(), labels: Vec::new() }, Event::Count(1));
        }
        drop(sink);
        let (mut seen, mut packet) = (Vec::new(), [0; 2 * PACKET_BYTES_MAX]);
        while keys.iter().any(|key| !contains(&seen, &key["spire_server.".len()..].replace('.', "_"))) {
            let length = receiver.recv(&mut packet).unwrap();
            assert!(length <= PACKET_BYTES_MAX);
            seen.extend_from_slice(&packet[..length]);
        }
    }

    fn contains(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }
}
