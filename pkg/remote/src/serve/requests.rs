//! Requests over HTTP.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use labels::Labels;
use proto::prometheus::QueryResult;
use storage::{Budget, Ctx, Error, SeriesSource};
use telemetry::{Gauge, Metrics, Occasionally};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::frames::Frames;
use super::messages::{Request, request};
use super::sampled;
use super::whole::WholeSeries;

/// Settings of a [`ReadServer`].
#[derive(Debug, Clone)]
pub struct ReadServerOptions {
    /// Samples of an answer that is not streamed; 0 = any number (`--storage.remote.read-sample-limit`).
    pub samples_max: u64,
    /// Requests that are worked on at a time, others wait; 0 = any number (`--storage.remote.read-concurrent-limit`).
    pub concurrent_max: usize,
    /// Size of a frame, bytes, which one chunk may exceed (`--storage.remote.read-max-bytes-in-frame`).
    pub frame_bytes_max: usize,
    /// The largest request, as it comes and after decompression, bytes.
    pub request_bytes_max: usize,
}

impl Default for ReadServerOptions {
    fn default() -> Self {
        Self { samples_max: 50_000_000, concurrent_max: 10, frame_bytes_max: 1 << 20, request_bytes_max: 32 << 20 }
    }
}

/// Answers remote read from a source of series. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct ReadServer(Arc<Inner>);

struct Inner {
    source: Arc<dyn SeriesSource>,
    external: Arc<dyn Fn() -> Labels + Send + Sync>,
    options: ReadServerOptions,
    budget: Arc<Budget>,
    gate: Arc<Semaphore>,
    queries: Gauge,
    failures: Occasionally,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadServer")
            .field("source", &self.source)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What a request holds until its answer is sent.
struct Running {
    _counted: Counted,
    _turn: OwnedSemaphorePermit,
    _stop: DropGuard,
}

/// A request that waits or is worked on.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ReadServer {
    /// A server over `source`, whose series do not have the external labels; these are asked for at each request, so that
    /// a reload changes them. What answers hold counts in `budget`.
    pub fn new(
        source: Arc<dyn SeriesSource>,
        external: Arc<dyn Fn() -> Labels + Send + Sync>,
        options: ReadServerOptions,
        budget: Arc<Budget>,
        metrics: &Metrics,
    ) -> Self {
        let permits = if options.concurrent_max == 0 { Semaphore::MAX_PERMITS } else { options.concurrent_max };
        let queries = metrics.gauge(
            "prometheus_remote_read_handler_queries",
            "Remote read requests that are worked on or wait for their turn.",
        );
        let gate = Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner { source, external, options, budget, gate, queries, failures: Occasionally::minutely() }))
    }

    /// The route `POST /api/v1/read`.
    pub fn router(&self) -> Router {
        Router::new().route("/api/v1/read", post(read)).with_state(self.clone())
    }
}

async fn read(State(ReadServer(inner)): State<ReadServer>, body: Body) -> Response {
    let failed = |status: StatusCode, text: String| (status, format!("{text}\n")).into_response();
    let body = match Limited::new(body, inner.options.request_bytes_max).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => return failed(StatusCode::BAD_REQUEST, format!("reading the request: {e}")),
    };
    let request = match request(&body, inner.options.request_bytes_max) {
        Ok(request) => request,
        Err(why) => return failed(StatusCode::BAD_REQUEST, why),
    };
    match inner.clone().answer(request).await {
        Ok(response) => response,
        Err(e) => {
            inner.log(&e);
            let status = match e {
                Error::Invalid(_) | Error::Limit(_) => StatusCode::BAD_REQUEST,
                Error::Unavailable(_) | Error::Timeout(_) | Error::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
                Error::Corrupt(_) | Error::Unsupported(_) | Error::Other { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            };
            failed(status, e.to_string())
        }
    }
}

impl Inner {
    fn log(&self, error: &Error) {
        if let Some(requests) = self.failures.count() {
            tracing::warn!(%error, requests, "remote read failed");
        }
    }

    async fn answer(self: Arc<Self>, request: Request) -> storage::Result<Response> {
        let counted = Counted::new(&self.queries);
        let cancel = CancellationToken::new();
        let turn = self.gate.clone().acquire_owned().await.map_err(|e| Error::Unavailable(e.to_string()))?;
        let running = Running { _counted: counted, _turn: turn, _stop: cancel.clone().drop_guard() };
        let ctx = Ctx { cancel, budget: self.budget.clone(), ..Ctx::background() };
        let external = (self.external)();
        if request.in_frames {
            self.in_frames(request, &ctx, external, running).await
        } else {
            self.sampled(request, &ctx, &external).await
        }
    }

    async fn sampled(&self, request: Request, ctx: &Ctx, external: &Labels) -> storage::Result<Response> {
        let mut held = ctx.budget.reserve(0)?;
        let mut results = Vec::with_capacity(request.queries.len().min(1024));
        for query in request.queries {
            let range = query.range;
            let Some(select) = query.select(external) else {
                results.push(QueryResult::default());
                continue;
            };
            let series = WholeSeries::new(self.source.select(ctx, select));
            results.push(sampled::result(series, range, external, self.options.samples_max, &mut held).await?);
        }
        let body = tokio::task::spawn_blocking(move || sampled::body(results))
            .await
            .map_err(|e| Error::other(format!("writing the answer: {e}")))??;
        let mut response = Body::from(body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        Ok(response)
    }

    async fn in_frames(
        self: Arc<Self>,
        request: Request,
        ctx: &Ctx,
        external: Labels,
        running: Running,
    ) -> storage::Result<Response> {
        let selects: VecDeque<_> = request.queries.into_iter().map(|query| query.select(&external)).collect();
        let frame_bytes_max = self.options.frame_bytes_max;
        let mut frames = Frames::new(self.source.clone(), ctx.clone(), selects, external, frame_bytes_max);
        // What fails before anything is sent is told by the status.
        let first = frames.next().await?;
        let state = (first, Some(frames), self, running);
        let body = stream::unfold(state, |(first, frames, inner, running)| async move {
            if let Some(frame) = first {
                return Some((Ok::<Bytes, std::convert::Infallible>(frame), (None, frames, inner, running)));
            }
            let mut frames = frames?;
            match frames.next().await {
                Ok(Some(frame)) => Some((Ok(frame), (None, Some(frames), inner, running))),
                Ok(None) => None,
                // There is no other way to tell of it once frames have gone out than its text behind them.
                Err(e) => {
                    inner.log(&e);
                    Some((Ok(Bytes::from(format!("{e}\n"))), (None, None, inner, running)))
                }
            }
        });
        let mut response = Body::from_stream(body).into_response();
        let kind = HeaderValue::from_static("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }
}
