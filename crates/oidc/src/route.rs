//! Where a request's path leads, as the HTTP server of Go reads it.

use http::Uri;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Without escapes, but for those of slashes.
    Path(String),
    /// The same path, written plainly.
    Elsewhere(String),
}

impl Route {
    /// Paths with empty segments, `.` or `..` are sent to where they lead.
    pub(crate) fn of(uri: &Uri) -> Self {
        let path = uri.path();
        let clean = cleaned(path);
        if clean == path {
            return Self::Path(unescaped(path));
        }
        Self::Elsewhere(match uri.query() {
            Some(query) => format!("{clean}?{query}"),
            None => clean,
        })
    }
}

/// Begins with one slash, so that it never names another host. A slash at the end stays.
fn cleaned(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| *byte != b'/');
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_read_and_others_sent_on() {
        let route = |uri: &str| Route::of(&uri.parse().unwrap());
        let path = |text: &str| Route::Path(text.to_owned());
        let elsewhere = |text: &str| Route::Elsewhere(text.to_owned());
        for (uri, expected) in [
            ("/keys", path("/keys")),
            ("/keys/", path("/keys/")),
            ("/", path("/")),
            ("/%6beys?x=1", path("/keys")),
            ("/a%2Fkeys", path("/a%2Fkeys")),
            ("/%zz%", path("/%zz%")),
            ("//keys", elsewhere("/keys")),
            ("/a/../keys?x=1", elsewhere("/keys?x=1")),
            ("/../../keys", elsewhere("/keys")),
            ("/./keys//", elsewhere("/keys/")),
            ("/..", elsewhere("/")),
        ] {
            assert_eq!(route(uri), expected, "{uri}");
        }
    }
}
