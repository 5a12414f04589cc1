//! An endpoint that serves the Query service, as an evaluator.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{BoxFuture, ready};
use promql::{EngineChoice, Evaluate, Query, QueryError, QueryResult, ReadOptions, Times, Value};
use promql_syntax::{Expr, ParseOptions, ValueType, parse_with};
use proto::thanos as wire;
use proto::thanos::query_client::QueryClient as WireClient;
use storage::{Ctx, PartialResponse};
use storeapi::{Patience, matchers_to_wire, request, shard_to_wire};
use tonic::{Response, Status, Streaming};
use transport::grpc::{Channel, MESSAGE_BYTES_MAX};

use crate::frame::Frame;
use crate::received::{Kind, Received};
use crate::status::from_status;

/// Series asked for in one frame.
const BATCH: i64 = 64;

/// Evaluates at a remote endpoint.
///
/// The protocol has whole seconds, so queries with other times, steps or lookbacks are refused. It carries warnings but no
/// infos, of the statistics the counts of samples, and no [`ReadOptions::auto_resolution`]: a resolution is a limit there.
#[derive(Debug, Clone)]
pub struct QueryClient {
    name: Arc<str>,
    channel: Channel,
}

impl QueryClient {
    /// An endpoint called `name` in errors and warnings (its address).
    pub fn new(name: &str, channel: Channel) -> Self {
        Self { name: name.into(), channel }
    }
}

impl Evaluate for QueryClient {
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let began = Instant::now();
        let (expr, text) = match sent(&query) {
            Ok(sent) => sent,
            Err(e) => return Box::pin(ready(Err(e))),
        };
        if let (Times::Instant(time_ms), Expr::String(string)) = (query.times, expr.unparen()) {
            return Box::pin(ready(Ok(alone(Value::String { time_ms, value: string.value.clone() }))));
        }
        let kind = match (query.times, expr.value_type()) {
            (Times::Range(grid), _) => Kind::Matrix(grid),
            (Times::Instant(time_ms), ValueType::Scalar) => Kind::Scalar { time_ms },
            (Times::Instant(time_ms), ValueType::Matrix) => Kind::Matrix(promql::Grid::instant(time_ms)),
            (Times::Instant(time_ms), _) => Kind::Vector { time_ms },
        };
        let (client, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let mut result = match query.times {
                Times::Instant(time_ms) => client.instant(&ctx, text, time_ms, &query, kind).await?,
                Times::Range(grid) => client.range(&ctx, text, grid, &query, kind).await?,
            };
            result.stats.eval_seconds = began.elapsed().as_secs_f64();
            Ok(result)
        })
    }
}

/// The query as it is sent, and its tree. As long as the tree is that of the text, the text is sent, so that positions in
/// warnings are the client's.
fn sent(query: &Query) -> Result<(Arc<Expr>, String), QueryError> {
    let parsed = parse_with(&query.text, &ParseOptions::ALL);
    Ok(match &query.expr {
        Some(expr) if parsed.as_ref().is_ok_and(|p| *p == **expr) => (expr.clone(), query.text.clone()),
        Some(expr) => (expr.clone(), expr.to_string()),
        None => (Arc::new(parsed?), query.text.clone()),
    })
}

/// An answer that took nothing.
fn alone(value: Value) -> QueryResult {
    QueryResult { value, annotations: Default::default(), stats: Default::default(), held: None }
}

/// The read options as both requests have them.
struct Read {
    lookback_s: i64,
    max_resolution_s: i64,
    timeout_s: i64,
    store_matchers: Vec<wire::StoreMatchers>,
    engine: i32,
    partial: bool,
}

impl QueryClient {
    fn wire(&self) -> WireClient<Channel> {
        WireClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    async fn instant(
        &self,
        ctx: &Ctx,
        text: String,
        time_ms: i64,
        query: &Query,
        kind: Kind,
    ) -> Result<QueryResult, QueryError> {
        let read = self.read(ctx, query)?;
        let message = wire::QueryRequest {
            query: text,
            time_seconds: self.seconds("time", time_ms)?,
            timeout_seconds: read.timeout_s,
            max_resolution_seconds: read.max_resolution_s,
            replica_labels: query.read.replica_labels.clone().unwrap_or_default(),
            store_matchers: read.store_matchers,
            enable_dedup: query.read.dedup,
            enable_partial_response: read.partial,
            skip_chunks: false,
            shard_info: query.read.shard.as_ref().map(shard_to_wire),
            lookback_delta_seconds: read.lookback_s,
            engine: read.engine,
            query_plan: None,
            response_batch_size: BATCH,
        };
        let (mut client, request) = (self.wire(), request(ctx, message));
        let call = async { client.query(request).await };
        self.gather(ctx, kind, call).await
    }

    async fn range(
        &self,
        ctx: &Ctx,
        text: String,
        grid: promql::Grid,
        query: &Query,
        kind: Kind,
    ) -> Result<QueryResult, QueryError> {
        let read = self.read(ctx, query)?;
        let message = wire::QueryRangeRequest {
            query: text,
            start_time_seconds: self.seconds("start", grid.start_ms)?,
            end_time_seconds: self.seconds("end", grid.end_ms)?,
            interval_seconds: self.seconds("step", grid.step_ms)?,
            timeout_seconds: read.timeout_s,
            max_resolution_seconds: read.max_resolution_s,
            replica_labels: query.read.replica_labels.clone().unwrap_or_default(),
            store_matchers: read.store_matchers,
            enable_dedup: query.read.dedup,
            enable_partial_response: read.partial,
            skip_chunks: false,
            shard_info: query.read.shard.as_ref().map(shard_to_wire),
            lookback_delta_seconds: read.lookback_s,
            engine: read.engine,
            query_plan: None,
            response_batch_size: BATCH,
        };
        let (mut client, request) = (self.wire(), request(ctx, message));
        let call = async { client.query_range(request).await };
        self.gather(ctx, kind, call).await
    }

    /// Makes the call and reads all frames.
    async fn gather<F: Into<Frame>>(
        &self,
        ctx: &Ctx,
        kind: Kind,
        call: impl Future<Output = Result<Response<Streaming<F>>, Status>>,
    ) -> Result<QueryResult, QueryError> {
        let failed = |status: Status| from_status(&self.name, &status);
        let (mut patience, mut received) = (Patience::new(ctx), Received::new(&self.name, ctx, kind)?);
        let call = async { call.await.map_err(failed) };
        let mut frames = patience.wait(&self.name, call).await?.into_inner();
        loop {
            let next = async { frames.message().await.map_err(failed) };
            match patience.wait(&self.name, next).await? {
                None => return received.finish(),
                Some(frame) => received.frame(frame.into())?,
            }
        }
    }

    fn read(&self, ctx: &Ctx, query: &Query) -> Result<Read, QueryError> {
        let ReadOptions { store_matchers, partial_response, max_resolution_ms, lookback_ms, .. } = &query.read;
        let engine = match query.engine {
            EngineChoice::Default => wire::EngineType::Default,
            EngineChoice::Prometheus => wire::EngineType::Prometheus,
            EngineChoice::Thanos => wire::EngineType::Thanos,
        };
        let left = ctx.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let selector = |set: &Vec<_>| wire::StoreMatchers { label_matchers: matchers_to_wire(set) };
        Ok(Read {
            lookback_s: self.seconds("lookback", *lookback_ms)?,
            // A shorter window is within the limit too.
            max_resolution_s: max_resolution_ms / 1000,
            // Not less than is left: 0 would be no limit.
            timeout_s: left.map_or(0, |left| i64::try_from(left.as_secs()).unwrap_or(i64::MAX).saturating_add(1)),
            store_matchers: store_matchers.iter().map(selector).collect(),
            engine: engine as i32,
            partial: *partial_response == PartialResponse::Warn,
        })
    }

    /// A time or duration as the protocol has it.
    fn seconds(&self, what: &str, ms: i64) -> Result<i64, QueryError> {
        if ms % 1000 != 0 {
            let name = &self.name;
            return Err(QueryError::Bad(format!("{name} takes whole seconds: the {what} of {ms} ms cannot be sent")));
        }
        Ok(ms / 1000)
    }
}
