//! Sockets, bound before anything is built.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::info;

use crate::error::Error;
use crate::grpc::GrpcConfig;
use crate::http::HttpConfig;

const HTTP: &str = "http-address";
const GRPC: &str = "grpc-address";

/// Bound sockets, which a component is served on.
#[derive(Debug)]
pub struct Listeners {
    /// Metrics, probes, pages, the HTTP API.
    pub http: TcpListener,
    /// Further sockets that serve the same as `http`.
    pub more_http: Vec<TcpListener>,
    /// StoreAPI and the other gRPC services; `None` where a component has none.
    pub grpc: Option<TcpListener>,
}

impl Listeners {
    /// Binds the addresses that the flags name, and logs them.
    ///
    /// # Errors
    /// [`Error::Listener`] with the flag whose address cannot be bound.
    pub async fn bind(http: &HttpConfig, grpc: Option<&GrpcConfig>) -> Result<Self, Error> {
        let flag = http.address_flag;
        let Some((first, others)) = http.addresses.split_first() else {
            return Err(Error::flag(flag, "an address is needed"));
        };
        let http = bind(flag, first).await?;
        let mut more_http = Vec::new();
        for address in others {
            let listener = bind(flag, address).await?;
            info!(http = %listener.local_addr().map_err(of(flag))?, "listening");
            more_http.push(listener);
        }
        let Some(grpc) = grpc else {
            info!(http = %http.local_addr().map_err(Self::http_error)?, "listening");
            return Ok(Self { http, more_http, grpc: None });
        };
        let grpc = bind(GRPC, &grpc.address).await?;
        let addresses = (http.local_addr().map_err(Self::http_error)?, grpc.local_addr().map_err(of(GRPC))?);
        info!(http = %addresses.0, grpc = %addresses.1, "listening");
        Ok(Self { http, more_http, grpc: Some(grpc) })
    }

    /// Free ports of loopback, for tests.
    ///
    /// # Errors
    /// [`Error::Listener`], where no port is free.
    pub async fn loopback() -> Result<Self, Error> {
        let address = "127.0.0.1:0";
        Ok(Self { http: bind(HTTP, address).await?, more_http: Vec::new(), grpc: Some(bind(GRPC, address).await?) })
    }

    /// The address that HTTP is served on, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// The system does not say.
    pub fn http_address(&self) -> Result<SocketAddr, Error> {
        self.http.local_addr().map_err(Self::http_error)
    }

    /// The address that gRPC is served on, if it is.
    ///
    /// # Errors
    /// The system does not say.
    pub fn grpc_address(&self) -> Result<Option<SocketAddr>, Error> {
        self.grpc.as_ref().map(|grpc| grpc.local_addr().map_err(of(GRPC))).transpose()
    }

    /// The error of the HTTP listener.
    pub(crate) fn http_error(source: io::Error) -> Error {
        of(HTTP)(source)
    }
}

async fn bind(flag: &'static str, address: &str) -> Result<TcpListener, Error> {
    transport::bind(address).await.map_err(|source| Error::Listener { flag, source })
}

fn of(flag: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Listener { flag, source: transport::Error::Io { what: "use the socket".into(), source } }
}
