//! The URL of a bundle endpoint as SPIRE stores it: read by Go's `net/url` and written again, with Go's texts.

use std::fmt::Write;

use http::Uri;

use super::ConvertError;

/// An https URL with a host and without user information, as SPIFFE Federation, section 5.1, demands.
pub(super) fn endpoint_url(text: &str) -> Result<String, ConvertError> {
    let url = Parts::read(text).map_err(|why| ConvertError::new(format!("{UNREADABLE}: parse {text:?}: {why}")))?;
    if !url.scheme.eq_ignore_ascii_case("https") {
        return Err(ConvertError::new("bundle endpoint URL must use the https scheme"));
    }
    if url.host.is_empty() || url.host.starts_with(':') {
        return Err(ConvertError::new("bundle endpoint URL must specify the host"));
    }
    if url.user.is_some() {
        return Err(ConvertError::new("bundle endpoint URL must not contain user info"));
    }
    let (mark, query) = if url.query.is_some() { ("?", url.query.unwrap_or_default()) } else { ("", "") };
    let mut written = format!("https://{}{}{mark}{query}", url.host, url.path);
    if !url.fragment.is_empty() {
        written.push('#');
        written.push_str(&url.fragment);
    }
    // Go takes more than a request can be made of.
    written.parse::<Uri>().map_err(|error| ConvertError::new(format!("{UNREADABLE}: {error}: {text:?}")))?;
    Ok(written)
}

struct Parts<'a> {
    /// Empty when there is none.
    scheme: &'a str,
    user: Option<&'a str>,
    /// With the port.
    host: &'a str,
    path: String,
    query: Option<&'a str>,
    fragment: String,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        if rest.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, rest) = split_scheme(rest)?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        check_host(host)?;
        let path = rewritten(path, |byte| b"-_.~$&+,/:;=@".contains(&byte))?;
        let fragment = rewritten(fragment, |byte| b"-_.~$&+,/:;=?@!()*".contains(&byte))?;
        Ok(Self { scheme, user, host, path, query, fragment })
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(("", text)) };
    if scheme.is_empty() {
        return Err("missing protocol scheme".to_owned());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed) {
        return Ok((scheme, rest));
    }
    if scheme.contains('/') {
        return Ok(("", text));
    }
    Err("first path segment in URL cannot contain colon".to_owned())
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.rsplit_once(']').ok_or("missing ']' in host")?.1,
        None => host.rfind(':').map_or("", |colon| &host[colon..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || (port == digits && !port.is_empty()) {
        return Err(format!("invalid port {port:?} after host"));
    }
    let refused = |character: &char| character.is_ascii() && !character.is_ascii_alphanumeric();
    match host.chars().filter(refused).find(|character| !"-_.~!$&'()*+,;=:[]<>\"%".contains(*character)) {
        Some(character) => Err(format!("invalid character \"{}\" in host name", character.escape_default())),
        None => Ok(()),
    }
}

/// As it came when nothing in it must be escaped; else unescaped and escaped anew, as Go does.
fn rewritten(part: &str, plain: impl Fn(u8) -> bool) -> Result<String, String> {
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

fn unescaped(part: &str) -> Result<Vec<u8>, String> {
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
            return Err(format!("invalid URL escape \"%{shown}\""));
        };
        content.push(value);
        rest = &rest[2..];
    }
    Ok(content)
}

const UNREADABLE: &str = "failed to parse bundle endpoint URL";

#[cfg(test)]
mod tests {
    use super::endpoint_url;

    #[test]
    fn written_as_go_writes_it() {
        let urls = [
            ("https://a.test", "https://a.test"),
            ("HTTPS://[::1]:8443/b", "https://[::1]:8443/b"),
            ("hTTps://H.Org/B?", "https://H.Org/B?"),
            ("https://h/a b", "https://h/a%20b"),
            ("https://h/a%2fb", "https://h/a%2fb"),
            ("https://h/a%2Fb%20c d", "https://h/a/b%20c%20d"),
            ("https://h/\u{e9}", "https://h/%C3%A9"),
            ("https://h/a;b,c|d^e`{}", "https://h/a;b,c%7Cd%5Ee%60%7B%7D"),
            ("https://h/(a)!'[*]", "https://h/(a)!'[*]"),
            ("https://h/#", "https://h/"),
            ("https://h/x#\u{e9} f", "https://h/x#%C3%A9%20f"),
            ("https://h?a=b&c=%zz", "https://h?a=b&c=%zz"),
        ];
        for (url, written) in urls {
            assert_eq!(endpoint_url(url).as_deref(), Ok(written), "{url}");
        }
    }

    #[test]
    fn texts_are_spires() {
        let unreadable = |url: &str, why: &str| format!("failed to parse bundle endpoint URL: parse {url:?}: {why}");
        let scheme = "bundle endpoint URL must use the https scheme".to_owned();
        let host = "bundle endpoint URL must specify the host".to_owned();
        let cases = [
            ("", scheme.clone()),
            ("http://x.test", scheme.clone()),
            ("h/x:y", scheme),
            ("https://", host.clone()),
            ("https:x.test", host.clone()),
            ("https:///x", host),
            ("https://user:secret@x.test/", "bundle endpoint URL must not contain user info".to_owned()),
            ("https://h/%", unreadable("https://h/%", "invalid URL escape \"%\"")),
            ("HTTPS://h/%zz", unreadable("HTTPS://h/%zz", "invalid URL escape \"%zz\"")),
            ("https://h: 80/", unreadable("https://h: 80/", "invalid port \": 80\" after host")),
            ("https://[::1/", unreadable("https://[::1/", "missing ']' in host")),
            ("https://h h/", unreadable("https://h h/", "invalid character \" \" in host name")),
            (":x", unreadable(":x", "missing protocol scheme")),
            (" https://h", unreadable(" https://h", "first path segment in URL cannot contain colon")),
        ];
        for (url, text) in cases {
            assert_eq!(endpoint_url(url).unwrap_err().message, text, "{url}");
        }
    }

    #[test]
    fn what_no_request_can_be_made_of_is_refused() {
        for url in ["https://\u{e9}/", "https://h/a?b c", "https://%41/", "https://:80"] {
            assert!(endpoint_url(url).is_err(), "{url}");
        }
    }
}
