//! `status/tsdb`: cardinality statistics, all endpoints' together.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use storage::{Answer, StatisticsQuery, TsdbStatistics};
use transport::http::answers::ErrorKind;

use crate::envelope::{Answered, stream_success, success};
use crate::error::{ApiError, internal};
use crate::json::Once;
use crate::params::Params;
use crate::request::{RequestCtx, partial_response};
use crate::shared::Shared;
use crate::values::parse_int;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/status/tsdb", get(tsdb)).route("/status/tsdb/blocks", get(blocks))
}

/// The longest list that may be asked for; Prometheus' own bound.
const LIMIT_MAX: i64 = 10_000;
/// Bytes of blocks in one page.
const PAGE_BYTES_MAX: usize = 190_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatisticsJson {
    head_stats: HeadJson,
    series_count_by_metric_name: Vec<Entry>,
    label_value_count_by_label_name: Vec<Entry>,
    memory_in_bytes_by_label_name: Vec<Entry>,
    series_count_by_label_value_pair: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadJson {
    num_series: u64,
    num_label_pairs: i64,
    chunk_count: i64,
    min_time: i64,
    max_time: i64,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    value: u64,
}

/// The blocks' `meta.json`, as they are: all, as Prometheus has it, or a page of those after the block `next`.
async fn blocks(State(shared): State<Shared>, params: Params) -> Answered {
    let mut metas = shared.server()?.tsdb.blocks();
    let json = match params.limit()? {
        0 => format!("{{\"blocks\":[{}]}}", metas.join(",")),
        limit => {
            let total = metas.len();
            let next = cut(&mut metas, params.get("next"), limit);
            let next = next.map_or_else(String::new, |id| format!(",\"next\":{}", serde_json::Value::from(id)));
            format!("{{\"blocks\":[{}],\"total\":{total}{next}}}", metas.join(","))
        }
    };
    let annotations = shared.warned(Vec::new());
    let max = shared.state.options.annotations_max;
    Ok(stream_success(Vec::new(), Once(json.into_bytes()), Vec::new(), &annotations, max))
}

/// Leaves `limit` blocks of those after `after`, by id, and no more bytes than a page has; the last one's id if there are more.
fn cut(metas: &mut Vec<String>, after: &str, limit: usize) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        ulid: String,
    }
    let id = |json: &str| serde_json::from_str::<Named>(json).map(|named| named.ulid).unwrap_or_default();
    let mut named: Vec<_> = metas.drain(..).map(|json| (id(&json), json)).filter(|(id, _)| **id > *after).collect();
    named.sort_unstable();
    let mut bytes = 0;
    let fits = |(_, json): &&(String, String)| {
        bytes += json.len() + 1;
        bytes <= PAGE_BYTES_MAX
    };
    let kept = named.iter().take(limit).take_while(fits).count().max(1);
    let next = (kept < named.len()).then(|| named[kept - 1].0.clone());
    metas.extend(named.into_iter().take(kept).map(|(_, json)| json));
    next
}

async fn tsdb(State(shared): State<Shared>, params: Params) -> Answered {
    let limit = match params.get("limit") {
        "" => 10,
        text => match parse_int(text, "Atoi") {
            Ok(limit @ 1..=LIMIT_MAX) => limit as usize,
            Ok(limit) if limit > LIMIT_MAX => {
                return Err(ApiError::bad(format!("limit must not exceed {LIMIT_MAX}")));
            }
            _ => return Err(ApiError::bad("limit must be a positive number")),
        },
    };
    let request = RequestCtx::new(&params, &shared)?;
    let mut matchers = Vec::new();
    for text in params.all("match[]") {
        let set = promql_syntax::parse_series_matchers(text);
        matchers.extend(set.map_err(|why| ApiError::parameter("match[]", why))?);
    }
    let want = StatisticsQuery {
        limit,
        matchers: request.tenant.enforce(matchers),
        partial_response: partial_response(&params, shared.state.options.status_partial_response)?,
    };
    let answer = shared.state.inspect.statistics(&request.ctx, want).await;
    let Answer { value: mut by_tenant, warnings } = answer.map_err(|e| internal("retrieving tsdb statistics", e))?;
    let all = if request.tenant.matcher.is_some() {
        let id = &request.tenant.id;
        let Some(own) = by_tenant.remove(&**id) else {
            let text = format!("retrieving tsdb statistics: {id} tenant not found");
            return Err(ApiError::new(ErrorKind::Internal, text));
        };
        vec![own]
    } else {
        by_tenant.into_values().collect()
    };
    success(&merged(&all, limit), &shared.warned(warnings), shared.state.options.annotations_max)
}

fn merged(all: &[TsdbStatistics], limit: usize) -> StatisticsJson {
    let list = |pick: fn(&TsdbStatistics) -> &Vec<(String, u64)>| {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, value) in all.iter().flat_map(pick) {
            let sum = sums.entry(name).or_default();
            *sum = sum.saturating_add(*value);
        }
        let mut entries: Vec<_> = sums.into_iter().collect();
        // Largest first, by name among equals.
        entries.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
        entries.truncate(limit);
        entries.into_iter().map(|(name, value)| Entry { name: name.to_owned(), value }).collect()
    };
    StatisticsJson {
        head_stats: HeadJson {
            num_series: all.iter().map(|s| s.num_series).sum(),
            num_label_pairs: all.iter().map(|s| s.num_label_pairs).sum(),
            chunk_count: all.iter().map(|s| s.chunk_count).sum(),
            min_time: all.iter().map(|s| s.min_time).min().unwrap_or(0),
            max_time: all.iter().map(|s| s.max_time).max().unwrap_or(0),
        },
        series_count_by_metric_name: list(|s| &s.series_count_by_metric_name),
        label_value_count_by_label_name: list(|s| &s.label_value_count_by_label_name),
        memory_in_bytes_by_label_name: list(|s| &s.memory_in_bytes_by_label_name),
        series_count_by_label_value_pair: list(|s| &s.series_count_by_label_value_pair),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_blocks() {
        let metas =
            |long: usize| ["C", "A", "B"].map(|id| format!("{{\"ulid\":\"{id}\",\"x\":\"{}\"}}", "x".repeat(long)));
        for (long, limit, after, expected, next) in [
            (1, 2, "", "AB", Some("B")),
            (1, 2, "B", "C", None),
            (1, 3, "", "ABC", None),
            (1, 3, "C", "", None),
            (90_000, 3, "", "AB", Some("B")),
            // A page has a block, however long.
            (300_000, 3, "A", "B", Some("B")),
        ] {
            let mut left = metas(long).to_vec();
            assert_eq!(cut(&mut left, after, limit).as_deref(), next, "{long} {limit} {after}");
            assert_eq!(left.iter().map(|json| &json[9..10]).collect::<String>(), expected);
        }
    }
}
