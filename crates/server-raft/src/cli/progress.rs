//! How far a long command is: a bar on a terminal, a line for each news anywhere else.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use steeple_api::status::retry_delay;
use steeple_api::steeple::server::StatusRequest;
use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_cli::{Failure, Streams, broken_connection};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::cluster::Quorum;

/// Written to standard error, so that standard output is the result alone.
#[derive(Debug, Default)]
pub(super) struct Progress {
    shown: String,
}

impl Progress {
    /// `done` is between 0 and 1.
    pub(super) fn show(&mut self, streams: &mut Streams, done: f64, text: &str) -> io::Result<()> {
        let percent = (done.clamp(0.0, 1.0) * 100.0).floor();
        if streams.stderr_is_terminal {
            let filled = (done.clamp(0.0, 1.0) * BAR_WIDTH as f64) as usize;
            let bar: String = (0..BAR_WIDTH).map(|cell| if cell < filled { '#' } else { '.' }).collect();
            write!(streams.stderr, "\r[{bar}] {percent:>3}% {text}{ERASE_REST}")?;
            return streams.stderr.flush();
        }
        let line = format!("{percent:>3}% {text}");
        if line != self.shown {
            writeln!(streams.stderr, "{line}")?;
            self.shown = line;
        }
        Ok(())
    }

    /// A line that stays.
    pub(super) fn note(&mut self, streams: &mut Streams, text: &str) -> io::Result<()> {
        let start = if streams.stderr_is_terminal { "\r" } else { "" };
        let end = if streams.stderr_is_terminal { ERASE_REST } else { "" };
        writeln!(streams.stderr, "{start}{text}{end}")
    }

    pub(super) fn end(&mut self, streams: &mut Streams) -> io::Result<()> {
        if streams.stderr_is_terminal { writeln!(streams.stderr) } else { Ok(()) }
    }
}

/// How long a command waits for a cluster that does not get on, and what it says meanwhile.
pub(super) struct Patience {
    cluster: ClusterClient<Channel>,
    /// While nothing comes of it: when to say something.
    speaks_at: Option<Instant>,
    failing_since: Option<Instant>,
    no_quorum_since: Option<Instant>,
}

impl Patience {
    pub(super) fn new(channel: Channel) -> Self {
        let cluster = ClusterClient::new(channel);
        Self { cluster, speaks_at: None, failing_since: None, no_quorum_since: None }
    }

    /// The command got on.
    pub(super) fn renew(&mut self) {
        (self.speaks_at, self.failing_since, self.no_quorum_since) = (None, None, None);
    }

    /// Awaits `work`. `None`: it failed in a way that passes, and is to be tried again.
    pub(super) async fn of<T>(
        &mut self,
        streams: &mut Streams,
        progress: &mut Progress,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<Option<T>, Failure> {
        let mut work = pin!(work);
        let answer = loop {
            let speaks_at = self.begin();
            tokio::select! {
                answer = &mut work => break answer,
                () = tokio::time::sleep_until(speaks_at) => self.look(streams, progress).await?,
            }
        };
        match answer {
            Ok(answer) => {
                self.failing_since = None;
                Ok(Some(answer))
            }
            Err(status) if is_passing(&status) && self.failing().elapsed() < PATIENCE => {
                if let Some(delay) = retry_delay(&status) {
                    tokio::time::sleep(delay).await;
                }
                self.look(streams, progress).await?;
                Ok(None)
            }
            Err(status) => Err(status.into()),
        }
    }

    /// To be called while nothing changes: says after a while what is waited for. Fails when there is no quorum for too
    /// long, as no election takes that long.
    pub(super) async fn look(&mut self, streams: &mut Streams, progress: &mut Progress) -> Result<(), Failure> {
        if Instant::now() < self.begin() {
            return Ok(());
        }
        let status = tokio::time::timeout(SPEAKS_EVERY, self.cluster.status(StatusRequest {})).await;
        self.speaks_at = Some(Instant::now() + SPEAKS_EVERY);
        let text = match status {
            Ok(Ok(status)) => match Quorum::of(&status.into_inner()).missing() {
                Some(missing) => {
                    let since = *self.no_quorum_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= NO_QUORUM_MAX {
                        return Err(no_quorum(&missing));
                    }
                    format!("waiting: {missing}")
                }
                None => {
                    self.no_quorum_since = None;
                    return Ok(());
                }
            },
            _ => "waiting: the server does not answer; is it running?".to_owned(),
        };
        Ok(progress.note(streams, &text)?)
    }

    fn begin(&mut self) -> Instant {
        *self.speaks_at.get_or_insert_with(|| Instant::now() + SPEAKS_EVERY)
    }

    fn failing(&mut self) -> Instant {
        *self.failing_since.get_or_insert_with(Instant::now)
    }
}

fn no_quorum(missing: &str) -> Failure {
    let so_long = NO_QUORUM_MAX.as_secs();
    Failure::Message(format!(
        "{missing}, for {so_long} s by now; start the others (`cluster status` shows which), then run the same command \
         again: what has begun goes on"
    ))
}

/// An election, a restart or the death of the replica that is asked, and a server that says when to come back do not
/// end a long command.
pub(super) fn is_passing(status: &Status) -> bool {
    let by_code = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled);
    by_code || retry_delay(status).is_some() || broken_connection(status).is_some()
}

/// Longer than either.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nobody looks at a silent command for longer without thinking that it hangs.
const SPEAKS_EVERY: Duration = Duration::from_secs(3);
/// Many elections long, and longer than a server takes to restart.
const NO_QUORUM_MAX: Duration = Duration::from_secs(12);
const BAR_WIDTH: usize = 24;
/// ANSI: erase from the cursor to the end of the line.
const ERASE_REST: &str = "\x1b[K";

#[cfg(test)]
mod tests {
    use steeple_api::status::resource_exhausted_for;
    use steeple_api::steeple::server::AuthorityStatusRequest;
    use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
    use tokio::net::UnixListener;

    use super::*;

    /// tonic calls it `Unknown`, which a server's own answer may be, too.
    #[tokio::test]
    async fn a_replica_that_dies_in_a_call_does_not_end_a_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = AuthoritiesClient::new(steeple_cli::connect(&path));
        let dies = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = h2::server::handshake(stream).await.unwrap();
            drop(server.accept().await.unwrap().unwrap());
        };
        let (answer, ()) = tokio::join!(client.status(AuthorityStatusRequest::default()), dies);
        let status = answer.unwrap_err();
        assert!(is_passing(&status), "{status:?}");
        assert!(!is_passing(&Status::unknown("the server says so")));
        assert!(is_passing(&resource_exhausted_for("full", Duration::from_millis(500))));
        assert!(!is_passing(&Status::resource_exhausted("the disk is nearly full")));
    }

    #[test]
    fn a_bar_on_a_terminal_and_lines_elsewhere() {
        let (mut streams, captured) = Streams::captured("");
        let mut progress = Progress::default();
        for done in [0.25, 0.25, 0.5] {
            progress.show(&mut streams, done, "working").unwrap();
        }
        assert_eq!(captured.stderr(), " 25% working\n 50% working\n");
        streams.stderr_is_terminal = true;
        progress.show(&mut streams, 0.5, "working").unwrap();
        progress.end(&mut streams).unwrap();
        assert!(captured.stderr().ends_with("\r[############............]  50% working\x1b[K\n"));
    }
}
