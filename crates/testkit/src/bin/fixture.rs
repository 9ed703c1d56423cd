//! `fixture`: a server and an agent for the suites in other languages (`interop/README.md`). Each argument is an entry,
//! as JSON; the environment variable STEEPLE_FIXTURE_ISSUER sets the server's `jwt_issuer`, STEEPLE_FIXTURE_SERVER and
//! STEEPLE_FIXTURE_TOP hold lines for its configuration, within `server { }` and beside it. It prints where everything
//! is as one JSON object, and stops it when its standard input closes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use steeple_testkit::{ExtraLines, Fixture, FixtureEntry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// What is printed.
#[derive(Debug, Serialize)]
struct Environment<'a> {
    trust_domain: &'a str,
    /// `host:port` of the API over TLS.
    server_address: String,
    admin_socket: PathBuf,
    /// The server's binary, for its other names.
    server_program: &'a Path,
    /// The Workload API.
    agent_socket: PathBuf,
    agent_id: String,
    /// PEM file with the authorities of the trust domain at the start.
    bundle_path: &'a Path,
    /// For whatever a test wants to write; gone at the end.
    dir: &'a Path,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fixture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let entries = std::env::args().skip(1).map(|text| serde_json::from_str(&text).with_context(|| text.clone()));
    let entries: Vec<FixtureEntry> = entries.collect::<anyhow::Result<_>>()?;
    let given = |name| std::env::var(name).ok();
    let extra = ExtraLines {
        server: given("STEEPLE_FIXTURE_SERVER").unwrap_or_default(),
        top: given("STEEPLE_FIXTURE_TOP").unwrap_or_default(),
        ..ExtraLines::default()
    };
    let fixture = tokio::select! {
        fixture = Fixture::with(given("STEEPLE_FIXTURE_ISSUER"), &extra, &entries) => fixture?,
        () = signalled() => return Ok(()),
    };
    println!("{}", serde_json::to_string(&environment(&fixture))?);
    tokio::select! {
        () = input_closed() => {}
        () = signalled() => {}
    }
    fixture.stop().await
}

fn environment(fixture: &Fixture) -> Environment<'_> {
    let agent_id = &fixture.agent_id;
    Environment {
        trust_domain: &agent_id.trust_domain,
        server_address: fixture.server.api_address(),
        admin_socket: fixture.server.admin_socket(),
        server_program: fixture.server.program(),
        agent_socket: fixture.agent.socket(),
        agent_id: format!("spiffe://{}{}", agent_id.trust_domain, agent_id.path),
        bundle_path: &fixture.bundle_path,
        dir: fixture.scratch.path(),
    }
}

/// It also closes when whoever holds its other end dies.
async fn input_closed() {
    let (closing, closed) = oneshot::channel();
    // A thread of its own: a read of standard input cannot be cancelled, and must not hold up the end of the runtime.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        closing.send(())
    });
    let _ = closed.await;
}

async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
