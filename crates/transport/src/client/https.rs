//! One document over HTTPS, got or in answer to one, or over HTTP on a Unix socket or from a host that is to prove its
//! name, with an end to everything: time, size, redirects.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{DialError, ServerDialer};

/// What a server answered in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsReply {
    pub status: StatusCode,
    /// Whole if the status is 200, otherwise only what it begins with.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("not a URL with a host: {url}")]
    NoHost { url: String },
    #[error("not an https URL with a host: {url}")]
    BadUrl { url: String },
    #[error("redirected to {location:?}, which is not an https URL")]
    BadRedirect { location: String },
    #[error("stopped after {REDIRECTS_MAX} redirects")]
    TooManyRedirects,
    #[error("{0}")]
    Http(#[source] hyper::Error),
    #[error("the answer has more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("no complete answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    authority: Authority,
    path: PathAndQuery,
}

/// GETs `url`, and what it redirects to, as long as that is HTTPS too; `tls` authenticates every server on the way
/// alike. It comes from [`crate::tls::https_client_config`].
pub async fn https_get(url: &str, tls: &Arc<ClientConfig>, body_bytes_max: usize) -> Result<HttpsReply, HttpsError> {
    let follow = async {
        let mut target = Target::parse(url).ok_or_else(|| HttpsError::BadUrl { url: url.to_owned() })?;
        for _ in 0..=REDIRECTS_MAX {
            let response = request(&target, tls, HeaderMap::new(), None).await?;
            match target.redirected(&response)? {
                Some(next) => target = next,
                None => return read(response, body_bytes_max).await,
            }
        }
        Err(HttpsError::TooManyRedirects)
    };
    timeout(TOTAL_MAX, follow).await.map_err(|_| HttpsError::Timeout(TOTAL_MAX))?
}

/// POSTs `json` to `url`; `headers` are added. Redirects are not followed: the document may be meant for one server
/// only.
pub async fn https_post(
    url: &str,
    tls: &Arc<ClientConfig>,
    headers: HeaderMap,
    json: Bytes,
    body_bytes_max: usize,
) -> Result<HttpsReply, HttpsError> {
    let ask = async {
        let target = Target::parse(url).ok_or_else(|| HttpsError::BadUrl { url: url.to_owned() })?;
        read(request(&target, tls, headers, Some(json)).await?, body_bytes_max).await
    };
    timeout(TOTAL_MAX, ask).await.map_err(|_| HttpsError::Timeout(TOTAL_MAX))?
}

/// Sends `request`, whose URI is an https URL with a host, and returns what is answered, whatever its status. Redirects
/// are not followed.
pub async fn https_request(
    request: Request<Full<Bytes>>,
    tls: &Arc<ClientConfig>,
    body_bytes_max: usize,
) -> Result<Response<Bytes>, HttpsError> {
    let ask = async {
        let url = request.uri().to_string();
        let target = Target::parse(&url).ok_or(HttpsError::BadUrl { url })?;
        answered(&target, target.dial(tls).await?, request, body_bytes_max).await
    };
    timeout(TOTAL_MAX, ask).await.map_err(|_| HttpsError::Timeout(TOTAL_MAX))?
}

/// As [`https_request`] by plain HTTP, from a host that an operator named so, or that is reached by its place on the
/// network alone.
pub async fn http_request(request: Request<Full<Bytes>>, body_bytes_max: usize) -> Result<Response<Bytes>, HttpsError> {
    let ask = async {
        let url = request.uri().to_string();
        let target = Target::of(&url).ok_or(HttpsError::NoHost { url })?;
        let host = (bare(target.authority.host()), target.authority.port_u16().unwrap_or(HTTP_PORT));
        let stream = timeout(CONNECT_MAX, TcpStream::connect(host)).await;
        let stream = stream.map_err(|_| HttpsError::Connect(io::ErrorKind::TimedOut.into()))?;
        answered(&target, stream.map_err(HttpsError::Connect)?, request, body_bytes_max).await
    };
    timeout(TOTAL_MAX, ask).await.map_err(|_| HttpsError::Timeout(TOTAL_MAX))?
}

async fn answered(
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<Response<Bytes>, HttpsError> {
    *request.uri_mut() = Uri::from(target.path.clone());
    request.headers_mut().insert(HOST, target.host_header());
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(OWN_NAME));
    let (parts, body) = exchange(stream, request).await?.into_parts();
    let whole = Limited::new(body, body_bytes_max).collect().await;
    let body = whole.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => HttpsError::Http(*error),
        Err(_) => HttpsError::TooLarge { bytes_max: body_bytes_max },
    })?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

/// GETs `url` by plain HTTP from whoever serves at `socket`; the URL's host is only named. Redirects are not followed.
pub async fn unix_get(socket: &Path, url: &str, body_bytes_max: usize) -> Result<HttpsReply, HttpsError> {
    let ask = async {
        let stream = UnixStream::connect(socket).await.map_err(HttpsError::Connect)?;
        get_over(stream, url, HeaderMap::new(), body_bytes_max).await
    };
    timeout(TOTAL_MAX, ask).await.map_err(|_| HttpsError::Timeout(TOTAL_MAX))?
}

/// GETs `url` over `stream`, which is connected to whoever serves it; `headers` are added. Redirects are not followed,
/// and the time that it takes is the caller's to bound.
pub async fn get_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &str,
    headers: HeaderMap,
    body_bytes_max: usize,
) -> Result<HttpsReply, HttpsError> {
    let target = Target::of(url).ok_or_else(|| HttpsError::NoHost { url: url.to_owned() })?;
    read(send(&target, stream, headers, None).await?, body_bytes_max).await
}

/// GETs `path` by plain HTTP from `host`, for what proves itself by being there. Redirects are not followed.
pub async fn http_get(host: &str, port: u16, path: &str, body_bytes_max: usize) -> Result<HttpsReply, HttpsError> {
    let ask = async {
        let url = format!("http://{host}:{port}{path}");
        let target = Target::of(&url).ok_or(HttpsError::NoHost { url })?;
        let stream = TcpStream::connect((host, port)).await.map_err(HttpsError::Connect)?;
        read(send(&target, stream, HeaderMap::new(), None).await?, body_bytes_max).await
    };
    timeout(TOTAL_MAX, ask).await.map_err(|_| HttpsError::Timeout(TOTAL_MAX))?
}

async fn request(
    target: &Target,
    tls: &Arc<ClientConfig>,
    headers: HeaderMap,
    json: Option<Bytes>,
) -> Result<Response<Incoming>, HttpsError> {
    send(target, target.dial(tls).await?, headers, json).await
}

/// A POST with `json`, a GET without.
async fn send(
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    added: HeaderMap,
    json: Option<Bytes>,
) -> Result<Response<Incoming>, HttpsError> {
    let is_post = json.is_some();
    let mut request = Request::new(Full::new(json.unwrap_or_default()));
    *request.method_mut() = if is_post { Method::POST } else { Method::GET };
    *request.uri_mut() = Uri::from(target.path.clone());
    let headers = request.headers_mut();
    headers.insert(HOST, target.host_header());
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(OWN_NAME));
    if is_post {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.extend(added);
    exchange(stream, request).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, HttpsError> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(HttpsError::Http)?;
    // Ends with the response, or with the request that is given up.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(HttpsError::Http)
}

async fn read(response: Response<Incoming>, body_bytes_max: usize) -> Result<HttpsReply, HttpsError> {
    let status = response.status();
    let is_ok = status == StatusCode::OK;
    let bytes_max = if is_ok { body_bytes_max } else { ERROR_BODY_BYTES_MAX };
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(HttpsError::Http)?.into_data() else { continue };
        let room = bytes_max - bytes.len();
        if data.len() > room && is_ok {
            return Err(HttpsError::TooLarge { bytes_max });
        }
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room && !is_ok {
            break;
        }
    }
    Ok(HttpsReply { status, body: bytes.into() })
}

impl Target {
    /// `None` unless `url` is https and has a host that a certificate could name.
    fn parse(url: &str) -> Option<Self> {
        url.parse::<Uri>().ok()?.scheme_str().filter(|scheme| scheme.eq_ignore_ascii_case("https"))?;
        let target = Self::of(url)?;
        // A host that is no name must not be verified by the address that it happened to resolve to.
        ServerName::try_from(bare(target.authority.host())).ok()?;
        Some(target)
    }

    /// `None` without a host.
    fn of(url: &str) -> Option<Self> {
        let parts = url.parse::<Uri>().ok()?.into_parts();
        let path = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        Some(Self { authority: parts.authority?, path })
    }

    async fn dial(
        &self,
        tls: &Arc<ClientConfig>,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, HttpsError> {
        let address = format!("{}:{}", self.authority.host(), self.authority.port_u16().unwrap_or(HTTPS_PORT));
        Ok(ServerDialer::new([address], Arc::clone(tls)).dial().await?)
    }

    /// Where `response` sends us; `None` when it is the answer.
    fn redirected(&self, response: &Response<Incoming>) -> Result<Option<Self>, HttpsError> {
        let location = match response.status().as_u16() {
            301 | 302 | 303 | 307 | 308 => response.headers().get(LOCATION),
            _ => None,
        };
        let Some(location) = location else { return Ok(None) };
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        match self.resolve(&location) {
            Some(next) => Ok(Some(next)),
            None => Err(HttpsError::BadRedirect { location }),
        }
    }

    /// An absolute https URL, or a path from the root of the same server.
    fn resolve(&self, location: &str) -> Option<Self> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(Self { authority: self.authority.clone(), path: location.parse().ok()? });
        }
        Self::parse(location)
    }

    /// Without user information.
    fn host_header(&self) -> HeaderValue {
        let text = self.authority.as_str();
        let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
        HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static(""))
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

const OWN_NAME: &str = concat!("steeple/", env!("CARGO_PKG_VERSION"));
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// What is near answers at once, and a metadata address outside of its cloud never does.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Go's client follows as many.
const REDIRECTS_MAX: usize = 10;
/// Everything: names, handshakes, redirects, body.
const TOTAL_MAX: Duration = Duration::from_secs(30);
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// What is worth telling of a page that is no answer.
const ERROR_BODY_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_with_a_host_that_certificates_name() {
        for good in ["https://a.test", "HTTPS://a.test:8443/b?c=d", "https://127.0.0.1/", "https://[::1]:8443/"] {
            assert!(Target::parse(good).is_some(), "{good}");
        }
        for bad in ["http://a.test/", "https:///b", "/b", "https://a..test/", "ftp://a.test", ""] {
            assert_eq!(Target::parse(bad), None, "{bad}");
        }
        let target = Target::parse("https://user@a.test:8443").unwrap();
        assert_eq!((target.host_header().to_str().unwrap(), target.path.as_str()), ("a.test:8443", "/"));
    }

    #[test]
    fn redirects_stay_on_https() {
        let here = Target::parse("https://a.test:8443/old").unwrap();
        assert_eq!(here.resolve("/new?x=1").unwrap(), Target::parse("https://a.test:8443/new?x=1").unwrap());
        assert_eq!(here.resolve("https://b.test/").unwrap(), Target::parse("https://b.test/").unwrap());
        for bad in ["http://a.test/", "//b.test/", "new", ""] {
            assert_eq!(here.resolve(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_document_from_a_unix_socket() {
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let (got, asked) = exchange(answer, 5).await;
        assert_eq!(got.unwrap(), HttpsReply { status: StatusCode::OK, body: Bytes::from_static(b"abcde") });
        assert!(asked.starts_with("GET /bundle?a=b HTTP/1.1\r\nhost: localhost\r\n"), "{asked}");
        let (large, _) = exchange(answer, 4).await;
        assert!(matches!(large, Err(HttpsError::TooLarge { bytes_max: 4 })), "{large:?}");
        let (moved, _) = exchange("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", 5).await;
        assert_eq!(moved.unwrap().status, StatusCode::FOUND);
        let nobody = unix_get(Path::new("/nonexistent/x"), "http://localhost/", 5).await;
        assert!(matches!(nobody, Err(HttpsError::Connect(_))), "{nobody:?}");
    }

    /// Serves `answer` once; returns what came of it and what was asked for.
    async fn exchange(answer: &'static str, bytes_max: usize) -> (Result<HttpsReply, HttpsError>, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        let got = unix_get(&path, "http://localhost/bundle?a=b", bytes_max).await;
        (got, served.await.unwrap())
    }
}
