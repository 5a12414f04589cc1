//! `/api/v1/blocks`, `/api/v1/blocks/mark`, the status endpoints, and a page that lists the blocks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query};
use axum::response::{Html, Redirect, Response};
use axum::routing::{get, post};
use block::BlockMeta;
use bucket::marks::{self, RequestError};
use model::{Clock, format_rfc3339_ms};
use objstore::Bucket;
use serde::Deserialize;
use serde_json::{Value, json};
use transport::http::answers::{bad_data as bad, build_info, cors, internal as failed, runtime_info, success};

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
            .route(
                "/api/v1/status/runtimeinfo",
                get(move || async move { runtime_info(&format_rfc3339_ms(runtime.start_ms)) }),
            )
            .route("/api/v1/status/buildinfo", get(|| async { build_info(env!("CARGO_PKG_VERSION")) }));
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
        let Mark { id, action, detail } = &mark;
        match marks::on_request(&self.bucket, id, action, detail, &*self.clock).await {
            Ok(()) => success(Value::Null),
            Err(e @ RequestError::Invalid(_)) => bad(&e.to_string()),
            Err(e) => failed(&e.to_string()),
        }
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
