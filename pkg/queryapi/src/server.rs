//! The Query service over an evaluator.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, Stream};
use labels::Labels;
use model::Severity;
use promql::{EngineChoice, Evaluate, Grid, Query, QueryLimits, QueryResult, ReadOptions, Times, Value};
use proto::prometheus_copy::{Histogram, Label, Sample, TimeSeries};
use proto::thanos as wire;
use proto::thanos::query_server::{Query as QueryService, QueryServer as WireServer};
use storage::{Budget, Ctx, PartialResponse};
use storeapi::{context, matchers_from_wire, shard_from_wire, status_from_error};
use tonic::metadata::MetadataMap;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::frame::Frame;
use crate::histogram::to_wire;
use crate::status::to_status;

/// The Query service; add it to the routes of a gRPC server.
#[derive(Debug)]
pub struct QueryServer {
    evaluator: Arc<dyn Evaluate>,
    budget: Arc<Budget>,
}

impl QueryServer {
    /// A server whose queries hold their bytes against `budget`, beside the evaluator's own limits.
    pub fn new(evaluator: Arc<dyn Evaluate>, budget: Arc<Budget>) -> Self {
        Self { evaluator, budget }
    }

    /// Adds the service to `routes`.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes.add_service(WireServer::new(self));
    }

    /// The context of a request; its own timeout counts, and that of the call.
    fn context(&self, metadata: &MetadataMap, timeout_s: i64) -> Ctx {
        let mut ctx = context(metadata, self.budget.clone());
        let timeout = u64::try_from(timeout_s).ok().filter(|s| *s > 0).map(Duration::from_secs);
        if let Some(own) = timeout.and_then(|t| Instant::now().checked_add(t)) {
            ctx.deadline = Some(ctx.deadline.map_or(own, |call| call.min(own)));
        }
        ctx
    }

    /// Evaluates; the work ends with this future, which is dropped when the caller goes away.
    async fn evaluate(&self, ctx: Ctx, asked: Asked) -> Result<QueryResult, Status> {
        let _guard = ctx.cancel.clone().drop_guard();
        self.evaluator.evaluate(&ctx, asked.query()?).await.map_err(to_status)
    }
}

struct Asked {
    text: String,
    times: Times,
    partial: bool,
    dedup: bool,
    replica_labels: Vec<String>,
    store_matchers: Vec<wire::StoreMatchers>,
    lookback_s: i64,
    max_resolution_s: i64,
    shard: Option<wire::ShardInfo>,
    engine: wire::EngineType,
}

impl Asked {
    fn query(self) -> Result<Query, Status> {
        let mut store_matchers = Vec::new();
        for selector in &self.store_matchers {
            store_matchers.push(matchers_from_wire(&selector.label_matchers).map_err(status_from_error)?);
        }
        let read = ReadOptions {
            dedup: self.dedup,
            replica_labels: (!self.replica_labels.is_empty()).then_some(self.replica_labels),
            store_matchers,
            partial_response: if self.partial { PartialResponse::Warn } else { PartialResponse::Abort },
            max_resolution_ms: ms(self.max_resolution_s.max(0)),
            lookback_ms: ms(self.lookback_s.max(0)),
            shard: shard_from_wire(self.shard),
            ..ReadOptions::default()
        };
        let engine = match self.engine {
            wire::EngineType::Default => EngineChoice::Default,
            wire::EngineType::Prometheus => EngineChoice::Prometheus,
            wire::EngineType::Thanos => EngineChoice::Thanos,
        };
        Ok(Query {
            text: self.text,
            expr: None,
            times: self.times,
            read,
            limits: QueryLimits::default(),
            engine,
            per_step_stats: false,
            analyze: false,
        })
    }
}

/// Seconds of a request, which may be any number, in ms.
fn ms(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}

type Frames<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl QueryService for QueryServer {
    type QueryStream = Frames<wire::QueryResponse>;
    type QueryRangeStream = Frames<wire::QueryRangeResponse>;

    async fn query(&self, request: Request<wire::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let ctx = self.context(request.metadata(), request.get_ref().timeout_seconds);
        let r = request.into_inner();
        let asked = Asked {
            engine: r.engine(),
            text: r.query,
            times: Times::Instant(ms(r.time_seconds)),
            partial: r.enable_partial_response,
            dedup: r.enable_dedup,
            replica_labels: r.replica_labels,
            store_matchers: r.store_matchers,
            lookback_s: r.lookback_delta_seconds,
            max_resolution_s: r.max_resolution_seconds,
            shard: r.shard_info,
        };
        let frames = frames(self.evaluate(ctx, asked).await?).map(|frame| Ok(frame.into()));
        Ok(Response::new(Box::pin(stream::iter(frames))))
    }

    async fn query_range(
        &self,
        request: Request<wire::QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        let ctx = self.context(request.metadata(), request.get_ref().timeout_seconds);
        let r = request.into_inner();
        let (start_ms, end_ms, step_ms) = (ms(r.start_time_seconds), ms(r.end_time_seconds), ms(r.interval_seconds));
        let asked = Asked {
            engine: r.engine(),
            text: r.query,
            times: Times::Range(Grid { start_ms, end_ms, step_ms }),
            partial: r.enable_partial_response,
            dedup: r.enable_dedup,
            replica_labels: r.replica_labels,
            store_matchers: r.store_matchers,
            lookback_s: r.lookback_delta_seconds,
            max_resolution_s: r.max_resolution_seconds,
            shard: r.shard_info,
        };
        let frames = frames(self.evaluate(ctx, asked).await?).map(|frame| Ok(frame.into()));
        Ok(Response::new(Box::pin(stream::iter(frames))))
    }
}

/// The answer as frames: warnings, series, statistics. A series is put into its message when its turn comes, and what the
/// answer counts for in the budget is held until all is sent.
fn frames(result: QueryResult) -> impl Iterator<Item = Frame> + Send {
    let QueryResult { value, annotations, stats, held } = result;
    let series: Box<dyn Iterator<Item = TimeSeries> + Send> = match value {
        Value::Scalar { time_ms, value } => {
            Box::new(std::iter::once(time_series(&Labels::empty(), vec![(time_ms, value)], Vec::new())))
        }
        // The protocol has no strings.
        Value::String { .. } => Box::new(std::iter::empty()),
        Value::Vector { time_ms, samples } => Box::new(samples.into_iter().map(move |s| match &s.histogram {
            None => time_series(&s.labels, vec![(time_ms, s.value)], Vec::new()),
            Some(h) => time_series(&s.labels, Vec::new(), vec![to_wire(time_ms, h)]),
        })),
        Value::Matrix(matrix) => {
            let grid = matrix.grid;
            Box::new(matrix.series.into_iter().map(move |s| {
                let histograms = s.histograms(grid).map(|(t, h)| to_wire(t, h)).collect();
                time_series(&s.labels, s.floats(grid).collect(), histograms)
            }))
        }
    };
    let stats = wire::QueryStats {
        samples_total: i64::try_from(stats.total_samples).unwrap_or(i64::MAX),
        peak_samples: i64::try_from(stats.peak_samples).unwrap_or(i64::MAX),
    };
    let warnings = annotations.texts(Severity::Warning, 0).into_iter().map(Frame::Warning);
    let frames = warnings.chain(series.map(Frame::Series)).chain(std::iter::once(Frame::Stats(stats)));
    frames.inspect(move |_| _ = &held)
}

fn time_series(labels: &Labels, samples: Vec<(i64, f64)>, histograms: Vec<Histogram>) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(n, v)| Label { name: n.to_owned(), value: v.to_owned() }).collect(),
        samples: samples.into_iter().map(|(timestamp, value)| Sample { value, timestamp }).collect(),
        exemplars: Vec::new(),
        histograms,
    }
}
