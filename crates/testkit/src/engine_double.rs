//! A double of a container engine: Docker's API, which Podman serves too, on a real Unix socket.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::double::{DoubleAnswer, Ledger, announce_double, answer, locked, read_request};

/// Ends with the value.
#[derive(Debug)]
pub struct EngineDouble {
    socket: PathBuf,
    shared: Arc<Shared>,
    _listening: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<HashMap<String, DoubleAnswer>>,
    ledger: Ledger,
}

impl EngineDouble {
    /// It knows nothing at first.
    pub fn start(socket: &Path) -> io::Result<Self> {
        announce_double("the container engine");
        let listener = UnixListener::bind(socket)?;
        let shared = Arc::new(Shared::default());
        let mut listening = JoinSet::new();
        listening.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { socket: socket.to_owned(), shared, _listening: listening })
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// To each GET of `path`, such as `/containers/<id>/json`, from now on.
    pub fn answer(&self, path: &str, with: DoubleAnswer) {
        locked(&self.shared.answers).insert(path.to_owned(), with);
    }

    /// The paths that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.ledger.paths()
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A client that leaves is its own affair.
        connections.spawn(async move {
            let _ = serve(stream, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let asked = read_request(&mut stream).await?;
    shared.ledger.note(&asked.path);
    let known = locked(&shared.answers).get(&asked.path).cloned();
    let unknown = || DoubleAnswer::Status(404, format!("{{\"message\": \"No such thing: {}\"}}", asked.path));
    answer(&mut stream, &known.unwrap_or_else(unknown)).await
}
