//! Clients that send nothing, half of something, or take nothing: they go, and others are served meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use transport::{ServeOptions, serve};

/// Long enough to tell a hang from a slow machine.
const NEVER: Duration = Duration::from_secs(60);

async fn server(options: ServeOptions) -> (SocketAddr, DropGuard) {
    let router = Router::new()
        .route("/-/healthy", get(async || "OK"))
        .route("/big", get(async || vec![b'x'; 64 << 20]))
        .route("/wait", get(async || std::future::pending::<&str>().await))
        .route("/echo", post(async |body: String| body));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(listener, router, options, shutdown.clone()));
    (address, shutdown.drop_guard())
}

fn quick() -> ServeOptions {
    let short = Duration::from_millis(100);
    ServeOptions {
        header_timeout: short,
        body_timeout: short,
        write_timeout: short,
        ..ServeOptions::http(Duration::ZERO)
    }
}

/// What comes until the end of the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = async {
        let mut part = vec![0; 1 << 16];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..n]);
        }
    };
    tokio::time::timeout(NEVER, read).await.expect("the connection is closed");
    String::from_utf8_lossy(&all).into_owned()
}

async fn asks(address: SocketAddr, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn connections_without_a_whole_head_are_closed() {
    for (http2_only, sent) in [
        (false, ""),
        (false, "P"),
        (false, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n"),
        (false, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (true, ""),
        (true, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let (address, _stop) = server(ServeOptions { http2_only, ..quick() }).await;
        let answer = rest(&mut asks(address, sent).await).await;
        assert!(!answer.contains("200"), "{sent:?}: {answer}");
    }
}

#[tokio::test]
async fn bodies_that_do_not_come_end_and_slow_ones_are_read() {
    let (address, _stop) = server(quick()).await;
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n";
    let answer = rest(&mut asks(address, &format!("{head}ab")).await).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");

    let (address, _stop) = server(ServeOptions { body_timeout: NEVER, ..quick() }).await;
    let mut slow = asks(address, &head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    for byte in ["a", "b", "c", "d"] {
        slow.write_all(byte.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = rest(&mut slow).await;
    assert!(answer.ends_with("\r\n\r\nabcd"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends() {
    let (address, _stop) = server(quick()).await;
    let stream = asks(address, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // Until the server gives up, which shows as a reset of what is written to it.
    let gone = async {
        while stream.try_write(b"x").is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(NEVER, gone).await.expect("the connection is closed");
}

#[tokio::test]
async fn probes_are_answered_whoever_else_comes() {
    let options = ServeOptions { connections_max: 4, ..ServeOptions::http(Duration::ZERO) };
    let (address, _stop) = server(options).await;
    let probe = async || {
        let head = "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        rest(&mut asks(address, head).await).await
    };
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(probe().await.ends_with("OK"), "silent connections make room");
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(asks(address, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await);
    }
    // Until the four are being answered others may still get a place.
    loop {
        let answer = rest(&mut asks(address, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await;
        if answer.starts_with("HTTP/1.1 503") {
            break;
        }
    }
    assert!(probe().await.ends_with("OK"), "probes are answered at the limit");
}
