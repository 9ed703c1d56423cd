//! What a server that belongs to no cluster yet waits for, for those who ask it meanwhile.

use std::sync::Arc;

use parking_lot::Mutex;

/// Shared by who waits and by who answers probes and calls until then.
#[derive(Clone, Debug, Default)]
pub struct JoinProgress(Arc<Mutex<Option<String>>>);

impl JoinProgress {
    pub(super) fn waits_because(&self, why: String) {
        *self.0.lock() = Some(why);
    }

    /// A sentence for operators.
    pub fn describe(&self) -> String {
        let why = self.0.lock();
        format!("the server belongs to no cluster yet: {}", why.as_deref().unwrap_or("it is starting"))
    }
}
