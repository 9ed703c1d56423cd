//! Podman's containers are known by their cgroups, and rootless ones by the slice of their user.

use std::path::PathBuf;

/// `unix:///run/user/%d/podman/podman.sock`: `%d` stands for a user's number, `%%` for a percent sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketTemplate {
    before: String,
    after: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketTemplateError {
    #[error("trailing % at end of template")]
    TrailingPercent,
    #[error("template only supports escaped %% or the %d UID placeholder")]
    OtherPlaceholder,
    #[error("template must contain exactly one %d UID placeholder")]
    NotOnePlaceholder,
    #[error("template must be unix:// and an absolute path")]
    NotUnix,
}

/// Whose Podman runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Podman {
    Root,
    User(u32),
}

impl SocketTemplate {
    pub fn parse(template: &str) -> Result<Self, SocketTemplateError> {
        let path = template.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let mut parts = vec![String::new()];
        let mut rest = template.chars();
        while let Some(next) = rest.next() {
            match (next, parts.last_mut()) {
                ('%', Some(part)) => match rest.next() {
                    Some('%') => part.push('%'),
                    Some('d') => parts.push(String::new()),
                    Some(_) => return Err(SocketTemplateError::OtherPlaceholder),
                    None => return Err(SocketTemplateError::TrailingPercent),
                },
                (other, Some(part)) => part.push(other),
                (_, None) => {}
            }
        }
        let Ok([before, after]) = <[String; 2]>::try_from(parts) else {
            return Err(SocketTemplateError::NotOnePlaceholder);
        };
        path.ok_or(SocketTemplateError::NotUnix)?;
        let before = before.trim_start_matches("unix://").to_owned();
        Ok(Self { before, after })
    }

    pub(super) fn socket_of(&self, uid: u32) -> PathBuf {
        PathBuf::from(format!("{}{uid}{}", self.before, self.after))
    }
}

/// `None` when no path is one of Podman's.
pub(super) fn podman<'p>(paths: impl IntoIterator<Item = &'p str>) -> Option<Podman> {
    let path = paths.into_iter().find(|path| path.contains("libpod-") || path.contains("/libpod/"))?;
    let uid = path.split('/').skip(1).find_map(|segment| {
        let digits = segment.strip_prefix("user-")?.strip_suffix(".slice")?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
    });
    Some(match uid.map(str::parse) {
        Some(Ok(uid)) => Podman::User(uid),
        Some(Err(_)) | None => Podman::Root,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_one_placeholder() {
        let template = SocketTemplate::parse("unix:///run/user/%d/a%%b.sock").unwrap();
        assert_eq!(template.socket_of(1000), PathBuf::from("/run/user/1000/a%b.sock"));
        for (bad, error) in [
            ("unix:///run/user/%", SocketTemplateError::TrailingPercent),
            ("unix:///run/user/%s", SocketTemplateError::OtherPlaceholder),
            ("unix:///run/podman.sock", SocketTemplateError::NotOnePlaceholder),
            ("unix:///run/%d/%d.sock", SocketTemplateError::NotOnePlaceholder),
            ("tcp://host/%d", SocketTemplateError::NotUnix),
        ] {
            assert_eq!(SocketTemplate::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn the_slice_tells_whose_it_is() {
        let of = |path: &str| podman(["/", path]);
        assert_eq!(of("/machine.slice/libpod-a.scope/container"), Some(Podman::Root));
        assert_eq!(of("/libpod/a"), Some(Podman::Root));
        let rootless = "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-a.scope/container";
        assert_eq!(of(rootless), Some(Podman::User(1000)));
        assert_eq!(of("/user.slice/user-99999999999.slice/libpod-a.scope"), Some(Podman::Root));
        assert_eq!(of("/system.slice/docker-a.scope"), None);
        assert_eq!(of("/user.slice/user-1000.slice/session-2.scope"), None);
    }
}
