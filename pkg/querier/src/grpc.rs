//! The Query service: PromQL over gRPC, for queriers and rulers that stack on this one.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{QuerySource, SourceOptions};
use futures::stream::{self, Stream};
use labels::Labels;
use promql::{Engine, Points, QueryError, QueryOptions, QueryResult, Value};
use proto::prometheus_copy::{Label, Sample, TimeSeries};
use proto::thanos as wire;
use proto::thanos::query_server::{Query, QueryServer};
use storage::{Budget, Ctx, PartialResponse};
use storeapi::{matchers_from_wire, status_from_error};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

/// Serves PromQL.
pub(crate) struct QueryService {
    engine: Arc<Engine>,
    source: Arc<dyn QuerySource>,
    budget: Arc<Budget>,
}

impl QueryService {
    pub fn new(engine: Arc<Engine>, source: Arc<dyn QuerySource>, budget: Arc<Budget>) -> Self {
        Self { engine, source, budget }
    }

    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes.add_service(QueryServer::new(self));
    }

    fn context(&self, timeout_s: i64) -> (Ctx, DropGuard) {
        let bytes_max = self.engine.options().max_query_bytes;
        let ctx = Ctx {
            cancel: CancellationToken::new(),
            deadline: u64::try_from(timeout_s).ok().filter(|s| *s > 0).map(|s| Instant::now() + Duration::from_secs(s)),
            budget: Budget::new("this query", "--query.max-bytes", bytes_max, Some(self.budget.clone())),
            tenant: "".into(),
            report: None,
        };
        let guard = ctx.cancel.clone().drop_guard();
        (ctx, guard)
    }

    fn options(&self, asked: Asked) -> Result<(SourceOptions, QueryOptions), Status> {
        let partial_response = if asked.partial { PartialResponse::Warn } else { PartialResponse::Abort };
        let mut store_matchers = Vec::new();
        for selector in &asked.store_matchers {
            store_matchers.push(matchers_from_wire(&selector.label_matchers).map_err(status_from_error)?);
        }
        let lookback_ms = Some(ms(asked.lookback_s)).filter(|ms| *ms > 0);
        let max_resolution_ms = ms(asked.max_resolution_s.max(0));
        let source = SourceOptions {
            dedup: asked.dedup,
            replica_labels: (!asked.replica_labels.is_empty()).then_some(asked.replica_labels),
            store_matchers,
            partial_response,
            max_resolution_ms,
            lookback_ms: lookback_ms.unwrap_or(self.engine.options().lookback_ms),
            ..SourceOptions::default()
        };
        let query = QueryOptions { lookback_ms, max_resolution_ms, partial_response, ..QueryOptions::default() };
        Ok((source, query))
    }
}

/// Seconds of a request, which may be any number, in ms.
fn ms(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}

/// What both requests have.
struct Asked {
    partial: bool,
    dedup: bool,
    replica_labels: Vec<String>,
    store_matchers: Vec<wire::StoreMatchers>,
    lookback_s: i64,
    max_resolution_s: i64,
}

type Frames<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Query for QueryService {
    type QueryStream = Frames<wire::QueryResponse>;
    type QueryRangeStream = Frames<wire::QueryRangeResponse>;

    async fn query(&self, request: Request<wire::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        use wire::query_response::Result as Item;
        let r = request.into_inner();
        let (ctx, _guard) = self.context(r.timeout_seconds);
        let (source, options) = self.options(Asked {
            partial: r.enable_partial_response,
            dedup: r.enable_dedup,
            replica_labels: r.replica_labels,
            store_matchers: r.store_matchers,
            lookback_s: r.lookback_delta_seconds,
            max_resolution_s: r.max_resolution_seconds,
        })?;
        let source = self.source.for_request(source).map_err(status_from_error)?;
        let result = self.engine.instant(&ctx, source, &r.query, ms(r.time_seconds), &options).await.map_err(status)?;
        let items = frames(result).map(|frame| match frame {
            Frame::Warning(text) => Item::Warnings(text),
            Frame::Series(series) => Item::Timeseries(series),
        });
        let items: Vec<_> = items.map(|result| Ok(wire::QueryResponse { result: Some(result) })).collect();
        Ok(Response::new(Box::pin(stream::iter(items))))
    }

    async fn query_range(
        &self,
        request: Request<wire::QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        use wire::query_range_response::Result as Item;
        let r = request.into_inner();
        let (ctx, _guard) = self.context(r.timeout_seconds);
        let (source, options) = self.options(Asked {
            partial: r.enable_partial_response,
            dedup: r.enable_dedup,
            replica_labels: r.replica_labels,
            store_matchers: r.store_matchers,
            lookback_s: r.lookback_delta_seconds,
            max_resolution_s: r.max_resolution_seconds,
        })?;
        let source = self.source.for_request(source).map_err(status_from_error)?;
        let (start, end, step) = (ms(r.start_time_seconds), ms(r.end_time_seconds), ms(r.interval_seconds));
        let result = self.engine.range(&ctx, source, &r.query, start, end, step, &options).await.map_err(status)?;
        let items = frames(result).map(|frame| match frame {
            Frame::Warning(text) => Item::Warnings(text),
            Frame::Series(series) => Item::Timeseries(series),
        });
        let items: Vec<_> = items.map(|result| Ok(wire::QueryRangeResponse { result: Some(result) })).collect();
        Ok(Response::new(Box::pin(stream::iter(items))))
    }
}

enum Frame {
    Warning(String),
    Series(TimeSeries),
}

fn frames(result: QueryResult) -> impl Iterator<Item = Frame> {
    let series: Vec<TimeSeries> = match result.value {
        Value::Scalar { time_ms, value } => vec![series(&Labels::empty(), vec![(time_ms, value)])],
        Value::String { .. } => Vec::new(),
        Value::Vector { time_ms, samples } => {
            samples.into_iter().map(|s| series(&s.labels, vec![(time_ms, s.value)])).collect()
        }
        Value::Matrix(matrix) => {
            let grid = matrix.grid;
            let points = |p: &Points| match p {
                Points::Steps(column) => {
                    (0..column.steps()).filter_map(|i| Some((grid.time(i), column.get(i)?))).collect()
                }
                Points::Samples(column) => column.iter().collect(),
            };
            matrix.series.iter().map(|s| series(&s.labels, points(&s.points))).collect()
        }
    };
    let warnings: Vec<String> = result.annotations.texts(model::Severity::Warning, 0);
    warnings.into_iter().map(Frame::Warning).chain(series.into_iter().map(Frame::Series))
}

fn series(labels: &Labels, samples: Vec<(i64, f64)>) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(n, v)| Label { name: n.to_owned(), value: v.to_owned() }).collect(),
        samples: samples.into_iter().map(|(timestamp, value)| Sample { value, timestamp }).collect(),
        exemplars: Vec::new(),
        histograms: Vec::new(),
    }
}

fn status(error: QueryError) -> Status {
    match error {
        QueryError::Storage(e) => status_from_error(e),
        QueryError::Parse(_) | QueryError::Bad(_) => Status::invalid_argument(error.to_string()),
        QueryError::Limit(_) => Status::resource_exhausted(error.to_string()),
        QueryError::Timeout(_) => Status::deadline_exceeded(error.to_string()),
        QueryError::Canceled(_) => Status::cancelled(error.to_string()),
        _ => Status::aborted(error.to_string()),
    }
}
