//! The server: a listener, the backend, and the faults between them.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::backend::Backend;
use super::faults::{Fault, FaultKind, Operation, Script};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An S3 server on a loopback port, with one bucket called `test`. It ends when dropped.
pub struct Server {
    addr: SocketAddr,
    backend: Backend,
    script: Arc<Script>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Name of the one bucket it has.
    pub const BUCKET: &'static str = "test";
    /// The access key that it takes.
    pub const ACCESS_KEY: &'static str = "test-access";
    /// The secret key; signatures are checked.
    pub const SECRET_KEY: &'static str = "test-secret";

    /// Starts a server.
    ///
    /// # Panics
    /// If there is no port to be had.
    pub async fn start() -> Self {
        let backend = Backend::default();
        backend.create_bucket(Self::BUCKET);
        let mut builder = S3ServiceBuilder::new(backend.clone());
        builder.set_auth(SimpleAuth::from_single(Self::ACCESS_KEY, Self::SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let script = Arc::new(Script::default());
        let task = tokio::spawn(serve(listener, service, script.clone()));
        Self { addr, backend, script, task }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The objects, to be looked at and changed behind the server's back.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Thanos' object store configuration for this server.
    pub fn config_yaml(&self) -> String {
        format!(
            "type: S3\nconfig:\n  bucket: {}\n  endpoint: {}\n  region: us-east-1\n  access_key: {}\n  secret_key: {}\n  \
             insecure: true\n",
            Self::BUCKET,
            self.addr,
            Self::ACCESS_KEY,
            Self::SECRET_KEY
        )
    }

    /// Orders a fault. The first one that matches a request holds.
    pub fn fault(&self, fault: Fault) {
        self.script.add(fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.script.clear();
    }

    /// Requests of this kind so far, failed ones included.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.script.requests(operation)
    }
}

async fn serve(listener: TcpListener, service: S3Service, script: Arc<Script>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        // A test's small answers should not wait for more; without the option it is only slower.
        let _ = socket.set_nodelay(true);
        let (service, script) = (service.clone(), script.clone());
        connections.spawn(async move {
            let handler = hyper::service::service_fn(move |request| {
                let (service, script) = (service.clone(), script.clone());
                async move { answer(request, &service, &script).await }
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A client that goes away, or a body cut on purpose.
            let _ = server.serve_connection(TokioIo::new(socket), handler).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    service: &S3Service,
    script: &Script,
) -> Result<Response<Body>, Infallible> {
    let fault = script.next(Operation::of(&request), request.uri().path());
    match fault {
        Some(FaultKind::Status(status)) => {
            // Read what was sent, or the client sees a broken connection before the answer.
            let _ = request.into_body().collect().await;
            return Ok(refusal(status));
        }
        Some(FaultKind::Latency(wait)) => tokio::time::sleep(wait).await,
        _ => {}
    }
    let response = match service.call(request.map(s3s::Body::from)).await {
        Ok(response) => response.map(|body| body.map_err(BoxError::from).boxed_unsync()),
        Err(_) => refusal(500),
    };
    Ok(match fault {
        Some(FaultKind::StatusAfter(status)) => refusal(status),
        Some(FaultKind::Short(len)) => changed(response, |body| body.truncate(len)).await,
        Some(FaultKind::Body(text)) => changed(response, |body| *body = text.into()).await,
        Some(FaultKind::Flip(at)) => {
            let flip = |body: &mut BytesMut| {
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1;
                }
            };
            changed(response, flip).await
        }
        Some(FaultKind::TruncatedWithoutToken) => changed(response, untie).await,
        Some(FaultKind::Cut(len)) => cut(response, len).await,
        _ => response,
    })
}

fn refusal(status: u16) -> Response<Body> {
    let code = match status {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
    let mut response = Response::new(Full::new(Bytes::from(xml)).map_err(BoxError::from).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// The response with another body and the length header that fits it.
async fn changed(response: Response<Body>, change: impl FnOnce(&mut BytesMut)) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let mut bytes = match body.collect().await {
        Ok(body) => BytesMut::from(&body.to_bytes()[..]),
        Err(_) => return refusal(500),
    };
    change(&mut bytes);
    parts.headers.insert(http::header::CONTENT_LENGTH, bytes.len().into());
    Response::from_parts(parts, Full::new(bytes.freeze()).map_err(BoxError::from).boxed_unsync())
}

/// The response with its connection broken after `len` bytes of the body.
async fn cut(response: Response<Body>, len: usize) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return refusal(500),
    };
    let kept = bytes.slice(..len.min(bytes.len()));
    let frames = stream::iter([Ok(Frame::data(kept)), Err(BoxError::from("cut on purpose"))]);
    Response::from_parts(parts, BodyExt::boxed_unsync(StreamBody::new(frames.boxed())))
}

/// Makes a listing say that it goes on, without its token.
fn untie(body: &mut BytesMut) {
    let mut text = String::from_utf8_lossy(body).replace("<IsTruncated>false<", "<IsTruncated>true<");
    if let (Some(from), Some(to)) = (text.find("<NextContinuationToken>"), text.find("</NextContinuationToken>")) {
        text.replace_range(from..to + "</NextContinuationToken>".len(), "");
    }
    *body = BytesMut::from(text.as_bytes());
}
