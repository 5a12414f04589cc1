//! Answers in the envelope of Prometheus' API, and those that several components give alike.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::format_rfc3339_ms;
use serde::Serialize;
use telemetry::build::BuildInfo;

/// What kind of failure, in the words of Prometheus' API (`errorType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    BadData,
    /// The query is right, and could not be evaluated on this data or within the limits.
    Execution,
    /// The time for the request is over.
    Timeout,
    /// The client went away.
    Canceled,
    /// The request may be right, and could not be carried out.
    Internal,
    /// What the request needs cannot be reached now.
    Unavailable,
    /// The client asks more than it may; Prometheus has no word for it, Mimir has this one.
    TooManyRequests,
    /// Nothing is served at this path.
    NotFound,
    /// The client may not do this.
    Forbidden,
}

impl ErrorKind {
    /// The `errorType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::TooManyRequests => "too_many_requests",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            // The code of nginx for a client that went away; Prometheus answers so too.
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
        }
    }
}

#[derive(Serialize)]
struct Success<T> {
    status: &'static str,
    data: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

/// 200 with `data`.
pub fn success(data: impl Serialize) -> Response {
    axum::Json(Success { status: "success", data }).into_response()
}

/// A failure of this kind with another status than the kind's own.
pub fn failure(status: StatusCode, kind: ErrorKind, text: &str) -> Response {
    (status, axum::Json(Failure { status: "error", error_type: kind.as_str(), error: text })).into_response()
}

/// 400: the request is wrong.
pub fn bad_data(text: &str) -> Response {
    error(ErrorKind::BadData, text)
}

/// 500: the request may be right, and could not be carried out.
pub fn internal(text: &str) -> Response {
    error(ErrorKind::Internal, text)
}

/// 403: the client may not do this.
pub fn forbidden(text: &str) -> Response {
    error(ErrorKind::Forbidden, text)
}

fn error(kind: ErrorKind, text: &str) -> Response {
    failure(kind.status(), kind, text)
}

/// The data of `/api/v1/status/runtimeinfo`. Keys that Go programs have are kept for those who read them; what has no
/// meaning here is empty.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeInfo {
    start_time: String,
    #[serde(rename = "CWD")]
    cwd: String,
    hostname: String,
    server_time: String,
    reload_config_success: bool,
    last_config_time: String,
    goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    workers: usize,
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: i64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
}

impl RuntimeInfo {
    /// Of a process that runs since `start_ms`, at `now_ms` (ms since the epoch). Call it within the runtime.
    pub fn new(start_ms: i64, now_ms: i64) -> Self {
        let runtime = tokio::runtime::Handle::current().metrics();
        Self {
            start_time: format_rfc3339_ms(start_ms),
            cwd: std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
            hostname: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            server_time: format_rfc3339_ms(now_ms),
            reload_config_success: true,
            last_config_time: format_rfc3339_ms(start_ms),
            goroutine_count: runtime.num_alive_tasks(),
            workers: runtime.num_workers(),
            memory_limit: i64::MAX,
            gogc: "",
            godebug: "",
        }
    }
}

/// The data of `/api/v1/status/buildinfo`. There is no `features` key: Grafana takes it for the mark of another product.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfoJson<'a> {
    version: &'a str,
    revision: &'a str,
    branch: &'a str,
    build_user: &'a str,
    build_date: &'a str,
    go_version: &'a str,
    aion_version: &'a str,
}

impl<'a> BuildInfoJson<'a> {
    /// Of this program, which shows itself as `version`.
    pub fn of(build: BuildInfo, version: &'a str) -> Self {
        Self {
            version,
            revision: build.revision,
            branch: build.branch,
            build_user: "",
            build_date: "",
            go_version: build.rustc,
            aion_version: build.version,
        }
    }
}

/// Lets pages of any origin read a response.
pub async fn cors(response: Response) -> Response {
    cors_for(response, HeaderValue::from_static("*"))
}

/// Lets pages of `origin` read a response; `*` = of any.
pub fn cors_for(mut response: Response, origin: HeaderValue) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Accept-Encoding, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response
}
