//! Client channels: lazy, reconnecting, over TCP or TLS, with snappy when asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tls::ClientTlsConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::Service;

use super::follow::Follow;
use super::metrics::ClientMetrics;
use super::pool::Pool;
use super::snappy;
use crate::Error;
use crate::traces::span::grpc_client;

/// The compression of the requests that a client sends; answers come as the server likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Requests are not compressed: gRPC's `identity`.
    #[default]
    None,
    /// Snappy in its framed format, as Thanos registers it under the name `snappy`.
    Snappy,
}

/// How to reach gRPC servers.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `None` = a connection without TLS.
    pub tls: Option<ClientTlsConfig>,
    /// The compression of requests, of all calls alike.
    pub compression: Compression,
    /// Counters, shared by all channels.
    pub metrics: ClientMetrics,
    /// How long the TCP connection and the TLS handshake may take.
    pub connect_timeout: Duration,
}

/// A channel to one address, for the generated clients, over as many connections as its streams need. Cheap to clone.
#[derive(Clone)]
pub struct Channel {
    pool: Pool,
    address: Arc<str>,
    compression: Compression,
    metrics: ClientMetrics,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("compression", &self.compression).finish_non_exhaustive()
    }
}

/// A channel to `address` (`host:port`); it connects at the first request and again after failures.
///
/// # Errors
/// Malformed address or TLS files.
pub fn connect(address: &str, options: &ClientOptions) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| Error::Config(format!("gRPC address {address:?}: {e}")))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5));
    let tls = match &options.tls {
        None => None,
        Some(config) => {
            let host = address.rsplit_once(':').map_or(address, |(h, _)| h).trim_matches(['[', ']']);
            let name = config.server_name.clone().unwrap_or_else(|| host.to_owned());
            let name = ServerName::try_from(name.clone())
                .map_err(|e| Error::Config(format!("gRPC server name {name:?}: {e}")))?;
            Some((TlsConnector::from(Arc::new(config.build(&[b"h2"])?)), name))
        }
    };
    let target = address.to_owned();
    let connector = tower::service_fn(move |_: http::Uri| {
        let (target, tls) = (target.clone(), tls.clone());
        async move {
            let stream = TcpStream::connect(&target).await?;
            stream.set_nodelay(true)?;
            let stream: Pin<Box<dyn Stream>> = match tls {
                None => Box::pin(stream),
                Some((connector, name)) => Box::pin(connector.connect(name, stream).await?),
            };
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    Ok(Channel {
        address: address.into(),
        pool: Pool::new(endpoint, move |endpoint| endpoint.connect_with_connector_lazy(connector.clone())),
        compression: options.compression,
        metrics: options.metrics.clone(),
    })
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send> Stream for T {}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    /// Which connection a request takes, and whether that is ready, shows in the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let (mut channel, place) = self.pool.take();
        let mut call = self.metrics.start(request.uri().path(), place);
        let path = request.uri().path().to_owned();
        let span = grpc_client(&self.address, &path, request.headers_mut());
        let request = match self.compression {
            Compression::None => request,
            Compression::Snappy => snappy::pack_request(request),
        };
        Box::pin(async move {
            let mut traced = Follow::of(span);
            let response = async {
                std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
                channel.call(request).await
            };
            match response.await {
                Ok(response) => {
                    let response = call.response(snappy::unpack_response(response));
                    Ok(traced.response(response).map(Body::new))
                }
                Err(e) => {
                    call.end(tonic::Code::Unavailable);
                    traced.end(tonic::Code::Unavailable);
                    Err(e)
                }
            }
        })
    }
}
