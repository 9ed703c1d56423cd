//! Calls that move on to another replica when one cannot serve.

use std::future::Future;
use std::time::Duration;

use steeple_transport::client::is_unprocessed;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Reaction, Upstream, reaction};

impl Upstream {
    /// Makes one call as the attested agent, on another replica if the first cannot serve. `timeout` covers all
    /// attempts.
    pub async fn call<T, F, C>(&self, timeout: Duration, call: C) -> Result<T, Status>
    where
        C: Fn(Channel) -> F,
        F: Future<Output = Result<T, Status>>,
    {
        let attempts = async {
            let mut left = self.attempts();
            loop {
                let status = match call(self.channel()).await {
                    Ok(answer) => return Ok(answer),
                    Err(status) => status,
                };
                left -= 1;
                // Met the end of a connection's age: the server never saw the call.
                if left > 0 && is_unprocessed(&status) {
                    continue;
                }
                if left == 0 || reaction(&status) != Reaction::TryAnother {
                    return Err(status);
                }
                tracing::debug!(error = %status, "server cannot serve; trying another");
                self.avoid_current();
            }
        };
        match tokio::time::timeout(timeout, attempts).await {
            Ok(result) => result,
            Err(_) => {
                // A server that accepts and stays silent is no better than one that is gone.
                self.avoid_current();
                Err(Status::new(Code::DeadlineExceeded, format!("no answer within {timeout:?}")))
            }
        }
    }
}
