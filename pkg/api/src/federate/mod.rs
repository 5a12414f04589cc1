//! `/federate`: the latest sample of each series that matches, in a form that scrapers read.
//!
//! The samples of one request come from one read for each selector, so that the series of a metric are of one moment.
//! Formats have no place for warnings: where a part of the data cannot be read the request fails.

mod escape;
mod exposed;
mod gather;
mod negotiate;
mod number;
mod protobuf;
mod text;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use labels::{Labels, Matcher};
use model::{Clock, TimeRange};
use promql_syntax::ParseOptions;
use storage::{Budget, Ctx, Error, SeriesSource};
use telemetry::{Counter, Metrics};
use tokio_util::sync::CancellationToken;
use transport::http::compression;

use exposed::Families;
use gather::gather;
use negotiate::{Form, negotiate};

/// The size of a piece of an answer, bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Selectors of one request.
const SELECTORS_MAX: usize = 1000;

/// Settings of a [`Federation`].
#[derive(Debug, Clone)]
pub struct FederationOptions {
    /// How old the latest sample of a series may be, ms (`--query.lookback-delta`).
    pub lookback_ms: i64,
    /// How selectors are parsed; all regular expressions of a request together may be as large as one of a query.
    pub parse: ParseOptions,
    /// Series of one answer; 0 = any number.
    pub series_max: usize,
}

/// Answers `/federate` from a source of series. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Federation(Arc<Inner>);

struct Inner {
    source: Arc<dyn SeriesSource>,
    external: Arc<dyn Fn() -> Labels + Send + Sync>,
    ready: Arc<dyn Fn() -> bool + Send + Sync>,
    options: FederationOptions,
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    errors: Counter,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation")
            .field("source", &self.source)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Where a [`Federation`] reads and what it adds.
#[derive(Clone)]
pub struct FederationSource {
    /// The series, without external labels.
    pub series: Arc<dyn SeriesSource>,
    /// Labels that are added to series without such a label; asked for at each request.
    pub external: Arc<dyn Fn() -> Labels + Send + Sync>,
    /// False while the source cannot answer yet: requests get 503 then.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for FederationSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederationSource").field("series", &self.series).finish_non_exhaustive()
    }
}

impl Federation {
    /// What a request holds in memory counts in `budget`.
    pub fn new(
        source: FederationSource,
        options: FederationOptions,
        clock: Arc<dyn Clock>,
        budget: Arc<Budget>,
        metrics: &Metrics,
    ) -> Self {
        let FederationSource { series, external, ready } = source;
        let errors = metrics.counter("prometheus_web_federation_errors_total", "Requests for federation that failed.");
        // Where a warning is an error there are none to count; dashboards find the metric.
        metrics.counter("prometheus_web_federation_warnings_total", "Warnings of federation: they are errors here.");
        Self(Arc::new(Inner { source: series, external, ready, options, clock, budget, errors }))
    }

    /// The route `GET /federate`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/federate", get(federate).head(|| async { StatusCode::METHOD_NOT_ALLOWED }).layer(compression()))
            .with_state(self.clone())
    }
}

async fn federate(
    State(Federation(inner)): State<Federation>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match inner.answer(query.as_deref().unwrap_or(""), &headers).await {
        Ok(response) => response,
        Err((status, text)) => {
            if status.is_server_error() {
                inner.errors.inc();
                tracing::warn!(error = text, "federation failed");
            }
            (status, format!("{text}\n")).into_response()
        }
    }
}

impl Inner {
    async fn answer(&self, query: &str, headers: &HeaderMap) -> Result<Response, (StatusCode, String)> {
        let texts = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "match[]");
        let bad = |text: String| (StatusCode::BAD_REQUEST, text);
        let (mut selectors, mut regex_bytes) = (Vec::new(), 0);
        let regex_bytes_max = self.options.parse.max_regex_bytes;
        for (_, text) in texts {
            if selectors.len() >= SELECTORS_MAX {
                return Err(bad(format!("more than {SELECTORS_MAX} selectors (match[])")));
            }
            let set = promql_syntax::parse_series_matchers(&text).map_err(|why| bad(why.to_string()))?;
            regex_bytes += set.iter().filter_map(Matcher::regex).map(|r| r.size_bytes()).sum::<usize>();
            if regex_bytes_max > 0 && regex_bytes > regex_bytes_max {
                let text =
                    format!("regular expressions of match[] take more than {regex_bytes_max} bytes when compiled");
                return Err(bad(text));
            }
            // What says nothing selects nothing, as in Prometheus.
            if !set.is_empty() {
                selectors.push(set);
            }
        }
        if !(self.ready)() {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "the server is starting and not ready yet".to_owned()));
        }
        let now_ms = self.clock.now_ms();
        let range = TimeRange::new(now_ms.saturating_sub(self.options.lookback_ms), now_ms);
        let cancel = CancellationToken::new();
        let _stop = cancel.clone().drop_guard();
        let ctx = Ctx { cancel, budget: self.budget.clone(), ..Ctx::background() };
        let found = gather(&*self.source, &ctx, selectors, range, self.options.series_max).await;
        let (samples, held) = found.map_err(|e| (status(&e), e.to_string()))?;
        let chosen = negotiate(headers);
        let mut families = Families::new(samples, (self.external)(), chosen.form == Form::Protobuf);
        let kind = chosen.content_type();
        // The samples count until they are written.
        let mut begun = Some(held);
        let pieces = std::iter::from_fn(move || {
            begun.as_ref()?;
            let mut piece = Vec::with_capacity(PIECE_BYTES + 4096);
            while piece.len() < PIECE_BYTES {
                let Some(family) = families.next() else {
                    chosen.end(&mut piece);
                    begun = None;
                    break;
                };
                chosen.write(&family, &mut piece);
            }
            Some(Ok::<_, std::convert::Infallible>(piece))
        });
        let mut response = Body::from_stream(stream::iter(pieces)).into_response();
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Ok(response)
    }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::Limit(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Unavailable(_) | Error::Timeout(_) | Error::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Error::Corrupt(_) | Error::Unsupported(_) | Error::Other { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
