//! Answers in the envelope of Prometheus' API, and those that several components give alike.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use telemetry::build::BuildInfo;

/// 200 with `data`.
pub fn success(data: Value) -> Response {
    (StatusCode::OK, axum::Json(json!({"status": "success", "data": data}))).into_response()
}

/// 400: the request is wrong.
pub fn bad_data(text: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "bad_data", text)
}

/// 500: the request may be right, and could not be carried out.
pub fn internal(text: &str) -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
}

/// 403: whoever asks may not.
pub fn forbidden(text: &str) -> Response {
    error(StatusCode::FORBIDDEN, "forbidden", text)
}

fn error(status: StatusCode, kind: &str, text: &str) -> Response {
    (status, axum::Json(json!({"status": "error", "errorType": kind, "error": text}))).into_response()
}

/// `/api/v1/status/runtimeinfo` of a component without a TSDB; `started` is a time as RFC 3339.
pub fn runtime_info(started: &str) -> Response {
    success(json!({
        "startTime": started,
        "CWD": std::env::current_dir().unwrap_or_default().display().to_string(),
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "goroutineCount": 0,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
    }))
}

/// `/api/v1/status/buildinfo`.
pub fn build_info(build: BuildInfo) -> Response {
    success(json!({
        "version": build.version,
        "revision": build.revision,
        "branch": build.branch,
        "buildUser": "",
        "buildDate": "",
        "goVersion": build.rustc,
    }))
}

/// Lets pages of any origin read a response.
pub async fn cors(mut response: Response) -> Response {
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
