//! `--request.logging-config`: which requests leave lines in the log. The YAML is Thanos'.
//!
//! ```yaml
//! options: {level: DEBUG, decision: {log_start: false, log_end: true}}   # of both protocols
//! http: {options: {…}, config: [{path: /api/v1/query, port: 10902}]}     # none listed = all
//! grpc: {options: {…}, config: [{service: thanos.Store, method: Series}]}
//! ```
//!
//! As in Thanos a line is an error where the request failed by the server's fault and else a debug line; `level` drops
//! lines below it, and `--log.level` has the last word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use parking_lot::RwLock;
use serde::Deserialize;
use tonic::Code;
use tracing::Level;

use crate::grpc::follow::{Follow, code_name};

/// Which requests are logged; the default logs none. Clones share what [`replace`](Self::replace) changes.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Arc<RwLock<Both>>);

#[derive(Debug, Clone, Default)]
struct Both {
    http: Arc<Rules<HttpRule>>,
    grpc: Arc<Rules<GrpcRule>>,
}

/// Which requests of one protocol are logged, and when.
#[derive(Debug)]
struct Rules<R> {
    /// Lines below it are dropped.
    level: Level,
    start: bool,
    end: bool,
    /// Requests that are logged; none = all.
    only: Vec<R>,
}

impl<R> Default for Rules<R> {
    fn default() -> Self {
        Self { level: Level::ERROR, start: false, end: false, only: Vec::new() }
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Yaml {
    /// HTTP requests.
    http: Protocol<HttpRule>,
    /// gRPC calls.
    grpc: Protocol<GrpcRule>,
    /// Options of both protocols, where a protocol has none of its own.
    options: Options,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, bound = "R: Deserialize<'de>")]
struct Protocol<R> {
    /// Options of this protocol; if there are any, those of both protocols do not count.
    options: Options,
    /// Requests that are logged. Empty means all.
    config: Vec<R>,
}

impl<R> Default for Protocol<R> {
    fn default() -> Self {
        Self { options: Options::default(), config: Vec::new() }
    }
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// Lines below this level are dropped: `DEBUG`, `INFO`, `WARNING` or `ERROR`. A request that failed by the server's
    /// fault is an error, any other a debug line. Required where any option is set.
    level: String,
    /// When a line is written.
    decision: Decision,
}

#[derive(Debug, Clone, Copy, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Decision {
    /// A line when the request begins; only together with `log_end`.
    log_start: bool,
    /// A line when the request has ended. Without it nothing is logged.
    log_end: bool,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HttpRule {
    /// The path, without query string. Required.
    path: String,
    /// Port of the listener as the client names it; 0 means any.
    port: u16,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct GrpcRule {
    /// Name of the service, for instance `thanos.Store`. Required.
    service: String,
    /// Name of the method, for instance `Series`. Required.
    method: String,
}

impl RequestLog {
    /// Reads the YAML; an empty text logs nothing.
    ///
    /// # Errors
    /// With what is wrong, and in which part.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        let yaml: Yaml = flags::parse_yaml(yaml)?;
        let http = rules("http", &yaml.options, yaml.http)?;
        let grpc = rules("grpc", &yaml.options, yaml.grpc)?;
        Ok(Self(Arc::new(RwLock::new(Both { http: Arc::new(http), grpc: Arc::new(grpc) }))))
    }

    /// From now on requests are logged as `new` says, by all clones.
    pub fn replace(&self, new: &Self) {
        let new = new.0.read().clone();
        *self.0.write() = new;
    }

    /// Wraps all routes of an HTTP router.
    pub fn http(&self, router: Router) -> Router {
        let both = self.0.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let rules = both.read().http.clone();
            async move { if rules.end { http(&rules, request, next).await } else { next.run(request).await } }
        }))
    }

    /// Wraps all services of a gRPC router.
    pub(crate) fn grpc(&self, router: Router) -> Router {
        let both = self.0.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let rules = both.read().grpc.clone();
            async move { if rules.end { grpc(&rules, request, next).await } else { next.run(request).await } }
        }))
    }
}

fn rules<R>(name: &str, global: &Options, own: Protocol<R>) -> Result<Rules<R>, String> {
    let empty = |o: &Options| o.level.is_empty() && !o.decision.log_start && !o.decision.log_end;
    let (part, options) = match (empty(&own.options), empty(global)) {
        (false, _) => (format!("{name}.options"), &own.options),
        (true, false) => ("options".to_owned(), global),
        (true, true) => return Ok(Rules::default()),
    };
    let level = match options.level.as_str() {
        "DEBUG" => Level::DEBUG,
        "INFO" => Level::INFO,
        "WARNING" => Level::WARN,
        "ERROR" => Level::ERROR,
        "" => return Err(format!("{part}: level must be set")),
        other => return Err(format!("{part}: level {other:?} is none of DEBUG, INFO, WARNING, ERROR")),
    };
    let Decision { log_start, log_end } = options.decision;
    if log_start && !log_end {
        return Err(format!("{part}: log_start without log_end is not supported, set both"));
    }
    Ok(Rules { level, start: log_start, end: log_end, only: own.config })
}

impl<R> Rules<R> {
    fn shows(&self, level: Level) -> bool {
        level <= self.level
    }
}

/// The text of a header; what a client sends is cut, so that it cannot fill the log.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    const CHARS_MAX: usize = 200;
    let value = headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    &value[..value.len().min(CHARS_MAX)]
}

/// Writes a line at a level that is only known now.
macro_rules! line {
    ($level:expr, $($rest:tt)*) => {
        match $level {
            Level::ERROR => tracing::error!($($rest)*),
            _ => tracing::debug!($($rest)*),
        }
    };
}

async fn http(rules: &Rules<HttpRule>, request: Request, next: Next) -> Response {
    let host = text(request.headers(), "host");
    let authority = request.uri().authority().map_or(host, |a| a.as_str());
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let path = request.uri().path();
    let listed = |r: &HttpRule| r.path == path && (r.port == 0 || r.port == port);
    if !rules.only.is_empty() && !rules.only.iter().any(listed) {
        return next.run(request).await;
    }
    let method = format!("{} {}", request.method(), request.uri());
    let handler = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let id = text(request.headers(), "x-request-id").to_owned();
    let agent = text(request.headers(), header::USER_AGENT.as_str()).to_owned();
    let peer = match text(request.headers(), "x-forwarded-for") {
        "" => request.extensions().get::<SocketAddr>().map_or_else(String::new, ToString::to_string),
        forwarded => forwarded.to_owned(),
    };
    if rules.start && rules.shows(Level::DEBUG) {
        tracing::debug!(
            protocol = "http",
            http.component = "server",
            http.method = method,
            http.request_id = id,
            http.user_agent = agent,
            thanos.method_name = handler,
            "started call"
        );
    }
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let level = if (200..500).contains(&status) { Level::DEBUG } else { Level::ERROR };
    if rules.shows(level) {
        line!(
            level,
            protocol = "http",
            http.component = "server",
            http.method = method,
            http.request_id = id,
            http.user_agent = agent,
            http.status_code = status,
            http.time_ms = millis(started),
            http.remote_addr = peer,
            thanos.method_name = handler,
            "finished call"
        );
    }
    response
}

async fn grpc(rules: &Arc<Rules<GrpcRule>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap_or(("unknown", path));
    let listed = |r: &GrpcRule| r.service == service && r.method == method;
    if !rules.only.is_empty() && !rules.only.iter().any(listed) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<SocketAddr>().map_or_else(String::new, ToString::to_string);
    let id = text(request.headers(), "x-request-id").to_owned();
    let call = GrpcCall {
        rules: rules.clone(),
        service: service.to_owned(),
        method: method.to_owned(),
        peer,
        id,
        started: Instant::now(),
    };
    if rules.start && rules.shows(Level::DEBUG) {
        tracing::debug!(
            protocol = "grpc",
            grpc.component = "server",
            grpc.service = call.service,
            grpc.method = call.method,
            peer.address = call.peer,
            requestID = call.id,
            "started call"
        );
    }
    let response = next.run(request).await;
    Follow::new(move |code| call.finished(code)).response(response).map(Body::new)
}

struct GrpcCall {
    rules: Arc<Rules<GrpcRule>>,
    service: String,
    method: String,
    peer: String,
    id: String,
    started: Instant,
}

impl GrpcCall {
    fn finished(&self, code: Code) {
        let level = match code {
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Level::ERROR,
            _ => Level::DEBUG,
        };
        if self.rules.shows(level) {
            line!(
                level,
                protocol = "grpc",
                grpc.component = "server",
                grpc.service = self.service,
                grpc.method = self.method,
                peer.address = self.peer,
                requestID = self.id,
                grpc.code = code_name(code),
                grpc.time_ms = millis(self.started),
                "finished call"
            );
        }
    }
}

/// Milliseconds since `started`, to the microsecond.
fn millis(started: Instant) -> f64 {
    started.elapsed().as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use axum::routing::{any, get};
    use http::StatusCode;
    use parking_lot::Mutex;
    use telemetry::logs;
    use tower::ServiceExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log lines of requests to `router`, without time, place and durations.
    async fn lines(router: Router, requests: Vec<Request>) -> Vec<String> {
        let buffer = Buffer::default();
        let to = buffer.clone();
        let subscriber = logs::subscriber(Level::DEBUG, logs::Format::Logfmt, move || to.clone(), None);
        let guard = tracing::subscriber::set_default(subscriber);
        for request in requests {
            let response = router.clone().oneshot(request).await.unwrap();
            let _ = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        }
        drop(guard);
        let text = String::from_utf8(buffer.0.lock().clone()).unwrap();
        text.lines()
            .map(|l| {
                let kept = l
                    .split(' ')
                    .filter(|w| !["ts=", "caller=", "http.time_ms=", "grpc.time_ms="].iter().any(|k| w.starts_with(k)));
                kept.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    fn request(uri: &str) -> Request {
        let peer: SocketAddr = "10.0.0.1:7".parse().unwrap();
        let builder = Request::get(uri).header("host", "a:10902").header("user-agent", "curl");
        builder.extension(peer).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn http_lines() {
        let routes = || {
            Router::new()
                .route("/api/v1/query", get(|| async { "ok" }))
                .route("/bad", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        };
        let asked = || vec![request("/api/v1/query?query=up"), request("/bad")];
        let end = |level: &str, what: &str, code: &str, handler: &str| {
            format!(
                "level={level} msg=\"finished call\" protocol=http http.component=server http.method=\"GET {what}\" \
                 http.request_id=\"\" http.user_agent=curl http.status_code={code} http.remote_addr=10.0.0.1:7 \
                 thanos.method_name={handler}"
            )
        };
        let start = "level=debug msg=\"started call\" protocol=http http.component=server http.method=\"GET \
                     /api/v1/query?query=up\" http.request_id=\"\" http.user_agent=curl thanos.method_name=/api/v1/query";
        let query = end("debug", "/api/v1/query?query=up", "200", "/api/v1/query");
        let bad = end("error", "/bad", "500", "/bad");
        for (yaml, expected) in [
            ("", vec![]),
            ("options: {level: DEBUG, decision: {log_end: true}}", vec![query.clone(), bad.clone()]),
            ("options: {level: ERROR, decision: {log_end: true}}", vec![bad.clone()]),
            ("http: {options: {level: ERROR, decision: {log_end: true, log_start: true}}}", vec![bad.clone()]),
            ("options: {level: DEBUG, decision: {log_end: true}}\nhttp: {options: {level: ERROR}}", vec![]),
            ("grpc: {options: {level: DEBUG, decision: {log_end: true}}}", vec![]),
            (
                "options: {level: DEBUG, decision: {log_start: true, log_end: true}}\n\
                 http: {config: [{path: /api/v1/query, port: 10902}, {path: /bad, port: 1}]}",
                vec![start.to_owned(), query.clone()],
            ),
            ("options: {level: WARNING, decision: {log_end: true}}\nhttp: {config: [{path: /bad}]}", vec![bad.clone()]),
        ] {
            let log = RequestLog::parse(yaml).unwrap();
            assert_eq!(lines(log.http(routes()), asked()).await, expected, "{yaml}");
        }
    }

    #[tokio::test]
    async fn grpc_lines() {
        let routes = || {
            Router::new()
                .route("/thanos.Store/Series", any(|| async { [("grpc-status", "0")] }))
                .route("/thanos.Store/LabelNames", any(|| async { [("grpc-status", "13")] }))
        };
        let asked = || vec![request("/thanos.Store/Series"), request("/thanos.Store/LabelNames")];
        let line = |level: &str, msg: &str, method: &str, code: &str| {
            format!(
                "level={level} msg=\"{msg} call\" protocol=grpc grpc.component=server grpc.service=thanos.Store \
                 grpc.method={method} peer.address=10.0.0.1:7 requestID=\"\"{code}"
            )
        };
        let series = line("debug", "finished", "Series", " grpc.code=OK");
        let names = line("error", "finished", "LabelNames", " grpc.code=Internal");
        for (yaml, expected) in [
            ("options: {level: DEBUG, decision: {log_end: true}}", vec![series.clone(), names.clone()]),
            ("grpc: {options: {level: ERROR, decision: {log_end: true}}}", vec![names.clone()]),
            ("http: {options: {level: ERROR, decision: {log_end: true}}}", vec![]),
            (
                "options: {level: DEBUG, decision: {log_start: true, log_end: true}}\n\
                 grpc: {config: [{service: thanos.Store, method: Series}]}",
                vec![line("debug", "started", "Series", ""), series.clone()],
            ),
        ] {
            let log = RequestLog::parse(yaml).unwrap();
            assert_eq!(lines(log.grpc(routes()), asked()).await, expected, "{yaml}");
        }
    }

    #[tokio::test]
    async fn a_replaced_log_holds_for_routes_that_are_served() {
        let log = RequestLog::default();
        let routes = log.http(Router::new().route("/bad", get(|| async { StatusCode::INTERNAL_SERVER_ERROR })));
        let asked = async |routes: &Router| lines(routes.clone(), vec![request("/bad")]).await.len();
        assert_eq!(asked(&routes).await, 0);
        log.replace(&RequestLog::parse("options: {level: ERROR, decision: {log_end: true}}").unwrap());
        assert_eq!(asked(&routes).await, 1);
        log.replace(&RequestLog::default());
        assert_eq!(asked(&routes).await, 0);
    }

    #[test]
    fn refusals() {
        for (yaml, why) in [
            ("options: {decision: {log_end: true}}", "options: level must be set"),
            ("grpc: {options: {level: DEBUG, decision: {log_start: true}}}", "grpc.options: log_start without log_end"),
            ("http: {options: {level: debug, decision: {log_end: true}}}", "none of DEBUG, INFO"),
            ("nonsense: 1", "nonsense"),
            ("http: {config: [{path: /, prot: 1}]}", "prot"),
        ] {
            let error = RequestLog::parse(yaml).unwrap_err();
            assert!(error.contains(why), "{yaml}: {error}");
        }
    }
}
