//! The settings of `aion ui`.

use std::time::Duration;

use assembly::{Deps, Error, HttpConfig};
use flags::Parsed;
use transport::http::ClientConfig;

use crate::proxy::Upstream;

/// What the flags mean.
#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    /// Whom the pages are about.
    pub(crate) upstream: Upstream,
}

impl assembly::Config for Config {
    fn from_flags(parsed: &Parsed, _: &Deps) -> Result<Self, Error> {
        let url = parsed.text("url");
        let named = url::Url::parse(url).map_err(|e| Error::flag("url", format!("{url:?}: {e}")))?;
        if !matches!(named.scheme(), "http" | "https") || named.query().is_some() || named.fragment().is_some() {
            return Err(Error::flag("url", format!("{url:?} is no http:// or https:// address of a server")));
        }
        let client = ClientConfig::parse(&parsed.content("url.http-client")?.unwrap_or_default())
            .and_then(ClientConfig::build)
            .map_err(|e| Error::Config(format!("{}: {e}", parsed.origin("url.http-client"))))?;
        let timeout = Duration::from_millis(parsed.duration_ms("url.timeout").max(0) as u64);
        if timeout.is_zero() {
            return Err(Error::flag("url.timeout", "must be longer than 0"));
        }
        let request_bytes_max = usize::try_from(parsed.size_bytes("url.max-request-bytes")).unwrap_or(usize::MAX);
        let upstream = Upstream { base: url.trim_end_matches('/').into(), client, timeout, request_bytes_max };
        Ok(Self { http: HttpConfig::from_flags(parsed)?, upstream })
    }

    fn http(&self) -> &HttpConfig {
        &self.http
    }
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;

    fn of(args: &[&str]) -> Result<Config, Error> {
        assembly::configured::<crate::Ui>(args.iter().copied(), &Deps::isolated(Metrics::new()))
    }

    #[test]
    fn urls() {
        assert_eq!(&*of(&["--url=https://a.example/prom/"]).unwrap().upstream.base, "https://a.example/prom");
        for url in ["", "a.example:9090", "ftp://a", "http://a/?b", "http://a/#b", "/api"] {
            let error = of(&[&format!("--url={url}")]).unwrap_err().to_string();
            assert!(error.contains("--url"), "{url}: {error}");
        }
    }
}
