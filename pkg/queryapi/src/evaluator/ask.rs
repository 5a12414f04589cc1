//! The question: a query, how its data is read, limits and settings of the engine.

use std::time::Instant;

use dedup::Method;
use promql::{EngineOptions, Grid, Passes, Query, ReadOptions, Times};
use promql_syntax::ParseOptions;
use proto::aion as wire;
use storage::{Ctx, PartialResponse};
use tonic::Status;

/// What is asked of an evaluator beside the query.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub query: Query,
    pub method: Method,
    pub options: EngineOptions,
    /// How long it may take, ms; 0 = no limit.
    pub timeout_ms: u64,
}

/// The question in its message. The query's own limits are in `options` already, the replica labels in its read options.
pub(super) fn to_wire(
    ctx: &Ctx,
    version: String,
    query: &Query,
    method: Method,
    options: &EngineOptions,
) -> wire::EvaluateRequest {
    let (start_ms, end_ms, step_ms) = match query.times {
        Times::Instant(at) => (at, at, 0),
        Times::Range(grid) => (grid.start_ms, grid.end_ms, grid.step_ms),
    };
    let left = ctx.deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let read = &query.read;
    wire::EvaluateRequest {
        version,
        query: query.text.clone(),
        start_ms,
        end_ms,
        step_ms,
        // Not less than is left: 0 would be no limit.
        timeout_ms: left.map_or(0, |left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX).saturating_add(1)),
        read: Some(wire::EvaluateRead {
            dedup: read.dedup,
            replica_labels: read.replica_labels.clone().unwrap_or_default(),
            chain: method == Method::Chain,
            abort: read.partial_response == PartialResponse::Abort,
            max_resolution_ms: read.max_resolution_ms,
            auto_resolution: read.auto_resolution,
            lookback_ms: read.lookback_ms,
        }),
        limits: Some(wire::EvaluateLimits {
            samples: options.max_samples as u64,
            series: options.max_series,
            bytes: options.max_query_bytes,
            label_bytes: options.max_label_bytes as u64,
            points: options.max_points_per_series,
            regex_bytes: options.parse.max_regex_bytes as u64,
        }),
        engine: Some(wire::EvaluateEngine {
            subquery_step_ms: options.default_subquery_step_ms,
            delayed_name_removal: options.delayed_name_removal,
            type_and_unit_labels: options.type_and_unit_labels,
            use_start_timestamps: options.use_start_timestamps,
            disabled_passes: Passes::names().filter(|p| !options.passes.has(p)).map(str::to_owned).collect(),
        }),
    }
}

/// The question out of its message, for an engine that has the settings `base` where nothing is said.
///
/// # Errors
/// A status, for passes that there are none of.
pub(super) fn from_wire(asked: wire::EvaluateRequest, base: &EngineOptions) -> Result<Asked, Status> {
    let wire::EvaluateRequest { query, start_ms, end_ms, step_ms, timeout_ms, read, limits, engine, .. } = asked;
    let (read, limits, engine) = (read.unwrap_or_default(), limits.unwrap_or_default(), engine.unwrap_or_default());
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let passes = Passes::ALL.without(&engine.disabled_passes).map_err(Status::invalid_argument)?;
    let options = EngineOptions {
        max_samples: count(limits.samples),
        max_series: limits.series,
        max_query_bytes: limits.bytes,
        max_label_bytes: count(limits.label_bytes),
        max_points_per_series: limits.points,
        default_subquery_step_ms: engine.subquery_step_ms.max(1),
        delayed_name_removal: engine.delayed_name_removal,
        type_and_unit_labels: engine.type_and_unit_labels,
        use_start_timestamps: engine.use_start_timestamps,
        passes,
        // The asker has parsed it by its own settings.
        parse: ParseOptions { max_regex_bytes: count(limits.regex_bytes), ..ParseOptions::ALL },
        timeout_ms: 0,
        ..base.clone()
    };
    let method = if read.chain { Method::Chain } else { Method::Penalty };
    let read = ReadOptions {
        dedup: read.dedup,
        replica_labels: Some(read.replica_labels),
        partial_response: if read.abort { PartialResponse::Abort } else { PartialResponse::Warn },
        max_resolution_ms: read.max_resolution_ms.max(0),
        auto_resolution: read.auto_resolution,
        lookback_ms: read.lookback_ms.max(0),
        ..ReadOptions::default()
    };
    let query = match step_ms {
        0 => Query::instant(query, start_ms),
        step_ms => Query { times: Times::Range(Grid { start_ms, end_ms, step_ms }), ..Query::instant(query, 0) },
    };
    let timeout_ms = u64::try_from(timeout_ms).unwrap_or(0);
    Ok(Asked { query: query.reading(read), method, options, timeout_ms })
}
