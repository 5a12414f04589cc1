//! The StoreAPI server over any source.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};
use model::TimeRange;
use proto::thanos as wire;
use proto::thanos::store_server::{Store, StoreServer};
use storage::{Budget, Chunk, Ctx, HintSink, Select, Series, SeriesEvent, SeriesSource, SeriesStream};
use telemetry::{Counter, Metrics};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{ServerStreamingService, UnaryService};
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::label_deltas::ACCEPTED;
use crate::limited::{Given, StoreLimits};
use crate::names_codec::{self, LABEL_VALUES_PATH};
use crate::series_codec::{SERIES_PATH, ServerCodec};
use crate::series_encode::Outgoing;
use crate::status::status_from_error;
use crate::{convert, hints};

/// A frame is closed once it holds this much; a series that is larger goes on in the next frame.
const FRAME_BYTES: usize = 256 << 10;
/// Series in one frame for a peer that is aion too: each frame costs about as much as some of its series, where they are small.
const BATCH_OF_PEERS: usize = 512;
/// What the server needs beside the source.
#[derive(Clone)]
pub struct ServerOptions {
    /// Limits of one Series call.
    pub limits: StoreLimits,
    /// Makes the byte budget of one request.
    pub budget: Arc<dyn Fn() -> Arc<Budget> + Send + Sync>,
    /// Where the metrics `thanos_store_server_…` are registered.
    pub metrics: Metrics,
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerOptions").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Adds the Store service over `source`.
pub fn store_routes(routes: &mut RoutesBuilder, source: Arc<dyn SeriesSource>, options: ServerOptions) {
    let server = Server {
        source,
        limits: options.limits,
        budget: options.budget,
        series_requests: options
            .metrics
            .counter("thanos_store_server_series_requests_total", "Series calls received by the StoreAPI server."),
    };
    let server = Arc::new(server);
    let others = StoreServer::from_arc(server.clone()).max_decoding_message_size(transport::grpc::MESSAGE_BYTES_MAX);
    routes.add_service(StoreService { server, others });
}

/// The Store service: as generated, but for the messages of Series, which [`ServerCodec`] writes, and those of LabelValues.
#[derive(Clone)]
struct StoreService {
    server: Arc<Server>,
    others: StoreServer<Server>,
}

impl tonic::server::NamedService for StoreService {
    const NAME: &'static str = <StoreServer<Server> as tonic::server::NamedService>::NAME;
}

impl Service<http::Request<Body>> for StoreService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let limits = (Some(transport::grpc::MESSAGE_BYTES_MAX), None);
        if request.uri().path() == LABEL_VALUES_PATH {
            let method = LabelValuesMethod(self.server.clone());
            return Box::pin(async move {
                let codec = names_codec::ServerCodec;
                let mut grpc = tonic::server::Grpc::new(codec).apply_max_message_size_config(limits.0, limits.1);
                Ok(grpc.unary(method, request).await)
            });
        }
        if request.uri().path() != SERIES_PATH {
            return self.others.call(request);
        }
        let method = SeriesMethod(self.server.clone());
        let codec =
            ServerCodec { deltas: has_deltas(|name| request.headers().get(name).map(|value| value.as_bytes())) };
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(codec).apply_max_message_size_config(limits.0, limits.1);
            Ok(grpc.server_streaming(method, request).await)
        })
    }
}

/// LabelValues, as a method of its own.
struct LabelValuesMethod(Arc<Server>);

impl UnaryService<wire::LabelValuesRequest> for LabelValuesMethod {
    type Response = wire::LabelValuesResponse;
    type Future = BoxFuture<'static, Result<Response<wire::LabelValuesResponse>, Status>>;

    fn call(&mut self, request: Request<wire::LabelValuesRequest>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move { server.label_values(request).await })
    }
}

/// Series, as a method of its own.
struct SeriesMethod(Arc<Server>);

impl ServerStreamingService<wire::SeriesRequest> for SeriesMethod {
    type Response = Outgoing;
    type ResponseStream = OutgoingStream;
    type Future = BoxFuture<'static, Result<Response<OutgoingStream>, Status>>;

    fn call(&mut self, request: Request<wire::SeriesRequest>) -> Self::Future {
        Box::pin(std::future::ready(self.0.start(request)))
    }
}

type OutgoingStream = Pin<Box<dyn Stream<Item = Result<Outgoing, Status>> + Send>>;

struct Server {
    source: Arc<dyn SeriesSource>,
    limits: StoreLimits,
    budget: Arc<dyn Fn() -> Arc<Budget> + Send + Sync>,
    series_requests: Counter,
}

impl Server {
    fn ctx(&self, metadata: &MetadataMap) -> Ctx {
        context(metadata, (self.budget)())
    }

    /// Begins to answer a Series call.
    fn start(&self, request: Request<wire::SeriesRequest>) -> Result<Response<OutgoingStream>, Status> {
        self.series_requests.inc();
        let mut ctx = self.ctx(request.metadata());
        let is_peer = has_deltas(|name| request.metadata().get(name).map(|value| value.as_bytes()));
        let request = request.into_inner();
        let asked = usize::try_from(request.response_batch_size).unwrap_or(0).clamp(1, 4096);
        let batch = if is_peer && asked > 1 { asked.max(BATCH_OF_PEERS) } else { asked };
        let (want, asked) = convert::select_from_wire(request).map_err(status_from_error)?;
        check_range(want.range)?;
        let sink = Arc::new(HintSink::default());
        ctx.hints = asked.blocks.then(|| sink.clone());
        // Dropped with the response stream, so a caller that goes away cancels the work.
        let guard = ctx.cancel.clone().drop_guard();
        let stream = self.source.select(&ctx, want.clone());
        let frames = Frames { given: Given::new(self.limits), batch, want };
        let failed = Arc::new(AtomicBool::new(false));
        let seen = failed.clone();
        let responses = frames.run(stream).map(move |response| {
            let _held = &guard;
            seen.fetch_or(response.is_err(), Ordering::Relaxed);
            response
        });
        if !asked.blocks {
            return Ok(Response::new(Box::pin(responses)));
        }
        let last =
            async move { (!failed.load(Ordering::Relaxed)).then(|| Ok(Outgoing::Hints(hints::series(asked, &sink)))) };
        Ok(Response::new(Box::pin(responses.chain(futures::stream::once(last).filter_map(std::future::ready)))))
    }
}

/// Whether a request with these headers comes from a peer that reads labels told by their differences.
fn has_deltas<'a>(header: impl FnOnce(&'static str) -> Option<&'a [u8]>) -> bool {
    let (name, value) = ACCEPTED;
    header(name) == Some(value.as_bytes())
}

/// The context with a place for the source's hints.
fn with_hints(ctx: Ctx) -> (Ctx, Arc<HintSink>) {
    let sink = Arc::new(HintSink::default());
    (Ctx { hints: Some(sink.clone()), ..ctx }, sink)
}

/// The context of a gRPC request: its deadline and tenant, and `budget`.
pub fn context(metadata: &MetadataMap, budget: Arc<Budget>) -> Ctx {
    let timeout = metadata.get("grpc-timeout").and_then(|v| v.to_str().ok()).and_then(parse_timeout);
    let tenant = metadata.get("thanos-tenant").and_then(|v| v.to_str().ok()).unwrap_or("");
    Ctx {
        cancel: CancellationToken::new(),
        deadline: timeout.and_then(|t| Instant::now().checked_add(t)),
        budget,
        tenant: tenant.into(),
        hints: None,
    }
}

/// gRPC's `grpc-timeout`: up to 8 digits and a unit. Anything else is no timeout.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n = digits.parse().ok().filter(|_| digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_digit()));
    let n: u64 = n?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

fn check_range(range: TimeRange) -> Result<(), Status> {
    match range.is_empty() {
        false => Ok(()),
        true => Err(Status::invalid_argument(format!("min time {} is after max time {}", range.min, range.max))),
    }
}

#[tonic::async_trait]
impl Store for Server {
    type SeriesStream = Pin<Box<dyn Stream<Item = Result<wire::SeriesResponse, Status>> + Send>>;

    /// Never called: [`StoreService`] answers Series.
    async fn series(&self, _: Request<wire::SeriesRequest>) -> Result<Response<Self::SeriesStream>, Status> {
        Err(Status::unimplemented("Series has a codec of its own"))
    }

    async fn label_names(
        &self,
        request: Request<wire::LabelNamesRequest>,
    ) -> Result<Response<wire::LabelNamesResponse>, Status> {
        let (ctx, sink) = with_hints(self.ctx(request.metadata()));
        let _guard = ctx.cancel.clone().drop_guard();
        let want = convert::label_names_from_wire(request.into_inner()).map_err(status_from_error)?;
        check_range(want.range)?;
        let answer = self.source.label_names(&ctx, want).await.map_err(status_from_error)?;
        Ok(Response::new(wire::LabelNamesResponse {
            names: answer.value,
            warnings: answer.warnings,
            hints: hints::label_names(&sink),
        }))
    }

    async fn label_values(
        &self,
        request: Request<wire::LabelValuesRequest>,
    ) -> Result<Response<wire::LabelValuesResponse>, Status> {
        let (ctx, sink) = with_hints(self.ctx(request.metadata()));
        let _guard = ctx.cancel.clone().drop_guard();
        let request = request.into_inner();
        let name = request.label.clone();
        if name.is_empty() {
            return Err(Status::invalid_argument("label name parameter cannot be empty"));
        }
        let want = convert::label_values_from_wire(request).map_err(status_from_error)?;
        check_range(want.range)?;
        if want.without_replica_labels.contains(&name) {
            return Ok(Response::new(wire::LabelValuesResponse::default()));
        }
        let answer = self.source.label_values(&ctx, &name, want).await.map_err(status_from_error)?;
        Ok(Response::new(wire::LabelValuesResponse {
            values: answer.value,
            warnings: answer.warnings,
            hints: hints::label_values(&sink),
        }))
    }
}

/// Turns batches of series into frames, within the limits.
struct Frames {
    given: Given,
    batch: usize,
    want: Select,
}

impl Frames {
    fn run(mut self, stream: SeriesStream) -> impl Stream<Item = Result<Outgoing, Status>> + Send {
        stream.flat_map(move |event| {
            let frames = match event {
                Ok(SeriesEvent::Batch(batch)) => self.batch(batch),
                Ok(SeriesEvent::Warning(text)) => Ok(vec![Outgoing::Warning(text)]),
                Err(e) => Err(e),
            };
            let frames: Vec<Result<_, Status>> = match frames {
                Ok(frames) => frames.into_iter().map(Ok).collect(),
                Err(e) => vec![Err(status_from_error(e))],
            };
            futures::stream::iter(frames)
        })
    }

    fn batch(&mut self, batch: Vec<Series>) -> storage::Result<Vec<Outgoing>> {
        let mut frames = Vec::new();
        let mut open: Vec<Series> = Vec::new();
        let mut open_bytes = 0;
        for mut series in batch {
            self.given.add(&series)?;
            let labels = &series.labels;
            series.chunks.iter_mut().try_for_each(convert::chunk_for_wire).map_err(|e| e.within(labels))?;
            let mut size: usize = series.chunks.iter().map(Chunk::size_bytes).sum();
            while open_bytes + size > FRAME_BYTES {
                // As many chunks as there is room for, but one at least: the others go on in the next frame.
                let (mut count, mut bytes) = (0, 0);
                while let Some(chunk) = series.chunks.get(count)
                    && (count == 0 || open_bytes + bytes + chunk.size_bytes() <= FRAME_BYTES)
                {
                    (count, bytes) = (count + 1, bytes + chunk.size_bytes());
                }
                if count == series.chunks.len() {
                    break;
                }
                let rest = series.chunks.split_off(count);
                let next = Series { labels: series.labels.clone(), chunks: rest };
                open.push(std::mem::replace(&mut series, next));
                self.close(&mut open, &mut frames);
                (open_bytes, size) = (0, size - bytes);
            }
            open_bytes += size;
            if !series.chunks.is_empty() || self.want.skip_chunks {
                open.push(series);
            }
            if open.len() >= self.batch || open_bytes >= FRAME_BYTES {
                self.close(&mut open, &mut frames);
                open_bytes = 0;
            }
        }
        self.close(&mut open, &mut frames);
        Ok(frames)
    }

    fn close(&self, open: &mut Vec<Series>, frames: &mut Vec<Outgoing>) {
        if self.batch > 1 && open.len() > 1 {
            frames.push(Outgoing::Series { series: std::mem::take(open), batch: true });
        } else {
            frames.extend(open.drain(..).map(|series| Outgoing::Series { series: vec![series], batch: false }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_strangers() {
        for (text, want) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("10m", Some(Duration::from_millis(10))),
            ("0n", Some(Duration::ZERO)),
            ("100000000S", None),
            ("18446744073709551615H", None),
            ("+1S", None),
            ("-1S", None),
            ("1", None),
            ("S", None),
            ("", None),
            ("1\u{b5}", None),
        ] {
            assert_eq!(parse_timeout(text), want, "{text:?}");
        }
    }
}
