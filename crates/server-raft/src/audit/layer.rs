//! The tower layer in front of the authorizer that puts each call on record.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use parking_lot::Mutex;
use prost::Message;
use steeple_core::rpc_code_name;
use steeple_telemetry::log::{Fields, Ledger, call_names};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::facts::{Facts, facts, put};
use super::passing::{Answered, Asked, Ending, Seen};
use crate::authz::{Authorized, Caller, Class, Transport};
use crate::call_log::RequestId;

/// Writes to `ledger`; cheap to clone.
#[derive(Clone)]
pub struct AuditLayer {
    ledger: Ledger,
}

#[derive(Clone)]
pub struct AuditService<S> {
    ledger: Ledger,
    inner: S,
}

/// What is known of a call before it is answered.
struct Call {
    ledger: Ledger,
    method: String,
    fields: Fields,
    asked: Arc<Mutex<Seen>>,
}

impl AuditLayer {
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }
}

impl AuditLayer {
    /// Puts on record what a stream carried in place of a call of `method`.
    pub fn record(&self, method: &str, by: &Authorized, asked: &impl Message, answered: Result<Vec<u8>, &Status>) {
        let fields = begun(method, None, Some(by.caller()));
        let (answered, code, message) = match answered {
            Ok(answered) => (answered, Code::Ok, ""),
            Err(status) => (Vec::new(), status.code(), status.message()),
        };
        let passed = Passed { method, asked: &asked.encode_to_vec(), answered: &answered };
        conclude(&self.ledger, fields, Some(by.class()), &passed, code, message);
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> AuditService<S> {
        AuditService { ledger: self.ledger.clone(), inner }
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
        let call = Call::begin(self.ledger.clone(), &request);
        let seen = Arc::clone(&call.asked);
        let answer = self.inner.call(request.map(|inner| Body::new(Asked { inner, seen })));
        Box::pin(async move {
            let response = answer.await?;
            let class = response.extensions().get::<Class>().copied();
            let mut ended = Some(move |answered: &Seen, ending| call.end(class, answered, ending));
            // A refusal has no messages: its status stands in the head.
            if let Some(status) = Status::from_header_map(response.headers())
                && let Some(ended) = ended.take()
            {
                ended(&Seen::default(), Ending::Status(status));
            }
            Ok(response.map(|inner| Body::new(Answered { inner, seen: Seen::default(), ended })))
        })
    }
}

impl Call {
    fn begin(ledger: Ledger, request: &Request<Body>) -> Self {
        let path = request.uri().path();
        // A connection without a caller is refused, and that is on record.
        let id = request.extensions().get::<RequestId>().copied();
        let fields = begun(path, id, Caller::of(request.extensions()).ok().as_ref());
        Self { ledger, method: path.to_owned(), fields, asked: Arc::default() }
    }

    fn end(self, class: Option<Class>, answered: &Seen, ending: Ending) {
        let (code, message) = match ending {
            Ending::Status(status) => (status.code(), status.message().to_owned()),
            Ending::Canceled => (Code::Cancelled, "context canceled".to_owned()),
        };
        let asked = self.asked.lock();
        let passed = Passed { method: &self.method, asked: asked.first(), answered: answered.last() };
        conclude(&self.ledger, self.fields, class, &passed, code, &message);
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

fn conclude(ledger: &Ledger, mut fields: Fields, class: Option<Class>, passed: &Passed<'_>, code: Code, message: &str) {
    if let Some(class) = class {
        put(&mut fields, "authorized_as", class.authorized_as());
        put(&mut fields, "authorized_via", class.authorized_via());
    }
    match facts(passed.method, passed.asked, passed.answered) {
        Facts::Items(items) if code == Code::Ok => {
            for item in items {
                write(ledger, fields.clone(), item.fields, item.status.code, &item.status.message);
            }
        }
        Facts::Items(_) => write(ledger, fields, Fields::new(), code as i32, message),
        Facts::Call(known) => write(ledger, fields, known, code as i32, message),
    }
}

fn write(ledger: &Ledger, mut fields: Fields, known: Fields, code: i32, message: &str) {
    fields.extend(known);
    let succeeded = code == Code::Ok as i32;
    put(&mut fields, "status", if succeeded { "success" } else { "error" });
    if !succeeded {
        put(&mut fields, "status_code", rpc_code_name(code));
        put(&mut fields, "status_message", message);
    }
    ledger.info("API accessed", fields);
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

const POST_STATUS: &str = "/spire.api.server.agent.v1.Agent/PostStatus";
const HEALTH: &str = "/grpc.health.v1.Health/";
