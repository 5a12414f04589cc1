//! The accept loop: connections in, a router behind them, a graceful end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::Error;
use crate::tls::ServerTls;

/// How to serve; all limits are explicit.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// TLS, reloaded from its files when they change.
    pub tls: Option<Arc<ServerTls>>,
    /// gRPC: HTTP/2 only.
    pub http2_only: bool,
    /// HTTP/2 requests at a time on one connection.
    pub streams_max: u32,
    /// A connection older than this is told to go and come anew; zero = never.
    pub connection_age_max: Duration,
    /// How long connections may finish after shutdown begins; zero = cut at once.
    pub grace: Duration,
    /// TLS handshake and request head must come within this time.
    pub header_timeout: Duration,
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
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, router.clone(), options.clone(), shutdown.clone()));
            }
            Err(e) => {
                // Out of file descriptors or a reset before accept: neither ends the server.
                warn!(error = %e, "cannot accept connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(options.grace, finish).await.is_err() {
        connections.abort_all();
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    match &options.tls {
        None => http(stream, peer, router, &options, shutdown).await,
        Some(tls) => {
            let acceptor = match tls.acceptor() {
                Ok(acceptor) => acceptor,
                Err(e) => return warn!(error = %e, "cannot load TLS files"),
            };
            match tokio::time::timeout(options.header_timeout, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => http(stream, peer, router, &options, shutdown).await,
                Ok(Err(e)) => debug!(%peer, error = %e, "TLS handshake failed"),
                Err(_) => debug!(%peer, "TLS handshake timed out"),
            }
        }
    }
}

async fn http<S>(stream: S, peer: SocketAddr, router: Router, options: &ServeOptions, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: ::http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(axum::body::Body::new))
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
    let connection = builder.serve_connection(TokioIo::new(stream), service);
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
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = leave => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = result {
        debug!(%peer, error = %e, "connection ended");
    }
}
