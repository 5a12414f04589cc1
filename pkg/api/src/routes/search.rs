//! `search/…`: names of metrics and labels, and values of labels, by what people type. Answers are lines of JSON, as
//! Prometheus' are with the feature `search-api`: batches of results, then a line that says how it ended.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use model::{MetricMetadata, Severity, TimeRange};
use serde::Serialize;
use storage::{MetadataByMetric, MetadataQuery, Reservation};
use transport::http::answers::ErrorKind;

use crate::error::{ApiError, internal};
use crate::json::Number;
use crate::params::Params;
use crate::request::{RequestCtx, partial_response};
use crate::routes::series::{find_names, matcher_sets};
use crate::search::{Algorithm, Filter};
use crate::shared::Shared;
use crate::values::{parse_bool, parse_int};

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/search/metric_names", get(metric_names).post(metric_names))
        .route("/search/label_names", get(label_names).post(label_names))
        .route("/search/label_values", get(label_values).post(label_values))
}

/// Prometheus' own bound.
const TERMS_MAX: usize = 32;
/// Longer ones fit no name, and take long to compare.
const TERM_CHARS_MAX: usize = 1024;
const LIMIT_DEFAULT: usize = 100;
const BATCH_DEFAULT: usize = 100;
/// How far back is looked when the request says nothing, ms.
const RANGE_DEFAULT_MS: i64 = 3_600_000;

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    MetricNames,
    LabelNames,
    LabelValues,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    BestFirst,
}

/// The parameters that all three share.
struct Search {
    filter: Filter,
    order: Order,
    include_score: bool,
    limit: usize,
    batch: usize,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<Number>,
    #[serde(skip_serializing_if = "str::is_empty")]
    r#type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    help: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'a str,
}

#[derive(Debug, Serialize)]
struct Batch<'a> {
    results: Vec<Found<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct Trailer {
    status: &'static str,
    has_more: bool,
}

async fn metric_names(State(shared): State<Shared>, params: Params) -> Result<Response, ApiError> {
    search(&shared, &params, What::MetricNames).await
}

async fn label_names(State(shared): State<Shared>, params: Params) -> Result<Response, ApiError> {
    search(&shared, &params, What::LabelNames).await
}

async fn label_values(State(shared): State<Shared>, params: Params) -> Result<Response, ApiError> {
    search(&shared, &params, What::LabelValues).await
}

async fn search(shared: &Shared, params: &Params, what: What) -> Result<Response, ApiError> {
    let server = shared.server()?;
    if !server.search {
        return Err(ApiError {
            // Prometheus' status for it.
            status: Some(StatusCode::INTERNAL_SERVER_ERROR),
            ..ApiError::new(ErrorKind::Unavailable, "search API disabled")
        });
    }
    let now = shared.state.clock.now_ms();
    let range = TimeRange::new(params.time("start", now.saturating_sub(RANGE_DEFAULT_MS))?, params.time("end", now)?);
    if range.is_empty() {
        return Err(ApiError::bad("end timestamp must not be before start timestamp"));
    }
    let search = Search::of(params, server.search_limit_max)?;
    let include_metadata = what == What::MetricNames && switch(params, "include_metadata", false)?;
    let label = match what {
        What::MetricNames => Some(labels::METRIC_NAME),
        What::LabelNames => None,
        What::LabelValues => match params.get("label") {
            "" => return Err(ApiError::bad("missing required parameter \"label\"")),
            label => Some(label),
        },
    };
    let request = RequestCtx::new(params, shared)?;
    let sets = matcher_sets(params, shared, &request)?;
    let (names, annotations, held) = find_names(shared, params, &request, (range, sets), label, 0).await?;
    let metadata = match include_metadata {
        true => metadata(shared, params, &request).await?,
        false => MetadataByMetric::new(),
    };
    let (limit, batch, include_score) = (search.limit, search.batch, search.include_score);
    // Comparing many names with terms takes its time.
    let found = tokio::task::spawn_blocking(move || search.run(names))
        .await
        .map_err(|e| ApiError::new(ErrorKind::Internal, format!("searching: {e}")))?;
    let warnings = annotations.texts(Severity::Warning, shared.state.options.annotations_max);
    Ok(answer(Lines {
        found,
        at: 0,
        limit,
        batch,
        include_score,
        what,
        metadata,
        warnings,
        begun: false,
        ended: false,
        _held: held,
    }))
}

/// Type, help and unit by metric, one of each.
async fn metadata(shared: &Shared, params: &Params, request: &RequestCtx) -> Result<MetadataByMetric, ApiError> {
    let want = MetadataQuery {
        limit_per_metric: 1,
        partial_response: partial_response(params, shared.state.options.metadata_partial_response)?,
        ..MetadataQuery::default()
    };
    let answer = shared.state.inspect.metadata(&request.ctx, want).await;
    Ok(answer.map_err(|e| internal("retrieving metadata", e))?.value)
}

fn switch(params: &Params, name: &str, default: bool) -> Result<bool, ApiError> {
    match params.get(name) {
        "" => Ok(default),
        text => parse_bool(text)
            .map_err(|_| ApiError::bad(format!("invalid {name} {}: must be boolean", labels::quote(text)))),
    }
}

impl Search {
    fn of(params: &Params, limit_max: usize) -> Result<Self, ApiError> {
        let terms = params.all("search[]");
        if terms.len() > TERMS_MAX {
            let count = terms.len();
            return Err(ApiError::bad(format!("too many search[] terms: got {count}, maximum is {TERMS_MAX}")));
        }
        if terms.iter().any(|term| term.chars().count() > TERM_CHARS_MAX) {
            return Err(ApiError::bad(format!("a search[] term has more than {TERM_CHARS_MAX} characters")));
        }
        let threshold = match params.get("fuzz_threshold") {
            "" => 0,
            text => parse_int(text, "Atoi").ok().filter(|n| (0..=100).contains(n)).ok_or_else(|| {
                ApiError::bad(format!("invalid fuzz_threshold {}: must be 0-100", labels::quote(text)))
            })?,
        };
        let algorithm = Algorithm::parse(params.get("fuzz_alg")).ok_or_else(|| {
            let name = labels::quote(params.get("fuzz_alg"));
            ApiError::bad(format!("unsupported fuzz_alg {name}: must be one of [subsequence jarowinkler]"))
        })?;
        let case_sensitive = switch(params, "case_sensitive", true)?;
        let include_score = switch(params, "include_score", false)?;
        let order = order(params, terms.is_empty())?;
        let limit_default = if limit_max > 0 { LIMIT_DEFAULT.min(limit_max) } else { LIMIT_DEFAULT };
        let limit = positive(params, "limit", limit_default)?;
        if limit_max > 0 && limit > limit_max {
            return Err(ApiError::bad(format!(
                "limit {limit} exceeds the configured maximum ({limit_max}, see --web.search.max-limit)"
            )));
        }
        let batch = positive(params, "batch_size", BATCH_DEFAULT)?;
        let filter = Filter::new(&terms, algorithm, threshold as f64 / 100.0, case_sensitive);
        Ok(Self { filter, order, include_score, limit, batch })
    }

    /// The names that fit, in order, one more than the limit at most. `names` are sorted.
    fn run(&self, names: Vec<String>) -> Vec<(String, f64)> {
        let fits = |name: String| {
            let score = self.filter.score(&name)?;
            Some((name, score))
        };
        let wanted = self.limit.saturating_add(1);
        match self.order {
            Order::Ascending => names.into_iter().filter_map(fits).take(wanted).collect(),
            Order::Descending => names.into_iter().rev().filter_map(fits).take(wanted).collect(),
            Order::BestFirst => {
                let mut found: Vec<_> = names.into_iter().filter_map(fits).collect();
                // A stable sort: equal ones stay in the order of their names.
                found.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
                found.truncate(wanted);
                found
            }
        }
    }
}

fn order(params: &Params, without_terms: bool) -> Result<Order, ApiError> {
    let (by, direction) = (params.get("sort_by"), params.get("sort_dir"));
    let bad = |text: &str| Err(ApiError::bad(text));
    match (by, direction) {
        ("", direction) if !direction.is_empty() => bad("sort_dir is only valid when sort_by is set"),
        ("score", direction) if !direction.is_empty() => bad("sort_dir is not supported for sort_by=score"),
        ("score", _) if without_terms => bad("sort_by=score requires search[] to be set"),
        ("score", _) => Ok(Order::BestFirst),
        ("" | "alpha", "" | "asc") => Ok(Order::Ascending),
        ("alpha", "dsc") => Ok(Order::Descending),
        ("alpha", other) => bad(&format!("invalid sort_dir {}: must be \"asc\" or \"dsc\"", labels::quote(other))),
        (other, _) => bad(&format!("invalid sort_by {}: must be \"alpha\" or \"score\"", labels::quote(other))),
    }
}

fn positive(params: &Params, name: &str, default: usize) -> Result<usize, ApiError> {
    match params.get(name) {
        "" => Ok(default),
        text => {
            let number = parse_int(text, "Atoi").ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
            number.ok_or_else(|| {
                ApiError::bad(format!("invalid {name} {}: must be a positive integer", labels::quote(text)))
            })
        }
    }
}

/// The lines of an answer, as they are written.
struct Lines {
    /// One more than the limit if there are more.
    found: Vec<(String, f64)>,
    at: usize,
    limit: usize,
    batch: usize,
    include_score: bool,
    what: What,
    metadata: MetadataByMetric,
    warnings: Vec<String>,
    begun: bool,
    ended: bool,
    _held: Arc<Reservation>,
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let end = self.found.len().min(self.limit);
        // There is always a first batch, even of nothing.
        let line = if self.at < end || !self.begun {
            self.begun = true;
            let part = self.at..self.at.saturating_add(self.batch).min(end);
            self.at = part.end;
            let results = self.found.get(part).unwrap_or_default().iter().map(|found| self.json(found)).collect();
            // What there is to warn of is known from the start.
            let line = serde_json::to_string(&Batch { results, warnings: &self.warnings });
            self.warnings.clear();
            line
        } else {
            self.ended = true;
            serde_json::to_string(&Trailer { status: "success", has_more: self.found.len() > self.limit })
        };
        // Nothing in it could not be written.
        Some(line.unwrap_or_default() + "\n")
    }
}

impl Lines {
    fn json<'a>(&'a self, (text, score): &'a (String, f64)) -> Found<'a> {
        let metadata: Option<&MetricMetadata> = self.metadata.get(text).and_then(|all| all.first());
        let is_value = self.what == What::LabelValues;
        Found {
            name: (!is_value).then_some(text),
            value: is_value.then_some(text),
            score: self.include_score.then_some(Number(*score)),
            r#type: metadata.map_or("", |m| &m.metric_type),
            help: metadata.map_or("", |m| &m.help),
            unit: metadata.map_or("", |m| &m.unit),
        }
    }
}

fn answer(lines: Lines) -> Response {
    let lines = stream::iter(lines.map(Ok::<_, std::convert::Infallible>));
    let mut response = Body::from_stream(lines).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
