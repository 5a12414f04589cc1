//! The API: what is going on, blocks and marks as Thanos has them, requests to delete series; and the web interface.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, RawQuery};
use axum::response::Response;
use axum::routing::{get, post};
use block::{BlockId, BlockMeta};
use bucket::Partial;
use bucket::deletions::{self, Request};
use bucket::marks::{self, RequestError};
use bucket::page::{Asked, Page};
use labels::Matcher;
use model::{TimeRange, format_rfc3339_ms};
use serde_json::{Value, json};
use telemetry::build::BuildInfo;
use transport::http::Prefixes;
use transport::http::answers::{BuildInfoJson, RuntimeInfo, bad_data as bad, cors, internal as failed, success};
use transport::http::pages::same_origin;
use ui::Site;

use crate::compactor::{Compactor, Deps};
use crate::group::resolution_text;
use crate::planning::Work;
use crate::quarantine::Case;
use crate::snapshot::Snapshot;

/// Pages of the web interface.
const PAGES: &[ui::Page] = &[ui::Page::Pipeline, ui::Page::Blocks, ui::Page::Status];
/// Limit of the body and the query of a POST request.
const FORM_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) compactor: Arc<Compactor>,
    pub(crate) label: String,
    /// `--web.route-prefix` and the other prefixes.
    pub(crate) prefixes: Prefixes,
    pub(crate) admin_disabled: bool,
    pub(crate) cors_disabled: bool,
    pub(crate) page_disabled: bool,
    pub(crate) flags: BTreeMap<String, String>,
    pub(crate) start_ms: i64,
    pub(crate) build: BuildInfo,
}

type Form = Vec<(String, String)>;

fn form(query: Option<String>, body: &Bytes) -> Form {
    // As in Go's FormValue the fields of the body come first.
    let query = query.unwrap_or_default();
    let pairs = |bytes: &[u8]| {
        let pairs = url::form_urlencoded::parse(bytes);
        pairs.map(|(k, v)| (k.into_owned(), v.into_owned())).collect::<Vec<_>>()
    };
    pairs(body).into_iter().chain(pairs(query.as_bytes())).collect()
}

fn field<'a>(form: &'a Form, name: &str) -> &'a str {
    form.iter().find(|(n, v)| n == name && !v.is_empty()).map_or("", |(_, v)| v)
}

impl Api {
    pub(crate) fn routes(self) -> Router {
        let api = Arc::new(self);
        let build = api.build;
        let with = || api.clone();
        let (a, b, c, d, e, f, g, h) = (with(), with(), with(), with(), with(), with(), with(), with());
        let mut router = Router::new()
            .route("/api/v1/compact/status", get(move || async move { a.status() }))
            .route(
                "/api/v1/compact/deletions",
                get(move || async move { b.deletions() }).post(
                    move |RawQuery(query): RawQuery, body: Bytes| async move { c.delete(form(query, &body)).await },
                ),
            )
            .route(
                "/api/v1/compact/deletions/cancel",
                post(move |RawQuery(query): RawQuery, body: Bytes| async move { d.cancel(form(query, &body)).await }),
            )
            .route(
                "/api/v1/blocks",
                get(move |Query(query): Query<BTreeMap<String, String>>| async move { e.blocks(&query) }),
            )
            .route(
                "/api/v1/blocks/mark",
                post(move |RawQuery(query): RawQuery, body: Bytes| async move { f.mark(form(query, &body)).await }),
            )
            .route("/api/v1/status/flags", get(move || async move { success(json!(g.flags)) }))
            .route(
                "/api/v1/status/runtimeinfo",
                get(move || async move { success(RuntimeInfo::new(h.start_ms, h.compactor.deps.clock.now_ms())) }),
            )
            .route(
                "/api/v1/status/buildinfo",
                get(move || async move { success(BuildInfoJson::of(build, build.version)) }),
            );
        if !api.page_disabled {
            let version = build.version.to_owned();
            router = router.merge(ui::routes(&Site { component: "compact", version, pages: PAGES, thanos: false }));
        }
        let router = router.layer(axum::extract::DefaultBodyLimit::max(FORM_BYTES_MAX));
        let mut router = router.layer(axum::middleware::from_fn(same_origin));
        if !api.cors_disabled {
            router = router.layer(axum::middleware::map_response(cors));
        }
        match api.page_disabled {
            true => api.prefixes.nest(router),
            false => api.prefixes.mount("pipeline", ui::home(), router),
        }
    }

    fn status(&self) -> Response {
        let compactor = &self.compactor;
        let snapshot = compactor.latest();
        let now_ms = compactor.deps.clock.now_ms();
        let (running, recent) = compactor.status.json(now_ms);
        let backlog = compactor.backlog(&snapshot);
        let planned: BTreeMap<String, Vec<String>> = [Work::Compaction, Work::Downsampling]
            .into_iter()
            .flat_map(|work| compactor.planned(work, &snapshot).0)
            .map(|t| (t.lease.clone(), t.inputs().iter().map(BlockId::to_string).collect()))
            .collect();
        let speed = compactor.status.bytes_per_second();
        let eta = |bytes: u64| speed.map(|s| (bytes as f64 / s) as u64);
        let busy: Vec<String> = compactor.status.running().iter().map(|r| r.lease.clone()).collect();
        let quarantine = compactor.quarantine.lock();
        let holder = compactor.leases.holder();
        let groups: Vec<Value> = snapshot
            .groups
            .values()
            .map(|group| {
                let lease = group.lease_key();
                let other = snapshot.leases.get(&lease).and_then(|l| l.entry.as_ref());
                let is_others = other.is_some_and(|e| !e.released && e.holder != holder);
                let state = match () {
                    () if busy.contains(&lease) => "running",
                    () if is_others => "another compactor's",
                    () if quarantine.has_group(&lease, now_ms) => "quarantined",
                    () if planned.contains_key(&lease) => "planned",
                    () => "idle",
                };
                let left = backlog.get(&group.key).copied().unwrap_or_default();
                json!({
                    "key": group.key,
                    "labels": group.labels,
                    "resolution": resolution_text(group.resolution_ms),
                    "state": state,
                    "blocks": group.blocks.len(),
                    "bytes": group.blocks.iter().map(|b| snapshot.bytes(b.ulid)).sum::<u64>(),
                    "minTime": group.blocks.iter().map(|b| b.min_time).min(),
                    "maxTime": group.blocks.iter().map(|b| b.max_time).max(),
                    "plan": planned.get(&lease),
                    "todo": { "compactions": left.compactions, "blocks": left.blocks, "bytes": left.bytes },
                    "etaSeconds": eta(left.bytes),
                })
            })
            .collect();
        let leases: Vec<Value> = snapshot
            .leases
            .iter()
            .map(|(key, listed)| {
                json!({
                    "key": key,
                    "version": listed.number,
                    "written": format_rfc3339_ms(listed.written_ms),
                    "holder": listed.entry.as_ref().map(|e| e.holder.as_str()),
                    "released": listed.entry.as_ref().map(|e| e.released),
                    "unfinished": listed.entry.as_ref().is_some_and(|e| e.commit.is_some()),
                })
            })
            .collect();
        let todo: u64 = backlog.values().map(|b| b.bytes).sum();
        success(json!({
            "holder": holder,
            "refreshedAt": format_rfc3339_ms(snapshot.taken_ms),
            "groups": groups,
            "running": running,
            "recent": recent,
            "todo": {
                "compactions": backlog.values().map(|b| b.compactions).sum::<u64>(),
                "blocks": backlog.values().map(|b| b.blocks).sum::<u64>(),
                "bytes": todo,
                "bytesPerSecond": speed,
                "etaSeconds": eta(todo),
            },
            "quarantine": {
                "groups": quarantine.groups().iter().map(|(key, c)| case(key, c)).collect::<Vec<_>>(),
                "blocks": quarantine.blocks().iter().map(|(id, c)| case(&id.to_string(), c)).collect::<Vec<_>>(),
            },
            "broken": broken(&snapshot),
            "unreadable": snapshot.view.failed.iter().map(|(id, why)| unused(id, why, HINT_UNREADABLE)).collect::<Vec<_>>(),
            "leases": leases,
        }))
    }

    fn deletions(&self) -> Response {
        let snapshot = self.compactor.latest();
        let requests: Vec<Value> = snapshot
            .requests
            .requests
            .values()
            .map(|listed| {
                let (left, unknown) = snapshot.reached_by(&listed.request);
                json!({
                    "request": listed.request,
                    "done": listed.done.as_ref().map(|d| format_rfc3339_ms(d.done_ms)),
                    "blocksLeft": left,
                    "mayBeMore": unknown,
                })
            })
            .collect();
        success(json!({ "requests": requests, "unreadable": snapshot.requests.corrupt }))
    }

    async fn delete(&self, form: Form) -> Response {
        if self.admin_disabled {
            return bad("Admin operations are disabled");
        }
        let now_ms = self.compactor.deps.clock.now_ms();
        let mut selectors: Vec<Vec<Matcher>> = Vec::new();
        for (_, text) in form.iter().filter(|(n, _)| n == "match[]") {
            match promql_syntax::parse_series_matchers(text) {
                Ok(matchers) => selectors.push(matchers),
                Err(e) => return bad(&format!("match[] {text:?}: {e}")),
            }
        }
        let time = |name: &str, default: i64| match field(&form, name) {
            "" => Ok(default),
            text => parse_time(text, now_ms).ok_or_else(|| format!("{name} {text:?} is no time")),
        };
        let range = match (time("start", i64::MIN), time("end", now_ms)) {
            (Ok(min), Ok(max)) => TimeRange::new(min, max),
            (Err(e), _) | (_, Err(e)) => return bad(&e),
        };
        let id = (self.compactor.deps.next_id)();
        let request = Request::new(id, now_ms, &selectors, range, field(&form, "details"));
        if let Err(e) = request.check() {
            return bad(&e);
        }
        match deletions::create(&self.compactor.deps.bucket, &request).await {
            Ok(_) => {
                tracing::info!(request = %id, details = request.details, "deletion request accepted");
                success(json!({ "id": id }))
            }
            Err(e) => failed(&e.to_string()),
        }
    }

    async fn cancel(&self, form: Form) -> Response {
        if self.admin_disabled {
            return bad("Admin operations are disabled");
        }
        let id = match BlockId::parse(field(&form, "id")) {
            Ok(id) => id,
            Err(e) => return bad(&e.to_string()),
        };
        match deletions::cancel(&self.compactor.deps.bucket, id).await {
            Ok(()) => success(Value::Null),
            Err(e) => failed(&e.to_string()),
        }
    }

    fn blocks(&self, query: &BTreeMap<String, String>) -> Response {
        let asked = match Asked::parse(query) {
            Ok(asked) => asked,
            Err(e) => return bad(&e),
        };
        let snapshot = self.compactor.latest();
        let all: Vec<&BlockMeta> = match query.get("view").map(String::as_str) {
            Some("loaded") => snapshot.filtered.kept.values().map(|m| &**m).collect(),
            _ => snapshot.view.metas.values().map(|m| &**m).collect(),
        };
        let Page { blocks, total, next } = asked.page(&all);
        success(json!({
            "label": self.label,
            "blocks": blocks,
            "total": total,
            "next": next,
            "refreshedAt": format_rfc3339_ms(snapshot.taken_ms),
            "err": Value::Null,
        }))
    }

    async fn mark(&self, form: Form) -> Response {
        if self.admin_disabled {
            return bad("Admin operations are disabled");
        }
        let (id, action, details) = (field(&form, "id"), field(&form, "action"), field(&form, "detail"));
        let Deps { bucket, clock, .. } = &self.compactor.deps;
        match marks::on_request(bucket, id, action, details, &**clock).await {
            Ok(()) => success(Value::Null),
            Err(e @ RequestError::Invalid(_)) => bad(&e.to_string()),
            Err(e) => failed(&e.to_string()),
        }
    }
}

/// What may be done about a block that is not used.
const HINT_FILES: &str = "restore the files from a copy, or mark the block for deletion";
const HINT_META: &str = "restore meta.json from a copy, or delete the block; nothing of it is deleted by itself";
const HINT_UNREADABLE: &str = "if it stays, read meta.json and the marks by hand: permissions, size, version";

/// Blocks that are left out because files are missing or cut, or because `meta.json` is corrupt.
fn broken(snapshot: &Snapshot) -> Vec<Value> {
    let files = snapshot.view.broken.iter().map(|(id, why)| unused(id, why, HINT_FILES));
    let metas = snapshot.view.partial.iter().filter_map(|(id, partial)| match partial {
        Partial::CorruptMeta(why) => Some(unused(id, why, HINT_META)),
        Partial::NoMeta => None,
    });
    files.chain(metas).collect()
}

fn unused(id: &BlockId, why: &str, hint: &str) -> Value {
    json!({ "block": id, "reason": why, "hint": hint })
}

fn case(what: &str, case: &Case) -> Value {
    json!({
        "what": what,
        "reason": case.reason,
        "hint": case.hint,
        "failures": case.failures,
        "since": format_rfc3339_ms(case.since_ms),
        "until": format_rfc3339_ms(case.until_ms),
    })
}

/// RFC 3339, seconds since the epoch, or a duration relative to now.
fn parse_time(text: &str, now_ms: i64) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds.abs() < 1e15 => Some((seconds * 1000.0) as i64),
        Ok(_) => None,
        Err(_) => flags::parse_time_or_duration(text, now_ms),
    }
}
