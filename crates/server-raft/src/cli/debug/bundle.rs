//! `debug bundle`: one archive for a support case.

use std::path::PathBuf;

use serde_json::json;
use steeple_api::server::debug::GetInfoRequest;
use steeple_api::server::debug::debug_client::DebugClient;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{AuthorityStatusRequest, ListRequest, StatusRequest};
use steeple_cli::{Call, Failure, one_line, utc_time};
use steeple_config::{ServerSettings, redacted_config};
use steeple_core::{Clock as _, SystemClock, Timestamp};
use steeple_files::NewFile;
use tonic::transport::Channel;

use super::archive::write_tar_gz;
use super::contents::{Contents, scrape, tail};
use crate::cli::offline;

/// With `-config` the archive is made of a server that does not answer too; it says what is missing and why.
pub(super) async fn bundle(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let settings = match call.values.text_if_any("config") {
        Some(_) => Some(offline::settings(&call.values, None)?),
        None => None,
    };
    let mut contents = Contents::default();
    let status = ClusterClient::new(channel.clone()).status(StatusRequest {}).await;
    if let (Err(status), None) = (&status, &settings) {
        return Err(status.clone().into());
    }
    contents.add_answer("status.json", status)?;
    ask(&mut contents, channel).await?;
    if let Some(settings) = &settings {
        read(&mut contents, settings).await;
    }
    let now = SystemClock.now();
    contents.add_json(
        "about.json",
        &json!({
            "program": concat!("steeple-server ", env!("CARGO_PKG_VERSION")),
            "created_at": utc_time(now.as_secs()),
            "missing": contents.missing_json(),
        }),
    );
    let path = path(call, now);
    let mut file = NewFile::create(&path)?;
    write_tar_gz(&mut file, &contents.files, now)?;
    file.keep()?;
    say(call, &path, &contents)
}

fn path(call: &Call, now: Timestamp) -> PathBuf {
    match call.values.text_if_any("path") {
        Some(path) => path.into(),
        None => format!("steeple-debug-{}.tar.gz", now.as_secs()).into(),
    }
}

/// What the server says of itself and of the others.
async fn ask(contents: &mut Contents, channel: Channel) -> Result<(), Failure> {
    let members = ClusterClient::new(channel.clone()).list(ListRequest {}).await;
    contents.add_answer("members.json", members)?;
    let info = DebugClient::new(channel.clone()).get_info(GetInfoRequest {}).await;
    contents.add_answer("info.json", info)?;
    let authorities = AuthoritiesClient::new(channel).status(AuthorityStatusRequest {}).await;
    contents.add_answer("authorities.json", authorities)
}

/// What lies around it.
async fn read(contents: &mut Contents, settings: &ServerSettings) {
    if let Some(path) = &settings.config_path {
        let config = redacted_config(path).map(String::into_bytes);
        contents.add("server.conf", config.map_err(|error| error.to_string()));
    }
    let metrics = match &settings.telemetry.prometheus {
        Some(prometheus) if prometheus.tls.is_none() => scrape(&prometheus.listen.to_string()).await,
        Some(_) => Err("they are served over TLS: add a scrape by hand".to_owned()),
        None => Err("the configuration has no telemetry { Prometheus { } }".to_owned()),
    };
    contents.add("metrics.txt", metrics);
    let log = match &settings.log.file {
        Some(path) => tail(path),
        None => Err("the configuration has no log_file: add the log by hand".to_owned()),
    };
    contents.add("server.log", log);
}

fn say(call: &mut Call, path: &std::path::Path, contents: &Contents) -> Result<(), Failure> {
    let names: Vec<&str> = contents.files.iter().map(|(name, _)| name.as_str()).collect();
    let json = call.is_json();
    let out = &mut call.streams.stdout;
    if json {
        let said = json!({ "path": path.display().to_string(), "files": names, "missing": contents.missing_json() });
        return Ok(writeln!(out, "{}", one_line(said))?);
    }
    writeln!(out, "Bundle written to {}: {}.", path.display(), names.join(", "))?;
    for (name, why) in &contents.missing {
        writeln!(out, "Missing {name}: {why}")?;
    }
    Ok(writeln!(out, "Look through it before you pass it on: names and addresses of your systems are in it.")?)
}
