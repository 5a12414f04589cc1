//! `grpc_server_*` and `grpc_client_*` under the names and labels of go-grpc-middleware.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use telemetry::{CounterVec, HistogramVec, Metrics};
use tonic::Code;

const BUCKETS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// Families of one side.
#[derive(Debug, Clone)]
struct Families {
    started: CounterVec,
    handled: CounterVec,
    duration: HistogramVec,
}

/// What a server counts.
#[derive(Debug, Clone)]
pub struct ServerMetrics(Families);

/// What a client counts.
#[derive(Debug, Clone)]
pub struct ClientMetrics(Families);

impl ServerMetrics {
    /// Registers the families.
    pub fn new(metrics: &Metrics) -> Self {
        Self(Families {
            started: metrics.counters("grpc_server_started_total", "RPCs started on the server.", METHOD),
            handled: metrics.counters("grpc_server_handled_total", "RPCs completed on the server.", CODE),
            duration: metrics.histograms(
                "grpc_server_handling_seconds",
                "Time from the start of an RPC to the end of its answer.",
                METHOD,
                &BUCKETS,
            ),
        })
    }

    /// Wraps all services of `router`.
    pub(super) fn wrap(&self, router: Router) -> Router {
        let families = self.0.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let families = families.clone();
            async move {
                let call = Call::start(&families, request.uri().path());
                let response: Response = next.run(request).await;
                response.map(|body| Body::new(call.follow(body)))
            }
        }))
    }
}

impl ClientMetrics {
    /// Registers the families.
    pub fn new(metrics: &Metrics) -> Self {
        Self(Families {
            started: metrics.counters("grpc_client_started_total", "RPCs started by the client.", METHOD),
            handled: metrics.counters("grpc_client_handled_total", "RPCs completed by the client.", CODE),
            duration: metrics.histograms(
                "grpc_client_handling_seconds",
                "Time from the start of an RPC to the end of its answer.",
                METHOD,
                &BUCKETS,
            ),
        })
    }

    pub(super) fn start(&self, path: &str) -> Call {
        Call::start(&self.0, path)
    }
}

const METHOD: &[&str] = &["grpc_type", "grpc_service", "grpc_method"];
const CODE: &[&str] = &["grpc_type", "grpc_service", "grpc_method", "grpc_code"];

/// One RPC being counted; when dropped without an end it counts as cancelled.
pub(super) struct Call {
    families: Families,
    names: Arc<[String; 3]>,
    started: Instant,
    done: bool,
}

impl Call {
    fn start(families: &Families, path: &str) -> Self {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or(("unknown", "unknown"));
        let known = service.starts_with("thanos") || service.starts_with("grpc.");
        let (service, method) = if known { (service, method) } else { ("unknown", "unknown") };
        let streams = !matches!(method, "LabelNames" | "LabelValues" | "Info" | "RemoteWrite" | "Check");
        let kind = if streams { "server_stream" } else { "unary" };
        let names = Arc::new([kind.to_owned(), service.to_owned(), method.to_owned()]);
        families.started.with(&[&names[0], &names[1], &names[2]]).inc();
        Self { families: families.clone(), names, started: Instant::now(), done: false }
    }

    pub(super) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let [kind, service, method] = &*self.names;
        self.families.handled.with(&[kind, service, method, code_name(code)]).inc();
        self.families.duration.with(&[kind, service, method]).observe(self.started.elapsed().as_secs_f64());
    }

    pub(super) fn follow<B>(self, body: B) -> Followed<B> {
        Followed { body, call: self }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// A response body that reports the status in its trailers.
pub(super) struct Followed<B> {
    body: B,
    call: Call,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Followed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let code = trailers.get("grpc-status").and_then(|v| v.to_str().ok()?.parse::<i32>().ok());
                    this.call.end(code.map_or(Code::Unknown, Code::from));
                }
            }
            Some(Err(_)) => this.call.end(Code::Unavailable),
            None => this.call.end(Code::Ok),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Codes as Go prints them, which alerts match on.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
