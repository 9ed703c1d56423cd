//! A layer that counts the calls of a gRPC server: `rpc.<service>.<method>{status}` and its `.elapsed_time`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use steeple_core::rpc_code_name;
use tower::{Layer, Service};

use super::{CallTimer, rpc_name};

/// A call ends with its stream: with the trailers, or when either side lets go of it (`Canceled`).
#[derive(Clone, Debug)]
pub struct CountCalls {
    /// By the method's HTTP/2 path.
    methods: Arc<HashMap<String, Method>>,
}

#[derive(Clone, Debug)]
struct Method {
    name: String,
    /// `workload_api` of `workload_api.connection` and `workload_api.connections`.
    api: Option<&'static str>,
}

impl CountCalls {
    /// `methods` are HTTP/2 paths, shown from now on, even before their first call. Calls of others are not counted:
    /// clients make up paths, and each would be a new metric.
    pub fn of<M: AsRef<str>>(methods: impl IntoIterator<Item = M>) -> Self {
        let named = methods.into_iter().map(|path| {
            let method = Method { name: rpc_name(path.as_ref()), api: None };
            CallTimer::declare_calls_of(&method.name, path.as_ref());
            (path.as_ref().to_owned(), method)
        });
        Self { methods: Arc::new(named.collect()) }
    }

    /// Shows the calls of `service` also as `<api>.connection`, those begun, and `<api>.connections`, those open now:
    /// to SPIRE's agent each call is a connection.
    pub fn with_open_calls(mut self, service: &str, api: &'static str) -> Self {
        for (path, method) in Arc::make_mut(&mut self.methods) {
            if path.split('/').nth(1) == Some(service) {
                method.api = Some(api);
            }
        }
        self
    }
}

impl<S> Layer<S> for CountCalls {
    type Service = CountingService<S>;

    fn layer(&self, inner: S) -> CountingService<S> {
        CountingService { methods: Arc::clone(&self.methods), inner }
    }
}

#[derive(Clone, Debug)]
pub struct CountingService<S> {
    methods: Arc<HashMap<String, Method>>,
    inner: S,
}

impl<S, R, B> Service<Request<R>> for CountingService<S>
where
    S: Service<Request<R>, Response = Response<B>>,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = CountedCall<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let call = self.methods.get(request.uri().path()).map_or_else(Call::default, Call::begin);
        CountedCall { inner: self.inner.call(request), call }
    }
}

/// A call that has not ended; nothing is left in it once it has.
#[derive(Debug, Default)]
struct Call {
    timer: Option<CallTimer>,
    api: Option<&'static str>,
}

impl Call {
    fn begin(method: &Method) -> Self {
        if let Some(api) = method.api {
            metrics::counter!(format!("{api}.connection")).increment(1);
            metrics::gauge!(format!("{api}.connections")).increment(1.0);
        }
        Self { timer: Some(CallTimer::start(&method.name)), api: method.api }
    }

    fn end(&mut self, status: &'static str) {
        if let Some(timer) = self.timer.take() {
            timer.done(status);
        }
        if let Some(api) = self.api.take() {
            metrics::gauge!(format!("{api}.connections")).decrement(1.0);
        }
    }

    /// Ends the call if `headers` hold its status: those of a response without messages, or trailers.
    fn end_by(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.end(code.to_str().ok().and_then(|code| code.parse().ok()).map_or("Unknown", rpc_code_name));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end("Canceled");
    }
}

pin_project! {
    pub struct CountedCall<F> {
        #[pin]
        inner: F,
        call: Call,
    }
}

impl<F, B, E> Future for CountedCall<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CountedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(context));
        let mut call = std::mem::take(this.call);
        Poll::Ready(response.map(|response| {
            call.end_by(response.headers());
            response.map(|inner| CountedBody { inner, call })
        }))
    }
}

pin_project! {
    #[derive(Default)]
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        call: Call,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.call.end_by(trailers);
                }
            }
            // gRPC's rule for a response without a status.
            Some(Err(_)) | None => this.call.end("Unknown"),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::metric::{MetricSettings, Metrics};

    const METHOD: &str = "/grpc.health.v1.Health/Check";

    /// A response whose status comes after the messages.
    #[derive(Default)]
    struct Trailers(Option<&'static str>);

    impl Body for Trailers {
        type Data = &'static [u8];
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<&'static [u8]>, Infallible>>> {
            let trailers = |code| HeaderMap::from_iter([("grpc-status".parse().unwrap(), code)]);
            Poll::Ready(self.0.take().map(|code| Ok(Frame::trailers(trailers(code.parse().unwrap())))))
        }
    }

    /// What the metrics say after `path` was called and `handle` saw the response.
    fn counted(path: &str, header: Option<&str>, handle: impl FnOnce(&mut CountedBody<Trailers>)) -> String {
        let metrics = Metrics::new(&MetricSettings { prefix: "t".into(), ..Default::default() }).unwrap();
        metrics::with_local_recorder(&metrics, || {
            let mut response = Response::new(Trailers(Some("5")));
            if let Some(code) = header {
                response.headers_mut().insert("grpc-status", code.parse().unwrap());
            }
            let mut response = Some(response);
            let inner = tower::service_fn(|_: Request<()>| {
                let response = response.take().unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            let request = Request::get(path).body(()).unwrap();
            let counter = CountCalls::of([METHOD]).with_open_calls("grpc.health.v1.Health", "health_api");
            let mut call = Box::pin(counter.layer(inner).call(request));
            let mut context = Context::from_waker(std::task::Waker::noop());
            let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut context) else { panic!("not ready") };
            handle(&mut response.into_body());
        });
        metrics.render()
    }

    fn drain(body: &mut CountedBody<Trailers>) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(_)) = Pin::new(&mut *body).poll_frame(&mut context) {}
    }

    #[test]
    fn the_status_is_the_final_one() {
        let count = |status| format!("t_rpc_health_check{{status=\"{status}\"}} 1\n");
        for (header, status) in [(None, "NotFound"), (Some("7"), "PermissionDenied"), (Some("x"), "Unknown")] {
            let text = counted(METHOD, header, drain);
            assert!(text.contains(&count(status)), "{text}");
            assert!(text.contains("# TYPE t_rpc_health_check_elapsed_time summary\n"), "{text}");
        }
        let text = counted(METHOD, None, |_| {});
        assert!(text.contains(&count("Canceled")), "{text}");
        for line in ["t_health_api_connection 1\n", "t_health_api_connections 0\n"] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn made_up_methods_make_no_metrics() {
        let text = counted("/grpc.health.v1.Health/Other", None, drain);
        assert!(text.contains("t_rpc_health_check{status=\"OK\"} 0\n"), "{text}");
        assert!(text.contains("t_rpc_health_check_elapsed_time_count{status=\"OK\"} 0\n"), "{text}");
        assert!(!text.contains("other"), "{text}");
    }
}
