//! A key manager whose calls are counted.

use std::sync::Arc;

use steeple_core::KeyType;
use steeple_core::plugin::{BoxFuture, KeyError, KeyManager, PrivateKey};
use steeple_telemetry::metric::CallTimer;

use crate::metrics;

pub struct CountedKeys(pub Arc<dyn KeyManager>);

impl KeyManager for CountedKeys {
    fn generate<'a>(&'a self, id: &'a str, kind: KeyType) -> BoxFuture<'a, Result<PrivateKey, KeyError>> {
        Box::pin(counted(metrics::GENERATE_KEY, self.0.generate(id, kind)))
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<(String, PrivateKey)>, KeyError>> {
        Box::pin(counted(metrics::GET_KEYS, self.0.keys()))
    }
}

async fn counted<T>(name: &str, call: BoxFuture<'_, Result<T, KeyError>>) -> Result<T, KeyError> {
    let timer = CallTimer::start(name);
    let outcome = call.await;
    timer.done(if outcome.is_ok() { "OK" } else { "Unknown" });
    outcome
}
