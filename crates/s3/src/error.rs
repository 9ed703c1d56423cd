//! What goes wrong with a store, and what to do next.

use std::error::Error;

use steeple_transport::client::HttpsError;

use crate::http::is_of_tls;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum S3Error {
    #[error("{0}")]
    Settings(String),
    #[error(
        "there are no credentials for it ({0}): configure access_key_id and a secret_access_key, set AWS_ACCESS_KEY_ID \
         and AWS_SECRET_ACCESS_KEY, or give this machine or pod a role"
    )]
    NoCredentials(String),
    #[error(
        "the store does not know these credentials ({0}): check access key id and secret access key, and the region"
    )]
    Credentials(Refusal),
    #[error(
        "the credentials do not permit this ({0}): they need s3:ListBucket, s3:GetObject, s3:PutObject, \
             s3:DeleteObject and s3:AbortMultipartUpload here"
    )]
    Denied(Refusal),
    #[error("the session's credentials have expired ({0}): renew them")]
    Expired(Refusal),
    #[error("bucket {bucket} does not exist there: create it, or check its name, the endpoint and the region")]
    NoBucket { bucket: String },
    #[error("there is no object {key}")]
    NoObject { key: String },
    #[error("{key} already exists, and nothing takes its place")]
    Exists { key: String },
    #[error("{key} changed while it was read: read it again")]
    Changed { key: String },
    #[error("the store says that this machine's clock is wrong ({0}): set it, for instance by NTP")]
    Clock(Refusal),
    #[error("the store refuses the region ({0}): set the bucket's region (region or AWS_REGION)")]
    Region(Refusal),
    #[error("TLS: {0}: check the endpoint's name, and the roots that it is to be verified with (ca_cert_path)")]
    Tls(String),
    #[error("the store does not answer: {0}; check the endpoint, and that it can be reached from here")]
    Unreachable(String),
    #[error("the store refuses it: {0}")]
    Refused(Refusal),
    #[error("more than {max} objects lie there: give the backups a prefix of their own")]
    TooMany { max: usize },
    #[error("it has {size_bytes} bytes, an object takes at most {max}")]
    TooLarge { size_bytes: u64, max: u64 },
    #[error("an object there has a name that is none ({0}): move it away, or give the backups a prefix of their own")]
    ForeignName(String),
    #[error("the file to be stored cannot be read: {0}")]
    Source(#[source] std::io::Error),
    #[error("{0}")]
    Other(String),
}

/// What a store says in its refusals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

impl Refusal {
    /// `None` where it is no XML of that kind. Other elements are passed over.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(&body[..body.len().min(BODY_BYTES_MAX)]);
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            let (content, _) = rest.split_once(&format!("</{name}>"))?;
            Some(content.chars().filter(|char| !char.is_control()).take(TEXT_CHARS_MAX).collect::<String>())
        };
        Some(Self { code: element("Code")?, message: element("Message").unwrap_or_default() })
    }

    pub(crate) fn to_xml(&self) -> String {
        format!("<Error><Code>{}</Code><Message>{}</Message></Error>", self.code, self.message)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message.is_empty() {
            true => f.write_str(&self.code),
            false => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl S3Error {
    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::Settings(message.into())
    }

    /// The library tells what the store said only in the text of its errors; the refusal in it is one that `http` let
    /// through.
    pub(crate) fn of(error: object_store::Error, bucket: &str, key: &str) -> Self {
        let text = error.to_string();
        if let Some(refusal) = Refusal::read(text.as_bytes()) {
            return Self::refused(refusal, bucket, key);
        }
        if let Some(error) = cause::<HttpsError>(&error) {
            return match is_of_tls(error) {
                true => Self::Tls(error.to_string()),
                false if is_of_credentials(&text) => Self::NoCredentials(error.to_string()),
                false => Self::Unreachable(error.to_string()),
            };
        }
        match error {
            object_store::Error::AlreadyExists { .. } => Self::Exists { key: key.to_owned() },
            object_store::Error::Precondition { .. } => Self::Changed { key: key.to_owned() },
            object_store::Error::NotFound { .. } if key.is_empty() => Self::NoBucket { bucket: bucket.to_owned() },
            object_store::Error::NotFound { .. } => Self::NoObject { key: key.to_owned() },
            object_store::Error::InvalidPath { source } => Self::ForeignName(source.to_string()),
            _ if is_of_credentials(&text) => Self::NoCredentials(first_words(&text)),
            // Of a HEAD there is no body.
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Self::Denied(Refusal { code: "AccessDenied".to_owned(), message: String::new() })
            }
            _ => Self::Other(first_words(&text)),
        }
    }

    fn refused(refusal: Refusal, bucket: &str, key: &str) -> Self {
        match refusal.code.as_str() {
            "NoSuchBucket" => Self::NoBucket { bucket: bucket.to_owned() },
            "NoSuchKey" => Self::NoObject { key: key.to_owned() },
            "PreconditionFailed" | "ConditionalRequestConflict" => Self::Exists { key: key.to_owned() },
            // The last one is versitygw's.
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "XAdminUserNotFound" => {
                Self::Credentials(refusal)
            }
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Self::Denied(refusal),
            "ExpiredToken" => Self::Expired(refusal),
            "RequestTimeTooSkewed" => Self::Clock(refusal),
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
                Self::Region(refusal)
            }
            _ => Self::Refused(refusal),
        }
    }
}

/// Asking a metadata service is the library's last resort.
fn is_of_credentials(text: &str) -> bool {
    ["169.254.", "/latest/", "/token", "AssumeRole"].iter().any(|part| text.contains(part))
}

fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn first_words(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// A refusal has some 500 bytes, and more where it repeats a request.
const BODY_BYTES_MAX: usize = 64 << 10;
const TEXT_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let of = |code: &str| {
            let refusal = Refusal { code: code.to_owned(), message: "why".to_owned() };
            S3Error::refused(refusal, "b", "k").to_string()
        };
        for (code, next) in [
            ("NoSuchBucket", "bucket b does not exist"),
            ("InvalidAccessKeyId", "check access key id"),
            ("SignatureDoesNotMatch", "secret access key"),
            ("AccessDenied", "s3:PutObject"),
            ("ExpiredToken", "renew them"),
            ("RequestTimeTooSkewed", "NTP"),
            ("PermanentRedirect", "AWS_REGION"),
            ("PreconditionFailed", "k already exists"),
            ("SlowDown", "SlowDown: why"),
        ] {
            assert!(of(code).contains(next), "{code}: {}", of(code));
        }
    }

    #[test]
    fn a_refusal_is_read_with_bounds() {
        let long = format!("<?xml?><Error><Code>A</Code><Message>{}\n</Message></Error>", "m".repeat(1000));
        let refusal = Refusal::read(long.as_bytes()).unwrap();
        assert_eq!((refusal.code.as_str(), refusal.message.len()), ("A", TEXT_CHARS_MAX));
        assert_eq!(Refusal::read(refusal.to_xml().as_bytes()), Some(refusal));
        for other in ["", "<html>", "<Code>A", "{\"Code\": 1}"] {
            assert_eq!(Refusal::read(other.as_bytes()), None, "{other}");
        }
    }
}
