//! How old a connection may become: calls that last as long as it does may ask for more, and are told when it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// In the extensions of each request: its connection.
#[derive(Clone, Debug)]
pub struct ConnectionAge(Arc<watch::Sender<Age>>);

#[derive(Debug, Default)]
struct Age {
    long_calls: usize,
    ending: bool,
}

/// As long as it lives, its connection may become as old as `ServeLimits::long_connection_age`.
#[derive(Debug)]
pub struct LongCall {
    connection: ConnectionAge,
    age: watch::Receiver<Age>,
}

impl ConnectionAge {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Age::default())))
    }

    /// For a call that lasts. Whoever takes it ends the call when [`LongCall::connection_ends`] says so.
    pub fn long_call(&self) -> LongCall {
        self.0.send_modify(|age| age.long_calls += 1);
        LongCall { connection: self.clone(), age: self.0.subscribe() }
    }

    /// Resolves at `age`, or while long calls are open at `long_age`; `None` is never.
    pub(super) async fn reached(&self, age: Option<Duration>, long_age: Duration) {
        let Some(age) = age else { return std::future::pending().await };
        sleep(age).await;
        let mut calls = self.0.subscribe();
        // Either end of the wait means the same.
        let _ = timeout(long_age.saturating_sub(age), calls.wait_for(|now| now.long_calls == 0)).await;
    }

    /// The client has been told to go.
    pub(super) fn end(&self) {
        self.0.send_modify(|age| age.ending = true);
    }
}

impl LongCall {
    /// Resolves when the client was told that its connection ends: new calls go to another one, and so should this.
    pub async fn connection_ends(&mut self) {
        // The sender lives in `connection`.
        let _ = self.age.wait_for(|age| age.ending).await;
    }
}

impl Drop for LongCall {
    fn drop(&mut self) {
        self.connection.0.send_modify(|age| age.long_calls = age.long_calls.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::time::Instant;

    use super::*;

    const AGE: Duration = Duration::from_secs(180);
    const LONG_AGE: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_long_call_lets_its_connection_grow_old_and_learns_of_the_end() {
        let connection = ConnectionAge::new();
        let started = Instant::now();
        connection.reached(Some(AGE), LONG_AGE).await;
        assert_eq!(started.elapsed(), AGE);

        let started = Instant::now();
        let mut call = connection.long_call();
        connection.reached(Some(AGE), LONG_AGE).await;
        assert_eq!(started.elapsed(), LONG_AGE);
        assert!(call.connection_ends().now_or_never().is_none());
        connection.end();
        call.connection_ends().await;

        // An ordinary age again once the call is over.
        let started = Instant::now();
        let ended = async {
            sleep(AGE * 2).await;
            drop(call);
        };
        tokio::join!(connection.reached(Some(AGE), LONG_AGE), ended);
        assert_eq!(started.elapsed(), AGE * 2);
    }
}
