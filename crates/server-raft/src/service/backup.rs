//! `steeple.server.v1.Backup`: the replicated state as an encrypted file, streamed to an administrator.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use steeple_api::steeple::server::backup_server::Backup as BackupApi;
use steeple_api::steeple::server::{BackupPart, CreateBackupRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::shared::Shared;
use crate::backup::BackupError;

pub struct BackupService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl BackupApi for BackupService {
    async fn create(&self, request: Request<CreateBackupRequest>) -> Result<Response<BoxStream<BackupPart>>, Status> {
        if !request.into_inner().local {
            // What was acknowledged anywhere before the call is on this replica's disk afterwards.
            self.shared.fresh().await?;
        }
        let backups = self.shared.backups.clone();
        let turn = backups.turn();
        let turn = turn.ok_or_else(|| Status::resource_exhausted("a backup is being taken here: wait for its end"))?;
        let (parts, stream) = mpsc::channel(PARTS_WAITING_MAX);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let rows = AtomicU64::new(0);
            let sink = Parts { parts: &parts, rows: &rows, rows_total: backups.rows_estimate() };
            let written = backups.write(io::BufWriter::with_capacity(PART_BYTES, sink), &rows);
            if let Err(error) = written {
                // The client may have gone already.
                let _ = parts.blocking_send(Err(failed(&error)));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Cuts the file into messages and waits for the client to take them.
struct Parts<'a> {
    parts: &'a mpsc::Sender<Result<BackupPart, Status>>,
    rows: &'a AtomicU64,
    rows_total: u64,
}

impl Write for Parts<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let data = bytes[..bytes.len().min(PART_BYTES)].to_vec();
        let written = data.len();
        let part = BackupPart { data, rows: self.rows.load(Relaxed), rows_total: self.rows_total };
        self.parts.blocking_send(Ok(part)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: &BackupError) -> Status {
    match error {
        BackupError::Changing | BackupError::Sealed(_) | BackupError::Uninitialised => {
            Status::unavailable(error.to_string())
        }
        _ => Status::internal(error.to_string()),
    }
}

/// Bytes of the file in one message: a quarter of gRPC's limit.
const PART_BYTES: usize = 1 << 20;
/// Messages that wait for a slow client, on top of what HTTP/2 holds.
const PARTS_WAITING_MAX: usize = 4;
