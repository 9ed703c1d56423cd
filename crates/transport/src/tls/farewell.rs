//! A last word to a client that is turned away before the handshake.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is read from a client that goes on sending.
const LISTENED_BYTES_MAX: usize = 64 * 1024;

/// Sends `word`, then listens until the client hangs up: a socket that is closed with bytes unread resets the
/// connection, and the client might never see the word. The caller sets the time limit.
pub(super) async fn farewell(io: &mut TcpStream, word: &[u8]) -> io::Result<()> {
    io.write_all(word).await?;
    io.shutdown().await?;
    let mut heard = [0; 1024];
    for _ in 0..LISTENED_BYTES_MAX / heard.len() {
        if io.read(&mut heard).await? == 0 {
            break;
        }
    }
    Ok(())
}
