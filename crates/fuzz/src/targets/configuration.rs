//! What administrators write, HCL and JSON.

use std::path::Path;

use steeple_config::{
    AgentFile, AgentOverrides, AgentSettings, GoDuration, OidcFile, OidcSettings, ServerFile, ServerOverrides,
    ServerSettings, SpiffeHelperFile, SpiffeHelperSettings, Supported, expand_env, parse, print,
};

use super::text;
use crate::{Verdict, within};

/// Read as the file of each program.
pub fn file(data: &[u8]) -> Verdict {
    // `a=1` is a name, a value and where both stand.
    let Ok(tree) = within(300, data, || parse(data)) else { return Verdict::Refused };
    assert_eq!(parse(print(&tree).as_bytes()).as_ref(), Ok(&tree));
    let (dir, supported) = (Path::new("/data"), Supported::default());
    let mut accepted = false;
    if let Ok((file, unknown)) = ServerFile::read(&tree) {
        accepted |= ServerSettings::resolve(&file, unknown, &ServerOverrides::default(), &supported, dir).is_ok();
    }
    if let Ok((file, unknown)) = AgentFile::read(&tree) {
        accepted |= AgentSettings::resolve(&file, unknown, &AgentOverrides::default(), &supported, dir).is_ok();
    }
    if let Ok((file, unknown)) = OidcFile::read(&tree) {
        accepted |= OidcSettings::resolve(&file, &unknown, dir).is_ok();
    }
    if let Ok((file, unknown)) = SpiffeHelperFile::read(&tree) {
        accepted |= SpiffeHelperSettings::resolve(&file, unknown, None, None, dir).is_ok();
    }
    if let Some(text) = text(data) {
        let unchanged = expand_env(text, |name| Some(format!("${{{name}}}")));
        assert!(text.contains('$') || unchanged == text);
    }
    Verdict::read_if(accepted)
}

/// `cmd` and `cmd_args` of a spiffe-helper, the arguments as they stand.
pub fn command_line(data: &[u8]) -> Verdict {
    let Some(arguments) = text(data) else { return Verdict::Refused };
    let file = SpiffeHelperFile {
        agent_address: "/run/agent.sock".to_owned(),
        cert_dir: "/certs".to_owned(),
        jwt_bundle_file_name: "bundle.json".to_owned(),
        cmd: "program".to_owned(),
        cmd_args: arguments.to_owned(),
        ..SpiffeHelperFile::default()
    };
    let resolved =
        within(60, data, || SpiffeHelperSettings::resolve(&file, Vec::new(), None, None, Path::new("/data")));
    Verdict::of(resolved.ok())
}

/// A duration as Go prints and reads it.
pub fn duration(data: &[u8]) -> Verdict {
    let Some(Ok(duration)) = text(data).map(str::parse::<GoDuration>) else { return Verdict::Refused };
    assert_eq!(duration.to_string().parse(), Ok(duration));
    Verdict::Read
}
