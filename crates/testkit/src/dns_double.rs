//! A double of the DNS in which every name is this machine. Over TCP, which is how Pebble asks. It is not announced as
//! the others are: only Pebble talks to it, and what a test is about, ACME, is Pebble's own.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct DnsDouble {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl DnsDouble {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Whoever goes away has its answer, or wants none.
                tokio::spawn(async move { serve(client).await.ok() });
            }
        });
        Ok(Self { address, task })
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for DnsDouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Messages stand behind their lengths (RFC 1035, section 4.2.2).
async fn serve(mut client: TcpStream) -> std::io::Result<()> {
    loop {
        let mut query = vec![0; client.read_u16().await?.into()];
        client.read_exact(&mut query).await?;
        let Some(answer) = answer(&query) else { return Ok(()) };
        client.write_u16(answer.len() as u16).await?;
        client.write_all(&answer).await?;
    }
}

/// The question with one answer if it is for an address of version 4, and with none otherwise (RFC 1035, section 4).
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = query.split_at_checked(HEADER_BYTES)?;
    let name = rest.iter().position(|byte| *byte == 0)? + 1;
    let question = rest.get(..name + 4)?;
    let answers = u8::from(question[name..] == [0, 1, 0, 1]);
    // A response with recursion, of one question.
    let mut answer = vec![header[0], header[1], 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0];
    answer.extend_from_slice(question);
    if answers == 1 {
        // The name of the question, an address, for one second.
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

const HEADER_BYTES: usize = 12;
