//! The accept loop: connections in, a router behind them, a graceful end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONNECTION;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{BoxFuture, Either};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use telemetry::Occasionally;
use tls::ServerTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::Error;
use crate::connections::{Connections, Place};
use crate::request_target::TargetsEncoded;
use crate::stall::{Progressing, Taken};

/// How to serve; all limits are explicit.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// TLS, reloaded from its files when they change.
    pub tls: Option<Arc<ServerTls>>,
    /// Whether connections must speak HTTP/2 from the first byte on, as gRPC does.
    pub http2_only: bool,
    /// HTTP/2 requests at a time on one connection.
    pub streams_max: u32,
    /// A connection older than this is asked to close (GOAWAY) so that the client connects again; zero = never.
    pub connection_age_max: Duration,
    /// How long connections may finish after shutdown begins; zero = cut at once.
    pub grace: Duration,
    /// TLS handshake and request head must come within this time.
    pub header_timeout: Duration,
    /// The longest pause within a request's body; zero = none is too long.
    pub body_timeout: Duration,
    /// The longest time in which a peer takes nothing of an answer; zero = none is too long.
    pub write_timeout: Duration,
    /// Connections at a time; 0 = no limit. Beyond it those without a request are closed, else only probes are answered.
    pub connections_max: usize,
}

impl ServeOptions {
    /// Plain HTTP with the family's defaults.
    pub fn http(grace: Duration) -> Self {
        Self {
            tls: None,
            http2_only: false,
            streams_max: 1000,
            connection_age_max: Duration::ZERO,
            grace,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(120),
            connections_max: 1024,
        }
    }

    /// Plain gRPC with the family's defaults.
    pub fn grpc(grace: Duration, connection_age_max: Duration) -> Self {
        Self { http2_only: true, connection_age_max, ..Self::http(grace) }
    }
}

/// Binds `address` as flags write it: `0.0.0.0:10902`, `:10902`, `[::1]:0`, `localhost:10902`.
///
/// # Errors
/// With the address, when it cannot be bound.
pub async fn bind(address: &str) -> Result<TcpListener, Error> {
    let wanted = if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() };
    match TcpListener::bind(&wanted).await {
        Ok(listener) => Ok(listener),
        // A machine without IPv6 still has all of IPv4.
        Err(_) if address.starts_with(':') => {
            TcpListener::bind(format!("0.0.0.0{address}")).await.map_err(Error::io(format!("listen on {address}")))
        }
        Err(e) => Err(Error::Io { what: format!("listen on {address}"), source: e }),
    }
}

/// Serves `router` until `shutdown`, then lets connections finish for `options.grace`. Requests see their peer's address
/// as an extension of type [`SocketAddr`].
pub async fn serve(listener: TcpListener, router: Router, options: ServeOptions, shutdown: CancellationToken) {
    let mut tasks = JoinSet::new();
    let connections = Connections::new(options.connections_max);
    let (full, failed) = (Occasionally::minutely(), Occasionally::minutely());
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let (place, evicted) = connections.enter();
                if let Some(events) = (evicted || place.is_spare()).then(|| full.count()).flatten() {
                    let max = options.connections_max;
                    warn!(%peer, max, events, "connections are at their limit: idle ones are closed, else only probes are answered");
                }
                let server = Connection { peer, place, router: router.clone(), options: options.clone() };
                tasks.spawn(server.run(stream, shutdown.clone()));
            }
            Err(e) => {
                // Out of file descriptors or a reset before accept: neither ends the server.
                if let Some(events) = failed.count() {
                    warn!(error = %e, events, "cannot accept connection");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    let finish = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(options.grace, finish).await.is_err() {
        tasks.abort_all();
    }
}

/// An accepted connection and what it is served with.
struct Connection {
    peer: SocketAddr,
    place: Place,
    router: Router,
    options: ServeOptions,
}

impl Connection {
    /// Boxed, so that the HTTP server is compiled here once, and not in every crate that serves.
    fn run(self, stream: TcpStream, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(self.accept(stream, shutdown))
    }

    async fn accept(self, stream: TcpStream, shutdown: CancellationToken) {
        let _ = stream.set_nodelay(true);
        let stream = Taken::new(stream, self.options.write_timeout);
        let peer = self.peer;
        let Some(tls) = &self.options.tls else { return self.http(stream, shutdown).await };
        let acceptor = tls.acceptor();
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.options.header_timeout, acceptor.accept(stream)) => shaken,
            () = self.place.closing() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.http(stream, shutdown).await,
            Ok(Err(e)) => debug!(%peer, error = %e, "TLS handshake failed"),
            Err(_) => debug!(%peer, "TLS handshake timed out"),
        }
    }

    async fn http<S>(self, stream: S, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, place, router, options } = self;
        let (requests, spare, body_timeout) = (place.requests(), place.is_spare(), options.body_timeout);
        let service = hyper::service::service_fn(move |mut request: ::http::Request<hyper::body::Incoming>| {
            let in_flight = requests.begin();
            request.extensions_mut().insert(peer);
            let request = request.map(|body| Body::new(Progressing::new(body, body_timeout, ())));
            let answered = match spare && !is_probe(request.uri().path()) {
                true => Either::Left(std::future::ready(Ok(too_many()))),
                false => Either::Right(router.clone().oneshot(request)),
            };
            // The answer may take its time between two parts: it is made, not sent by a stranger.
            answered.map(|answer| {
                answer.map(|a: Response| a.map(|body| Body::new(Progressing::new(body, Duration::ZERO, in_flight))))
            })
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        if options.http2_only {
            builder = builder.http2_only();
        }
        builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(options.streams_max)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_header_list_size(64 << 10)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = builder.serve_connection(TokioIo::new(TargetsEncoded::new(stream)), service);
        tokio::pin!(connection);
        let old_age = async {
            if options.connection_age_max.is_zero() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(options.connection_age_max).await;
        };
        let leave = async {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = old_age => {}
            }
        };
        let silent = async {
            if tokio::time::timeout(options.header_timeout, place.asked()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = leave => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = silent => return debug!(%peer, "no request came"),
            () = place.closing() => return,
        };
        if let Err(e) = result {
            debug!(%peer, error = %e, "connection ended");
        }
    }
}

/// Whether a request asks how the process is: answered also where there is no room for others.
fn is_probe(path: &str) -> bool {
    path.ends_with("/-/healthy") || path.ends_with("/-/ready") || path.starts_with("/grpc.health.v1.Health/")
}

fn too_many() -> Response {
    let text = "too many connections, only probes are answered\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(CONNECTION, "close")], text).into_response()
}
