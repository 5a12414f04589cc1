//! What targets may do, and what is made of it.

use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;

use storage::TargetHealth;

use crate::harness::{Harness, SOON, serve};

fn text(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], body.into()).into_response()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn compressed(encoding: &'static str, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain"), (header::CONTENT_ENCODING, encoding)], body).into_response()
}

async fn drip() -> Response {
    let drops = futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"# drip\n")), ()))
    });
    text(Body::from_stream(drops))
}

/// Without a length.
async fn pieces() -> Response {
    let parts = [b"a 1\n", b"b 2\n", b"c 3\n"].map(|part| Ok::<_, Infallible>(Bytes::from_static(part)));
    text(Body::from_stream(futures::stream::iter(parts)))
}

async fn half() -> Response {
    let parts = [Ok(Bytes::from_static(b"a 1\nb 1\n")), Err(std::io::Error::other("interrupted"))];
    text(Body::from_stream(futures::stream::iter(parts)))
}

fn routes() -> Router {
    let body = gzip(&vec![b'\n'; 2 << 20]);
    let bomb = move || async move { compressed("gzip", body) };
    Router::new()
        .route("/ok", get(|| async { text("a 1\nb{x=\"y\"} 2\n") }))
        .route("/gzip", get(|| async { compressed("gzip", gzip(b"a 1\n")) }))
        .route("/members", get(|| async { compressed("gzip", [gzip(b"b 2\n"), gzip(b"a 1\n")].concat()) }))
        .route("/members-cut", get(|| async { compressed("gzip", [gzip(b"a 1\n"), b"rest".to_vec()].concat()) }))
        .route("/empty", get(|| async { StatusCode::OK }))
        .route("/empty-gzip", get(|| async { compressed("gzip", Vec::new()) }))
        .route("/zstd", get(|| async { compressed("zstd", zstd::encode_all(&b"a 1\n"[..], 1).unwrap()) }))
        .route("/pieces", get(pieces))
        .route("/cut", get(|| async { compressed("gzip", gzip(b"a 1\nb 2\n")[..20].to_vec()) }))
        .route("/bomb", get(bomb))
        .route("/drip", get(drip))
        .route("/hang", get(|| async { futures::future::pending::<()>().await }))
        .route("/half", get(half))
        .route("/again", get(|| async { Redirect::temporary("/again") }))
        .route("/away", get(|| async { Redirect::temporary("/ok") }))
        .route("/missing", get(|| async { StatusCode::NOT_FOUND }))
        .route("/html", get(|| async { ([(header::CONTENT_TYPE, "text/html")], "a 1\n") }))
        .route("/untyped", get(|| async { Response::new(Body::from("a 1\n")) }))
        .route("/broken", get(|| async { text("a 1\nb{\n") }))
        .route("/headers", get(|headers: HeaderMap| async move { text(shown(&headers)) }))
}

/// The headers as a metric each.
fn shown(headers: &HeaderMap) -> String {
    let one = |name: &str| {
        let value = headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        format!("header{{name=\"{name}\",value=\"{}\"}} 1\n", value.replace('"', "'"))
    };
    let names =
        ["accept", "accept-encoding", "x-prometheus-scrape-timeout-seconds", "authorization", "user-agent", "host"];
    names.map(one).concat()
}

/// Nothing, and what makes scrapes need the client that can do everything.
const WAYS: [&str; 2] = ["", "proxy_from_environment: true, "];

async fn scraped(path: &str, more: &str) -> Harness {
    let address = serve(routes()).await.to_string();
    let harness = Harness::new(&[&format!("job_name: j, metrics_path: {path}, {more}")]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    harness
}

#[tokio::test]
async fn good_answers() {
    for (path, more) in [
        ("/ok", ""),
        ("/gzip", ""),
        ("/members", ""),
        ("/zstd", ""),
        ("/pieces", ""),
        ("/away", ""),
        ("/untyped", "fallback_scrape_protocol: PrometheusText0.0.4"),
    ] {
        for way in WAYS {
            let harness = scraped(path, &format!("{way}{more}")).await;
            harness.wait_for_samples("a", 2).await;
            let target = harness.wait_for_health(TargetHealth::Up).await;
            assert_eq!(target.last_error, "", "{path}");
            assert!(target.last_scrape_ns.is_some() && target.scrape_url.ends_with(path));
        }
    }
}

/// Whatever its address says.
#[cfg(unix)]
#[tokio::test]
async fn a_target_behind_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exporter.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, routes()).await });
    let path = path.display().to_string();
    for way in WAYS {
        let harness = Harness::new(&[&format!("{way}job_name: j, metrics_path: /ok")]);
        let target: &[(&str, &str)] = &[("__address__", "exporter.invalid"), ("__unix_socket__", &path)];
        harness.discover(&[("j", &[target])]);
        harness.wait_for_samples("a", 2).await;
        let target = harness.wait_for_health(TargetHealth::Up).await;
        assert_eq!(target.scrape_url, "http://exporter.invalid/ok");
    }
}

#[tokio::test]
async fn bad_answers() {
    for (path, more, why) in [
        ("/cut", "", ""),
        ("/members-cut", "", ""),
        ("/empty-gzip", "", "cannot be decompressed"),
        ("/bomb", "body_size_limit: 64KB", "body size limit exceeded"),
        ("/ok", "body_size_limit: 10B", "body size limit exceeded"),
        ("/pieces", "body_size_limit: 10B", "body size limit exceeded"),
        ("/drip", "", "context deadline exceeded"),
        ("/hang", "", "context deadline exceeded"),
        ("/half", "", ""),
        ("/again", "", "redirect"),
        ("/away", "follow_redirects: false", "server returned HTTP status 307 Temporary Redirect"),
        ("/missing", "", "server returned HTTP status 404 Not Found"),
        ("/html", "", "received unsupported Content-Type \"text/html\""),
        ("/untyped", "", "blank Content-Type"),
        ("/broken", "", "line 2: expected a label name"),
    ] {
        for way in WAYS {
            let harness = scraped(path, &format!("{way}{more}")).await;
            let is_told =
                |target: &storage::ActiveTarget| !target.last_error.is_empty() && target.last_error.contains(why);
            testkit::wait_for(why, SOON, async || harness.targets().await.first().is_some_and(is_told)).await;
            let up = harness.wait_for_samples("up", 1).await;
            assert!(up.values().flatten().all(|(_, v)| *v == 0.0), "{path}: {up:?}");
            assert!(harness.samples("a").await.is_empty(), "{path}: half of a scrape was stored");
        }
    }
}

/// No series at all is an answer, of whatever type.
#[tokio::test]
async fn an_empty_body() {
    let harness = scraped("/empty", "").await;
    harness.wait_for_health(TargetHealth::Up).await;
    let up = harness.wait_for_samples("up", 2).await;
    assert!(up.values().flatten().all(|(_, v)| *v == 1.0), "{up:?}");
}

#[tokio::test]
async fn headers() {
    let mut shown = Vec::new();
    for way in WAYS {
        let harness = scraped("/headers", &format!("{way}basic_auth: {{username: u, password: p}}")).await;
        let samples = harness.wait_for_samples("header", 1).await;
        for (name, value) in [
            ("accept-encoding", "gzip"),
            ("x-prometheus-scrape-timeout-seconds", "0.1"),
            ("authorization", "Basic dTpw"),
            ("user-agent", concat!("aion/", env!("CARGO_PKG_VERSION"))),
        ] {
            let labels = format!("{{name=\"{name}\", value=\"{value}\"}}");
            assert!(samples.contains_key(&labels), "{labels}: {:?}", samples.keys());
        }
        let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6";
        assert!(samples.keys().any(|labels| labels.contains(accept)));
        shown.push(samples.into_keys().filter(|labels| !labels.contains("name=\"host\"")).collect::<Vec<_>>());
    }
    assert_eq!(shown[0], shown[1], "both ways");
}

/// A connection that the server ends at the second request is replaced, and nothing is told of it.
#[tokio::test]
async fn a_kept_connection_that_ends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n";
            tokio::spawn(async move {
                for answer in [&answer[..], b""] {
                    let _read = tokio::io::AsyncReadExt::read(&mut connection, &mut request).await;
                    let _written = tokio::io::AsyncWriteExt::write_all(&mut connection, answer).await;
                }
            });
        }
    });
    let harness = Harness::new(&["job_name: j"]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    let up = harness.wait_for_samples("up", 5).await;
    assert!(up.values().flatten().all(|(_, v)| *v == 1.0), "{up:?}");
}

/// Nobody listens there.
#[tokio::test]
async fn no_server() {
    let harness = Harness::new(&["job_name: j"]);
    let port = testkit::free_port().unwrap();
    harness.discover(&[("j", &[&[("__address__", &format!("127.0.0.1:{port}"))]])]);
    let target = harness.wait_for_health(TargetHealth::Down).await;
    assert!(target.last_error.contains("refused"), "{}", target.last_error);
}

/// A target that answers slowly is not asked a second time meanwhile.
#[tokio::test]
async fn scrapes_never_pile_up() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (now.clone(), most.clone());
    let slow = move || {
        let (now, most) = counted.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let guard = Guard(now);
            tokio::time::sleep(Duration::from_millis(60)).await;
            drop(guard);
            text("a 1\n")
        }
    };
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let address = serve(Router::new().route("/metrics", get(slow))).await.to_string();
    let harness = Harness::new(&["job_name: j"]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    harness.wait_for_samples("a", 3).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
}
