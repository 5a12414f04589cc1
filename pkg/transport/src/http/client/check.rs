//! What the keys of an HTTP client may not say together, as in Prometheus.

use std::collections::BTreeMap;

use super::assertion::algorithm;
use super::config::{ClientConfig, JWT_BEARER, OAuth2, TlsConfig};

/// The key at fault, and what is wrong with it.
type Refused = (&'static str, String);

/// Headers that the client sets itself, or that the connection needs.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "user-agent",
    "www-authenticate",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

fn refuse(wrong: bool, key: &'static str, why: &str) -> Result<(), Refused> {
    if wrong { Err((key, why.to_owned())) } else { Ok(()) }
}

pub(super) fn check(config: &ClientConfig) -> Result<(), Refused> {
    config.check()
}

impl ClientConfig {
    fn check(&self) -> Result<(), Refused> {
        let bearer = self.bearer_token.is_some() || self.bearer_token_file.is_some();
        refuse(
            self.bearer_token.is_some() && self.bearer_token_file.is_some(),
            "bearer_token_file",
            "at most one of bearer_token & bearer_token_file must be configured",
        )?;
        refuse(
            (self.basic_auth.is_some() || self.oauth2.is_some()) && bearer,
            if self.basic_auth.is_some() { "basic_auth" } else { "oauth2" },
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        )?;
        refuse(
            self.authorization.is_some() && bearer,
            "authorization",
            "authorization is not compatible with bearer_token & bearer_token_file",
        )?;
        let ways = [self.basic_auth.is_some(), self.oauth2.is_some(), self.authorization.is_some()];
        refuse(
            ways.iter().filter(|set| **set).count() > 1,
            if self.authorization.is_some() { "authorization" } else { "oauth2" },
            "at most one of basic_auth, oauth2 & authorization must be configured",
        )?;
        self.check_credentials()?;
        check_tls(&self.tls_config)?;
        check_proxy(
            "proxy_url",
            [self.proxy_url.is_some(), self.no_proxy.is_some(), names(self.proxy_connect_header.as_ref())],
            self.proxy_from_environment == Some(true),
        )?;
        if let Some(proxy) = &self.proxy_url {
            reqwest::Proxy::all(proxy).map_err(|e| ("proxy_url", format!("{:?}: {e}", model::redact_urls(proxy))))?;
        }
        self.check_headers()
    }

    fn check_credentials(&self) -> Result<(), Refused> {
        if let Some(auth) = &self.basic_auth {
            refuse(
                !auth.username.is_empty() && auth.username_file.is_some(),
                "basic_auth",
                "at most one of basic_auth username & username_file must be configured",
            )?;
            refuse(
                auth.password.is_some() && auth.password_file.is_some(),
                "basic_auth",
                "at most one of basic_auth password & password_file must be configured",
            )?;
        }
        if let Some(auth) = &self.authorization {
            refuse(
                auth.credentials.is_some() && auth.credentials_file.is_some(),
                "authorization",
                "at most one of authorization credentials & credentials_file must be configured",
            )?;
            refuse(
                auth.kind.as_ref().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("basic")),
                "authorization",
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            )?;
        }
        self.oauth2.as_ref().map_or(Ok(()), check_oauth2)
    }

    fn check_headers(&self) -> Result<(), Refused> {
        for (name, header) in self.http_headers.iter().flatten() {
            let bad = |why: String| Err(("http_headers", why));
            if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                return bad(format!("setting header {name:?} is not allowed"));
            }
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return bad(format!("{name:?} is no name of a header"));
            }
            let values = header.values.iter().chain(header.secrets.iter().map(|s| &s.0));
            if values.clone().any(|value| http::HeaderValue::from_str(value).is_err()) {
                return bad(format!("a value of {name} cannot stand in a header"));
            }
        }
        Ok(())
    }
}

fn check_oauth2(oauth2: &OAuth2) -> Result<(), Refused> {
    refuse(oauth2.client_id.is_empty(), "oauth2", "oauth2 client_id must be configured")?;
    refuse(oauth2.token_url.is_empty(), "oauth2", "oauth2 token_url must be configured")?;
    let is_known = matches!(oauth2.grant_type.as_deref(), None | Some("" | "client_credentials" | JWT_BEARER));
    let grants = format!("oauth2 grant_type is not supported: client_credentials and {JWT_BEARER} are");
    refuse(!is_known, "oauth2", &grants)?;
    refuse(
        !oauth2.signs() && oauth2.client_secret.is_some() && oauth2.client_secret_file.is_some(),
        "oauth2",
        "at most one of oauth2 client_secret & client_secret_file must be configured",
    )?;
    refuse(
        oauth2.signs() && oauth2.client_certificate_key.is_some() && oauth2.client_certificate_key_file.is_some(),
        "oauth2",
        "at most one of oauth2 client_certificate_key & client_certificate_key_file must be configured",
    )?;
    refuse(
        algorithm(oauth2.signature_algorithm.as_deref()).is_none(),
        "oauth2",
        "oauth2 signature_algorithm is not supported: RS256, RS384 and RS512 are",
    )?;
    check_tls(&oauth2.tls_config).map_err(|(_, why)| ("oauth2", why))?;
    check_proxy(
        "oauth2",
        [oauth2.proxy_url.is_some(), oauth2.no_proxy.is_some(), names(oauth2.proxy_connect_header.as_ref())],
        oauth2.proxy_from_environment == Some(true),
    )
}

pub(super) fn check_tls(tls: &TlsConfig) -> Result<(), Refused> {
    let key = "tls_config";
    refuse(tls.ca.is_some() && tls.ca_file.is_some(), key, "at most one of ca and ca_file must be configured")?;
    refuse(tls.cert.is_some() && tls.cert_file.is_some(), key, "at most one of cert and cert_file must be configured")?;
    refuse(tls.key.is_some() && tls.key_file.is_some(), key, "at most one of key and key_file must be configured")?;
    let (cert, private) = (tls.cert.is_some() || tls.cert_file.is_some(), tls.key.is_some() || tls.key_file.is_some());
    refuse(
        cert && !private,
        key,
        "exactly one of key or key_file must be configured when a client certificate is configured",
    )?;
    refuse(
        private && !cert,
        key,
        "exactly one of cert or cert_file must be configured when a client key is configured",
    )?;
    for version in [&tls.min_version, &tls.max_version] {
        let known = ["", "TLS10", "TLS11", "TLS12", "TLS13"].contains(&version.as_str());
        refuse(!known, key, &format!("unknown TLS version: {version}"))?;
    }
    refuse(
        !tls.max_version.is_empty() && tls.max_version < tls.min_version,
        key,
        "tls_config.max_version must be greater than or equal to tls_config.min_version",
    )
}

fn names<V>(headers: Option<&BTreeMap<String, V>>) -> bool {
    headers.is_some_and(|headers| !headers.is_empty())
}

/// `set`: `proxy_url`, `no_proxy`, `proxy_connect_header`.
fn check_proxy(key: &'static str, set: [bool; 3], environment: bool) -> Result<(), Refused> {
    let [url, no_proxy, header] = set;
    refuse(environment && url, key, "if proxy_from_environment is configured, proxy_url must not be configured")?;
    refuse(environment && no_proxy, key, "if proxy_from_environment is configured, no_proxy must not be configured")?;
    refuse(no_proxy && !url, key, "if no_proxy is configured, proxy_url must also be configured")?;
    refuse(
        header && !url && !environment,
        key,
        "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
    )
}
