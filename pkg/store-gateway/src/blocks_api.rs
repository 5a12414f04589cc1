//! `/api/v1/blocks`, `/api/v1/blocks/mark`, the status endpoints, and a page that lists the blocks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use block::BlockMeta;
use bucket::marks::{self, RequestError};
use model::{Clock, Resolution, format_rfc3339_ms};
use objstore::Bucket;
use serde::Deserialize;
use serde_json::{Value, json};
use telemetry::build::BuildInfo;
use transport::http::Prefixes;
use transport::http::answers::{BuildInfoJson, RuntimeInfo, bad_data as bad, cors, internal as failed, success};
use transport::http::pages::{escape, page, same_origin};

use crate::sync::Syncer;

#[derive(Debug, Clone)]
pub(crate) struct BlocksApi {
    pub(crate) syncer: Arc<Syncer>,
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) label: String,
    pub(crate) prefixes: Prefixes,
    pub(crate) admin_disabled: bool,
    pub(crate) cors_disabled: bool,
    pub(crate) page_disabled: bool,
    pub(crate) flags: BTreeMap<String, String>,
    pub(crate) start_ms: i64,
    pub(crate) build: BuildInfo,
}

#[derive(Debug, Default, Deserialize)]
struct Mark {
    #[serde(default)]
    id: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    detail: String,
}

impl BlocksApi {
    pub(crate) fn routes(self) -> Router {
        let api = Arc::new(self);
        let build = api.build;
        let (blocks, flags, runtime, page) = (api.clone(), api.clone(), api.clone(), api.clone());
        let marks = api.clone();
        let mut router = Router::new()
            .route(
                "/api/v1/blocks",
                get(move |Query(query): Query<BTreeMap<String, String>>| async move { blocks.blocks(&query) }),
            )
            .route(
                "/api/v1/blocks/mark",
                // As Go's FormValue: the body's fields, else the query's.
                post(move |Query(query): Query<Mark>, form: Result<Form<Mark>, FormRejection>| async move {
                    let form = form.map(|Form(form)| form).unwrap_or_default();
                    let pick = |a: String, b: String| if a.is_empty() { b } else { a };
                    let mark = Mark {
                        id: pick(form.id, query.id),
                        action: pick(form.action, query.action),
                        detail: pick(form.detail, query.detail),
                    };
                    marks.mark(mark).await
                }),
            )
            .route("/api/v1/status/flags", get(move || async move { success(json!(flags.flags)) }))
            .route(
                "/api/v1/status/runtimeinfo",
                get(move || async move { success(RuntimeInfo::new(runtime.start_ms, runtime.clock.now_ms())) }),
            )
            .route(
                "/api/v1/status/buildinfo",
                get(move || async move { success(BuildInfoJson::of(build, build.version)) }),
            );
        if !api.page_disabled {
            let (both, prefixes) = (page.clone(), api.prefixes.clone());
            let home = get(move |headers: HeaderMap| async move {
                let to = format!("{}/loaded", prefixes.seen_at(&headers));
                (StatusCode::FOUND, [(header::LOCATION, to)])
            });
            router = router
                .route("/", home)
                .route("/loaded", get(move || async move { page.page(true) }))
                .route("/blocks", get(move || async move { both.page(false) }));
        }
        let router = router.layer(axum::middleware::from_fn(same_origin));
        if api.cors_disabled { router } else { router.layer(axum::middleware::map_response(cors)) }
    }

    fn blocks(&self, query: &BTreeMap<String, String>) -> Response {
        let seen = self.syncer.seen();
        let blocks = match query.get("view").map(String::as_str) {
            Some("loaded") => seen.loaded,
            _ => seen.global,
        };
        let unreadable: Vec<Value> = seen
            .unread
            .iter()
            .map(|(id, unread)| json!({ "ulid": id, "err": unread.why, "served": unread.is_known }))
            .collect();
        let odd_marks: Vec<Value> =
            seen.odd_marks.iter().map(|(id, whats)| json!({ "ulid": id, "err": whats.join("; ") })).collect();
        success(json!({
            "unreadable": unreadable,
            "unreadableMarks": odd_marks,
            "label": self.label,
            "blocks": blocks.iter().map(|m| &**m).collect::<Vec<&BlockMeta>>(),
            "refreshedAt": format_rfc3339_ms(seen.refreshed_ms),
            "err": seen.error,
        }))
    }

    async fn mark(&self, mark: Mark) -> Response {
        if self.admin_disabled {
            return bad("Admin operations are disabled");
        }
        let Mark { id, action, detail } = &mark;
        match marks::on_request(&self.bucket, id, action, detail, &*self.clock).await {
            Ok(()) => success(Value::Null),
            Err(e @ RequestError::Invalid(_)) => bad(&e.to_string()),
            Err(e) => failed(&e.to_string()),
        }
    }

    fn page(&self, loaded: bool) -> Response {
        let seen = self.syncer.seen();
        let (title, mut blocks) = if loaded { ("Loaded blocks", seen.loaded) } else { ("All blocks", seen.global) };
        blocks.sort_by_key(|m| (m.min_time, m.ulid));
        let mut out = String::new();
        let _ = write!(
            out,
            "<h1>{title}</h1><p><a href=\"loaded\">loaded</a> · <a href=\"blocks\">all</a> · {} blocks, read {}</p>",
            blocks.len(),
            format_rfc3339_ms(seen.refreshed_ms)
        );
        if let Some(error) = &seen.error {
            let _ = write!(out, "<p><strong>Last sync failed:</strong> {}</p>", escape(error));
        }
        for (id, unread) in &seen.unread {
            let state = if unread.is_known { "served as it was known before" } else { "not served" };
            let _ = write!(out, "<p><strong>{state}:</strong> <code>{id}</code> {}</p>", escape(&unread.why));
        }
        for (id, whats) in &seen.odd_marks {
            let what = escape(&whats.join("; "));
            let _ = write!(out, "<p><strong>Mark not readable:</strong> <code>{id}</code> {what}</p>");
        }
        out.push_str(
            "<table><tr><th>Block<th>From<th>To<th>Resolution<th>Level<th>Series<th>Samples<th>Source<th>Labels",
        );
        for meta in blocks {
            let thanos = meta.thanos.as_ref();
            let labels: Vec<String> = thanos
                .iter()
                .flat_map(|t| &t.labels)
                .map(|(n, v)| format!("{}={}", escape(n), escape(&format!("{v:?}"))))
                .collect();
            let _ = write!(
                out,
                "<tr><td><code>{}</code><td>{}<td>{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td>{}<td>{}",
                meta.ulid,
                format_rfc3339_ms(meta.min_time),
                format_rfc3339_ms(meta.max_time),
                Resolution::describe(meta.resolution_ms()),
                meta.compaction.level,
                meta.stats.num_series,
                meta.stats.num_samples,
                escape(thanos.map_or("", |t| &t.source)),
                labels.join(", "),
            );
        }
        out.push_str("</table>");
        page("aion store", &out)
    }
}
