//! What a server that has no sealing key yet, or belongs to no cluster, waits for, for those who ask it meanwhile.

use std::sync::Arc;

use parking_lot::Mutex;

/// Shared by who waits and by who answers probes and calls until then.
#[derive(Clone, Debug, Default)]
pub struct JoinProgress(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    sealed: Option<String>,
    outside: Option<String>,
}

impl JoinProgress {
    /// Why it is outside of a cluster.
    pub fn waits_because(&self, why: String) {
        self.0.lock().outside = Some(why);
    }

    /// The seal does not give the key, without which a member cannot prove to be one either.
    pub fn sealed_because(&self, why: String) {
        self.0.lock().sealed = Some(why);
    }

    pub fn unsealed(&self) {
        self.0.lock().sealed = None;
    }

    /// A sentence for operators.
    pub fn describe(&self) -> String {
        let waiting = self.0.lock();
        match (&waiting.sealed, &waiting.outside) {
            (Some(why), _) => format!("the server is sealed: {why}"),
            (None, why) => {
                let why = why.as_deref().unwrap_or("it is starting");
                format!("the server belongs to no cluster yet: {why}")
            }
        }
    }
}
