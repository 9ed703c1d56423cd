//! Calls that move on to another replica when one cannot serve.

use std::future::Future;
use std::time::Duration;

use steeple_cli::broken_connection;
use steeple_transport::client::is_unprocessed;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Reaction, Upstream, explained, reaction};

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTimes {
    /// All attempts together.
    pub total: Duration,
    /// After this a silent replica is left for another one. The last attempt has all the time that is left: a cluster
    /// that is slow must not be slower for being asked again and again.
    pub attempt: Duration,
}

impl CallTimes {
    /// A call that is answered in milliseconds, within `total`: a workload waits for it.
    pub const fn brief(total: Duration) -> Self {
        Self { total, attempt: Duration::from_secs(3) }
    }

    /// A call that may move megabytes, sign hundreds of certificates, or write.
    pub const fn long(total: Duration) -> Self {
        Self { total, attempt: Duration::from_secs(10) }
    }
}

/// Whether a call failed because this replica cannot serve, or went away: another one may.
pub fn is_away(status: &Status) -> bool {
    let silent = status.code() == Code::DeadlineExceeded;
    let away = silent || broken_connection(status).is_some() || reaction(status) == Reaction::TryAnother;
    away && !is_unprocessed(status)
}

impl Upstream {
    /// Makes one call as the attested agent, on another replica if the first cannot serve.
    ///
    /// A replica that fell silent may have acted on the call, so only calls of which the last one counts are made this
    /// way: they read, they sign, or they replace what the call before them wrote.
    pub async fn call<T, F, C>(&self, times: CallTimes, call: C) -> Result<T, Status>
    where
        C: Fn(Channel) -> F,
        F: Future<Output = Result<T, Status>>,
    {
        let give_up = Instant::now() + times.total;
        let mut left = self.attempts();
        loop {
            left -= 1;
            let asked = Instant::now();
            let until = if left == 0 { give_up } else { give_up.min(asked + times.attempt) };
            let used = self.current.load_full();
            let status = match timeout_at(until, call(Channel::clone(&used))).await {
                Ok(Ok(answer)) => return Ok(answer),
                // Met the end of a connection's age: the server never saw the call.
                Ok(Err(status)) if left > 0 && is_unprocessed(&status) => continue,
                Ok(Err(status)) if let Some(broken) = broken_connection(&status) => broken,
                Ok(Err(status)) if reaction(&status) != Reaction::TryAnother => return Err(status),
                Ok(Err(status)) => status,
                // A server that accepts and stays silent is no better than one that is gone.
                Err(_) => Status::deadline_exceeded(format!("no answer within {:?}", until - asked)),
            };
            self.avoid(&used);
            if left == 0 || Instant::now() >= give_up {
                return Err(status);
            }
            tracing::debug!(error = explained(&status), "server cannot serve; trying another");
        }
    }
}
