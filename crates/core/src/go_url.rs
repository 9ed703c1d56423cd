//! URLs as Go's `net/url` reads them, with its texts: SPIRE decides by it what a URL is.

use std::fmt::Write;

/// The parts of a URL. Nothing is known about them beyond what Go demands: a host may be empty, a query anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoUrl<'a> {
    /// As written; empty when there is none.
    pub scheme: &'a str,
    /// What follows a scheme without a slash, as in `unix:x`; nothing else is set then but query and fragment.
    pub opaque: &'a str,
    pub user: Option<&'a str>,
    /// With the port.
    pub host: &'a str,
    /// As Go writes it: escaped anew when something in it was not escaped and had to be.
    pub path: String,
    pub query: Option<&'a str>,
    pub fragment: String,
}

/// Why a text is no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoUrlError {
    #[error("net/url: invalid control character in URL")]
    ControlCharacter,
    #[error("missing protocol scheme")]
    NoScheme,
    #[error("first path segment in URL cannot contain colon")]
    ColonInPath,
    #[error("net/url: invalid userinfo")]
    User,
    #[error("missing ']' in host")]
    Bracket,
    #[error("invalid port {0:?} after host")]
    Port(String),
    #[error("invalid character \"{}\" in host name", .0.escape_default())]
    HostCharacter(char),
    #[error("invalid URL escape \"%{0}\"")]
    Escape(String),
}

impl<'a> GoUrl<'a> {
    pub fn parse(text: &'a str) -> Result<Self, GoUrlError> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        if rest.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(GoUrlError::ControlCharacter);
        }
        let (scheme, rest) = split_scheme(rest)?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (opaque, rest) = if scheme.is_empty() || rest.starts_with('/') { ("", rest) } else { (rest, "") };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        user.map_or(Ok(()), check_user)?;
        check_host(host)?;
        let path = rewritten(path, |byte| b"-_.~$&+,/:;=@".contains(&byte))?;
        let fragment = rewritten(fragment, |byte| b"-_.~$&+,/:;=?@!()*".contains(&byte))?;
        Ok(Self { scheme, opaque, user, host, path, query, fragment })
    }

    /// The host without brackets, and the port without its colon; empty when there is none.
    pub fn host_and_port(&self) -> (&'a str, &'a str) {
        let host_end = match self.host.find(']') {
            Some(bracket) => bracket + 1,
            None => self.host.find(':').unwrap_or(self.host.len()),
        };
        let (host, port) = self.host.split_at(host_end);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (bare, port.strip_prefix(':').unwrap_or(port))
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), GoUrlError> {
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(("", text)) };
    if scheme.is_empty() {
        return Err(GoUrlError::NoScheme);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed) {
        return Ok((scheme, rest));
    }
    if scheme.contains('/') {
        return Ok(("", text));
    }
    Err(GoUrlError::ColonInPath)
}

fn check_user(user: &str) -> Result<(), GoUrlError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if user.bytes().all(allowed) { Ok(()) } else { Err(GoUrlError::User) }
}

fn check_host(host: &str) -> Result<(), GoUrlError> {
    let port = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.rsplit_once(']').ok_or(GoUrlError::Bracket)?.1,
        None => host.rfind(':').map_or("", |colon| &host[colon..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || (port == digits && !port.is_empty()) {
        return Err(GoUrlError::Port(port.to_owned()));
    }
    let refused = |character: &char| character.is_ascii() && !character.is_ascii_alphanumeric();
    match host.chars().filter(refused).find(|character| !"-_.~!$&'()*+,;=:[]<>\"%".contains(*character)) {
        Some(character) => Err(GoUrlError::HostCharacter(character)),
        None => Ok(()),
    }
}

/// As it came when nothing in it must be escaped; else unescaped and escaped anew, as Go does.
fn rewritten(part: &str, plain: impl Fn(u8) -> bool) -> Result<String, GoUrlError> {
    let content = unescaped(part)?;
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || plain(byte);
    if part.bytes().all(|byte| kept(byte) || b"!'()*[]%".contains(&byte)) {
        return Ok(part.to_owned());
    }
    let mut escaped = String::with_capacity(content.len());
    for byte in content {
        if kept(byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    Ok(escaped)
}

fn unescaped(part: &str) -> Result<Vec<u8>, GoUrlError> {
    let mut content = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            content.push(first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(value) = value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            let shown = String::from_utf8_lossy(&rest[..rest.len().min(2)]);
            return Err(GoUrlError::Escape(shown.into_owned()));
        };
        content.push(value);
        rest = &rest[2..];
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_scheme() {
        let url = GoUrl::parse("unix:x").unwrap();
        assert_eq!((url.scheme, url.opaque, url.host, url.path.as_str()), ("unix", "x", "", ""));
        let url = GoUrl::parse("unix:/x?a#b").unwrap();
        assert_eq!((url.opaque, url.path.as_str(), url.query, url.fragment.as_str()), ("", "/x", Some("a"), "b"));
        let url = GoUrl::parse("https://u:p@[::1]:80/x").unwrap();
        assert_eq!((url.user, url.host, url.host_and_port()), (Some("u:p"), "[::1]:80", ("::1", "80")));
        assert_eq!(GoUrl::parse("tcp://a:1").unwrap().host_and_port(), ("a", "1"));
        assert_eq!(GoUrl::parse("tcp://[::1]").unwrap().host_and_port(), ("::1", ""));
        assert_eq!(GoUrl::parse("https://u[@h/"), Err(GoUrlError::User));
        assert_eq!(GoUrl::parse("x").unwrap().path, "x");
    }
}
