//! Paths, and what holds for all of them: CORS, compression, errors as JSON.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::active::ActiveQueries;
use crate::error::{ApiError, ErrorKind};
use crate::{ApiState, metadata, query, rules, series, snappy, status, targets, tsdb};

/// What handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub state: ApiState,
    pub active: ActiveQueries,
}

impl Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

const PREFIX: &str = "/api/v1";

/// The routes `/api/v1/…`. Whoever serves them adds request metrics, authentication and a prefix.
pub fn router(state: ApiState) -> Router {
    let active = ActiveQueries::new(&state.metrics, state.options.engine.max_concurrent);
    let shared = Shared(Arc::new(Inner { state, active }));
    let api = Router::new()
        .route("/query", get(query::query).post(query::query))
        .route("/query_range", get(query::query_range).post(query::query_range))
        .route("/query_explain", get(query::query_explain).post(query::query_explain))
        .route("/query_range_explain", get(query::query_range_explain).post(query::query_range_explain))
        .route("/format_query", get(query::format_query).post(query::format_query))
        .route("/parse_query", get(query::parse_query).post(query::parse_query))
        .route("/query_exemplars", get(metadata::query_exemplars).post(metadata::query_exemplars))
        .route("/series", get(series::series).post(series::series))
        .route("/labels", get(series::label_names).post(series::label_names))
        .route("/label/{name}/values", get(series::label_values))
        .route("/metadata", get(metadata::metadata))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(targets::alertmanagers))
        .route("/targets", get(targets::targets))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/stores", get(status::stores))
        .route("/notifications", get(status::notifications))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/tsdb", get(tsdb::tsdb))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn(snappy::compress))
        // Answers are written once and read once: the cheapest level saves most of the bytes.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(middleware::from_fn_with_state(shared.clone(), cross_origin))
        .with_state(shared);
    Router::new().nest(PREFIX, api)
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("no API at {PREFIX}{}", uri.path()))
}

async fn method_not_allowed(uri: Uri, method: Method) -> ApiError {
    ApiError {
        kind: ErrorKind::BadData,
        text: format!("{PREFIX}{} does not take {method}", uri.path()),
        status: Some(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// Lets browsers call from pages of other origins, unless that is switched off.
async fn cross_origin(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    if !shared.state.options.disable_cors {
        let headers = response.headers_mut();
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Accept-Encoding, Authorization, Content-Type, Origin"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
