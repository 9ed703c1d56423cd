//! `debug bundle`: one archive for a support case.

use std::path::{Path, PathBuf};

use serde_json::json;
use steeple_api::server::debug::GetInfoRequest;
use steeple_api::server::debug::debug_client::DebugClient;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{AuthorityStatusRequest, ListRequest, StatusRequest};
use steeple_cli::{Call, Failure, Progress, Values, one_line, utc_time};
use steeple_config::{ConfigError, DecodeError, ServerSettings, redacted_config};
use steeple_core::{Clock as _, SystemClock, Timestamp};
use steeple_files::NewFile;
use tonic::transport::Channel;

use super::archive::write_tar_gz;
use super::contents::{Contents, scrape, tail};
use crate::cli::offline;

/// With `-config` the archive is made of a server that does not answer too, and of one whose configuration is refused;
/// it says what is missing and why.
pub(super) async fn bundle(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let config = call.values.text_if_any("config").map(PathBuf::from);
    let settings = match config.as_deref().map(|path| offline::load(path.to_str(), &call.values, None)) {
        // A slip of the pen, and nothing to look into.
        Some(Err(error @ ConfigError::NotFound { .. })) => return Err(Failure::message(error)),
        settings => settings,
    };
    let channel = match &settings {
        Some(Ok(settings)) if !names_a_socket(&call.values) => steeple_cli::connect(&settings.socket_path),
        _ => channel,
    };
    let mut contents = Contents::new(Progress::new("debug bundle"));
    let status = ClusterClient::new(channel.clone()).status(StatusRequest {}).await;
    if let (Err(status), None) = (&status, &settings) {
        return Err(status.clone().into());
    }
    contents.add_answer("status.json", status)?;
    ask(&mut contents, channel).await?;
    if let Some(path) = &config {
        contents.add("server.conf", redacted_config(path).map(String::into_bytes).map_err(|error| shown(&error)));
    }
    match &settings {
        Some(Ok(settings)) => read(&mut contents, settings).await,
        Some(Err(error)) => {
            contents.add("config-error.txt", Ok(format!("{}\n", shown(error)).into_bytes()));
            for name in ["metrics.txt", "server.log"] {
                contents.add(name, Err("the configuration is refused: add it by hand".to_owned()));
            }
        }
        None => {}
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
    contents.is_complete();
    let path = path(call, now);
    let mut file = NewFile::create(&path)?;
    write_tar_gz(&mut file, &contents.files, now)?;
    file.keep()?;
    say(call, &path, &contents)
}

/// What is named outright wins over the socket of the configuration, and that over the environment's.
fn names_a_socket(values: &Values) -> bool {
    values.given("socketPath") || values.text_if_any("instance").is_some()
}

/// Without what the file says: where it cannot be parsed, nothing tells a secret from a key.
fn shown(error: &ConfigError) -> String {
    match error {
        ConfigError::Decode { path, error: DecodeError::Syntax(error) } => {
            let path = path.display();
            format!(
                "{path} cannot be parsed, at {}, so that nothing could be hidden in it: \
                 `steeple-server validate -config {path}` says why",
                error.span
            )
        }
        error => error.to_string(),
    }
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
    let authorities = AuthoritiesClient::new(channel).status(AuthorityStatusRequest { allow_stale: true }).await;
    contents.add_answer("authorities.json", authorities)
}

/// What lies around it.
async fn read(contents: &mut Contents, settings: &ServerSettings) {
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

fn say(call: &mut Call, path: &Path, contents: &Contents) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use steeple_cli::{Environment, Streams, connect};

    use super::super::COMMANDS;
    use super::*;

    /// What `about.json` and the others of an archive with `config` hold, by name.
    async fn files(config: &str, args: &[&str]) -> HashMap<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let (file, archive) = (dir.path().join("server.conf"), dir.path().join("case.tar.gz"));
        std::fs::write(&file, config).unwrap();
        let named = ["-config", file.to_str().unwrap(), "-path", archive.to_str().unwrap()];
        let args: Vec<String> = named.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let command = COMMANDS.iter().find(|command| command.path == "debug bundle").unwrap();
        let values = Values::parse(command.flags(), &args).unwrap();
        let (streams, _) = Streams::captured("");
        let mut call = Call { values, environment: Environment::default(), streams };
        bundle(&mut call, connect(Path::new("/nonexistent/default.sock"))).await.unwrap();
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let tar = std::process::Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&out).status().unwrap();
        assert!(tar.success());
        let read = |item: std::fs::DirEntry| {
            (item.file_name().into_string().unwrap(), std::fs::read_to_string(item.path()).unwrap())
        };
        std::fs::read_dir(&out).unwrap().map(|item| read(item.unwrap())).collect()
    }

    #[tokio::test]
    async fn a_configuration_that_is_refused_makes_an_archive_without_its_secrets() {
        let unparsed = files("server {\n  hunter2 hunter3\n}\n", &[]).await;
        assert!(unparsed["config-error.txt"].contains("cannot be parsed, at "), "{unparsed:?}");
        assert!(!unparsed.contains_key("server.conf") && unparsed["about.json"].contains("server.conf"));
        assert!(unparsed.values().all(|text| !text.contains("hunter")), "{unparsed:?}");

        let plugins = "plugins { KeyManager \"x\" { plugin_data { s = \"hunter2\" } } }";
        let refused = files(&format!("server {{ trust_domain = \"not a name\" }}\n{plugins}\n"), &[]).await;
        assert!(refused["server.conf"].contains("not a name"), "{refused:?}");
        assert!(refused["config-error.txt"].len() > 10 && refused["about.json"].contains("server.log"), "{refused:?}");
        assert!(refused.values().all(|text| !text.contains("hunter")), "{refused:?}");
    }
}
