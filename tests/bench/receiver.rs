//! A receiver of remote write, in a process of its own, that counts what comes and can be out of order for a while.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use prost::Message;
use proto::prometheus::WriteRequest;
use testkit::{Process, free_port, wait_for};

#[derive(Default)]
struct Counted {
    is_away: AtomicBool,
    samples: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
}

async fn write(State(counted): State<Arc<Counted>>, body: Bytes) -> StatusCode {
    if counted.is_away.load(Ordering::Relaxed) {
        counted.refused.fetch_add(1, Ordering::Relaxed);
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let plain = snap::raw::Decoder::new().decompress_vec(&body).ok();
    let Some(request) = plain.and_then(|plain| WriteRequest::decode(plain.as_slice()).ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    let samples: usize = request.timeseries.iter().map(|series| series.samples.len()).sum();
    counted.samples.fetch_add(samples as u64, Ordering::Relaxed);
    counted.requests.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

async fn counts(State(counted): State<Arc<Counted>>) -> String {
    [&counted.samples, &counted.requests, &counted.refused]
        .map(|count| count.load(Ordering::Relaxed).to_string())
        .join(" ")
}

/// Serves until the process is killed: `POST /write`, `GET /counts`, `POST /away/true` or `/away/false`.
///
/// # Errors
/// The port is taken.
pub async fn serve(port: u16) -> anyhow::Result<()> {
    let away = |State(counted): State<Arc<Counted>>, Path(is_away): Path<bool>| async move {
        counted.is_away.store(is_away, Ordering::Relaxed);
    };
    let app = Router::new()
        .route("/write", post(write))
        .route("/counts", get(counts))
        .route("/away/{is_away}", post(away))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(Arc::default());
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    axum::serve(listener, app).await?;
    Ok(())
}

/// The process that receives. It is killed when dropped.
pub struct Receiver {
    _process: Process,
    client: reqwest::Client,
    base: String,
}

/// What came so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub samples: u64,
    pub requests: u64,
    pub refused: u64,
}

impl Receiver {
    /// This program again, as a receiver.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-receiver").arg(format!("--port={port}"));
        let process = Process::start(command.stdin(Stdio::null())).context("the receiver")?;
        let receiver =
            Self { _process: process, client: tests::client::http()?, base: format!("http://127.0.0.1:{port}") };
        let up = async || receiver.counts().await.is_ok();
        wait_for("the receiver", Duration::from_secs(30), up).await;
        Ok(receiver)
    }

    /// Where requests go.
    pub fn url(&self) -> String {
        format!("{}/write", self.base)
    }

    /// What came so far.
    ///
    /// # Errors
    /// No answer.
    pub async fn counts(&self) -> anyhow::Result<Counts> {
        let text = self.client.get(format!("{}/counts", self.base)).send().await?.text().await?;
        let mut counts = text.split(' ').map(|count| count.parse().unwrap_or(0));
        let mut next = || counts.next().unwrap_or(0);
        Ok(Counts { samples: next(), requests: next(), refused: next() })
    }

    /// From now on it answers 503, or takes requests again.
    ///
    /// # Errors
    /// No answer.
    pub async fn set_away(&self, is_away: bool) -> anyhow::Result<()> {
        self.client.post(format!("{}/away/{is_away}", self.base)).send().await?.error_for_status()?;
        Ok(())
    }
}
