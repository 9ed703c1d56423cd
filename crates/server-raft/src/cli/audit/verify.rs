//! `audit verify`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use steeple_api::steeple::server::audit_client::AuditClient;
use steeple_api::steeple::server::{AuditAnchorsRequest, AuditAnchorsResponse};
use steeple_cli::{Call, Failure, one_line};
use steeple_state::AuditAnchor;

use super::files;
use crate::audit::chain::{Break, ChainSeen, Report, Verifier};
use crate::cli::reply::plural;
use crate::cli::table::SOCKET;

/// Without `-file`, and with a socket, the server is asked; with files alone nobody is.
pub(super) fn verify(call: &mut Call) -> Result<(), Failure> {
    let names = call.values.texts("file").to_vec();
    let asks = names.is_empty() || call.values.given("socketPath") || call.values.given("instance");
    let known = if asks { Some(ask(call)?) } else { None };
    let (paths, own) = match &known {
        Some(known) if names.is_empty() => (own_files(known)?, Some(known.node_id)),
        _ => (files::named(&names)?, None),
    };
    let mut verifier = match &known {
        Some(known) => Verifier::against(anchors(known)?, own),
        None => Verifier::offline(),
    };
    for path in &paths {
        verifier.file(path);
        let path = std::slice::from_ref(path);
        files::each_line(path, |file, number, line, has_end| verifier.line(file, number, line, has_end))?;
    }
    let report = verifier.finish();
    if call.is_json() {
        let said = one_line(as_json(&report, known.is_some()));
        writeln!(call.streams.stdout, "{said}")?;
    } else {
        print(&mut call.streams.stdout, &report, known.is_some())?;
    }
    call.streams.stdout.flush()?;
    match report.breaks_total {
        0 => Ok(()),
        count => Err(Failure::message(format!(
            "the audit records are broken in {count} {}",
            plural(count as usize, "place", "places")
        ))),
    }
}

/// Before the files are read: what it knows, they hold.
fn ask(call: &Call) -> Result<AuditAnchorsResponse, Failure> {
    let socket = SOCKET.resolve(&call.values, &call.environment).map_err(Failure::message)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = AuditClient::new(steeple_cli::connect(&socket));
        Ok(client.anchors(AuditAnchorsRequest {}).await?.into_inner())
    })
}

fn own_files(known: &AuditAnchorsResponse) -> Result<Vec<PathBuf>, Failure> {
    match known.file.as_str() {
        "" => Err(Failure::message("the server has no audit file (server { audit { file } }); name one with -file")),
        file => files::trail_of(Path::new(file)),
    }
}

fn anchors(known: &AuditAnchorsResponse) -> Result<Vec<AuditAnchor>, Failure> {
    let read = |anchor: &steeple_api::steeple::server::AuditAnchor| {
        let hash = anchor.hash.as_slice().try_into();
        let hash = hash.map_err(|_| Failure::message("server response has an anchor without a hash"))?;
        Ok(AuditAnchor { node_id: anchor.node_id, epoch: anchor.epoch, sequence: anchor.sequence, hash })
    };
    known.anchors.iter().map(read).collect()
}

fn print(out: &mut dyn Write, report: &Report, against: bool) -> io::Result<()> {
    let none = "none".to_owned();
    writeln!(out, "Records       : {}", report.records)?;
    writeln!(out, "From          : {}", report.from.as_ref().unwrap_or(&none))?;
    writeln!(out, "To            : {}", report.to.as_ref().unwrap_or(&none))?;
    for ChainSeen { node_id, epoch, first, last, anchored } in &report.chains {
        let anchored = match anchored {
            _ if !against => "; the end is not compared with the cluster (-socketPath)".to_owned(),
            Some(sequence) => format!("; the cluster knows record {sequence}"),
            None => "; the cluster knows none of it".to_owned(),
        };
        writeln!(out, "Chain {epoch} : node {node_id}, records {first} to {last}{anchored}")?;
    }
    if report.torn > 0 {
        writeln!(out, "Cut off       : {} by crashes, each marked when the server started again", report.torn)?;
    }
    if report.lost > 0 {
        writeln!(out, "Not written   : {} by the servers' own account", report.lost)?;
    }
    if report.being_written {
        writeln!(out, "The last line has no end yet; it is being written, or was cut off since the last anchor.")?;
    }
    for Break { place, text, .. } in &report.breaks {
        writeln!(out, "{}:{}: {text}", place.file.display(), place.line)?;
    }
    if report.breaks_total == 0 {
        writeln!(out, "Nothing is changed, missing or inserted.")?;
    }
    Ok(())
}

fn as_json(report: &Report, against: bool) -> Json {
    let chains = report.chains.iter().map(|chain| {
        json!({
            "node_id": chain.node_id,
            "epoch": chain.epoch,
            "first": chain.first,
            "last": chain.last,
            "anchored": chain.anchored,
        })
    });
    let breaks = report.breaks.iter().map(|found| {
        json!({
            "file": found.place.file.display().to_string(),
            "line": found.place.line,
            "kind": found.kind,
            "text": found.text,
        })
    });
    json!({
        "intact": report.breaks_total == 0,
        "records": report.records,
        "from": report.from,
        "to": report.to,
        "against_the_cluster": against,
        "chains": chains.collect::<Vec<_>>(),
        "torn": report.torn,
        "lost": report.lost,
        "being_written": report.being_written,
        "breaks_total": report.breaks_total,
        "breaks": breaks.collect::<Vec<_>>(),
    })
}
