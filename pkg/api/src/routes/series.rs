//! `series`, `labels`, `label/<name>/values`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use axum::routing::get;
use futures::StreamExt;
use labels::{Labels, Matcher};
use model::{Annotations, MAX_TIME_MS, MIN_TIME_MS, TimeRange};
use storage::{LabelQuery, Reservation, Select, SeriesEvent, SeriesStream, merge_streams};

use crate::envelope::{Answered, TRUNCATED, stream_success};
use crate::error::ApiError;
use crate::json::{Counted, LabelSets, Names};
use crate::params::Params;
use crate::request::{RequestCtx, label_source, parse_selectors};
use crate::shared::Shared;
use crate::values::unescape_label_name;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/series", get(series).post(series))
        .route("/labels", get(label_names).post(label_names))
        .route("/label/{name}/values", get(label_values))
}

/// `/api/v1/series`: the label sets of series that match any of `match[]`.
async fn series(State(shared): State<Shared>, params: Params) -> Answered {
    if params.all("match[]").is_empty() {
        return Err(ApiError::bad("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let range = range(&params, &shared)?;
    let request = RequestCtx::new(&params, &shared)?;
    let mut sets = matcher_sets(&params, &shared, &request).map_err(|why| ApiError::parameter("match[]", why.text))?;
    if range.min > range.max {
        sets.clear();
    }
    // Any resolution will do, as no samples are read.
    let (source, partial_response) = label_source(&params, &shared, i64::MAX)?;
    let select = |matchers: Vec<Matcher>| {
        let want = Select {
            skip_chunks: true,
            limit: hint(limit),
            max_resolution_ms: i64::MAX,
            partial_response,
            function: Some("series".into()),
            ..Select::new(range, matchers)
        };
        source.select(&request.ctx, want)
    };
    let stream: SeriesStream = if sets.len() <= 1 {
        sets.into_iter().map(select).next().unwrap_or_else(|| futures::stream::empty().boxed())
    } else {
        let all = sets.into_iter().enumerate().map(|(i, set)| (format!("match[] {}", i + 1), select(set)));
        merge_streams(all.collect())
    };

    let mut annotations = shared.warned(Vec::new());
    let (found, truncated, held) = gather(&request, stream, limit, &mut annotations).await?;
    if truncated {
        annotations.warn(TRUNCATED);
    }
    let sets = Counted::new(LabelSets::new(found), Some(Arc::new(held)));
    Ok(stream_success(Vec::new(), sets, Vec::new(), &annotations, shared.state.options.annotations_max))
}

/// Reads label sets up to `limit`; also whether there were more, and what the sets count for in the request's budget.
async fn gather(
    request: &RequestCtx,
    mut stream: SeriesStream,
    limit: usize,
    annotations: &mut Annotations,
) -> Result<(Vec<Labels>, bool, Reservation), ApiError> {
    let mut found: Vec<Labels> = Vec::new();
    let mut held = request.ctx.budget.reserve(0)?;
    while let Some(event) = within(request, stream.next()).await? {
        match event? {
            SeriesEvent::Warning(text) => annotations.warn(text),
            SeriesEvent::Batch(batch) => {
                for series in batch {
                    // A series may go on in the next entry.
                    if found.last() == Some(&series.labels) {
                        continue;
                    }
                    if limit > 0 && found.len() == limit {
                        return Ok((found, true, held));
                    }
                    held.grow((series.labels.size_bytes() + size_of::<Labels>()) as u64)?;
                    found.push(series.labels);
                }
            }
        }
    }
    Ok((found, false, held))
}

/// `/api/v1/labels`: the names of labels.
async fn label_names(State(shared): State<Shared>, params: Params) -> Answered {
    names(&shared, &params, None).await
}

async fn label_values(
    State(shared): State<Shared>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    params: Params,
) -> Answered {
    let path = path.map_err(|why| ApiError::bad(format!("invalid label name: {}", why.body_text())))?;
    let name = path.iter().next().map_or("", |(_, value)| value);
    let name = unescape_label_name(name);
    if name.is_empty() {
        return Err(ApiError::bad(format!("invalid label name: {}", labels::quote(&name))));
    }
    names(&shared, &params, Some(&name)).await
}

/// Names of labels, or values of one.
async fn names(shared: &Shared, params: &Params, values_of: Option<&str>) -> Answered {
    let limit = params.limit()?;
    let range = range(params, shared)?;
    let request = RequestCtx::new(params, shared)?;
    let sets = matcher_sets(params, shared, &request)?;
    let (mut names, mut annotations, held) = match range.min > range.max {
        true => (Vec::new(), shared.warned(Vec::new()), Arc::new(request.ctx.budget.reserve(0)?)),
        false => find_names(shared, params, &request, (range, sets), values_of, limit).await?,
    };
    if limit > 0 && names.len() > limit {
        names.truncate(limit);
        annotations.warn(TRUNCATED);
    }
    let names = Counted::new(Names::new(names), Some(held));
    Ok(stream_success(Vec::new(), names, Vec::new(), &annotations, shared.state.options.annotations_max))
}

/// Names of labels, or values of one, of series that match any of the sets of matchers, sorted; more than `limit` if
/// there are more (0 = all). Also what there is to warn of, and what they count for in the request's budget.
pub(crate) async fn find_names(
    shared: &Shared,
    params: &Params,
    request: &RequestCtx,
    (range, mut sets): (TimeRange, Vec<Vec<Matcher>>),
    values_of: Option<&str>,
    limit: usize,
) -> Result<(Vec<String>, Annotations, Arc<Reservation>), ApiError> {
    if sets.is_empty() {
        sets.push(request.tenant.enforce(Vec::new()));
    }
    let (source, partial_response) = label_source(params, shared, 0)?;
    let asked = sets.into_iter().map(|matchers| {
        let want = LabelQuery { limit: hint(limit), partial_response, ..LabelQuery::new(range, matchers) };
        match values_of {
            None => source.label_names(&request.ctx, want),
            Some(name) => source.label_values(&request.ctx, name, want),
        }
    });
    let answers = within(request, futures::future::try_join_all(asked)).await??;

    let mut annotations = shared.warned(Vec::new());
    let one = answers.len() == 1;
    let mut names = Vec::new();
    let mut held = request.ctx.budget.reserve(0)?;
    for answer in answers {
        held.grow(answer.value.iter().map(|n: &String| (n.len() + size_of::<String>()) as u64).sum())?;
        answer.warnings.into_iter().for_each(|text| annotations.warn(text));
        match names.is_empty() {
            true => names = answer.value,
            false => names.extend(answer.value),
        }
    }
    if !one {
        names = names.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    }
    Ok((names, annotations, Arc::new(held)))
}

/// Awaits `work` as long as the request may take.
async fn within<T>(request: &RequestCtx, work: impl Future<Output = T>) -> Result<T, ApiError> {
    match request.ctx.deadline {
        None => Ok(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
            .await
            .map_err(|_| storage::Error::Timeout("the request timed out: raise the timeout parameter".into()).into()),
    }
}

/// One more than is shown, so that what is left out shows.
fn hint(limit: usize) -> usize {
    if limit == 0 { 0 } else { limit.saturating_add(1) }
}

fn range(params: &Params, shared: &Shared) -> Result<TimeRange, ApiError> {
    let now = shared.state.clock.now_ms();
    let (first, last) = match shared.state.options.default_metadata_range_ms {
        0 => (MIN_TIME_MS, MAX_TIME_MS),
        length_ms => (now.saturating_sub(length_ms), now),
    };
    let (start, end) = (params.time("start", first)?, params.time("end", last)?);
    // A server finds nothing in no time; a querier refuses it.
    if end < start && shared.state.server.is_none() {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    Ok(TimeRange::new(start, end))
}

/// The selectors of `match[]`, the tenant's matcher in each.
pub(crate) fn matcher_sets(
    params: &Params,
    shared: &Shared,
    request: &RequestCtx,
) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let max = shared.state.options.engine.parse.max_regex_bytes;
    Ok(parse_selectors(&params.all("match[]"), max)?.into_iter().map(|set| request.tenant.enforce(set)).collect())
}
