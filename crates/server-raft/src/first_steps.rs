//! For whoever started the program by hand, without a configuration: what was chosen, and three commands to go on with.

use std::borrow::Cow;
use std::net::IpAddr;

use steeple_config::{DEFAULT_SERVER_SOCKET, ServerSettings};

/// The commands name the programs as this one was called, so that they can be typed as they stand.
pub fn first_steps(settings: &ServerSettings, called_as: &str) -> String {
    let (server, agent) = programs(called_as);
    let (server, agent) = (as_word(&server), as_word(&agent));
    let socket = settings.socket_path.display().to_string();
    let at_socket =
        if socket == DEFAULT_SERVER_SOCKET { String::new() } else { format!(" -socketPath {}", as_word(&socket)) };
    let host = match settings.bind.host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => "127.0.0.1",
        _ => &settings.bind.host,
    };
    format!(
        "\nThis server runs without a configuration file. It chose:\n\
         \x20 trust domain   {domain}\n\
         \x20 data           {data}\n\
         \x20 sealing key    {key} (keep a copy apart from the data)\n\
         \x20 API for agents {bind}\n\
         \x20 admin socket   {socket}\n\
         Next, in another shell: the trust bundle, a join token, and an agent that attests with it:\n\
         \x20 {server} bundle show{at_socket} > bundle.pem\n\
         \x20 {server} token generate -spiffeID spiffe://{domain}/my-node{at_socket} | cut -d' ' -f2 > join-token\n\
         \x20 {agent} run -serverAddress {host} -serverPort {port} -trustDomain {domain} -trustBundle bundle.pem \
         -joinTokenFile join-token\n\n",
        domain = settings.trust_domain,
        data = settings.data_dir.display(),
        key = settings.cluster.sealing_key_path.display(),
        bind = settings.bind,
        port = settings.bind.port,
    )
}

/// The server and the agent beside it: `./bin/spire-server` goes with `./bin/spire-agent`.
fn programs(called_as: &str) -> (String, String) {
    let (dir, name) = called_as.rsplit_once('/').map_or(("", called_as), |(dir, name)| (dir, name));
    match name.strip_suffix("-server") {
        Some(family) if dir.is_empty() && !called_as.starts_with('/') => (name.to_owned(), format!("{family}-agent")),
        Some(family) => (called_as.to_owned(), format!("{dir}/{family}-agent")),
        None => ("steeple-server".to_owned(), "steeple-agent".to_owned()),
    }
}

/// `text` as one word of a shell.
pub(crate) fn as_word(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%=".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steeple_config::{ServerOverrides, Supported};

    use super::*;

    fn steps(overrides: &ServerOverrides, called_as: &str) -> Vec<String> {
        let here = Path::new("/srv/me");
        let loaded = ServerSettings::embedded_default(overrides, &Supported::default(), here).unwrap();
        let text = first_steps(&loaded.settings, called_as);
        text.lines().skip_while(|line| !line.starts_with("Next")).skip(1).map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn three_commands_that_can_be_typed() {
        let steps_by_default = steps(&ServerOverrides::default(), "spire-server");
        assert_eq!(
            steps_by_default[..3],
            [
                "spire-server bundle show > bundle.pem",
                "spire-server token generate -spiffeID spiffe://example.org/my-node | cut -d' ' -f2 > join-token",
                "spire-agent run -serverAddress 127.0.0.1 -serverPort 8081 -trustDomain example.org -trustBundle \
                 bundle.pem -joinTokenFile join-token",
            ]
        );
        let overrides = ServerOverrides {
            bind_address: Some("10.0.0.7".into()),
            socket_path: Some("/run/s.sock".into()),
            ..ServerOverrides::default()
        };
        let other = steps(&overrides, "./target/debug/steeple-server");
        assert_eq!(other[0], "./target/debug/steeple-server bundle show -socketPath /run/s.sock > bundle.pem");
        assert!(other[2].starts_with("./target/debug/steeple-agent run -serverAddress 10.0.0.7 "), "{other:?}");
        let overrides =
            ServerOverrides { socket_path: Some("/srv/it's mine/s.sock".into()), ..ServerOverrides::default() };
        let quoted = steps(&overrides, "/opt/my programs/steeple-server");
        assert_eq!(
            quoted[0],
            r"'/opt/my programs/steeple-server' bundle show -socketPath '/srv/it'\''s mine/s.sock' > bundle.pem"
        );
        assert!(quoted[2].starts_with("'/opt/my programs/steeple-agent' run "), "{quoted:?}");
    }
}
