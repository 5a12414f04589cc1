//! `metadata` and `query_exemplars`.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use model::{MAX_TIME_MS, MIN_TIME_MS, MetricMetadata, TimeRange};
use promql_syntax::selectors;
use serde::Serialize;
use storage::{Answer, ExemplarsQuery, MetadataQuery};

use crate::envelope::{Answered, stream_success, success};
use crate::error::{ApiError, internal};
use crate::json::{Once, write_float, write_labels, write_timestamp};
use crate::params::Params;
use crate::request::{RequestCtx, partial_response};
use crate::shared::Shared;
use crate::values::parse_int;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/query_exemplars", get(query_exemplars).post(query_exemplars))
        .route("/metadata", get(metadata))
}

#[derive(Debug, Serialize)]
struct MetadataJson<'a> {
    #[serde(rename = "type")]
    metric_type: &'a str,
    help: &'a str,
    unit: &'a str,
}

/// `/api/v1/metadata`: type, help and unit by metric.
async fn metadata(State(shared): State<Shared>, params: Params) -> Answered {
    let number = |name: &'static str| match params.get(name) {
        "" => Ok(None),
        text => match parse_int(text, "Atoi") {
            Ok(number) => Ok(usize::try_from(number).ok()),
            Err(_) => Err(ApiError::bad(format!("{name} must be a number"))),
        },
    };
    let (limit, per_metric) = (number("limit")?, number("limit_per_metric")?.unwrap_or(0));
    let request = RequestCtx::new(&params, &shared)?;
    let want = MetadataQuery {
        metric: params.get("metric").to_owned(),
        limit: limit.unwrap_or(0),
        limit_per_metric: per_metric,
        partial_response: partial_response(&params, shared.state.options.metadata_partial_response)?,
    };
    let answer = shared.state.inspect.metadata(&request.ctx, want).await;
    let Answer { value: found, warnings } = answer.map_err(|e| internal("retrieving metadata", e))?;
    let metrics: BTreeMap<&str, Vec<MetadataJson<'_>>> = found
        .iter()
        .filter(|(metric, _)| params.get("metric").is_empty() || params.get("metric") == *metric)
        .take(limit.unwrap_or(usize::MAX))
        .map(|(metric, entries)| {
            let kept = if per_metric == 0 { entries.len() } else { per_metric };
            (metric.as_str(), entries.iter().take(kept).map(entry_json).collect())
        })
        .collect();
    success(&metrics, &shared.warned(warnings), shared.state.options.annotations_max)
}

fn entry_json(entry: &MetricMetadata) -> MetadataJson<'_> {
    MetadataJson { metric_type: &entry.metric_type, help: &entry.help, unit: &entry.unit }
}

/// `/api/v1/query_exemplars`: exemplars of the series that a query selects.
async fn query_exemplars(State(shared): State<Shared>, params: Params) -> Answered {
    let range = TimeRange::new(params.time("start", MIN_TIME_MS)?, params.time("end", MAX_TIME_MS)?);
    if range.is_empty() {
        return Err(ApiError::bad("end timestamp must not be before start timestamp"));
    }
    let request = RequestCtx::new(&params, &shared)?;
    // Prometheus gives this error without the parameter's name.
    let text = params.get("query");
    let parsed = promql_syntax::parse_with(text, &shared.state.options.engine.parse);
    let mut expr = parsed.map_err(|why| ApiError::bad(why.to_string()))?;
    request.tenant.enforce_query(&mut expr);
    let wanted = selectors(&expr);
    let mut json = vec![b'['];
    let mut said = Vec::new();
    if !wanted.is_empty() {
        let want = ExemplarsQuery {
            // Endpoints parse the text themselves: it must say what the matchers say.
            query: if request.tenant.matcher.is_some() { expr.to_string() } else { text.to_owned() },
            selectors: wanted.into_iter().map(|s| s.matchers.to_vec()).collect(),
            range,
            partial_response: partial_response(&params, shared.state.options.exemplars_partial_response)?,
        };
        let answer = shared.state.inspect.exemplars(&request.ctx, want).await;
        let Answer { value: found, warnings } = answer.map_err(|e| internal("retrieving exemplars", e))?;
        said = warnings;
        for (i, series) in found.iter().enumerate() {
            if i > 0 {
                json.push(b',');
            }
            json.extend_from_slice(b"{\"seriesLabels\":");
            write_labels(&mut json, &series.labels);
            json.extend_from_slice(b",\"exemplars\":[");
            for (j, exemplar) in series.exemplars.iter().enumerate() {
                if j > 0 {
                    json.push(b',');
                }
                json.extend_from_slice(b"{\"labels\":");
                write_labels(&mut json, &exemplar.labels);
                json.extend_from_slice(b",\"value\":\"");
                write_float(&mut json, exemplar.value);
                json.extend_from_slice(b"\",\"timestamp\":");
                write_timestamp(&mut json, exemplar.timestamp_ms);
                json.push(b'}');
            }
            json.extend_from_slice(b"]}");
        }
    }
    json.push(b']');
    let max = shared.state.options.annotations_max;
    Ok(stream_success(Vec::new(), Once(json), Vec::new(), &shared.warned(said), max))
}
