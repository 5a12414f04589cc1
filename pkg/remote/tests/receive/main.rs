//! The receiver of remote write, over a store in memory.
#![allow(missing_docs, clippy::new_without_default, reason = "tests")]

mod faults;
mod messages;
mod prometheus;
mod pushed;
mod statuses;
mod values;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use labels::{MatchType, Matcher};
use memory_store::{MemoryStore, MemoryStoreOptions};
use model::{FakeClock, TimeRange};
use remote::receive::{MessageType, Receiver, ReceiverOptions};
use storage::append::Appendable;
use storage::{Budget, ChunkData, Ctx, Select, SeriesEvent, SeriesSource};
use telemetry::Metrics;
use tower::ServiceExt;

pub const NOW_MS: i64 = 1_700_000_000_000;

pub struct Rig {
    pub store: MemoryStore,
    pub metrics: Metrics,
    pub router: Router,
}

#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Got {
    /// Samples, histograms and exemplars written, as the headers say.
    pub fn written(&self) -> Option<(u64, u64, u64)> {
        let count = |what: &str| {
            let header = self.headers.get(format!("X-Prometheus-Remote-Write-{what}-Written"))?;
            header.to_str().unwrap().parse().ok()
        };
        Some((count("Samples")?, count("Histograms")?, count("Exemplars")?))
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(ReceiverOptions::default(), Budget::unlimited())
    }

    pub fn with(options: ReceiverOptions, budget: Arc<Budget>) -> Self {
        let store = MemoryStore::new(MemoryStoreOptions::default());
        Self::over(store.clone(), Arc::new(store), options, budget)
    }

    pub fn over(
        store: MemoryStore,
        appendable: Arc<dyn Appendable>,
        options: ReceiverOptions,
        budget: Arc<Budget>,
    ) -> Self {
        let metrics = Metrics::new();
        let receiver = Receiver::new(appendable, options, Arc::new(FakeClock::at(NOW_MS)), budget, &metrics);
        Self { store, metrics, router: receiver.router() }
    }

    pub async fn send(&self, request: Request<Body>) -> Got {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Got { status: parts.status, headers: parts.headers, text }
    }

    /// Sends a packed message.
    pub async fn post(&self, message: MessageType, packed: Vec<u8>) -> Got {
        let request = Request::post("/api/v1/write")
            .header("content-type", format!("application/x-protobuf;proto={}", message.as_str()))
            .header("content-encoding", "snappy")
            .header("content-length", packed.len())
            .body(Body::from(packed));
        self.send(request.unwrap()).await
    }

    pub async fn v1(&self, series: &[Vec<u8>]) -> Got {
        self.post(MessageType::V1, messages::pack(&messages::request_v1(series))).await
    }

    pub async fn v2(&self, symbols: &messages::Symbols, series: &[Vec<u8>]) -> Got {
        self.post(MessageType::V2, messages::pack(&messages::request_v2(symbols, series))).await
    }

    /// Every float sample in the store: labels, time, value.
    pub async fn floats(&self) -> Vec<(String, i64, f64)> {
        let mut found = Vec::new();
        for (labels, chunk) in self.chunks().await {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("raw chunks only") };
            let mut column = chunkenc::Column::new();
            if chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).is_ok() {
                found.extend(column.times.iter().zip(&column.values).map(|(t, v)| (labels.clone(), *t, *v)));
            }
        }
        found
    }

    pub async fn chunks(&self) -> Vec<(String, storage::Chunk)> {
        let all = vec![Matcher::new(MatchType::Regex, "__name__", ".*").unwrap()];
        let mut stream = self.store.select(&Ctx::background(), Select::new(TimeRange::ALL, all));
        let mut found = Vec::new();
        while let Some(event) = stream.next().await {
            let SeriesEvent::Batch(batch) = event.unwrap() else { panic!("a warning") };
            for series in batch {
                let labels = series.labels.to_string();
                found.extend(series.chunks.into_iter().map(|chunk| (labels.clone(), chunk)));
            }
        }
        found
    }

    pub fn metric(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|l| l == line)
    }
}
