//! `/api/v1/blocks`, `/api/v1/blocks/mark`, the status endpoints, and the web interface.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use bucket::marks::{self, RequestError};
use bucket::page::{Asked, Page};
use model::{Clock, format_rfc3339_ms};
use objstore::Bucket;
use serde::Deserialize;
use serde_json::{Value, json};
use telemetry::build::BuildInfo;
use transport::http::Prefixes;
use transport::http::answers::{BuildInfoJson, RuntimeInfo, bad_data as bad, cors, internal as failed, success};
use transport::http::pages::same_origin;
use ui::Site;

use crate::sync::Syncer;

/// Pages of the web interface.
const PAGES: &[ui::Page] = &[ui::Page::Blocks, ui::Page::Status];

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
        let (blocks, flags, runtime) = (api.clone(), api.clone(), api.clone());
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
            let prefixes = api.prefixes.clone();
            let home = get(move |headers: HeaderMap| async move {
                let to = format!("{}/loaded", prefixes.seen_at(&headers));
                (StatusCode::FOUND, [(header::LOCATION, to)])
            });
            let site = Site { component: "store", version: build.version.to_owned(), pages: PAGES, thanos: false };
            router = router.route("/", home).merge(ui::routes(&site));
        }
        let router = router.layer(axum::middleware::from_fn(same_origin));
        if api.cors_disabled { router } else { router.layer(axum::middleware::map_response(cors)) }
    }

    fn blocks(&self, query: &BTreeMap<String, String>) -> Response {
        let asked = match Asked::parse(query) {
            Ok(asked) => asked,
            Err(e) => return bad(&e),
        };
        let seen = self.syncer.seen();
        let blocks = match query.get("view").map(String::as_str) {
            Some("loaded") => seen.loaded,
            _ => seen.global,
        };
        let unreadable: Vec<Value> = seen
            .unread
            .iter()
            .filter(|_| asked.is_first())
            .map(|(id, unread)| json!({ "ulid": id, "err": unread.why, "served": unread.is_known }))
            .collect();
        let odd_marks: Vec<Value> = seen
            .odd_marks
            .iter()
            .filter(|_| asked.is_first())
            .map(|(id, whats)| json!({ "ulid": id, "err": whats.join("; ") }))
            .collect();
        let Page { blocks, total, next } = asked.page(&blocks);
        success(json!({
            "unreadable": unreadable,
            "unreadableMarks": odd_marks,
            "label": self.label,
            "blocks": blocks,
            "total": total,
            "next": next,
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
}
