//! From what the file said to complete settings, in spiffe-helper's order and with its texts.

use std::path::Path;

use super::command_line::arguments;
use super::{
    FilePlace, HelperCommand, JwtSvidPlace, SpiffeHelperFile, SpiffeHelperHealthFile, SpiffeHelperSettings, X509Places,
};
use crate::common::{absolute, check_endpoint};
use crate::notice::Notice;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, HealthSettings, HostPort, Loaded, UnknownConfiguration};

impl SpiffeHelperSettings {
    /// The flag wins over the file, the file over `endpoint` (`SPIFFE_ENDPOINT_SOCKET`).
    pub fn resolve(
        file: &SpiffeHelperFile,
        unknown: Vec<UnknownKeys>,
        daemon_mode: Option<bool>,
        endpoint: Option<&str>,
        working_dir: &Path,
    ) -> Result<Loaded<Self>, ConfigError> {
        if !unknown.is_empty() {
            return Err(UnknownConfiguration(unknown).into());
        }
        for jwt in &file.jwt_svids {
            if jwt.jwt_svid_file_name.is_empty() {
                return Err(invalid("jwt_svids", "'jwt_svid_file_name' is required in 'jwt_svids'"));
            }
            if jwt.jwt_audience.is_empty() {
                return Err(invalid("jwt_svids", "'jwt_audience' is required in 'jwt_svids'"));
            }
        }
        let agent_address = agent_address(file, endpoint, working_dir)?;
        let daemon_mode = daemon_mode.or(file.daemon_mode).unwrap_or(true);
        let notices = if daemon_mode { Vec::new() } else { ignored_once(file)? };
        if !file.pid_file_name.is_empty() && file.renew_signal.is_empty() {
            return Err(invalid("renew_signal", "must specify renew_signal when using pid_file_name"));
        }
        let cert_dir = absolute(Path::new(&file.cert_dir), working_dir);
        let modes = Modes::of(file)?;
        // A name is always one below the directory.
        let place = |name: &str, mode| FilePlace { path: cert_dir.join(name.trim_start_matches('/')), mode };
        let x509 = x509_places(file, &place, &modes)?;
        let jwt_svids = file.jwt_svids.iter().map(|jwt| JwtSvidPlace {
            audience: std::iter::once(&jwt.jwt_audience).chain(&jwt.jwt_extra_audiences).cloned().collect(),
            file: place(&jwt.jwt_svid_file_name, modes.jwt_svid),
        });
        let bundle_name = file.jwt_bundle_file_name.as_str();
        let settings = Self {
            agent_address,
            daemon_mode,
            x509,
            jwt_svids: jwt_svids.collect(),
            jwt_bundle: (!bundle_name.is_empty()).then(|| place(bundle_name, modes.jwt_bundle)),
            hint: text(&file.hint),
            command: command(file)?.filter(|_| daemon_mode),
            pid_file: text(&file.pid_file_name).map(|name| absolute(Path::new(&name), working_dir)),
            renew_signal: text(&file.renew_signal).filter(|_| daemon_mode),
            health: health(&file.health_checks)?,
        };
        settings.check_files()?;
        Ok(Loaded { settings, notices })
    }

    /// There is something to write, and no two things go to one file.
    fn check_files(&self) -> Result<(), ConfigError> {
        let x509 = self.x509.iter().flat_map(|x509| [&x509.svid, &x509.key, &x509.bundle]);
        let jwt = self.jwt_svids.iter().map(|jwt| &jwt.file).chain(&self.jwt_bundle);
        let mut places: Vec<&FilePlace> = x509.chain(jwt).collect();
        if places.is_empty() {
            let message = "at least one of the sets ('svid_file_name', 'svid_key_file_name', 'svid_bundle_file_name'), \
                           'jwt_svids', or 'jwt_bundle_file_name' must be fully specified";
            return Err(invalid("svid_file_name", message));
        }
        places.sort_unstable();
        match places.windows(2).find(|pair| pair[0].path == pair[1].path) {
            None => Ok(()),
            Some(pair) => {
                let message = format!("{} is named for two files: give each its own name", pair[0].path.display());
                Err(invalid("svid_file_name", message))
            }
        }
    }
}

struct Modes {
    cert: u32,
    key: u32,
    jwt_bundle: u32,
    jwt_svid: u32,
}

impl Modes {
    fn of(file: &SpiffeHelperFile) -> Result<Self, ConfigError> {
        Ok(Self {
            cert: mode("cert_file_mode", "cert", file.cert_file_mode, 0o644)?,
            key: mode("key_file_mode", "key", file.key_file_mode, 0o600)?,
            jwt_bundle: mode("jwt_bundle_file_mode", "jwt bundle", file.jwt_bundle_file_mode, 0o600)?,
            jwt_svid: mode("jwt_svid_file_mode", "jwt svid", file.jwt_svid_file_mode, 0o600)?,
        })
    }
}

fn mode(key: &'static str, what: &str, mode: i64, default: u32) -> Result<u32, ConfigError> {
    match u32::try_from(mode) {
        Err(_) if mode < 0 => Err(invalid(key, format!("{what} file mode must be positive"))),
        Ok(0) => Ok(default),
        Ok(mode @ ..=MODE_MAX) => Ok(mode),
        _ => Err(invalid(key, format!("{key} {mode:#o} is no mode of a file: use one up to 0777, with the leading 0"))),
    }
}

fn agent_address(file: &SpiffeHelperFile, endpoint: Option<&str>, working_dir: &Path) -> Result<String, ConfigError> {
    let configured = [Some(file.agent_address.as_str()), endpoint].into_iter().flatten().find(|text| !text.is_empty());
    let configured = configured.unwrap_or(AGENT_ADDRESS);
    // Spiffe-helper takes a path only, and fails at the URI that the environment variable holds by its definition.
    if !configured.starts_with("unix:") && !configured.starts_with("tcp:") {
        return Ok(format!("unix:{}", absolute(Path::new(configured), working_dir).display()));
    }
    match check_endpoint(configured) {
        Ok(()) => Ok(configured.to_owned()),
        Err(reason) => Err(invalid("agent_address", format!("agent_address: {reason}"))),
    }
}

/// What has no effect when the files are fetched once.
fn ignored_once(file: &SpiffeHelperFile) -> Result<Vec<Notice>, ConfigError> {
    if !file.pid_file_name.is_empty() {
        let message = "pid_file_name is set but daemon_mode is false. pid_file_name is only supported in daemon_mode";
        return Err(invalid("pid_file_name", message));
    }
    let set =
        [("cmd", &file.cmd), ("renew_signal", &file.renew_signal)].into_iter().filter(|(_, text)| !text.is_empty());
    let notice = |(key, _)| Notice::warn(format!("{key} is set but daemon_mode is false. {key} will be ignored."));
    Ok(set.map(notice).collect())
}

fn x509_places(
    file: &SpiffeHelperFile,
    place: &dyn Fn(&str, u32) -> FilePlace,
    modes: &Modes,
) -> Result<Option<X509Places>, ConfigError> {
    let names = [&file.svid_file_name, &file.svid_key_file_name, &file.svid_bundle_file_name];
    match names.iter().filter(|name| name.is_empty()).count() {
        0 => Ok(Some(X509Places {
            svid: place(names[0], modes.cert),
            key: place(names[1], modes.key),
            bundle: place(names[2], modes.cert),
            add_intermediates_to_bundle: file.add_intermediates_to_bundle,
            include_federated_domains: file.include_federated_domains,
            omit_expired: file.omit_expired,
        })),
        3 => Ok(None),
        _ => {
            let message = "all or none of 'svid_file_name', 'svid_key_file_name', 'svid_bundle_file_name' must be \
                           specified";
            Err(invalid("svid_file_name", message))
        }
    }
}

fn command(file: &SpiffeHelperFile) -> Result<Option<HelperCommand>, ConfigError> {
    let Some(program) = text(&file.cmd) else { return Ok(None) };
    let args = arguments(&file.cmd_args);
    let args = args.map_err(|error| invalid("cmd_args", format!("error parsing cmd arguments: {error}")))?;
    Ok(Some(HelperCommand { program, args }))
}

fn health(file: &SpiffeHelperHealthFile) -> Result<HealthSettings, ConfigError> {
    let port = match file.bind_port {
        ..0 => return Err(invalid("health_checks.bind_port", "bind port must be positive")),
        0 => HEALTH_PORT,
        port => u16::try_from(port)
            .map_err(|_| invalid("health_checks.bind_port", format!("health_checks.bind_port {port} is no port")))?,
    };
    Ok(HealthSettings {
        listener_enabled: file.listener_enabled,
        listen: HostPort::new("::", port),
        live_path: text(&file.liveness_path).unwrap_or_else(|| "/live".into()),
        ready_path: text(&file.readiness_path).unwrap_or_else(|| "/ready".into()),
    })
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn invalid(key: &'static str, message: impl Into<String>) -> ConfigError {
    ConfigError::invalid(key, message)
}

const AGENT_ADDRESS: &str = "/tmp/spire-agent/public/api.sock";
const HEALTH_PORT: u16 = 8081;
const MODE_MAX: u32 = 0o777;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::parse;

    const X509: &str = r#"svid_file_name = "a.pem" svid_key_file_name = "a.key" svid_bundle_file_name = "b.pem""#;

    fn load(
        text: &str,
        flag: Option<bool>,
        endpoint: Option<&str>,
    ) -> Result<Loaded<SpiffeHelperSettings>, ConfigError> {
        let tree = parse(text.as_bytes()).unwrap();
        let (file, unknown) = SpiffeHelperFile::read(&tree).unwrap();
        SpiffeHelperSettings::resolve(&file, unknown, flag, endpoint, Path::new("/srv"))
    }

    fn settings(text: &str) -> SpiffeHelperSettings {
        load(text, None, None).unwrap().settings
    }

    #[test]
    fn what_spiffe_helpers_own_example_says() {
        let read = settings(
            r#"
            agent_address = "/tmp/spire-agent/public/api.sock"
            cmd = "ghostunnel"
            cmd_args = "server --listen localhost:8002 --target localhost:8001--keystore certs/svid_key.pem"
            cert_dir = "certs"
            renew_signal = "SIGUSR1"
            svid_file_name = "svid.pem"
            svid_key_file_name = "svid_key.pem"
            svid_bundle_file_name = "svid_bundle.pem"
            jwt_svids = [{jwt_audience="a",jwt_extra_audiences=["b", "c"], jwt_svid_file_name="jwt_svid.token"}]
            jwt_bundle_file_name = "bundle.json"
            cert_file_mode = 0444
            key_file_mode = 0444
            jwt_bundle_file_mode = 0444
            jwt_svid_file_mode = 0444
            "#,
        );
        let place = |name: &str| FilePlace { path: PathBuf::from("/srv/certs").join(name), mode: 0o444 };
        let x509 = read.x509.unwrap();
        assert_eq!(
            (x509.svid, x509.key, x509.bundle),
            (place("svid.pem"), place("svid_key.pem"), place("svid_bundle.pem"))
        );
        assert_eq!(read.jwt_svids[0].audience, ["a", "b", "c"]);
        assert_eq!(read.jwt_svids[0].file, place("jwt_svid.token"));
        assert_eq!(read.jwt_bundle, Some(place("bundle.json")));
        assert_eq!(read.command.unwrap().args[..3], ["server", "--listen", "localhost:8002"]);
        assert_eq!((read.renew_signal.as_deref(), read.daemon_mode), (Some("SIGUSR1"), true));
        assert_eq!(read.agent_address, "unix:/tmp/spire-agent/public/api.sock");
    }

    #[test]
    fn defaults_and_what_wins() {
        let read = settings(X509);
        let x509 = read.x509.unwrap();
        assert_eq!((x509.svid.mode, x509.key.mode, x509.bundle.mode), (0o644, 0o600, 0o644));
        assert_eq!(read.health.listen, HostPort::new("::", 8081));
        let address =
            |text: &str, endpoint| load(&format!("{X509} {text}"), None, endpoint).unwrap().settings.agent_address;
        assert_eq!(address("", Some("unix:///run/api.sock")), "unix:///run/api.sock");
        assert_eq!(address("agent_address = \"run/x.sock\"", Some("unix:///run/api.sock")), "unix:/srv/run/x.sock");
        let once = format!("{X509} daemon_mode = false cmd = \"x\"");
        let loaded = load(&once, None, None).unwrap();
        assert_eq!((loaded.settings.daemon_mode, loaded.settings.command, loaded.notices.len()), (false, None, 1));
        assert!(load(&once, Some(true), None).unwrap().settings.daemon_mode);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let with = |text: &str| format!("{X509} {text}");
        for (text, expected) in [
            (with("agentAddress = \"/x\""), "unknown configuration detected"),
            (with("jwt_svids = [{ jwt_audience = \"a\" }]"), "'jwt_svid_file_name' is required in 'jwt_svids'"),
            (with("jwt_svids = [{ jwt_svid_file_name = \"a\" }]"), "'jwt_audience' is required in 'jwt_svids'"),
            (
                with("agent_address = \"tcp://host:1\""),
                "agent_address: workload endpoint tcp socket URI host component must be an IP:port",
            ),
            (
                with("daemon_mode = false pid_file_name = \"x\""),
                "pid_file_name is set but daemon_mode is false. pid_file_name is only supported in daemon_mode",
            ),
            (with("pid_file_name = \"x\""), "must specify renew_signal when using pid_file_name"),
            (
                with("cmd = \"x\" cmd_args = \"a\\\"b\""),
                "error parsing cmd arguments: bare \" in an argument without quotes: put the argument in quotes and \
                 double the \" in it",
            ),
            (
                "svid_file_name = \"x\"".into(),
                "all or none of 'svid_file_name', 'svid_key_file_name', 'svid_bundle_file_name' must be specified",
            ),
            (with("cert_file_mode = -1"), "cert file mode must be positive"),
            (
                with("key_file_mode = 01000"),
                "key_file_mode 0o1000 is no mode of a file: use one up to 0777, with the leading 0",
            ),
            (with("jwt_bundle_file_name = \"a.key\""), "/a.key is named for two files: give each its own name"),
            (with("health_checks { bind_port = -1 }"), "bind port must be positive"),
        ] {
            let error = load(&text, None, None).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{text}: {error}");
        }
        let nothing = load("cert_dir = \"x\"", None, None).unwrap_err().to_string();
        assert!(nothing.starts_with("at least one of the sets"), "{nothing}");
    }
}
