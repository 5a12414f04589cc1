//! The web configuration file (`--http.config`): TLS, HTTP/2, headers, basic auth. The format is that of Prometheus'
//! exporter-toolkit.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tls::{ClientAuth, Pem, ServerTls, ServerTlsConfig};
use tokio::sync::Semaphore;
use yaml::Secret;

use super::clean;
use super::pages::nosniff;
use super::rate_limit::{self, RateLimit};
use crate::Error;

/// Verified passwords remembered, because bcrypt is slow on purpose.
const REMEMBERED_MAX: usize = 100;

/// A parsed web configuration. Clones share what [`reload`](Self::reload) changes.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// TLS, if the file asks for it.
    pub tls: Option<Arc<ServerTls>>,
    /// Whether HTTP/2 is offered in TLS handshakes; the file's default is true.
    pub http2: bool,
    /// The section that `tls` was made from.
    tls_section: Option<Tls>,
    rules: Arc<RwLock<Arc<Rules>>>,
}

/// What holds for each request.
#[derive(Debug, Default)]
struct Rules {
    guard: Option<WebGuard>,
    headers: Vec<(HeaderName, HeaderValue)>,
    limit: Option<RateLimit>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// TLS. Without it the listener speaks plain HTTP.
    tls_server_config: Option<Tls>,
    /// HTTP/2 and headers.
    http_server_config: Http,
    /// Users and the bcrypt hashes of their passwords. Empty means that nobody is asked.
    basic_auth_users: BTreeMap<String, String>,
    /// Limit on requests, over all clients.
    rate_limit: Option<RateLimitYaml>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RateLimitYaml {
    /// One request may pass in this time. Empty or 0 means no limit.
    interval: String,
    /// Requests that may come at once before the interval counts; 0 refuses all of them.
    burst: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    /// Certificate with its chain, PEM. Read again when it changes. Required, or `cert`.
    cert_file: PathBuf,
    /// Key of the certificate, PEM. Required, or `key`.
    key_file: PathBuf,
    /// The certificate itself, in place of `cert_file`.
    cert: Secret,
    /// The key itself, in place of `key_file`.
    key: Secret,
    /// The certificates of `client_ca_file` themselves.
    client_ca: Secret,
    /// Certificates that sign those of clients. Without it the system's count.
    client_ca_file: PathBuf,
    /// Which certificate a client must show: `NoClientCert`; `RequestClientCert` (it may show any); `RequireAnyClientCert`,
    /// also spelt `RequireClientCert` (any); `VerifyClientCertIfGiven` (one that is shown must be valid);
    /// `RequireAndVerifyClientCert` (a valid one). Default: `NoClientCert`.
    client_auth_type: String,
    /// Names of which a client's certificate must have one; empty means any.
    client_allowed_sans: Vec<String>,
    /// Lowest version of TLS: `TLS12` or `TLS13`; lower ones mean 1.2. Default: `TLS12`.
    min_version: String,
    /// Without effect: the newest version is always offered.
    max_version: String,
    /// Cipher suites by Go's names. Default: all safe ones.
    cipher_suites: Vec<String>,
    /// Curves: `CurveP256`, `CurveP384`, `X25519`. `CurveP521` is not built in, and is left out of a list with others. Default:
    /// all three.
    curve_preferences: Vec<String>,
    /// Without effect: the server's order always counts.
    prefer_server_cipher_suites: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    /// HTTP/2 is offered where there is TLS. Default: `true`.
    http2: bool,
    /// Headers of all answers.
    headers: BTreeMap<String, String>,
}

impl Default for Http {
    fn default() -> Self {
        Self { http2: true, headers: BTreeMap::new() }
    }
}

impl Tls {
    fn is_empty(&self) -> bool {
        let Self { cert_file, key_file, cert, key, client_ca, client_ca_file, client_auth_type, .. } = self;
        [cert_file, key_file, client_ca_file].into_iter().all(|file| file.as_os_str().is_empty())
            && [cert, key, client_ca].into_iter().all(|text| text.0.is_empty())
            && client_auth_type.is_empty()
    }
}

impl WebConfig {
    /// Reads the file at `path`; an empty path is the empty configuration.
    ///
    /// # Errors
    /// Unreadable or malformed file, with its name; unknown keys; bad hashes.
    pub fn load(path: &str) -> Result<Self, Error> {
        if path.is_empty() {
            return Self::parse("", Path::new("."));
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(format!("read web configuration {path}")))?;
        let folder = Path::new(path).parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(|e| Error::Config(format!("web configuration {path}: {e}")))
    }

    /// Parses the text; relative file names count from `folder`.
    ///
    /// # Errors
    /// As [`Self::load`], without the file's name.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Error> {
        let file: File = match text.trim() {
            "" => File::default(),
            _ => flags::parse_yaml(text).map_err(Error::Config)?,
        };
        let limit = file.rate_limit.map(rate_limit).transpose()?.flatten();
        // Where it names nothing there is no TLS.
        let tls_section = file.tls_server_config.filter(|section| !section.is_empty());
        let tls = tls_section.clone().map(|t| tls(t, folder, file.http_server_config.http2)).transpose()?;
        let headers: Result<Vec<_>, Error> = file
            .http_server_config
            .headers
            .iter()
            .map(|(name, value)| {
                let bad = || Error::Config(format!("http_server_config.headers: {name:?} is no valid header"));
                Ok((name.parse::<HeaderName>().map_err(|_| bad())?, value.parse::<HeaderValue>().map_err(|_| bad())?))
            })
            .collect();
        for (user, hash) in &file.basic_auth_users {
            if !hash.starts_with("$2") || hash.len() != 60 {
                let hint = "no bcrypt hash (make one with: htpasswd -nBC 10 \"\")";
                return Err(Error::Config(format!("basic_auth_users.{user}: {hint}")));
            }
        }
        let users = file.basic_auth_users;
        let guard = (!users.is_empty()).then(|| WebGuard::new(users));
        let rules = Rules { guard, headers: headers?, limit };
        Ok(Self {
            tls,
            http2: file.http_server_config.http2,
            tls_section,
            rules: Arc::new(RwLock::new(Arc::new(rules))),
        })
    }

    /// Reads the file at `path` again: from now on its users, headers and rate limit hold, in all clones. Certificates
    /// need no reload, they are read again when their files change.
    ///
    /// # Errors
    /// As [`Self::load`], or another `tls_server_config` or `http2` than at the start. What held before goes on.
    pub fn reload(&self, path: &str) -> Result<(), Error> {
        let new = Self::load(path)?;
        if new.tls_section != self.tls_section || new.http2 != self.http2 {
            let why = "tls_server_config and http2 cannot change while the server runs, restart to change them";
            return Err(Error::Config(format!("web configuration {path}: {why}")));
        }
        let rules = new.rules.read().clone();
        *self.rules.write() = rules;
        Ok(())
    }

    /// Puts the rate limit, authentication and headers before all routes.
    pub fn wrap(&self, router: Router) -> Router {
        let rules = self.rules.clone();
        let router = router.layer(middleware::from_fn(clean::redirect));
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let rules = rules.read().clone();
            async move { rules.pass(request, next).await }
        }));
        router.layer(middleware::map_response(nosniff))
    }
}

impl Rules {
    async fn pass(&self, request: Request, next: Next) -> Response {
        if self.limit.as_ref().is_some_and(|limit| !limit.allow(Instant::now())) {
            return rate_limit::refused();
        }
        let mut response = match &self.guard {
            Some(guard) => guard.pass(request, next).await,
            None => next.run(request).await,
        };
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

fn rate_limit(yaml: RateLimitYaml) -> Result<Option<RateLimit>, Error> {
    let interval = match yaml.interval.as_str() {
        "" => 0,
        text => flags::parse_go_duration(text)
            .map_err(|e| Error::Config(format!("rate_limit.interval: {text:?} is no duration: {e}")))?,
    };
    let interval = Duration::from_millis(u64::try_from(interval).unwrap_or(0));
    Ok((!interval.is_zero()).then(|| RateLimit::new(interval, yaml.burst, Instant::now())))
}

fn tls(t: Tls, folder: &Path, http2: bool) -> Result<Arc<ServerTls>, Error> {
    // Accepted, without effect: rustls always serves its newest version and prefers its own order.
    let _ = (t.max_version, t.prefer_server_cipher_suites);
    let client_auth = match t.client_auth_type.as_str() {
        "" | "NoClientCert" => ClientAuth::None,
        "RequestClientCert" => ClientAuth::Request,
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::Require,
        other => return Err(Error::Config(format!("tls_server_config.client_auth_type: unknown {other:?}"))),
    };
    let client_ca = pem("client_ca", t.client_ca, t.client_ca_file, folder)?;
    if client_ca.is_some() && client_auth == ClientAuth::None {
        let why = "without client_auth_type no certificate is asked for";
        return Err(Error::Config(format!("tls_server_config: client_ca: {why}")));
    }
    let missing = |key: &str| Error::Config(format!("tls_server_config: {key} or {key}_file must be given"));
    let alpn: Vec<&'static [u8]> = if http2 { vec![b"h2", b"http/1.1"] } else { vec![b"http/1.1"] };
    let config = ServerTlsConfig {
        cert: pem("cert", t.cert, t.cert_file, folder)?.ok_or_else(|| missing("cert"))?,
        key: pem("key", t.key, t.key_file, folder)?.ok_or_else(|| missing("key"))?,
        client_ca,
        client_auth,
        client_names: t.client_allowed_sans,
        min_version: t.min_version,
        ciphers: t.cipher_suites,
        curves: t.curve_preferences,
        alpn,
    };
    Ok(Arc::new(ServerTls::new(config)?))
}

/// What stands in the text or in a file below `folder`, if either is given.
fn pem(key: &'static str, text: Secret, file: PathBuf, folder: &Path) -> Result<Option<Pem>, Error> {
    match (text.0.is_empty(), file.as_os_str().is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Ok(Some(Pem::File(folder.join(file)))),
        (false, true) => Ok(Some(Pem::Text(key, text.0))),
        (false, false) => Err(Error::Config(format!("tls_server_config: give one of {key} and {key}_file"))),
    }
}

/// Basic auth against bcrypt hashes.
#[derive(Debug, Clone)]
pub struct WebGuard {
    users: Arc<BTreeMap<String, String>>,
    remembered: Arc<Mutex<HashMap<[u8; 32], bool>>>,
    /// One hash is computed at a time: who guesses passwords must not take the processors from all others.
    hashing: Arc<Semaphore>,
}

/// Compared against for unknown users, so that their answer takes as long (bcrypt of a random text, cost 10).
const NOBODY: &str = "$2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

impl WebGuard {
    fn new(users: BTreeMap<String, String>) -> Self {
        Self { users: Arc::new(users), remembered: Arc::default(), hashing: Arc::new(Semaphore::new(1)) }
    }

    async fn pass(&self, request: Request, next: Next) -> Response {
        let passed = match credentials(&request) {
            Some((user, password)) => self.verify(user, password).await,
            None => false,
        };
        if passed {
            return next.run(request).await;
        }
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")], "Unauthorized\n").into_response()
    }

    async fn verify(&self, user: String, password: String) -> bool {
        let known = self.users.get(&user).cloned();
        let hash = known.clone().unwrap_or_else(|| NOBODY.to_owned());
        // Lengths are part of the key, so no two (user, hash, password) share one (CVE-2022-46146).
        let mut digest = Sha256::new();
        for part in [&user, &hash, &password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let key: [u8; 32] = digest.finalize().into();
        let remembered = self.remembered.lock().get(&key).copied();
        let right = match remembered {
            Some(right) => right,
            None => {
                let _turn = self.hashing.acquire().await;
                let checked = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
                let right = checked.await.unwrap_or(false);
                let mut remembered = self.remembered.lock();
                if remembered.len() >= REMEMBERED_MAX {
                    remembered.clear();
                }
                remembered.insert(key, right);
                right
            }
        };
        right && known.is_some()
    }
}

fn credentials(request: &Request) -> Option<(String, String)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    #[test]
    fn bad_files_are_refused_with_a_reason() {
        for (text, reason) in [
            ("basic_auth_users: {a: plain}", "no bcrypt hash"),
            ("nonsense: 1", "unknown field"),
            ("tls_server_config: {cert_file: /none, key_file: /none}", "/none"),
            ("tls_server_config: {client_auth_type: Some}", "client_auth_type"),
            ("tls_server_config: {client_ca_file: ca.pem}", "client_auth_type"),
            ("tls_server_config: {client_ca: x}", "client_auth_type"),
            ("tls_server_config: {cert_file: a}", "key or key_file"),
            ("tls_server_config: {key: a}", "cert or cert_file"),
            ("tls_server_config: {cert: a, cert_file: b, key: c}", "one of cert and cert_file"),
            ("tls_server_config: {cert: a, key: b}", "cert: no PEM certificate"),
        ] {
            let error = WebConfig::parse(text, Path::new(".")).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn no_names_mean_no_tls() {
        for text in [
            "",
            "{}",
            "tls_server_config:",
            "tls_server_config: {}",
            "tls_server_config: {cert_file: '', key_file: ''}",
        ] {
            let config = WebConfig::parse(text, Path::new(".")).unwrap();
            assert!(config.tls.is_none(), "{text}");
        }
    }

    #[tokio::test]
    async fn guesses_wait_for_each_other_and_not_those_who_are_known() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let guard = WebGuard::new(BTreeMap::from([("ann".to_owned(), hash)]));
        let ask = |password: &str| guard.verify("ann".to_owned(), password.to_owned());
        assert!(ask("secret").await);
        let turn = guard.hashing.acquire().await.unwrap();
        let mut guess = std::pin::pin!(ask("guess"));
        assert!(futures::poll!(&mut guess).is_pending());
        assert!(ask("secret").await);
        drop(turn);
        assert!(!guess.await);
    }

    #[tokio::test]
    async fn only_the_right_password_passes() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let config = WebConfig::parse(&format!("basic_auth_users: {{ann: '{hash}'}}"), Path::new(".")).unwrap();
        let router = config.wrap(Router::new().route("/", get(|| async { "in" })));
        for (login, code) in
            [("ann:secret", 200), ("ann:secret", 200), ("ann:wrong", 401), ("bob:secret", 401), ("", 401)]
        {
            let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
            let request = Request::get("/").header(header::AUTHORIZATION, value).body(Body::empty()).unwrap();
            assert_eq!(router.clone().oneshot(request).await.unwrap().status().as_u16(), code, "{login}");
        }
    }

    #[tokio::test]
    async fn who_comes_too_often_is_refused() {
        let config = WebConfig::parse("rate_limit: {interval: 1h, burst: 2}", Path::new(".")).unwrap();
        let router = config.wrap(Router::new().route("/", get(|| async { "in" })));
        for code in [200, 200, 429, 429] {
            let request = Request::get("/").body(Body::empty()).unwrap();
            assert_eq!(router.clone().oneshot(request).await.unwrap().status().as_u16(), code);
        }
    }

    /// Client certificates by their names, and servers under a name that was not dialled.
    #[tokio::test]
    async fn reloads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml").display().to_string();
        std::fs::write(&path, "").unwrap();
        let web = WebConfig::load(&path).unwrap();
        let router = web.clone().wrap(Router::new().route("/", get(|| async { "in" })));
        let status = async || {
            let request = Request::get("/").body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status()
        };
        assert_eq!(status().await, StatusCode::OK);
        std::fs::write(&path, format!("basic_auth_users: {{a: '{NOBODY}'}}")).unwrap();
        web.reload(&path).unwrap();
        assert_eq!(status().await, StatusCode::UNAUTHORIZED);
        for (text, why) in
            [("basic_auth_users: {a: plain}", "no bcrypt hash"), ("http_server_config: {http2: false}", "restart")]
        {
            std::fs::write(&path, text).unwrap();
            let error = web.reload(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(&path), "{error}");
            assert_eq!(status().await, StatusCode::UNAUTHORIZED, "{text}");
        }
    }

    fn certificates() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls")
    }

    /// Whether a client with these keys of `tls_config` gets an answer from a server with those of `tls_server_config`.
    async fn is_let_in(server: &[&str], client: &[&str]) -> bool {
        let dir = certificates();
        let section = |name: &str, keys: &[&str]| {
            format!("{name}:\n{}", keys.iter().map(|key| format!("  {key}\n")).collect::<String>())
        };
        let yaml = section("tls_server_config", &[&["cert_file: server.pem", "key_file: server.key"], server].concat());
        let config = WebConfig::parse(&yaml, &dir).unwrap();
        let listener = crate::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = crate::ServeOptions { tls: config.tls, ..crate::ServeOptions::http(Duration::ZERO) };
        let stop = tokio_util::sync::CancellationToken::new();
        let router = Router::new().route("/", get(|| async { "in" }));
        tokio::spawn(crate::serve(listener, router, options, stop.clone()));
        let ca = format!("ca_file: {}", dir.join("ca.pem").display());
        let client = section("tls_config", &[&[ca.as_str()], client].concat());
        let client = crate::http::ClientConfig::parse(&client).unwrap().build().unwrap();
        let answer = client.get(&format!("https://127.0.0.1:{port}/")).unwrap().send().await;
        stop.cancel();
        answer.is_ok()
    }

    /// The keys of a client's certificate.
    fn shown() -> [String; 2] {
        let at = |name: &str| certificates().join(name).display().to_string();
        [format!("cert_file: {}", at("client.pem")), format!("key_file: {}", at("client.key"))]
    }

    #[tokio::test]
    async fn names_in_certificates() {
        for (allowed, server_name, passes) in [
            ("", "", true),
            ("client_allowed_sans: [nobody, localhost]", "", true),
            ("client_allowed_sans: ['127.0.0.1']", "server_name: localhost", true),
            ("client_allowed_sans: [client]", "", false),
            ("", "server_name: elsewhere", false),
        ] {
            let server = ["client_ca_file: ca.pem", "client_auth_type: RequireAndVerifyClientCert", allowed];
            let [cert, key] = shown();
            assert_eq!(is_let_in(&server, &[&cert, &key, server_name]).await, passes, "{allowed} {server_name}");
        }
    }

    /// With the exporter-toolkit's meaning: whoever is not verified needs no CA.
    #[tokio::test]
    async fn certificates_that_clients_must_show() {
        // The client's certificate does not descend from it.
        let other_ca = "client_ca_file: server.pem";
        for (kind, ca, without, with) in [
            ("NoClientCert", "", true, true),
            ("RequestClientCert", "", true, true),
            ("RequestClientCert", other_ca, true, true),
            ("RequireAnyClientCert", "", false, true),
            ("RequireClientCert", other_ca, false, true),
            ("VerifyClientCertIfGiven", "client_ca_file: ca.pem", true, true),
            ("VerifyClientCertIfGiven", other_ca, true, false),
            ("RequireAndVerifyClientCert", "client_ca_file: ca.pem", false, true),
            ("RequireAndVerifyClientCert", other_ca, false, false),
        ] {
            let kind_key = format!("client_auth_type: {kind}");
            let server = [kind_key.as_str(), ca];
            let [cert, key] = shown();
            assert_eq!(is_let_in(&server, &[]).await, without, "{server:?}, none is shown");
            assert_eq!(is_let_in(&server, &[&cert, &key]).await, with, "{server:?}");
            let named = [kind_key.as_str(), ca, "client_allowed_sans: [nobody]"];
            assert_eq!(is_let_in(&named, &[&cert, &key]).await, kind == "NoClientCert", "{named:?}");
        }
    }
}
