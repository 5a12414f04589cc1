//! The StoreAPI server over any source.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::stream::{Stream, StreamExt};
use model::TimeRange;
use proto::thanos::store_server::{Store, StoreServer};
use proto::thanos::{self as wire, series_response};
use storage::{Budget, Chunk, Ctx, Error, Report, Select, Series, SeriesEvent, SeriesSource, SeriesStream};
use telemetry::{Counter, Metrics};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::status::status_from_error;
use crate::{convert, hints};

/// A frame is closed once it holds this much; a series that is larger goes on in the next frame.
const FRAME_BYTES: usize = 1 << 20;
/// Thanos' measure of samples not yet decoded.
const SAMPLES_PER_CHUNK: u64 = 120;

/// Limits of one Series request; 0 = none. From `--store.limits.request-series` and `-samples`.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreLimits {
    /// Series sent.
    pub series: u64,
    /// Samples sent, counted as 120 a chunk.
    pub samples: u64,
}

/// What the server needs beside the source.
#[derive(Clone)]
pub struct ServerOptions {
    /// See [`StoreLimits`].
    pub limits: StoreLimits,
    /// Makes the byte budget of one request.
    pub budget: Arc<dyn Fn() -> Arc<Budget> + Send + Sync>,
    /// For `thanos_store_server_…`.
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
    routes.add_service(StoreServer::new(server).max_decoding_message_size(transport::grpc::MESSAGE_BYTES_MAX));
}

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
}

/// The context with a report that the source may fill.
fn reporting(ctx: Ctx) -> (Ctx, Arc<Report>) {
    let report = Arc::new(Report::default());
    (Ctx { report: Some(report.clone()), ..ctx }, report)
}

/// The context of a gRPC request: its deadline and tenant.
pub(crate) fn context(metadata: &MetadataMap, budget: Arc<Budget>) -> Ctx {
    let timeout = metadata.get("grpc-timeout").and_then(|v| v.to_str().ok()).and_then(parse_timeout);
    let tenant = metadata.get("thanos-tenant").and_then(|v| v.to_str().ok()).unwrap_or("");
    Ctx {
        cancel: CancellationToken::new(),
        deadline: timeout.and_then(|t| Instant::now().checked_add(t)),
        budget,
        tenant: tenant.into(),
        report: None,
    }
}

/// gRPC's `grpc-timeout`: up to 8 digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok()?;
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

    async fn series(&self, request: Request<wire::SeriesRequest>) -> Result<Response<Self::SeriesStream>, Status> {
        self.series_requests.inc();
        let mut ctx = self.ctx(request.metadata());
        let request = request.into_inner();
        let batch = usize::try_from(request.response_batch_size).unwrap_or(0).clamp(1, 4096);
        let (want, asked) = convert::select_from_wire(request).map_err(status_from_error)?;
        check_range(want.range)?;
        let report = Arc::new(Report::default());
        ctx.report = asked.blocks.then(|| report.clone());
        // Dropped with the response stream, so a caller that goes away cancels the work.
        let guard = ctx.cancel.clone().drop_guard();
        let stream = self.source.select(&ctx, want.clone());
        let frames = Frames { limits: self.limits, batch, series: 0, chunks: 0, want, last: None };
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
        let last = async move { (!failed.load(Ordering::Relaxed)).then(|| Ok(hints::series(asked, &report))) };
        Ok(Response::new(Box::pin(responses.chain(futures::stream::once(last).filter_map(std::future::ready)))))
    }

    async fn label_names(
        &self,
        request: Request<wire::LabelNamesRequest>,
    ) -> Result<Response<wire::LabelNamesResponse>, Status> {
        let (ctx, report) = reporting(self.ctx(request.metadata()));
        let _guard = ctx.cancel.clone().drop_guard();
        let want = convert::label_names_from_wire(request.into_inner()).map_err(status_from_error)?;
        check_range(want.range)?;
        let answer = self.source.label_names(&ctx, want).await.map_err(status_from_error)?;
        Ok(Response::new(wire::LabelNamesResponse {
            names: answer.value,
            warnings: answer.warnings,
            hints: hints::label_names(&report),
        }))
    }

    async fn label_values(
        &self,
        request: Request<wire::LabelValuesRequest>,
    ) -> Result<Response<wire::LabelValuesResponse>, Status> {
        let (ctx, report) = reporting(self.ctx(request.metadata()));
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
            hints: hints::label_values(&report),
        }))
    }
}

/// Turns batches of series into frames, within the limits.
struct Frames {
    limits: StoreLimits,
    batch: usize,
    series: u64,
    chunks: u64,
    want: Select,
    last: Option<labels::Labels>,
}

impl Frames {
    fn run(mut self, stream: SeriesStream) -> impl Stream<Item = Result<wire::SeriesResponse, Status>> + Send {
        stream.flat_map(move |event| {
            let frames = match event {
                Ok(SeriesEvent::Batch(batch)) => self.batch(batch),
                Ok(SeriesEvent::Warning(text)) => Ok(vec![response(series_response::Result::Warning(text))]),
                Err(e) => Err(e),
            };
            let frames: Vec<Result<_, Status>> = match frames {
                Ok(frames) => frames.into_iter().map(Ok).collect(),
                Err(e) => vec![Err(status_from_error(e))],
            };
            futures::stream::iter(frames)
        })
    }

    fn batch(&mut self, batch: Vec<Series>) -> storage::Result<Vec<wire::SeriesResponse>> {
        let mut frames = Vec::new();
        let mut open: Vec<wire::Series> = Vec::new();
        let mut open_bytes = 0;
        for series in batch {
            self.count(&series)?;
            let labels = convert::labels_to_wire(&series.labels);
            let mut chunks = Vec::with_capacity(series.chunks.len());
            for chunk in &series.chunks {
                let size = chunk.size_bytes();
                if open_bytes + size > FRAME_BYTES && !chunks.is_empty() {
                    open.push(wire::Series { labels: labels.clone(), chunks: std::mem::take(&mut chunks) });
                    self.close(&mut open, &mut frames);
                    open_bytes = 0;
                }
                open_bytes += size;
                chunks.push(convert::chunk_to_wire(chunk).map_err(|e| e.within(&series.labels))?);
            }
            if !chunks.is_empty() || self.want.skip_chunks {
                open.push(wire::Series { labels, chunks });
            }
            if open.len() >= self.batch || open_bytes >= FRAME_BYTES {
                self.close(&mut open, &mut frames);
                open_bytes = 0;
            }
        }
        self.close(&mut open, &mut frames);
        Ok(frames)
    }

    fn close(&self, open: &mut Vec<wire::Series>, frames: &mut Vec<wire::SeriesResponse>) {
        if self.batch > 1 && open.len() > 1 {
            let series = std::mem::take(open);
            frames.push(response(series_response::Result::Batch(wire::SeriesBatch { series })));
        } else {
            frames.extend(open.drain(..).map(|s| response(series_response::Result::Series(s))));
        }
    }

    fn count(&mut self, series: &Series) -> storage::Result<()> {
        if self.last.as_ref() != Some(&series.labels) {
            self.series += 1;
            self.last = Some(series.labels.clone());
        }
        self.chunks += series.chunks.iter().filter(|c: &&Chunk| c.min_time <= c.max_time).count() as u64;
        let StoreLimits { series: series_max, samples: samples_max } = self.limits;
        if series_max > 0 && self.series > series_max {
            return Err(Error::Limit(format!(
                "exceeded series limit: limit {series_max} violated (got {}), see --store.limits.request-series",
                self.series
            )));
        }
        let samples = self.chunks * SAMPLES_PER_CHUNK;
        if samples_max > 0 && samples > samples_max {
            return Err(Error::Limit(format!(
                "exceeded samples limit: limit {samples_max} violated (got {samples}), see --store.limits.request-samples",
            )));
        }
        Ok(())
    }
}

fn response(result: series_response::Result) -> wire::SeriesResponse {
    wire::SeriesResponse { result: Some(result) }
}
