//! `status/queries`: queries under way and those that ended last, by what they took, by dashboard and panel.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::routing::{get, post};
use model::{Annotations, format_rfc3339_ms};
use promql::Times;
use serde::Serialize;
use transport::http::answers::ErrorKind;
use transport::http::pages::same_origin;

use crate::envelope::{Answered, success};
use crate::error::ApiError;
use crate::ledger::{Active, Asked, Ended};
use crate::params::Params;
use crate::shared::Shared;
use crate::tenant::Tenant;
use crate::values::parse_limit;

pub(crate) fn routes() -> Router<Shared> {
    // Browsers send a form to any origin: no other site's page may cancel queries.
    let cancel = post(cancel).route_layer(middleware::from_fn(same_origin));
    Router::new().route("/status/queries", get(queries)).route("/status/queries/cancel", cancel)
}

/// The longest page; texts are cut, so that an answer stays below 200 kB.
const PAGE_MAX: usize = 100;

#[derive(Debug, Serialize)]
struct Page<T> {
    /// How many there are in all.
    total: usize,
    items: Vec<T>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AskedJson {
    query: String,
    /// Of range queries, seconds.
    start: Option<f64>,
    end: f64,
    step: Option<f64>,
    tenant: String,
    dashboard: String,
    panel: String,
    began: String,
    seconds: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveJson {
    id: String,
    #[serde(flatten)]
    asked: AskedJson,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EndedJson {
    #[serde(flatten)]
    asked: AskedJson,
    error: Option<&'static str>,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Debug, Serialize)]
struct Canceled {
    id: String,
}

/// Queries of one panel, of one dashboard, or with one text, together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupJson {
    dashboard: String,
    panel: String,
    query: String,
    count: u64,
    failed: u64,
    seconds: f64,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    series: u64,
    samples: u64,
    chunk_bytes: u64,
    /// Of a group, the most of one query.
    peak_bytes: u64,
}

impl Cost {
    fn of(ended: &Ended) -> Self {
        let Ended { series, samples, chunk_bytes, peak_bytes, .. } = *ended;
        Self { series, samples, chunk_bytes, peak_bytes }
    }

    fn by(&self, order: Order, took_ms: i64) -> u64 {
        match order {
            Order::Time => 0,
            Order::Seconds => took_ms.unsigned_abs(),
            Order::Series => self.series,
            Order::Samples => self.samples,
            Order::Bytes => self.chunk_bytes,
            Order::Memory => self.peak_bytes,
        }
    }
}

/// What comes first; all but the latest by what took most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Time,
    Seconds,
    Series,
    Samples,
    Bytes,
    Memory,
}

fn order(text: &str) -> Result<Order, String> {
    Ok(match text {
        "time" => Order::Time,
        "seconds" => Order::Seconds,
        "series" => Order::Series,
        "samples" => Order::Samples,
        "bytes" => Order::Bytes,
        "memory" => Order::Memory,
        _ => return Err("none of time, seconds, series, samples, bytes, memory".to_owned()),
    })
}

async fn queries(State(shared): State<Shared>, params: Params) -> Answered {
    let may = whose(&params, &shared)?;
    let order = params.parsed("sort", order)?.unwrap_or(Order::Seconds);
    let now_ms = shared.state.clock.now_ms();
    let ended = || shared.ledger.ended().into_iter().filter(|e| may(&e.asked));
    match (params.get("state"), params.get("group")) {
        ("" | "active", "") => {
            let active = shared.ledger.active().into_iter().filter(|a| may(&a.asked));
            page(&params, active.map(|active| active_json(active, now_ms)).collect())
        }
        ("ended", "") => {
            let mut all: Vec<_> = ended().collect();
            all.sort_by_key(|e| Reverse(Cost::of(e).by(order, e.took_ms)));
            page(&params, all.into_iter().map(ended_json).collect())
        }
        ("ended", by @ ("query" | "panel" | "dashboard")) => page(&params, groups(ended(), by, order)),
        ("ended", _) => Err(ApiError::parameter("group", "none of query, panel, dashboard")),
        ("" | "active", _) => Err(ApiError::parameter("group", "only with state=ended")),
        _ => Err(ApiError::parameter("state", "none of active, ended")),
    }
}

async fn cancel(State(shared): State<Shared>, params: Params) -> Answered {
    let may = whose(&params, &shared)?;
    let id: u64 = params.get("id").parse().map_err(|_| ApiError::parameter("id", "no id of a query"))?;
    if !shared.ledger.cancel(id, may) {
        return Err(ApiError::new(ErrorKind::NotFound, format!("no query {id} is under way: it has ended")));
    }
    success(&Canceled { id: id.to_string() }, &Annotations::new(), 0)
}

/// Which queries the asker may see: where tenants are kept apart, those of its own.
fn whose(params: &Params, shared: &Shared) -> Result<impl Fn(&Asked) -> bool + use<>, ApiError> {
    let tenant = Tenant::of(&params.headers, &shared.state.options)?;
    let own = tenant.matcher.is_some().then_some(tenant.id);
    Ok(move |asked: &Asked| own.as_ref().is_none_or(|own| *asked.tenant == **own))
}

/// The items that `offset` and `limit` name.
fn page<T: Serialize>(params: &Params, all: Vec<T>) -> Answered {
    let offset = params.parsed("offset", parse_limit)?.unwrap_or(0);
    let limit = match params.limit()? {
        0 => PAGE_MAX,
        limit => limit.min(PAGE_MAX),
    };
    let total = all.len();
    let items = all.into_iter().skip(offset).take(limit).collect();
    success(&Page { total, items }, &Annotations::new(), 0)
}

fn asked_json(asked: Asked, began_ms: i64, took_ms: i64) -> AskedJson {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let (start, end, step) = match asked.times {
        Times::Instant(at) => (None, at, None),
        Times::Range(grid) => (Some(grid.start_ms), grid.end_ms, Some(grid.step_ms)),
    };
    AskedJson {
        query: asked.text,
        start: start.map(seconds),
        end: seconds(end),
        step: step.map(seconds),
        tenant: asked.tenant,
        dashboard: asked.dashboard,
        panel: asked.panel,
        began: format_rfc3339_ms(began_ms),
        seconds: seconds(took_ms),
    }
}

fn active_json(active: Active, now_ms: i64) -> ActiveJson {
    let took_ms = now_ms.saturating_sub(active.began_ms).max(0);
    ActiveJson { id: active.id.to_string(), asked: asked_json(active.asked, active.began_ms, took_ms) }
}

fn ended_json(ended: Ended) -> EndedJson {
    let (cost, error) = (Cost::of(&ended), ended.error);
    EndedJson { asked: asked_json(ended.asked, ended.began_ms, ended.took_ms), error, cost }
}

/// Queries together by what `by` names, in the order of their sums.
fn groups(ended: impl Iterator<Item = Ended>, by: &str, order: Order) -> Vec<GroupJson> {
    let mut groups: BTreeMap<(String, String, String), (i64, GroupJson)> = BTreeMap::new();
    for one in ended {
        let cost = Cost::of(&one);
        let Asked { text, dashboard, panel, .. } = one.asked;
        let key = match by {
            "query" => (String::new(), String::new(), text),
            "panel" => (dashboard, panel, String::new()),
            _ => (dashboard, String::new(), String::new()),
        };
        let (dashboard, panel, query) = key.clone();
        let empty = || GroupJson { dashboard, panel, query, count: 0, failed: 0, seconds: 0.0, cost: Cost::default() };
        let (took_ms, group) = groups.entry(key).or_insert_with(|| (0, empty()));
        *took_ms += one.took_ms;
        group.seconds = *took_ms as f64 / 1000.0;
        group.count += 1;
        group.failed += u64::from(one.error.is_some());
        group.cost.series += cost.series;
        group.cost.samples += cost.samples;
        group.cost.chunk_bytes += cost.chunk_bytes;
        group.cost.peak_bytes = group.cost.peak_bytes.max(cost.peak_bytes);
    }
    let mut all: Vec<_> = groups.into_values().collect();
    all.sort_by_key(|(took_ms, group)| match order {
        Order::Time => Reverse(group.count),
        order => Reverse(group.cost.by(order, *took_ms)),
    });
    all.into_iter().map(|(_, group)| group).collect()
}
