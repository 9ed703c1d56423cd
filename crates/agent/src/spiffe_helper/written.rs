//! Which files are there, for health checks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use steeple_config::{HealthSettings, SpiffeHelperSettings};

/// Shared by whoever writes and whoever asks.
#[derive(Clone, Debug)]
pub(super) struct Written(Arc<Mutex<Statuses>>);

/// Members as spiffe-helper names them.
#[derive(Clone, Debug, Serialize)]
struct Statuses {
    #[serde(rename = "x509_write_status", skip_serializing_if = "Option::is_none")]
    x509: Option<WriteStatus>,
    /// By path.
    #[serde(rename = "jwt_write_status")]
    jwt: BTreeMap<String, WriteStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum WriteStatus {
    Unwritten,
    Failed,
    Written,
}

impl Written {
    pub(super) fn nothing_of(settings: &SpiffeHelperSettings) -> Self {
        let files = settings.jwt_svids.iter().map(|jwt| &jwt.file).chain(&settings.jwt_bundle);
        Self(Arc::new(Mutex::new(Statuses {
            x509: settings.x509.as_ref().map(|_| WriteStatus::Unwritten),
            jwt: files.map(|file| (file.path.display().to_string(), WriteStatus::Unwritten)).collect(),
        })))
    }

    pub(super) fn x509(&self, succeeded: bool) {
        self.0.lock().x509 = Some(WriteStatus::of(succeeded));
    }

    pub(super) fn jwt(&self, path: &Path, succeeded: bool) {
        self.0.lock().jwt.insert(path.display().to_string(), WriteStatus::of(succeeded));
    }

    pub(super) fn router(&self, health: &HealthSettings) -> Router {
        let written = self.clone();
        // Compared, not compiled into routes: no text of a configuration can make the server panic.
        let paths = Arc::new((health.live_path.clone(), health.ready_path.clone()));
        Router::new().fallback(move |uri: Uri| {
            let statuses = written.0.lock().clone();
            let asked = if uri.path() == paths.0 {
                Some(statuses.is_live())
            } else {
                (uri.path() == paths.1).then(|| statuses.is_ready())
            };
            async move { asked.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |good| statuses.answer(good)) }
        })
    }
}

impl Statuses {
    /// No file failed.
    fn is_live(&self) -> bool {
        self.all().all(|status| status != WriteStatus::Failed)
    }

    /// Every file is there.
    fn is_ready(&self) -> bool {
        self.all().all(|status| status == WriteStatus::Written)
    }

    fn all(&self) -> impl Iterator<Item = WriteStatus> + '_ {
        self.jwt.values().copied().chain(self.x509)
    }

    fn answer(&self, good: bool) -> Response {
        let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = json!({
            "status": status.canonical_reason(),
            "health": { "file_write_statuses": self },
        });
        (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

impl WriteStatus {
    fn of(succeeded: bool) -> Self {
        if succeeded { Self::Written } else { Self::Failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_are_written_and_live_while_none_failed() {
        let jwt = BTreeMap::from([("/t".to_owned(), WriteStatus::Unwritten)]);
        let written = Written(Arc::new(Mutex::new(Statuses { x509: Some(WriteStatus::Unwritten), jwt })));
        let health = || {
            let statuses = written.0.lock().clone();
            (statuses.is_live(), statuses.is_ready())
        };
        assert_eq!(health(), (true, false));
        written.x509(true);
        assert_eq!(health(), (true, false));
        written.jwt(Path::new("/t"), true);
        assert_eq!(health(), (true, true));
        written.jwt(Path::new("/t"), false);
        assert_eq!(health(), (false, false));
        let text = serde_json::to_string(&*written.0.lock()).unwrap();
        assert_eq!(text, r#"{"x509_write_status":"written","jwt_write_status":{"/t":"failed"}}"#);
    }
}
