//! Clients that send more than anybody needs, over whatever stream.

use std::iter::{once, repeat_with, successors};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, call, flood, frame, stream,
};

/// More than a server takes of any flood before it ends the connection, or lets it wait.
const FRAMES: usize = 40_000;
/// A flooder whose bytes nobody takes any more has been stopped.
const STOPPED_AFTER: Duration = Duration::from_secs(10);

type Frames = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// What the floods are made of.
#[derive(Clone, Copy, Debug)]
pub struct Flooded {
    /// The path of a method that answers an empty message.
    pub answers: &'static str,
    /// The path of a method that waits for a message.
    pub waits: &'static str,
    /// What each call needs beside gRPC's own headers.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Floods that are under way. Dropping this ends them.
#[derive(Debug)]
pub struct Flooders {
    tasks: JoinSet<()>,
    going: usize,
    tell: mpsc::UnboundedSender<(&'static str, Stopped)>,
    stopped: mpsc::UnboundedReceiver<(&'static str, Stopped)>,
    over: watch::Sender<()>,
}

/// What became of a flood.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    /// The server took all of it.
    Taken,
    /// The server ended the connection after so many bytes.
    #[expect(dead_code, reason = "it is printed")]
    Ended(usize),
    /// The server takes no more before it is read itself.
    Waiting,
}

impl Flooded {
    /// Each by its name in advisories or standards.
    pub fn floods(self) -> Vec<(&'static str, Frames)> {
        let answers = move || call(self.answers, self.headers);
        let waits = move || call(self.waits, self.headers);
        let numbers = |count: usize| (0..).take(count).map(stream);
        let first = frame(HEADERS, 0, 1, &answers());
        let endless = frame(HEADERS, END_HEADERS, 1, &waits());
        let filler = frame(CONTINUATION, 0, 1, &[0; 16 << 10]);
        // A header of 4,000 bytes that goes into the table, then a thousand references to it.
        let bomb = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000], &[0xbe; 1000]].concat();
        let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        // A message of 4 MiB is announced, and never comes.
        let promised = [&[0, 0, 0x3f, 0xff, 0xff][..], &[0; 250]].concat();
        let end = END_HEADERS | END_STREAM;
        vec![
            (
                "rapid reset",
                Box::new(numbers(FRAMES).flat_map(move |stream| {
                    [frame(HEADERS, end, stream, &answers()), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
                })),
            ),
            (
                "continuation flood",
                Box::new(successors(Some(first.clone()), move |_| Some(filler.clone())).take(4_000)),
            ),
            (
                "empty continuations",
                Box::new(successors(Some(first), |_| Some(frame(CONTINUATION, 0, 1, &[]))).take(FRAMES)),
            ),
            ("empty data", Box::new(successors(Some(endless), |_| Some(frame(DATA, 0, 1, &[]))).take(FRAMES))),
            ("settings flood", Box::new(repeat_with(|| frame(SETTINGS, 0, 0, &[])).take(FRAMES))),
            ("ping flood", Box::new(repeat_with(|| frame(PING, 0, 0, &[7; 8])).take(FRAMES))),
            ("header bomb", Box::new(numbers(FRAMES / 40).map(move |stream| frame(HEADERS, end, stream, &bomb)))),
            (
                "hoarded windows",
                Box::new(once(no_window).chain(numbers(250).flat_map(move |stream| {
                    [frame(HEADERS, END_HEADERS, stream, &answers()), frame(DATA, END_STREAM, stream, &[0; 5])]
                }))),
            ),
            (
                "messages that do not end",
                Box::new(numbers(200).flat_map(move |stream| {
                    [frame(HEADERS, END_HEADERS, stream, &waits()), frame(DATA, 0, stream, &promised)]
                })),
            ),
        ]
    }
}

impl Default for Flooders {
    fn default() -> Self {
        let (tell, stopped) = mpsc::unbounded_channel();
        Self { tasks: JoinSet::new(), going: 0, tell, stopped, over: watch::Sender::new(()) }
    }
}

impl Flooders {
    /// Floods `stream`, tells how that ended, and keeps what it holds of the server until all is over.
    pub fn add(
        &mut self,
        (name, frames): (&'static str, Frames),
        mut stream: impl AsyncWrite + Unpin + Send + 'static,
    ) {
        let (tell, mut over) = (self.tell.clone(), self.over.subscribe());
        self.going += 1;
        self.tasks.spawn(async move {
            let how = match tokio::time::timeout(STOPPED_AFTER, flood(&mut stream, frames)).await {
                Ok((_, true)) => Stopped::Taken,
                Ok((bytes, false)) => Stopped::Ended(bytes),
                Err(_) => Stopped::Waiting,
            };
            // Ends with the sender, and so does who waits for the word.
            let _ = tell.send((name, how));
            let _ = over.changed().await;
        });
    }

    /// How many still send. What became of the others is printed.
    pub fn going(&mut self) -> usize {
        while let Ok((name, how)) = self.stopped.try_recv() {
            println!("{name}: {how:?}");
            self.going -= 1;
        }
        self.going
    }
}
