//! Opening a connection. A host with addresses of both families is tried by both.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::{GetError, words};

/// Idle connections show this often that they are there, so that no firewall forgets them.
const KEEPALIVE: Duration = Duration::from_secs(30);

pub(super) async fn connect(server: &Uri, timeout: Duration) -> Result<TcpStream, GetError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeout));
    connector.set_keepalive(Some(KEEPALIVE));
    match connector.oneshot(server.clone()).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(e) => Err(describe(server, &e)),
    }
}

fn describe(server: &Uri, e: &(dyn Error + 'static)) -> GetError {
    let why = match causes(e).find_map(|e| e.downcast_ref::<io::Error>()) {
        Some(e) if e.kind() == io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        Some(e) => words(e),
        None => causes(e).last().map(ToString::to_string).unwrap_or_default(),
    };
    let (host, port) = (server.host().unwrap_or_default(), server.port_u16().unwrap_or_default());
    GetError(match e.to_string().contains("dns") {
        true => format!("dial tcp: lookup {host}: {why}"),
        false => format!("dial tcp {host}:{port}: connect: {why}"),
    })
}

fn causes<'a>(e: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(e), |e| (*e).source())
}
