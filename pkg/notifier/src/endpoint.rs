//! One Alertmanager: what waits for it, and requests to it.

use std::sync::Arc;
use std::time::Duration;

use cloud_auth::Signer;
use parking_lot::{Mutex, RwLock};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use transport::http::HttpClient;

use crate::alert::Alert;
use crate::config::AlertmanagerSet;
use crate::message;
use crate::metrics::EndpointMetrics;
use crate::queue::Queue;

/// What is read of an answer that says no, for the log.
const REASON_BYTES_MAX: usize = 512;

/// How requests are made; changes with the configuration.
#[derive(Debug)]
struct Way {
    client: HttpClient,
    signer: Option<Arc<Signer>>,
    timeout: Duration,
}

/// One Alertmanager.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub url: String,
    pub queue: Mutex<Queue>,
    /// Something was put into the queue.
    pub wake: Notify,
    pub metrics: EndpointMetrics,
    /// Cancelled when it is no longer wanted, or at the end.
    pub stop: CancellationToken,
    way: RwLock<Arc<Way>>,
}

/// Why alerts did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// They would not arrive another time either.
    Refused(String),
    /// It is worth another try.
    Unavailable(String),
}

impl Endpoint {
    pub fn new(
        url: String,
        set: &AlertmanagerSet,
        capacity: usize,
        metrics: EndpointMetrics,
        stop: CancellationToken,
    ) -> Self {
        let queue = Mutex::new(Queue::new(capacity));
        Self { url, queue, wake: Notify::new(), metrics, stop, way: RwLock::new(Arc::new(Way::of(set))) }
    }

    /// Speaks to it as `set` says from now on.
    pub fn follow(&self, set: &AlertmanagerSet) {
        *self.way.write() = Arc::new(Way::of(set));
    }

    /// Puts alerts into the queue.
    pub fn push(&self, alerts: &[Arc<Alert>], now_ms: i64) {
        let mut queue = self.queue.lock();
        let lost = queue.push(alerts, now_ms);
        self.metrics.pushed_out(lost as u64);
        self.metrics.queue_length.set(queue.len() as f64);
        drop(queue);
        self.wake.notify_one();
    }

    /// One request.
    pub async fn post(&self, alerts: &[Arc<Alert>]) -> Result<(), Failure> {
        let way = self.way.read().clone();
        let begin = tokio::time::Instant::now();
        let answered = tokio::time::timeout(way.timeout, self.exchange(&way, message::body(alerts))).await;
        self.metrics.answered(begin.elapsed().as_secs_f64());
        answered.unwrap_or_else(|_| Err(Failure::Unavailable(format!("no answer within {:?}", way.timeout))))
    }

    async fn exchange(&self, way: &Way, body: Vec<u8>) -> Result<(), Failure> {
        let unavailable = |e: &dyn std::error::Error| Failure::Unavailable(causes(e));
        let request = way.client.request(Method::POST, &self.url).await.map_err(|e| unavailable(&e))?;
        let (client, request) = request.header(CONTENT_TYPE, "application/json").body(body).build_split();
        let mut request = request.map_err(|e| Failure::Refused(causes(&e)))?;
        if let Some(signer) = &way.signer {
            request = signer.sign(request).await.map_err(|e| unavailable(&e))?;
        }
        let mut answer = client.execute(request).await.map_err(|e| unavailable(&e.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut reason = Vec::new();
        while let Ok(Some(part)) = answer.chunk().await {
            reason.extend_from_slice(&part);
            if reason.len() >= REASON_BYTES_MAX {
                reason.truncate(REASON_BYTES_MAX);
                break;
            }
        }
        let why = format!("it answers {status}: {}", String::from_utf8_lossy(&reason).trim());
        let again = status.is_server_error() || status.as_u16() == 429 || status.as_u16() == 408;
        Err(if again { Failure::Unavailable(why) } else { Failure::Refused(why) })
    }
}

impl Way {
    fn of(set: &AlertmanagerSet) -> Self {
        Self { client: set.client.clone(), signer: set.signer.clone(), timeout: set.timeout }
    }
}

fn causes(e: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(e), |e| e.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
