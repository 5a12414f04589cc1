//! A storage that keeps what it takes, and answers as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use prost::Message;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Came {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub plain: Vec<u8>,
}

impl Came {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Default)]
pub struct Storage {
    /// What is answered first, with `Retry-After` in seconds.
    pub first: Mutex<VecDeque<(u16, Option<u64>)>>,
    /// `Retry-After` of the answers that follow.
    pub retry_after: Mutex<Option<String>>,
    /// So many requests are taken, and their connections cut in place of an answer.
    pub cuts: AtomicU64,
    /// What is answered afterwards; 0 = nothing, ever.
    pub status: AtomicU16,
    pub delay_ms: AtomicU64,
    /// A request with a sample that is not newer than its series' last one is refused whole.
    pub checks_order: AtomicBool,
    pub came: Mutex<Vec<Came>>,
    /// Times of the samples of each series, in the order in which they came.
    pub taken: Mutex<BTreeMap<String, Vec<i64>>>,
}

impl Storage {
    /// Starts one; its URL.
    pub async fn start() -> (Arc<Self>, String) {
        let storage = Arc::new(Self { status: AtomicU16::new(204), ..Self::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(storage.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (storage, url)
    }

    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub fn next(&self, answers: &[(u16, Option<u64>)]) {
        self.first.lock().extend(answers);
    }

    pub fn requests(&self) -> usize {
        self.came.lock().len()
    }

    pub fn samples(&self) -> usize {
        self.taken.lock().values().map(Vec::len).sum()
    }

    /// How many samples came more than once, and whether each series' samples came in order.
    pub fn doubled(&self) -> (usize, bool) {
        let (mut doubled, mut ordered) = (0, true);
        for times in self.taken.lock().values() {
            let mut sorted = times.clone();
            ordered &= times.is_sorted();
            sorted.sort_unstable();
            sorted.dedup();
            doubled += times.len() - sorted.len();
        }
        (doubled, ordered)
    }

    /// How many different samples came.
    pub fn different(&self) -> usize {
        self.samples() - self.doubled().0
    }
}

async fn answer(State(storage): State<Arc<Storage>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let delay = storage.delay_ms.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(delay)).await;
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let came = Came { uri, headers, plain };
    storage.came.lock().push(came.clone());
    let first = storage.first.lock().pop_front();
    let (status, after) = first.unwrap_or((storage.status.load(Ordering::SeqCst), None));
    if status == 0 {
        std::future::pending::<()>().await;
    }
    let mut answer = StatusCode::from_u16(status).unwrap().into_response();
    if let Some(after) = after {
        answer.headers_mut().insert("retry-after", after.into());
    } else if let Some(after) = &*storage.retry_after.lock() {
        answer.headers_mut().insert("retry-after", after.parse().unwrap());
    }
    let is_v1 = came.header("x-prometheus-remote-write-version") == Some("0.1.0");
    if status == 204 && is_v1 {
        let request = proto::prometheus::WriteRequest::decode(came.plain.as_slice()).unwrap();
        let mut taken = storage.taken.lock();
        let mut with = taken.clone();
        for series in request.timeseries {
            let labels: Vec<_> = series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
            with.entry(labels.join(",")).or_default().extend(series.samples.iter().map(|s| s.timestamp));
        }
        let ordered = with.values().all(|times| times.is_sorted_by(|a, b| a < b));
        if storage.checks_order.load(Ordering::SeqCst) && !ordered {
            return (StatusCode::BAD_REQUEST, "out of order sample").into_response();
        }
        *taken = with;
    }
    let cut = |left: u64| left.checked_sub(1);
    if storage.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, cut).is_ok() {
        // The server closes a connection whose handler panics.
        panic!("the connection is cut");
    }
    answer
}
