//! `tools bucket web`: the blocks of a bucket as pages of the web interface.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::bucket::marks::{self, RequestError};
use ::bucket::page::Asked;
use ::bucket::{FetchOptions, Filters, MetaFetcher, SyncMetrics};
use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::{get, post};
use block::BlockMeta;
use flags::{Flag, Parsed};
use model::{Clock, format_rfc3339_ms};
use objstore::Bucket;
use parking_lot::Mutex;
use serde_json::{Value, json};
use service::tool::{Deps, Verdict};
use transport::http::answers::{BuildInfoJson, RuntimeInfo, bad_data, cors, internal, success};
use transport::http::pages::same_origin;
use transport::http::{HttpMetrics, Prefixes, Probe, common_routes};
use ui::{Page, Site};

use super::common::{self, SELECTOR, TIMES};
use crate::Error;

pub(super) const ABOUT: &str = "Web interface for remote storage bucket.";
pub(super) const SHORTS: &[(char, &str)] = &[];

const PAGES: &[Page] = &[Page::Blocks, Page::Status];
/// Blocks whose `meta.json` is read at one time.
const CONCURRENCY: usize = 32;
/// Limit of the body of a request.
const FORM_BYTES_MAX: usize = 64 << 10;

pub(super) const FLAGS: &[&[Flag]] = &[
    transport::flags::HTTP,
    &[
        Flag::text("web.route-prefix", "", "Prefix for pages and API; they are served below it only."),
        Flag::text(
            "web.external-prefix",
            "",
            "Prefix that browsers have to use, where a reverse proxy takes one away.",
        ),
        Flag::text("web.prefix-header", "", "Name of an HTTP request header with the prefix of redirects."),
        Flag::switch("web.disable-cors", "Set no CORS headers."),
        Flag::duration("refresh", "30m", "Refresh interval to download metadata from remote storage."),
        Flag::duration("timeout", "5m", "Timeout to download metadata from remote storage."),
        Flag::text("label", "", "External block label to use as group title.").placeholder("LABEL"),
        Flag::switch("disable-admin-operations", "Refuse marks over HTTP."),
    ],
    SELECTOR,
    TIMES,
];

/// What the pages show.
#[derive(Debug, Default)]
struct Shown {
    global: Vec<Arc<BlockMeta>>,
    loaded: Vec<Arc<BlockMeta>>,
    refreshed_ms: i64,
    /// Why the last refresh failed; the blocks are those of the one before then.
    error: Option<String>,
}

struct Api {
    shown: Mutex<Shown>,
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    label: String,
    admin_disabled: bool,
    flags: BTreeMap<String, String>,
    start_ms: i64,
}

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    // What is wrong shows before anything is served.
    let filters_of = |now_ms| -> Result<Filters, Error> {
        let (time, shard) = (Some(common::times(parsed, now_ms)?), ::bucket::flags::selector(parsed)?);
        Ok(Filters { time, shard, ..Filters::default() })
    };
    filters_of(deps.clock.now_ms())?;
    let bucket = common::open_bucket(parsed, deps)?;
    let fetcher = MetaFetcher::new(
        bucket.clone(),
        FetchOptions { concurrency: CONCURRENCY, ..FetchOptions::default() },
        SyncMetrics::new(&deps.metrics),
    );
    let api = Arc::new(Api {
        shown: Mutex::default(),
        bucket,
        clock: deps.clock.clone(),
        label: parsed.text("label").to_owned(),
        admin_disabled: parsed.switch("disable-admin-operations"),
        flags: parsed.all().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        start_ms: deps.clock.now_ms(),
    });
    let probe = Probe::new("the blocks were not read yet");
    let router =
        Router::new().merge(common_routes(deps.metrics.clone(), probe.clone())).merge(pages(parsed, deps, &api));
    let router = HttpMetrics::new(&deps.metrics).wrap(router);
    let (options, web) = transport::flags::http_server(parsed)?;
    let listener = transport::bind(parsed.text("http-address")).await?;
    let shutdown = deps.shutdown.clone();
    let server = tokio::spawn(transport::serve(listener, web.wrap(router), options, shutdown.clone()));
    let (refresh, timeout) = (duration(parsed, "refresh"), duration(parsed, "timeout"));
    loop {
        let fetched = shutdown.run_until_cancelled(tokio::time::timeout(timeout, fetcher.fetch())).await;
        let Some(fetched) = fetched else { break };
        let now_ms = deps.clock.now_ms();
        let view = match fetched {
            Ok(Ok(view)) => Ok(view),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("not read within {timeout:?}: raise --timeout")),
        };
        match view {
            Ok(view) => {
                common::warn_of_unknown(&view);
                let loaded = filters_of(now_ms)?.apply(&view, now_ms).kept.into_values().collect();
                let global = view.metas.values().cloned().collect();
                *api.shown.lock() = Shown { global, loaded, refreshed_ms: now_ms, error: None };
                probe.ready();
            }
            Err(why) => {
                tracing::error!(why, "the blocks of the bucket cannot be read, those of the last time are shown");
                api.shown.lock().error = Some(why);
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(refresh)).await.is_none() {
            break;
        }
    }
    server.await.map_err(|e| Error::Failed(format!("the http server did not end well: {e}")))?;
    Ok(Verdict::Fine)
}

fn duration(parsed: &Parsed, flag: &str) -> Duration {
    Duration::from_millis(parsed.duration_ms(flag).max(1).unsigned_abs())
}

/// Pages and API.
fn pages(parsed: &Parsed, deps: &Deps<'_>, api: &Arc<Api>) -> Router {
    let build = deps.metrics.build();
    let with = || api.clone();
    let (a, b, c, d) = (with(), with(), with(), with());
    let mut router = Router::new()
        .route(
            "/api/v1/blocks",
            get(move |RawQuery(query): RawQuery| async move { a.blocks(&query.unwrap_or_default()) }),
        )
        .route(
            "/api/v1/blocks/mark",
            post(move |RawQuery(query): RawQuery, body: Bytes| async move {
                b.mark(query.unwrap_or_default().as_bytes(), &body).await
            }),
        )
        .route("/api/v1/status/flags", get(move || async move { success(json!(c.flags)) }))
        .route(
            "/api/v1/status/runtimeinfo",
            get(move || async move { success(RuntimeInfo::new(d.start_ms, d.clock.now_ms())) }),
        )
        .route("/api/v1/status/buildinfo", get(move || async move { success(BuildInfoJson::of(build, build.version)) }))
        .merge(ui::routes(&Site {
            component: "bucket web",
            version: build.version.to_owned(),
            pages: PAGES,
            thanos: false,
        }))
        .layer(axum::extract::DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(axum::middleware::from_fn(same_origin));
    if !parsed.switch("web.disable-cors") {
        router = router.layer(axum::middleware::map_response(cors));
    }
    let text = |flag| parsed.text(flag);
    let prefixes = Prefixes::new(text("web.route-prefix"), text("web.external-prefix"), text("web.prefix-header"));
    prefixes.mount("blocks", ui::home(), router)
}

/// The first value of a parameter that is not empty.
fn field(parts: [&[u8]; 2], name: &str) -> String {
    let pairs = parts.into_iter().flat_map(url::form_urlencoded::parse);
    pairs.filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.into_owned()).next().unwrap_or_default()
}

impl Api {
    /// The blocks: all of the bucket, or with `view=loaded` those that the flags select; in pages where they are asked for.
    fn blocks(&self, query: &str) -> Response {
        let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let asked = match Asked::parse(&query) {
            Ok(asked) => asked,
            Err(e) => return bad_data(&e),
        };
        let shown = self.shown.lock();
        let page = asked.page(match query.get("view").map(String::as_str) {
            Some("loaded") => &shown.loaded,
            _ => &shown.global,
        });
        success(json!({
            "label": self.label,
            "blocks": page.blocks,
            "total": page.total,
            "next": page.next,
            "refreshedAt": format_rfc3339_ms(shown.refreshed_ms),
            "err": shown.error,
        }))
    }

    async fn mark(&self, query: &[u8], body: &[u8]) -> Response {
        if self.admin_disabled {
            return bad_data("Admin operations are disabled");
        }
        let [id, action, details] = ["id", "action", "detail"].map(|name| field([body, query], name));
        match marks::on_request(&self.bucket, &id, &action, &details, &*self.clock).await {
            Ok(()) => success(Value::Null),
            Err(e @ RequestError::Invalid(_)) => bad_data(&e.to_string()),
            Err(e) => internal(&e.to_string()),
        }
    }
}
