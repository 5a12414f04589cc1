//! An HTTP client at work: certificates that are replaced, tokens of an OAuth 2.0 server, headers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use transport::http::{ClientConfig, HttpClient, WebConfig};

async fn serve(router: Router, web: &WebConfig) -> u16 {
    let listener = transport::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = transport::ServeOptions { tls: web.tls.clone(), ..transport::ServeOptions::http(Duration::ZERO) };
    tokio::spawn(transport::serve(listener, router, options, CancellationToken::new()));
    port
}

fn client(section: &str) -> HttpClient {
    ClientConfig::from_section(&yaml::parse(section).unwrap()).unwrap().build().unwrap()
}

async fn status(client: &HttpClient, url: &str) -> Option<StatusCode> {
    Some(client.request(Method::GET, url).await.unwrap().send().await.ok()?.status())
}

async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls");
    let web = WebConfig::parse("tls_server_config: {cert_file: server.pem, key_file: server.key}", &tls).unwrap();
    let url = format!("https://127.0.0.1:{}/", serve(Router::new().route("/", get(async || "in")), &web).await);
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    // An authority that did not sign the server's certificate.
    std::fs::copy(tls.join("client.pem"), &ca).unwrap();
    let client = client(&format!("tls_config: {{ca_file: '{}'}}", ca.display()));
    assert_eq!(status(&client, &url).await, None);
    std::fs::copy(tls.join("ca.pem"), &ca).unwrap();
    later(Duration::from_secs(6)).await;
    assert_eq!(status(&client, &url).await, Some(StatusCode::OK));
    // One that cannot be used leaves the one before in use.
    std::fs::write(&ca, "half").unwrap();
    later(Duration::from_secs(6)).await;
    assert_eq!(status(&client, &url).await, Some(StatusCode::OK));
}

#[tokio::test]
async fn certificates_may_come_later_than_the_client() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls");
    let web = WebConfig::parse("tls_server_config: {cert_file: server.pem, key_file: server.key}", &tls).unwrap();
    let url = format!("https://127.0.0.1:{}/", serve(Router::new().route("/", get(async || "in")), &web).await);
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let section = format!("tls_config: {{ca_file: '{}'}}", ca.display());
    let config = ClientConfig::from_section(&yaml::parse(&section).unwrap()).unwrap();
    assert!(config.clone().build().is_err());
    let client = config.build_early().unwrap();
    let error = client.request(Method::GET, &url).await.unwrap_err().to_string();
    assert!(error.contains("ca.pem") && !client.is_open(), "{error}");
    std::fs::copy(tls.join("ca.pem"), &ca).unwrap();
    later(Duration::from_secs(6)).await;
    assert_eq!(status(&client, &url).await, Some(StatusCode::OK));
}

#[tokio::test]
async fn certificates_may_stand_in_the_configuration() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls");
    let keys = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n  \
                client_auth_type: RequireAndVerifyClientCert\n";
    let web = WebConfig::parse(keys, &tls).unwrap();
    let url = format!("https://127.0.0.1:{}/", serve(Router::new().route("/", get(async || "in")), &web).await);
    let pem = |name: &str| {
        let text = std::fs::read_to_string(tls.join(name)).unwrap();
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    let (ca, cert, key) = (pem("ca.pem"), pem("client.pem"), pem("client.key"));
    let whole = client(&format!("tls_config:\n  ca: |\n{ca}  cert: |\n{cert}  key: |\n{key}"));
    assert_eq!(status(&whole, &url).await, Some(StatusCode::OK));
    assert_eq!(status(&client(&format!("tls_config:\n  ca: |\n{ca}")), &url).await, None);
    // And in the server's.
    let (own, own_key) = (pem("server.pem"), pem("server.key"));
    let keys = format!(
        "tls_server_config:\n  cert: |\n{own}  key: |\n{own_key}  client_ca: |\n{ca}  \
         client_auth_type: RequireAndVerifyClientCert\n  curve_preferences: [CurveP521, CurveP256]\n"
    );
    let web = WebConfig::parse(&keys, Path::new("/nowhere")).unwrap();
    assert!(!format!("{web:?}").contains("BEGIN"));
    let url = format!("https://127.0.0.1:{}/", serve(Router::new().route("/", get(async || "in")), &web).await);
    assert_eq!(status(&whole, &url).await, Some(StatusCode::OK));
    assert_eq!(status(&client(&format!("tls_config:\n  ca: |\n{ca}")), &url).await, None);
    let only = keys.replace(", CurveP256", "");
    assert!(WebConfig::parse(&only, Path::new("/nowhere")).unwrap_err().to_string().contains("P521 is not built in"));
}

/// A server that gives tokens, and takes the latest one only.
struct Issuer {
    given: AtomicUsize,
    in_header: bool,
}

impl Issuer {
    async fn token(&self, request: Request) -> axum::response::Response {
        let header = request.headers().get("authorization").and_then(|h| h.to_str().ok()).map(str::to_owned);
        let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
        let form = String::from_utf8(body.to_vec()).unwrap();
        // `id:secret`, base64.
        let known = match self.in_header {
            true => header.as_deref() == Some("Basic aWQ6c2VjcmV0"),
            false => form.contains("client_id=id&client_secret=secret"),
        };
        if !known || !form.starts_with("grant_type=client_credentials&scope=a+b&audience=x") {
            return (StatusCode::UNAUTHORIZED, form).into_response();
        }
        let n = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        format!(r#"{{"access_token": "t{n}", "token_type": "bearer", "expires_in": 60}}"#).into_response()
    }
}

#[tokio::test]
async fn tokens_are_fetched_and_renewed() {
    for in_header in [true, false] {
        let issuer = Arc::new(Issuer { given: AtomicUsize::new(0), in_header });
        let (issue, check) = (issuer.clone(), issuer.clone());
        let guarded = async move |request: Request| {
            let want = format!("Bearer t{}", check.given.load(Ordering::SeqCst));
            let good = request.headers().get("authorization").is_some_and(|header| *header == *want);
            if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
        };
        let router = Router::new()
            .route("/token", post(async move |request: Request| issue.token(request).await))
            .route("/", get(guarded));
        let url = format!("http://127.0.0.1:{}/", serve(router, &WebConfig::default()).await);
        let client = client(&format!(
            "oauth2: {{client_id: id, client_secret: secret, token_url: '{url}token', scopes: [a, b], \
             endpoint_params: {{audience: x}}}}"
        ));
        for _ in 0..3 {
            assert_eq!(status(&client, &url).await, Some(StatusCode::OK), "{in_header}");
        }
        assert_eq!(issuer.given.load(Ordering::SeqCst), 1);
        later(Duration::from_secs(51)).await;
        assert_eq!(status(&client, &url).await, Some(StatusCode::OK));
        assert_eq!(issuer.given.load(Ordering::SeqCst), 2);
        assert!(client.get(&url).is_err(), "a request that cannot wait for a token is refused");
    }
    let nobody = client("oauth2: {client_id: id, token_url: 'http://127.0.0.1:1/token'}");
    let error = nobody.request(Method::GET, "http://127.0.0.1:1/").await.unwrap_err().to_string();
    assert!(error.contains("oauth2 token of http://127.0.0.1:1/token"), "{error}");
}

#[tokio::test]
async fn headers_of_the_configuration_are_sent() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("h"), "from file\n").unwrap();
    let shown = async |request: Request| {
        let values: Vec<&str> = request.headers().get_all("x-a").iter().map(|v| v.to_str().unwrap()).collect();
        values.join("|")
    };
    let url = format!("http://127.0.0.1:{}/", serve(Router::new().route("/", get(shown)), &WebConfig::default()).await);
    let file = dir.path().join("h").display().to_string();
    let client = client(&format!("http_headers: {{X-A: {{values: [one], secrets: [two], files: ['{file}']}}}}"));
    let answer = client.request(Method::GET, &url).await.unwrap().send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "one|two|from file");
}

/// What a form holds under a name.
fn field<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn a_signed_assertion_gets_a_token() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let taken = seen.clone();
    let token = async move |request: Request| {
        let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
        let form = String::from_utf8(body.to_vec()).unwrap();
        if field(&form, "grant_type") != Some("urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer") {
            return (StatusCode::BAD_REQUEST, form).into_response();
        }
        taken.lock().unwrap().push(field(&form, "assertion").unwrap_or_default().to_owned());
        r#"{"access_token": "t", "expires_in": 60}"#.into_response()
    };
    let guarded = async |request: Request| match request.headers().get("authorization") {
        Some(header) if *header == "Bearer t" => StatusCode::OK,
        _ => StatusCode::UNAUTHORIZED,
    };
    let router = Router::new().route("/token", post(token)).route("/", get(guarded));
    let url = format!("http://127.0.0.1:{}/", serve(router, &WebConfig::default()).await);
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tls/rsa.key");
    let client = client(&format!(
        "oauth2: {{client_id: id, token_url: '{url}token', client_certificate_key_file: '{key}', \
         grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', claims: {{x: [1, {{y: true}}]}}}}"
    ));
    assert_eq!(status(&client, &url).await, Some(StatusCode::OK));
    later(Duration::from_secs(51)).await;
    assert_eq!(status(&client, &url).await, Some(StatusCode::OK));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen[0] != seen[1] && seen.iter().all(|a| a.split('.').count() == 3), "{seen:?}");
}
