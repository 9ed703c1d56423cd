//! The URL of a bundle endpoint as SPIRE stores it: read by Go's `net/url` and written again, with Go's texts.

use http::Uri;
use steeple_core::GoUrl;

use super::ConvertError;

/// An https URL with a host and without user information, as SPIFFE Federation, section 5.1, demands.
pub(super) fn endpoint_url(text: &str) -> Result<String, ConvertError> {
    let url = GoUrl::parse(text).map_err(|why| ConvertError::new(format!("{UNREADABLE}: parse {text:?}: {why}")))?;
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
