//! `query`, `query_range` and their explanations.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use model::Annotations;
use promql::{Grid, Query, QueryResult, ReadOptions, Times, Value};
use promql_syntax::Expr;
use storage::Origin;
use tracing::{Instrument, Span};

use crate::envelope::{Answered, TRUNCATED, stream_success, success};
use crate::error::ApiError;
use crate::explain;
use crate::json::{Counted, MatrixJson, Once, VectorJson, write_plain_float, write_string, write_timestamp};
use crate::ledger::Asked;
use crate::params::Params;
use crate::request::{RequestCtx, engine, read_options};
use crate::shared::Shared;
use crate::stats;
use crate::values::{parse_duration, parse_time};

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/query", get(query).post(query))
        .route("/query_range", get(query_range).post(query_range))
        .route("/query_explain", get(query_explain).post(query_explain))
        .route("/query_range_explain", get(query_range_explain).post(query_range_explain))
        .route("/format_query", get(format_query).post(format_query))
        .route("/parse_query", get(parse_query).post(parse_query))
}

async fn query(State(shared): State<Shared>, params: Params) -> Answered {
    let limit = params.limit()?;
    let time_ms = params.time("time", shared.state.clock.now_ms())?;
    let request = RequestCtx::new(&params, &shared)?.noting_origins(&params);
    let options = &shared.state.options;
    let read = read_options(&params, options, options.instant_max_resolution_ms)?;
    let query = asked(&params, &shared, &request, read, Times::Instant(time_ms))?;
    evaluate(&params, &shared, &request, query, limit).await
}

async fn query_range(State(shared): State<Shared>, params: Params) -> Answered {
    let limit = params.limit()?;
    let grid = grid(&params, &shared)?;
    let request = RequestCtx::new(&params, &shared)?.noting_origins(&params);
    // Five raw samples between steps are as good as one downsampled one.
    let read = read_options(&params, &shared.state.options, grid.step_ms / 5)?;
    let query = asked(&params, &shared, &request, read, Times::Range(grid))?;
    shared.active.requested_range(grid.end_ms - grid.start_ms);
    evaluate(&params, &shared, &request, query, limit).await
}

/// A query of this request, parsed, with the tenant's matchers put in.
fn asked(
    params: &Params,
    shared: &Shared,
    request: &RequestCtx,
    read: ReadOptions,
    times: Times,
) -> Result<Query, ApiError> {
    Ok(Query {
        text: params.get("query").to_owned(),
        engine: engine(params)?,
        expr: Some(Arc::new(parsed(params, shared, request)?)),
        times,
        read,
        limits: promql::QueryLimits::default(),
        per_step_stats: params.get("stats") == "all",
        analyze: analyze(params),
    })
}

fn analyze(params: &Params) -> bool {
    matches!(params.get("analyze"), "true" | "1")
}

async fn evaluate(params: &Params, shared: &Shared, request: &RequestCtx, query: Query, limit: usize) -> Answered {
    let running = shared.active.start();
    let noted = shared.ledger.begin(noted(params, request, &query), request.ctx.cancel.clone());
    let span = span(query.times, &query.text);
    let outcome = shared.state.evaluator.evaluate(&request.ctx, query).instrument(span).await;
    noted.end(&outcome);
    let result = running.end(outcome)?;
    answer(params, shared, &request.origins(), result, limit)
}

/// What others see of a query.
fn noted(params: &Params, request: &RequestCtx, query: &Query) -> Asked {
    let header = |name| params.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Asked {
        text: query.text.clone(),
        times: query.times,
        tenant: request.tenant.id.to_string(),
        dashboard: header("x-dashboard-uid"),
        panel: header("x-panel-id"),
    }
}

/// The trace of an evaluation.
fn span(times: Times, query: &str) -> Span {
    let name = match times {
        Times::Instant(_) => "promql_instant_query",
        Times::Range(_) => "promql_range_query",
    };
    tracing::info_span!(target: telemetry::TRACE, "query", otel.name = name, query)
}

/// `/api/v1/query_explain`: the plan, and what was done to it.
async fn query_explain(State(shared): State<Shared>, params: Params) -> Answered {
    let time_ms = params.time("time", shared.state.clock.now_ms())?;
    explained(&params, &shared, Times::Instant(time_ms)).await
}

async fn query_range_explain(State(shared): State<Shared>, params: Params) -> Answered {
    let grid = grid(&params, &shared)?;
    explained(&params, &shared, Times::Range(grid)).await
}

async fn explained(params: &Params, shared: &Shared, times: Times) -> Answered {
    let request = RequestCtx::new(params, shared)?;
    let options = &shared.state.options;
    let (grid, auto_ms) = match times {
        Times::Instant(at) => (Grid::instant(at), options.instant_max_resolution_ms),
        Times::Range(grid) => (grid, grid.step_ms / 5),
    };
    let read = read_options(params, options, auto_ms)?;
    let query = asked(params, shared, &request, read, times)?;
    let expr = query.expr.clone().ok_or_else(|| ApiError::bad("no query"))?;
    let explained = promql::explain(&expr, grid, &options.engine)?;
    let evaluated = shared.state.evaluator.place(query).await;
    success(&explain::Plan::new(explained, evaluated), &Annotations::new(), options.annotations_max)
}

async fn format_query(State(shared): State<Shared>, params: Params) -> Answered {
    let expr = parse(params.get("query"), &shared)?;
    success(&promql_syntax::pretty(&expr), &Annotations::new(), 0)
}

async fn parse_query(State(shared): State<Shared>, params: Params) -> Answered {
    let expr = parse(params.get("query"), &shared)?;
    let json = promql_syntax::to_json(&expr);
    Ok(stream_success(Vec::new(), Once(json.into_bytes()), Vec::new(), &Annotations::new(), 0))
}

pub(crate) fn parse(text: &str, shared: &Shared) -> Result<Expr, ApiError> {
    let options = &shared.state.options.engine.parse;
    promql_syntax::parse_with(text, options).map_err(|why| ApiError::parameter("query", why))
}

/// The query with the tenant's matchers put in.
fn parsed(params: &Params, shared: &Shared, request: &RequestCtx) -> Result<Expr, ApiError> {
    let mut expr = parse(params.get("query"), shared)?;
    request.tenant.enforce_query(&mut expr);
    Ok(expr)
}

/// The steps of a range query.
fn grid(params: &Params, shared: &Shared) -> Result<Grid, ApiError> {
    let time = |name| parse_time(params.get(name)).map_err(|why| ApiError::parameter(name, why));
    let (start_ms, end_ms) = (time("start")?, time("end")?);
    if end_ms < start_ms {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let length_ms = end_ms.saturating_sub(start_ms);
    let step_ms = match params.parsed("step", parse_duration)? {
        Some(step_ms) => step_ms,
        // As many steps as a graph has pixels for.
        None => (length_ms / 1000 / 250 * 1000).max(shared.state.options.default_step_ms),
    };
    if step_ms <= 0 {
        let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", text));
    }
    let max = shared.state.options.engine.max_points_per_series;
    if max > 0 && (length_ms / step_ms) as u64 > max {
        let max = thousands(max);
        return Err(ApiError::bad(format!(
            "exceeded maximum resolution of {max} points per timeseries. Try decreasing the query resolution (?step=XX)"
        )));
    }
    Ok(Grid { start_ms, end_ms, step_ms })
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn answer(params: &Params, shared: &Shared, origins: &[Origin], mut result: QueryResult, limit: usize) -> Answered {
    let mut annotations = shared.warned(Vec::new());
    annotations.merge(std::mem::take(&mut result.annotations));
    if limit > 0 && truncate(&mut result.value, limit) {
        annotations.warn(TRUNCATED);
    }
    let mut after = Vec::new();
    match params.get("stats") {
        "" => {}
        kind => {
            if !matches!(kind, "true" | "all") {
                annotations.warn(format!(
                    "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \
                     \"true\" or \"all\"",
                    labels::quote(kind)
                ));
            }
            after.extend_from_slice(b",\"stats\":");
            stats::write(&mut after, &result.stats, origins);
        }
    }
    if analyze(params) {
        after.extend_from_slice(b",\"analysis\":");
        explain::write_analysis(&mut after, &result.stats);
    }
    after.push(b'}');
    let max = shared.state.options.annotations_max;
    let head = |kind: &str| format!("{{\"resultType\":\"{kind}\",\"result\":").into_bytes();
    Ok(match result.value {
        Value::Matrix(matrix) => {
            stream_success(head("matrix"), Counted::new(MatrixJson::new(matrix), result.held), after, &annotations, max)
        }
        Value::Vector { time_ms, samples } => stream_success(
            head("vector"),
            Counted::new(VectorJson::new(time_ms, samples), result.held),
            after,
            &annotations,
            max,
        ),
        Value::Scalar { time_ms, value } => {
            let mut point = vec![b'['];
            write_timestamp(&mut point, time_ms);
            point.extend_from_slice(b",\"");
            write_plain_float(&mut point, value);
            point.extend_from_slice(b"\"]");
            stream_success(head("scalar"), Once(point), after, &annotations, max)
        }
        Value::String { time_ms, value } => {
            let mut point = vec![b'['];
            write_timestamp(&mut point, time_ms);
            point.push(b',');
            write_string(&mut point, &value);
            point.push(b']');
            stream_success(head("string"), Once(point), after, &annotations, max)
        }
    })
}

fn truncate(value: &mut Value, limit: usize) -> bool {
    match value {
        Value::Matrix(matrix) if matrix.series.len() > limit => matrix.series.truncate(limit),
        Value::Vector { samples, .. } if samples.len() > limit => samples.truncate(limit),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (11_000, "11,000"), (1_234_567, "1,234,567")] {
            assert_eq!(super::thousands(number), text);
        }
    }
}
