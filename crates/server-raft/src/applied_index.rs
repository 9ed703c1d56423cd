//! The log index in the metadata of calls (docs/watch.md): answers name the index that they reflect, and a call may ask
//! for an answer that is at least as new as one.
//!
//! ```text
//!   request ── steeple-wait-for-index ──► wait until this replica has applied it ──► service
//!                                                                                    │ Shared: read at, written at
//!   response ◄── steeple-applied-index ◄─────────────────────────────────────────────┘
//! ```

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use steeple_transport::serve::Deadline;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::raft::Replica;

/// In the metadata of an answer: the log index that it reflects. Of a write, where the write stands.
pub const APPLIED_INDEX: &str = "steeple-applied-index";
/// In the metadata of a request: the call begins once its replica has applied this log index.
pub const WAIT_FOR_INDEX: &str = "steeple-wait-for-index";

/// A replica that is further behind than this has more to do than to answer.
const WAIT_MAX: Duration = Duration::from_secs(5);

tokio::task_local! {
    static REFLECTED: Cell<Reflected>;
}

/// What the call that is being served has read and written so far.
#[derive(Clone, Copy, Debug, Default)]
struct Reflected {
    read: Option<u64>,
    written: Option<u64>,
}

/// Notes that the call looked at the state as of `index`.
pub fn read_at(index: u64) {
    // Of several looks the oldest counts: whoever follows changes from there misses none.
    note(|seen| Reflected { read: Some(seen.read.map_or(index, |read| read.min(index))), ..seen });
}

/// Notes that the call changed the state at `index`.
pub fn written_at(index: u64) {
    note(|seen| Reflected { written: seen.written.max(Some(index)), ..seen });
}

/// Outside of a call there is nobody to tell.
fn note(change: impl FnOnce(Reflected) -> Reflected) {
    let _ = REFLECTED.try_with(|seen| seen.set(change(seen.get())));
}

impl Reflected {
    fn index(self) -> Option<u64> {
        self.written.or(self.read)
    }
}

/// Waits until `applied` has reached `index`, for [`WAIT_MAX`] or until the client's deadline.
pub async fn reached(applied: &mut watch::Receiver<u64>, index: u64, deadline: Option<Deadline>) -> Result<(), Status> {
    let limit = Instant::now() + WAIT_MAX;
    let until = deadline.map_or(limit, |Deadline(at)| at.min(limit));
    // A replica that ends sends nothing more, which is no other answer than being late.
    let _ = timeout_at(until, applied.wait_for(|applied| *applied >= index)).await;
    let has = *applied.borrow();
    if has >= index {
        return Ok(());
    }
    Err(Status::unavailable(format!(
        "this replica has applied log index {has} and not yet {index}; retry, ask another replica, or list anew where \
         {index} is of another cluster"
    )))
}

/// Stands behind the authorizer: nobody waits here who may not call.
#[derive(Clone)]
pub struct AppliedIndex {
    replica: Replica,
}

#[derive(Clone)]
pub struct AppliedIndexService<S> {
    replica: Replica,
    inner: S,
}

impl AppliedIndex {
    pub fn of(replica: Replica) -> Self {
        Self { replica }
    }
}

impl<S> Layer<S> for AppliedIndex {
    type Service = AppliedIndexService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AppliedIndexService { replica: self.replica.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for AppliedIndexService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone that was polled ready serves this call; the fresh one stays behind.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let mut applied = self.replica.applied();
        Box::pin(async move {
            let deadline = request.extensions().get::<Deadline>().copied();
            match asked(request.headers()) {
                Ok(None) => {}
                Ok(Some(index)) => {
                    if let Err(late) = reached(&mut applied, index, deadline).await {
                        return Ok(late.into_http());
                    }
                }
                Err(unreadable) => return Ok(unreadable.into_http()),
            }
            // What an answer reflects that looked at nothing.
            let at_least = *applied.borrow();
            let answer = async { (inner.call(request).await, REFLECTED.with(Cell::get)) };
            let (response, reflected) = REFLECTED.scope(Cell::default(), answer).await;
            let mut response = response?;
            response.headers_mut().insert(APPLIED_INDEX, reflected.index().unwrap_or(at_least).into());
            Ok(response)
        })
    }
}

/// The index that the client waits for.
fn asked(headers: &HeaderMap) -> Result<Option<u64>, Status> {
    let Some(value) = headers.get(WAIT_FOR_INDEX) else { return Ok(None) };
    let index = value.to_str().ok().and_then(|text| text.parse().ok());
    index.map(Some).ok_or_else(|| {
        Status::invalid_argument(format!("{WAIT_FOR_INDEX} is not a log index: send what {APPLIED_INDEX} said"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn an_answer_names_the_write_or_else_the_oldest_read() {
        let index_of = |notes: &'static [fn()]| {
            REFLECTED.scope(Cell::default(), async {
                notes.iter().for_each(|note| note());
                REFLECTED.with(Cell::get).index()
            })
        };
        assert_eq!(index_of(&[]).await, None);
        assert_eq!(index_of(&[|| read_at(7), || read_at(5), || read_at(6)]).await, Some(5));
        assert_eq!(index_of(&[|| read_at(5), || written_at(9), || read_at(9)]).await, Some(9));
        assert_eq!(index_of(&[|| written_at(9), || written_at(8)]).await, Some(9));
        // Drivers read and write too, and answer nobody.
        read_at(1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_answered_at_the_index_or_told_how_far_it_is() {
        let (sender, mut applied) = watch::channel(5);
        assert!(reached(&mut applied, 5, None).await.is_ok());
        let started = Instant::now();
        let late = reached(&mut applied, 7, None).await.unwrap_err();
        assert_eq!((late.code(), started.elapsed()), (tonic::Code::Unavailable, WAIT_MAX));
        assert!(late.message().starts_with("this replica has applied log index 5 and not yet 7"), "{late}");
        let soon = Deadline(Instant::now() + Duration::from_secs(1));
        assert!(reached(&mut applied, 7, Some(soon)).await.is_err());
        assert_eq!(soon.remaining(), Duration::ZERO);
        let (waited, ()) = tokio::join!(reached(&mut applied, 7, None), async { _ = sender.send_replace(8) });
        assert!(waited.is_ok());
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(WAIT_FOR_INDEX, HeaderValue::from_static(value));
            headers
        };
        assert_eq!(asked(&headers("12")).unwrap(), Some(12));
        assert_eq!(asked(&HeaderMap::new()).unwrap(), None);
        for bad in ["", "-1", "x", "18446744073709551616", "1 2"] {
            assert_eq!(asked(&headers(bad)).unwrap_err().code(), tonic::Code::InvalidArgument, "{bad}");
        }
    }
}
