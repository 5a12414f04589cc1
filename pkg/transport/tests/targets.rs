//! Requests whose target holds bytes that should be percent-encoded, as they come over a connection.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::Uri;
use axum::routing::{get, post};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use transport::ServeOptions;
use transport::http::WebConfig;

const CLOSE: &str = "Connection: close\r\n";

async fn server(tls: bool) -> (u16, DropGuard) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls");
    let web = match tls {
        true => WebConfig::parse("tls_server_config: {cert_file: server.pem, key_file: server.key}", &folder).unwrap(),
        false => WebConfig::default(),
    };
    let router = Router::new()
        .route("/echo", post(async |body: String| format!("[{body}]")))
        .route("/query", get(async |RawQuery(query): RawQuery| format!("[{}]", query.unwrap_or_default())))
        .fallback(async |uri: Uri| format!("[{uri}]"));
    let listener = transport::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shutdown = CancellationToken::new();
    let options = ServeOptions { tls: web.tls.clone(), ..ServeOptions::http(Duration::ZERO) };
    tokio::spawn(transport::serve(listener, router, options, shutdown.clone()));
    (port, shutdown.drop_guard())
}

/// The bodies of the answers, each in brackets.
async fn answers(mut stream: impl AsyncRead + AsyncWrite + Unpin, pieces: &[&[u8]]) -> Vec<String> {
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut all = String::new();
    // An end without TLS' own word for it is an end as well.
    let _ = stream.read_to_string(&mut all).await;
    let bodies = all.split("HTTP/1.1 ").skip(1).map(|answer| match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("200") => body.trim_matches(['[', ']']).to_owned(),
        _ => answer.to_owned(),
    });
    bodies.collect()
}

const RAW: &str = "query=up{job=\"x\",a!~\"b|<c>\\d^`ä\"}#";
const ENCODED: &str = "query=up%7Bjob=%22x%22,a!~%22b%7C%3Cc%3E%5Cd%5E%60%C3%A4%22%7D%23";

#[tokio::test]
async fn raw_bytes_of_a_target_arrive_encoded() {
    let (port, _stop) = server(false).await;
    let one = format!("GET /query?{RAW} HTTP/1.1\r\nHost: x\r\n{CLOSE}\r\n");
    let stream = async || TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(answers(stream().await, &[one.as_bytes()]).await, [ENCODED]);
    let bytes: Vec<&[u8]> = one.as_bytes().chunks(1).collect();
    assert_eq!(answers(stream().await, &bytes).await, [ENCODED]);
    let path = format!("GET /{{a}}/\"b\" HTTP/1.1\r\nHost: x\r\n{CLOSE}\r\n");
    assert_eq!(answers(stream().await, &[path.as_bytes()]).await, ["/%7Ba%7D/%22b%22"]);
}

#[tokio::test]
async fn requests_behind_one_another_keep_their_bodies() {
    let (port, _stop) = server(false).await;
    let body = "GET /query?{\" HTTP/1.1\r\n\r\n";
    let length = format!("POST /echo?{{ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "POST /echo?\" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n1\r\n{{\r\n0\r\n\r\n",
        body.len()
    );
    let last = format!("GET /query?{RAW} HTTP/1.1\r\nHost: x\r\n{CLOSE}\r\n");
    let all = [&length, &chunked, &length, &last].map(String::as_str).concat();
    let want = [body, &format!("{body}{{"), body, ENCODED];
    for piece in [all.len(), 1, 13] {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let pieces: Vec<&[u8]> = all.as_bytes().chunks(piece).collect();
        assert_eq!(answers(stream, &pieces).await, want, "{piece} bytes at a time");
    }
}

#[tokio::test]
async fn within_tls_too() {
    let (port, _stop) = server(true).await;
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls/ca.pem");
    let config = tls::ClientTlsConfig { ca: Some(ca), ..Default::default() };
    let config = config.build_with(tls::InlineTls::default(), &[b"http/1.1"]).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let one = format!("GET /query?{RAW} HTTP/1.1\r\nHost: x\r\n{CLOSE}\r\n");
    assert_eq!(answers(stream, &[one.as_bytes()]).await, [ENCODED]);
}
