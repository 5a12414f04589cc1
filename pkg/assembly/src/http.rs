//! The HTTP part of a component's settings.

use std::time::Duration;

use axum::Router;
use axum::routing::MethodRouter;
use flags::{Flag, Parsed};
use service::BoxError;
use telemetry::Metrics;
use transport::http::{Prefixes, Probe, WebConfig, common_routes};
use transport::{RequestLog, ServeOptions};

use crate::error::Error;
use crate::reload::Reloads;

const HTTP: &str = "http-address";
const LISTEN_ADDRESS: &str = "web.listen-address";
const WEB_CONFIG: &str = "web.config.file";
const LIFECYCLE: &str = "web.enable-lifecycle";

/// Flags of the HTTP listener with Prometheus' names, for components that take the place of a Prometheus.
pub const PROMETHEUS_HTTP: &[Flag] = &[
    Flag::text(LISTEN_ADDRESS, "0.0.0.0:9090", "Address to listen on for UI, API, and telemetry. Can be repeated.")
        .repeated(),
    Flag::text(WEB_CONFIG, "", "Path to configuration file that can enable TLS or authentication."),
    Flag::duration(
        "web.read-timeout",
        "5m",
        "Maximum duration before timing out read of the request, and closing idle connections.",
    ),
    Flag::count("web.max-connections", "512", "Maximum number of simultaneous connections across all listeners."),
    Flag::duration(
        "web.write-timeout",
        "2m",
        "Longest time in which a client takes no byte of an answer. 0 means no limit.",
    ),
    Flag::duration("web.grace-period", "5s", "Time that running requests get to finish at the end."),
    Flag::switch(LIFECYCLE, "Enable shutdown and reload via HTTP request."),
];

/// Options of the listener by [`PROMETHEUS_HTTP`].
fn prometheus_server(parsed: &Parsed) -> Result<(ServeOptions, WebConfig), Error> {
    let duration = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
    let read_timeout = duration("web.read-timeout");
    if read_timeout.is_zero() {
        return Err(Error::flag("web.read-timeout", "must be longer than 0"));
    }
    let web = WebConfig::load(parsed.text(WEB_CONFIG))?;
    let options = ServeOptions {
        tls: web.tls.clone(),
        connections_max: usize::try_from(parsed.count("web.max-connections")).unwrap_or(usize::MAX),
        header_timeout: read_timeout,
        body_timeout: read_timeout,
        write_timeout: duration("web.write-timeout"),
        ..ServeOptions::http(duration("web.grace-period"))
    };
    Ok((options, web))
}

/// The HTTP listener, and what holds for all routes. Switches whose flags a component does not declare are off.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where it is bound: `--http-address`, or each `--web.listen-address`; see [`transport::bind`]. Never empty.
    pub addresses: Vec<String>,
    /// The flag of `addresses`, for errors.
    pub address_flag: &'static str,
    /// Limits, TLS and grace period of the listener.
    pub serve: ServeOptions,
    /// Authentication, headers and rate limit: what `--http.config` or `--web.config.file` asks for.
    pub web: WebConfig,
    /// Which requests are logged, those of gRPC too: `--request.logging-config`.
    pub request_log: RequestLog,
    /// Where pages and API begin: `--web.route-prefix`, `--web.external-prefix`, `--web.prefix-header`.
    pub prefixes: Prefixes,
    /// No pages are served, the API is: `--web.disable`.
    pub pages_disabled: bool,
    /// No CORS headers are set: `--web.disable-cors`.
    pub cors_disabled: bool,
    /// `--disable-admin-operations`: requests that change something are refused.
    pub admin_disabled: bool,
    /// `--web.enable-lifecycle`: `POST /-/reload` and `POST /-/quit` are served; `None` = a component without that flag.
    pub lifecycle: Option<bool>,
    /// All flags with their values, for `/api/v1/status/flags`.
    pub shown_flags: Vec<(String, String)>,
    /// The file of `web`; empty = none.
    web_file: String,
    /// The flag of `web_file`.
    web_flag: &'static str,
    /// The file of `request_log`, if it came from one.
    request_log_file: Option<String>,
}

impl HttpConfig {
    /// From a command line whose flags include [`transport::flags::HTTP`] or [`PROMETHEUS_HTTP`].
    ///
    /// # Errors
    /// The first flag or file that cannot be used.
    pub fn from_flags(parsed: &Parsed) -> Result<Self, Error> {
        let prometheus = parsed.has(LISTEN_ADDRESS);
        let (serve, web) = if prometheus { prometheus_server(parsed)? } else { transport::flags::http_server(parsed)? };
        let (address_flag, web_flag) = if prometheus { (LISTEN_ADDRESS, WEB_CONFIG) } else { (HTTP, "http.config") };
        let text = |flag: &str| if parsed.has(flag) { parsed.text(flag) } else { "" };
        let switch = |flag: &str| parsed.has(flag) && parsed.switch(flag);
        let logs = parsed.has("request.logging-config");
        Ok(Self {
            addresses: if prometheus { parsed.list(address_flag) } else { vec![parsed.text(address_flag).to_owned()] },
            address_flag,
            serve,
            web,
            request_log: if logs { transport::flags::request_log(parsed)? } else { RequestLog::default() },
            prefixes: Prefixes::new(text("web.route-prefix"), text("web.external-prefix"), text("web.prefix-header")),
            pages_disabled: switch("web.disable"),
            cors_disabled: switch("web.disable-cors"),
            admin_disabled: switch("disable-admin-operations"),
            lifecycle: parsed.has(LIFECYCLE).then(|| parsed.switch(LIFECYCLE)),
            shown_flags: parsed.all().into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
            web_file: parsed.text(web_flag).to_owned(),
            web_flag,
            request_log_file: Some(text("request.logging-config-file").to_owned()).filter(|path| !path.is_empty()),
        })
    }

    /// `routes` where they are, and below the route prefix.
    pub(crate) fn at_both(&self, routes: Router) -> Router {
        if self.prefixes.is_root() { routes } else { routes.clone().merge(self.prefixes.nest(routes)) }
    }

    /// `routes` below the route prefix, probes and metrics there too; see [`Prefixes::mount`].
    pub fn mount(
        &self,
        home: &'static str,
        page: MethodRouter,
        mut routes: Router,
        metrics: &Metrics,
        probe: &Probe,
    ) -> Router {
        if !self.prefixes.is_root() {
            routes = routes.merge(common_routes(metrics.clone(), probe.clone()));
        }
        self.prefixes.mount(home, page, routes)
    }

    /// Registers the files that can be read again.
    pub(crate) fn on_reload(&self, reloads: &mut Reloads) {
        if !self.web_file.is_empty() {
            let (web, path) = (self.web.clone(), self.web_file.clone());
            reloads.add(self.web_flag, move || {
                let (web, path) = (web.clone(), path.clone());
                async move { web.reload(&path) }
            });
        }
        if let Some(path) = self.request_log_file.clone() {
            let log = self.request_log.clone();
            reloads.add("request.logging-config-file", move || {
                let (log, path) = (log.clone(), path.clone());
                async move {
                    let named = |e: &dyn std::fmt::Display| BoxError::from(format!("{path}: {e}"));
                    let yaml = tokio::fs::read_to_string(&path).await.map_err(|e| named(&e))?;
                    log.replace(&RequestLog::parse(&yaml).map_err(|e| named(&e))?);
                    Ok::<_, BoxError>(())
                }
            });
        }
    }
}
