//! What the log says of calls: SPIRE's fields on every line that belongs to one, and SPIRE's line for each refusal.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use steeple_core::AttestedAgent;
use steeple_telemetry::log::call_names;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::authz::{Caller, Class, Denial};

/// Names a call in the log and on record.
#[derive(Clone, Copy, Debug)]
pub struct RequestId(uuid::Uuid);

/// Stands in front of the authorizer, so that refused calls have their fields too.
#[derive(Clone, Copy)]
pub struct CallLog;

#[derive(Clone)]
pub struct CallLogService<S> {
    inner: S,
}

impl RequestId {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<S> Layer<S> for CallLog {
    type Service = CallLogService<S>;

    fn layer(&self, inner: S) -> CallLogService<S> {
        CallLogService { inner }
    }
}

impl<S> Service<Request<Body>> for CallLogService<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let id = RequestId::random();
        let span = span(&request, id);
        request.extensions_mut().insert(id);
        let answer = self.inner.call(request);
        let logged = async move {
            let response = answer.await?;
            // A refusal has no messages: its status stands in the head.
            if let Some(status) = Status::from_header_map(response.headers()) {
                refused(status.code(), status.message());
            }
            Ok(response)
        };
        Box::pin(logged.instrument(span))
    }
}

/// The caller may call what it called: the fields of the lines that follow say by which right.
pub fn authorized(class: Class) {
    Span::current().record("authorized_as", class.authorized_as()).record("authorized_via", class.authorized_via());
}

/// SPIRE's line for a call, or an item of its batch, that did not succeed. Statuses are made as `what: why`, and SPIRE
/// puts the second part into a field. Why something was not found stays untold there.
pub fn refused(code: Code, message: &str) {
    let (what, why) = message.split_once(": ").map_or((message, None), |(what, why)| (what, Some(why)));
    match code {
        Code::Ok => {}
        Code::InvalidArgument => tracing::error!(error = why, "Invalid argument: {what}"),
        Code::NotFound => tracing::error!("{}", capitalized(what)),
        Code::PermissionDenied if message.starts_with(DENIED) => {
            tracing::error!(
                error = format!("rpc error: code = PermissionDenied desc = {message}"),
                "{UNAUTHENTICATED}"
            );
        }
        _ => tracing::error!(error = why, "{}", capitalized(what)),
    }
}

/// SPIRE's line for an agent that is turned away. `serial` is its certificate's, `record` what is known of the agent.
pub fn turned_away(denial: Denial, serial: &str, record: Option<&AttestedAgent>) {
    match denial {
        Denial::Banned => tracing::error!("Agent is banned"),
        Denial::Expired => tracing::error!("Agent SVID is expired"),
        Denial::NotActive => {
            let known = record.map(|agent| agent.serial.as_str());
            tracing::error!(svid_serial_num = serial, serial_num = known, "Agent SVID is not active");
        }
        Denial::NotAttested => tracing::error!("Agent is not attested"),
        // Whoever refuses the renewal tells it.
        Denial::MustReattest => {}
    }
}

fn span(request: &Request<Body>, id: RequestId) -> Span {
    let (service, method) = call_names(request.uri().path());
    let span = tracing::error_span!(
        "call",
        subsystem_name = "api",
        service,
        method,
        request_id = %id,
        caller_addr = Empty,
        caller_id = Empty,
        authorized_as = Empty,
        authorized_via = Empty,
    );
    if let Ok(caller) = Caller::of(request.extensions()) {
        if let Some(address) = caller.remote_addr() {
            span.record("caller_addr", tracing::field::display(address));
        }
        if let Some(id) = &caller.id {
            span.record("caller_id", tracing::field::display(id));
        }
    }
    span
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

/// How the authorizer begins its refusals.
const DENIED: &str = "authorization denied for method";
const UNAUTHENTICATED: &str = "Failed to authenticate caller";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_a_capital() {
        assert_eq!(capitalized("entry not found"), "Entry not found");
        assert_eq!((capitalized(""), capitalized("ä")), (String::new(), "Ä".to_owned()));
    }
}
