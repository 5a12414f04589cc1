//! What holds for all paths: CORS, compression, errors as JSON.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use transport::http::answers::{ErrorKind, cors_for};
use transport::http::compression;

use crate::error::ApiError;
use crate::shared::Shared;
use crate::state::ApiState;
use crate::{routes, snappy};

const PREFIX: &str = "/api/v1";

/// The routes `/api/v1/…`. Whoever serves them adds request metrics, authentication and a prefix.
pub fn router(state: ApiState) -> Router {
    let shared = Shared::new(state);
    let api = routes::all()
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(shared.clone(), when_ready))
        .layer(middleware::from_fn(snappy::compress))
        .layer(compression())
        .merge(routes::live())
        .layer(middleware::from_fn(refuse_head))
        .layer(middleware::from_fn_with_state(shared.clone(), cross_origin))
        .with_state(shared);
    Router::new().nest(PREFIX, api)
}

/// Answers 503 as long as a server is not ready, but for what tells how far it is.
async fn when_ready(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let ready = shared.state.server.as_ref().is_none_or(|server| (server.ready)());
    if ready || matches!(request.uri().path(), "/status/walreplay" | "/notifications") {
        return next.run(request).await;
    }
    ApiError::new(ErrorKind::Unavailable, "the server is starting and not ready yet: see /api/v1/status/walreplay")
        .into_response()
}

/// A HEAD would cost as much as the GET.
async fn refuse_head(request: Request, next: Next) -> Response {
    match *request.method() {
        Method::HEAD => method_not_allowed(request.uri().clone(), Method::HEAD).await.into_response(),
        _ => next.run(request).await,
    }
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

/// Lets browsers call from pages of other origins, of all or of some, unless that is switched off.
async fn cross_origin(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let options = &shared.state.options;
    let origin = match &options.origins {
        _ if options.disable_cors => None,
        None => Some(HeaderValue::from_static("*")),
        Some(allowed) => {
            let origin = request.headers().get(header::ORIGIN);
            origin.filter(|origin| origin.to_str().is_ok_and(|origin| allowed.matches(origin))).cloned()
        }
    };
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    if options.origins.is_some() {
        // A cache must not show one origin's answer to another.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    match origin {
        Some(origin) => cors_for(response, origin),
        None => response,
    }
}
