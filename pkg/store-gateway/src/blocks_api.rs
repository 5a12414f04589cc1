//! `/api/v1/blocks`, `/api/v1/blocks/mark`, the status endpoints, and a page that lists the blocks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use block::{BlockId, BlockMeta};
use bucket::marks::{self, MARK_VERSION, Marked, NoCompactMark};
use model::{Clock, format_rfc3339_ms};
use objstore::Bucket;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sync::Syncer;

/// What the routes need.
#[derive(Debug, Clone)]
pub(crate) struct BlocksApi {
    pub(crate) syncer: Arc<Syncer>,
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    /// `--bucket-web-label`.
    pub(crate) label: String,
    /// `--web.external-prefix`.
    pub(crate) prefix: String,
    pub(crate) admin_disabled: bool,
    pub(crate) cors_disabled: bool,
    pub(crate) page_disabled: bool,
    pub(crate) flags: BTreeMap<String, String>,
    pub(crate) start_ms: i64,
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
    /// The routes.
    pub(crate) fn routes(self) -> Router {
        let api = Arc::new(self);
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
            .route("/api/v1/status/runtimeinfo", get(move || async move { runtime.runtime() }))
            .route("/api/v1/status/buildinfo", get(|| async { build() }));
        if !api.page_disabled {
            let to = format!("{}/loaded", api.prefix);
            let both = page.clone();
            router = router
                .route("/", get(move || async move { Redirect::temporary(&to) }))
                .route("/loaded", get(move || async move { page.page(true) }))
                .route("/blocks", get(move || async move { both.page(false) }));
        }
        if api.cors_disabled { router } else { router.layer(axum::middleware::map_response(cors)) }
    }

    fn blocks(&self, query: &BTreeMap<String, String>) -> Response {
        let seen = self.syncer.seen();
        let blocks = match query.get("view").map(String::as_str) {
            Some("loaded") => seen.loaded,
            _ => seen.global,
        };
        success(json!({
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
        if mark.id.is_empty() {
            return bad("ID cannot be empty");
        }
        if mark.action.is_empty() {
            return bad("Action cannot be empty");
        }
        let id = match BlockId::parse(&mark.id) {
            Ok(id) => id,
            Err(e) => return bad(&format!("ULID {:?} is not valid: {e}", mark.id)),
        };
        let outcome = match mark.action.as_str() {
            "DELETION" => marks::mark_for_deletion(&self.bucket, id, &mark.detail, &*self.clock).await,
            "NO_COMPACTION" => {
                let mark = NoCompactMark {
                    id,
                    version: MARK_VERSION,
                    details: mark.detail,
                    no_compact_time: self.clock.now_ms().div_euclid(1000),
                    reason: "manual".to_owned(),
                };
                marks::write(&self.bucket, &mark).await
            }
            other => return bad(&format!("not supported marker {other}")),
        };
        match outcome {
            Ok(Marked::Now | Marked::Already) => success(Value::Null),
            Ok(Marked::Gone) => bad(&format!("block {id} is not in the bucket")),
            Err(e) => bad(&e.to_string()),
        }
    }

    fn runtime(&self) -> Response {
        success(json!({
            "startTime": format_rfc3339_ms(self.start_ms),
            "CWD": std::env::current_dir().unwrap_or_default().display().to_string(),
            "reloadConfigSuccess": true,
            "lastConfigTime": format_rfc3339_ms(self.start_ms),
            "goroutineCount": 0,
            "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        }))
    }

    fn page(&self, loaded: bool) -> Html<String> {
        let seen = self.syncer.seen();
        let (title, mut blocks) = if loaded { ("Loaded blocks", seen.loaded) } else { ("All blocks", seen.global) };
        blocks.sort_by_key(|m| (m.min_time, m.ulid));
        let mut out = String::from(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Blocks</title><style>\
             body{font:14px system-ui,sans-serif;margin:2em}table{border-collapse:collapse}\
             th,td{text-align:left;padding:.2em .8em;border-bottom:1px solid #8884}td.n{text-align:right}</style>",
        );
        let _ = write!(
            out,
            "<h1>{title}</h1><p><a href=\"loaded\">loaded</a> · <a href=\"blocks\">all</a> · {} blocks, read {}</p>",
            blocks.len(),
            format_rfc3339_ms(seen.refreshed_ms)
        );
        if let Some(error) = &seen.error {
            let _ = write!(out, "<p><strong>Last sync failed:</strong> {}</p>", escape(error));
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
                match meta.resolution_ms() {
                    0 => "raw".to_owned(),
                    ms => model::format_duration(ms),
                },
                meta.compaction.level,
                meta.stats.num_series,
                meta.stats.num_samples,
                escape(thanos.map_or("", |t| &t.source)),
                labels.join(", "),
            );
        }
        out.push_str("</table></html>");
        Html(out)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn build() -> Response {
    success(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }))
}

fn success(data: Value) -> Response {
    (StatusCode::OK, axum::Json(json!({"status": "success", "data": data}))).into_response()
}

fn bad(text: &str) -> Response {
    let body = json!({"status": "error", "errorType": "bad_data", "error": text});
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

async fn cors(mut response: Response) -> Response {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Accept-Encoding, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
