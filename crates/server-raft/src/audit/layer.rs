//! The tower layer in front of the authorizer that puts each call on record.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::TryFutureExt as _;
use http::{Request, Response};
use parking_lot::Mutex;
use prost::Message;
use steeple_core::rpc_code_name;
use steeple_telemetry::log::{Fields, Ledger, call_names};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::facts::{Facts, Item, facts, put, put_hash};
use super::passing::{Answered, Asked, Concluded, Ending, Gate, Recorded, Seen};
use super::trail::{Trail, Unwritten};
use crate::authz::{Authorized, Caller, Class, Transport};
use crate::call_log::RequestId;

/// Writes to the log, to the audit file, or to both; cheap to clone.
#[derive(Clone)]
pub struct AuditLayer {
    ledger: Option<Ledger>,
    trail: Option<Trail>,
}

#[derive(Clone)]
pub struct AuditService<S> {
    layer: AuditLayer,
    inner: S,
}

/// What is known of a call before it is answered.
struct Call {
    layer: AuditLayer,
    method: String,
    fields: Fields,
    asked: Arc<Mutex<Seen>>,
}

impl AuditLayer {
    /// `None` where nothing is to be put on record.
    pub fn new(ledger: Option<Ledger>, trail: Option<Trail>) -> Option<Self> {
        (ledger.is_some() || trail.is_some()).then_some(Self { ledger, trail })
    }

    pub fn trail(&self) -> Option<&Trail> {
        self.trail.as_ref()
    }

    /// Puts on record what a stream carried in place of a call of `method`. What was answered must not go out when this
    /// fails.
    pub async fn record(
        &self,
        method: &str,
        by: &Authorized,
        asked: &impl Message,
        answered: Result<Vec<u8>, &Status>,
    ) -> Result<(), Status> {
        let fields = begun(method, None, Some(by.caller()));
        let (answered, code, message) = match answered {
            Ok(answered) => (answered, Code::Ok, ""),
            Err(status) => (Vec::new(), status.code(), status.message()),
        };
        let passed = Passed { method, asked: &asked.encode_to_vec(), answered: &answered };
        match self.keep(conclude(fields, Some(by.class()), &passed, code, message), true) {
            Some(recorded) => recorded.await.map_err(Status::from),
            None => Ok(()),
        }
    }

    /// Writes records of what was done. What is returned resolves when they are durable, where an answer waits for it.
    fn keep(&self, mut records: Vec<Fields>, has_answer: bool) -> Option<Recorded> {
        if let Some(ledger) = &self.ledger {
            records.iter().for_each(|record| ledger.info(ACCESSED, record.clone()));
        }
        let trail = self.trail.as_ref()?;
        records.iter_mut().for_each(|record| put(record, "msg", ACCESSED));
        if trail.is_fail_closed() && has_answer {
            return Some(Box::pin(trail.put(records)));
        }
        trail.note(records);
        None
    }

    /// What is done first where no call goes without a record.
    fn gate(&self, call: &Call) -> Gate {
        let Some(trail) = self.trail.clone().filter(Trail::is_fail_closed) else { return Gate::Open };
        let (method, fields) = (call.method.clone(), call.fields.clone());
        Gate::shut(Box::new(move |asked| Box::pin(trail.put(vec![intent(&method, fields, asked.first())]))))
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> AuditService<S> {
        AuditService { layer: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for AuditService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Probes ask every few seconds and learn nothing; they are no records to SPIRE either.
        if request.uri().path().starts_with(HEALTH) {
            return Box::pin(self.inner.call(request));
        }
        let call = Call::begin(self.layer.clone(), &request);
        let (seen, gate) = (Arc::clone(&call.asked), self.layer.gate(&call));
        let answer = self.inner.call(request.map(|inner| Body::new(Asked { inner, seen, gate })));
        Box::pin(async move {
            let response = answer.await?;
            let class = response.extensions().get::<Class>().copied();
            let mut ended = Some(move |answered: &Seen, ending| call.end(class, answered, ending));
            // A refusal has no messages: its status stands in the head.
            if let Some(status) = Status::from_header_map(response.headers())
                && let Some(ended) = ended.take()
                && let Some(concluded) = ended(&Seen::default(), Ending::Status(status))
                && let Err(status) = concluded.await
            {
                return Ok(status.into_http());
            }
            Ok(response.map(|inner| Body::new(Answered { inner, seen: Seen::default(), ended, waiting: None })))
        })
    }
}

impl Call {
    fn begin(layer: AuditLayer, request: &Request<Body>) -> Self {
        let path = request.uri().path();
        // A connection without a caller is refused, and that is on record.
        let id = request.extensions().get::<RequestId>().copied();
        let fields = begun(path, id, Caller::of(request.extensions()).ok().as_ref());
        Self { layer, method: path.to_owned(), fields, asked: Arc::default() }
    }

    fn end(self, class: Option<Class>, answered: &Seen, ending: Ending) -> Option<Concluded> {
        let (code, message, has_answer) = match ending {
            Ending::Status(status) => (status.code(), status.message().to_owned(), true),
            Ending::Canceled => (Code::Cancelled, "context canceled".to_owned(), false),
        };
        let asked = self.asked.lock();
        let passed = Passed { method: &self.method, asked: asked.first(), answered: answered.last() };
        let recorded = self.layer.keep(conclude(self.fields, class, &passed, code, &message), has_answer)?;
        // What nobody was let to read had no effect, whatever became of its record.
        let had_effect = asked.is_let_through();
        let status = move |unwritten: Unwritten| if had_effect { unwritten.after_the_call() } else { unwritten.into() };
        Some(Box::pin(recorded.map_err(status)))
    }
}

/// The messages of a call.
struct Passed<'a> {
    /// `/package.Service/Method`.
    method: &'a str,
    asked: &'a [u8],
    answered: &'a [u8],
}

fn begun(path: &str, id: Option<RequestId>, caller: Option<&Caller>) -> Fields {
    let (service, method) = call_names(path);
    let mut fields = Fields::new();
    put(&mut fields, "type", "audit");
    put(&mut fields, "subsystem_name", "api");
    put(&mut fields, "request_id", id.unwrap_or_else(RequestId::random).to_string());
    put(&mut fields, "service", service);
    put(&mut fields, "method", method);
    if let Some(caller) = caller {
        put_caller(&mut fields, caller);
        // An agent says something of itself, and names nobody.
        if let (POST_STATUS, Some(id)) = (path, &caller.id) {
            put(&mut fields, "spiffe_id", id.to_string());
        }
    }
    fields
}

/// A record for the call, or one for each item of its batch.
fn conclude(mut fields: Fields, class: Option<Class>, passed: &Passed<'_>, code: Code, message: &str) -> Vec<Fields> {
    if let Some(class) = class {
        put(&mut fields, "authorized_as", class.authorized_as());
        put(&mut fields, "authorized_via", class.authorized_via());
    }
    match facts(passed.method, passed.asked, passed.answered) {
        Facts::Items(items) if code == Code::Ok => {
            let of = |item: Item| outcome(fields.clone(), item.fields, item.status.code, &item.status.message);
            items.into_iter().map(of).collect()
        }
        Facts::Items(_) => vec![outcome(fields, Fields::new(), code as i32, message)],
        Facts::Call(known) => vec![outcome(fields, known, code as i32, message)],
    }
}

fn outcome(mut fields: Fields, known: Fields, code: i32, message: &str) -> Fields {
    fields.extend(known);
    let succeeded = code == Code::Ok as i32;
    put(&mut fields, "status", if succeeded { "success" } else { "error" });
    if !succeeded {
        put(&mut fields, "status_code", rpc_code_name(code));
        put(&mut fields, "status_message", message);
    }
    fields
}

/// What is about to be done. Of a batch: how many items it has, and which message that was.
fn intent(method: &str, mut fields: Fields, asked: &[u8]) -> Fields {
    match facts(method, asked, b"") {
        Facts::Call(known) => fields.extend(known),
        Facts::Items(items) => {
            put(&mut fields, "items", items.len() as u64);
            put_hash(&mut fields, "request_sha256", asked);
        }
    }
    put(&mut fields, "stage", "intent");
    put(&mut fields, "msg", "API call begins");
    fields
}

/// Names of SPIRE's fields for the two kinds of listeners.
fn put_caller(fields: &mut Fields, caller: &Caller) {
    match &caller.transport {
        Transport::Tcp { remote_addr, .. } => {
            put(fields, "caller_addr", remote_addr.to_string());
            if let Some(id) = &caller.id {
                put(fields, "caller_id", id.to_string());
            }
        }
        Transport::Uds { uid, gid, pid } => {
            put(fields, "caller_uid", u64::from(*uid));
            put(fields, "caller_gid", u64::from(*gid));
            // Not there when the process is of another pid namespace, or gone.
            if let Ok(path) = std::fs::read_link(format!("/proc/{pid}/exe")) {
                put(fields, "caller_path", path.display().to_string());
            }
        }
    }
}

/// SPIRE's message.
const ACCESSED: &str = "API accessed";
const POST_STATUS: &str = "/spire.api.server.agent.v1.Agent/PostStatus";
const HEALTH: &str = "/grpc.health.v1.Health/";
