//! Health over HTTP, for Kubernetes probes: 200 or 500, and a JSON object with a member for each check.
//!
//! SPIRE behaviour: a healthy check has no details (`{"server":{}}`), a failing one says why
//! (`{"server":{"get_bundle_err":"…"}}`). Checks run when somebody asks, at most once in [`REUSE`], so an answer is
//! never older than that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the process should be left running. Never depends on other machines.
    pub live: bool,
    /// Whether it should be sent work.
    pub ready: bool,
    /// Why not, or nothing.
    pub details: Map<String, Value>,
}

impl Report {
    pub fn ok() -> Self {
        Self { live: true, ready: true, details: Map::new() }
    }

    /// Alive but not to be sent work; `field` is SPIRE's name for the reason, such as `get_bundle_err`.
    pub fn not_ready(field: &str, reason: impl Into<String>) -> Self {
        Self { live: true, ready: false, details: Map::from_iter([(field.to_owned(), Value::String(reason.into()))]) }
    }

    /// To be restarted.
    pub fn dead(field: &str, reason: impl Into<String>) -> Self {
        Self { live: false, ..Self::not_ready(field, reason) }
    }
}

type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Report> + Send>> + Send + Sync>;

/// The checks of a process by name. Cheap to clone once built.
#[derive(Clone, Default)]
pub struct Checks(Arc<Inner>);

#[derive(Default)]
struct Inner {
    checks: Vec<(&'static str, Check)>,
    last: Mutex<Option<(Instant, Arc<[Report]>)>>,
}

/// Collects checks.
#[derive(Default)]
pub struct ChecksBuilder(Vec<(&'static str, Check)>);

impl ChecksBuilder {
    /// `check` should end within [`CHECK_MAX`]; one that does not counts as not ready.
    pub fn check<F, R>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Report> + Send + 'static,
    {
        self.0.push((name, Box::new(move || Box::pin(check()))));
        self
    }

    pub fn build(self) -> Checks {
        Checks(Arc::new(Inner { checks: self.0, last: Mutex::new(None) }))
    }
}

impl Checks {
    pub fn builder() -> ChecksBuilder {
        ChecksBuilder::default()
    }

    /// Reports in the order of the checks. Askers at the same time share one run.
    async fn reports(&self) -> Arc<[Report]> {
        let mut last = self.0.last.lock().await;
        if let Some((at, reports)) = &*last
            && at.elapsed() < REUSE
        {
            return reports.clone();
        }
        let mut reports = Vec::with_capacity(self.0.checks.len());
        for (_, check) in &self.0.checks {
            let late = || Report::not_ready("timeout_err", format!("no answer within {} s", CHECK_MAX.as_secs()));
            reports.push(timeout(CHECK_MAX, check()).await.unwrap_or_else(|_| late()));
        }
        let reports: Arc<[Report]> = reports.into();
        *last = Some((Instant::now(), reports.clone()));
        reports
    }

    async fn answer(&self, is_ok: impl Fn(&Report) -> bool) -> Response {
        let reports = self.reports().await;
        let members = self.0.checks.iter().zip(reports.iter());
        let body: Map<String, Value> =
            members.map(|((name, _), report)| ((*name).to_owned(), Value::Object(report.details.clone()))).collect();
        let status = if reports.iter().all(is_ok) { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        (status, [(CONTENT_TYPE, "application/json")], Value::Object(body).to_string()).into_response()
    }
}

/// `live_path` and `ready_path` come from the configuration, so they are compared, not compiled into routes: no text
/// can make the server panic.
pub fn router(checks: Checks, live_path: String, ready_path: String) -> Router {
    let paths = Arc::new((live_path, ready_path));
    Router::new().fallback(move |uri: Uri| {
        let (checks, paths) = (checks.clone(), paths.clone());
        async move {
            if uri.path() == paths.0 {
                checks.answer(|report| report.live).await
            } else if uri.path() == paths.1 {
                checks.answer(|report| report.ready).await
            } else {
                (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
            }
        }
    })
}

/// Probing harder than this gets the same answer again.
const REUSE: Duration = Duration::from_secs(1);
/// Kubernetes gives a probe one second by default and operators raise it to a few.
const CHECK_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn get(address: std::net::SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    }

    async fn start(checks: Checks) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve(listener, router(checks, "/live".into(), "/{odd}".into()), std::future::pending()));
        address
    }

    #[tokio::test]
    async fn healthy() {
        let checks = Checks::builder().check("server", async || Report::ok()).check("server.ca", async || Report::ok());
        let address = start(checks.build()).await;
        let ok = ("200".to_owned(), "{\"server\":{},\"server.ca\":{}}".to_owned());
        assert_eq!(get(address, "/live").await, ok);
        assert_eq!(get(address, "/{odd}").await, ok);
        assert_eq!(get(address, "/other").await.0, "404");
    }

    #[tokio::test]
    async fn not_ready_is_still_live() {
        let checks = Checks::builder().check("server", async || Report::not_ready("get_bundle_err", "no quorum"));
        let address = start(checks.build()).await;
        let body = "{\"server\":{\"get_bundle_err\":\"no quorum\"}}".to_owned();
        assert_eq!(get(address, "/live").await, ("200".to_owned(), body.clone()));
        assert_eq!(get(address, "/{odd}").await, ("500".to_owned(), body));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_check_is_not_ready_and_runs_are_shared() {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let checks = Checks::builder()
            .check("counted", async || {
                RUNS.fetch_add(1, Ordering::Relaxed);
                Report::ok()
            })
            .check("stuck", std::future::pending)
            .build();
        let (one, two) = tokio::join!(checks.reports(), checks.reports());
        assert_eq!((one.len(), RUNS.load(Ordering::Relaxed)), (2, 1));
        assert_eq!(one, two);
        assert_eq!(one[1], Report::not_ready("timeout_err", "no answer within 3 s"));
        tokio::time::advance(REUSE).await;
        checks.reports().await;
        assert_eq!(RUNS.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn metrics_answer_on_every_path() {
        let metrics = crate::metric::Metrics::new(&Default::default()).unwrap();
        metrics.before_render(|| metrics::gauge!("up").set(1.0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve(listener, crate::metric::router(metrics), std::future::pending()));
        for path in ["/", "/metrics", "/x/y"] {
            let (status, body) = get(address, path).await;
            assert_eq!(status, "200");
            assert!(body.contains("_up 1\n"), "{body}");
        }
    }
}
