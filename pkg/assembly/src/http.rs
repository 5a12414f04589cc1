//! The HTTP part of a component's settings.

use flags::Parsed;
use service::BoxError;
use transport::http::{Prefixes, WebConfig};
use transport::{RequestLog, ServeOptions};

use crate::error::Error;
use crate::reload::Reloads;

/// The HTTP listener, and what holds for all routes. Switches whose flags a component does not declare are off.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where it is bound: `--http-address`, see [`transport::bind`].
    pub address: String,
    /// Limits, TLS and grace period of the listener.
    pub serve: ServeOptions,
    /// Authentication, headers and rate limit: what `--http.config` asks for.
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
    /// `--web.enable-lifecycle`: `POST /-/reload` is served.
    pub lifecycle: bool,
    /// All flags with their values, for `/api/v1/status/flags`.
    pub shown_flags: Vec<(String, String)>,
    /// The file of `web`; empty = none.
    web_file: String,
    /// The file of `request_log`, if it came from one.
    request_log_file: Option<String>,
}

impl HttpConfig {
    /// From a command line whose flags include [`transport::flags::HTTP`].
    ///
    /// # Errors
    /// The first flag or file that cannot be used.
    pub fn from_flags(parsed: &Parsed) -> Result<Self, Error> {
        let (serve, web) = transport::flags::http_server(parsed)?;
        let text = |flag: &str| if parsed.has(flag) { parsed.text(flag) } else { "" };
        let switch = |flag: &str| parsed.has(flag) && parsed.switch(flag);
        let logs = parsed.has("request.logging-config");
        Ok(Self {
            address: parsed.text("http-address").to_owned(),
            serve,
            web,
            request_log: if logs { transport::flags::request_log(parsed)? } else { RequestLog::default() },
            prefixes: Prefixes::new(text("web.route-prefix"), text("web.external-prefix"), text("web.prefix-header")),
            pages_disabled: switch("web.disable"),
            cors_disabled: switch("web.disable-cors"),
            admin_disabled: switch("disable-admin-operations"),
            lifecycle: switch("web.enable-lifecycle"),
            shown_flags: parsed.all().into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
            web_file: parsed.text("http.config").to_owned(),
            request_log_file: Some(text("request.logging-config-file").to_owned()).filter(|path| !path.is_empty()),
        })
    }

    /// Registers the files that can be read again.
    pub(crate) fn on_reload(&self, reloads: &mut Reloads) {
        if !self.web_file.is_empty() {
            let (web, path) = (self.web.clone(), self.web_file.clone());
            reloads.add("http.config", move || {
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
