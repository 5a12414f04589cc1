//! Servers in the place of Alertmanagers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::Value;

/// Keeps what it takes.
#[derive(Default)]
pub struct Fake {
    /// What it answers; 0 = nothing, ever.
    pub status: AtomicU16,
    pub delay_ms: AtomicUsize,
    pub requests: AtomicUsize,
    /// How often each alert was taken, by name.
    pub taken: Mutex<BTreeMap<String, usize>>,
    pub last: Mutex<Option<(Uri, HeaderMap, Value)>>,
}

impl Fake {
    /// Starts one that answers `status`; its address.
    pub async fn start(status: u16) -> (Arc<Self>, String) {
        let fake = Arc::new(Self { status: AtomicU16::new(status), ..Self::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, address)
    }

    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub fn names(&self) -> usize {
        self.taken.lock().len()
    }
}

async fn answer(State(fake): State<Arc<Fake>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    fake.requests.fetch_add(1, Ordering::SeqCst);
    let delay = fake.delay_ms.load(Ordering::SeqCst) as u64;
    tokio::time::sleep(Duration::from_millis(delay)).await;
    let status = fake.status.load(Ordering::SeqCst);
    if status == 0 {
        std::future::pending::<()>().await;
    }
    if status == 200 {
        let alerts: Value = serde_json::from_slice(&body).unwrap();
        for alert in alerts.as_array().unwrap() {
            let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
            *fake.taken.lock().entry(name).or_default() += 1;
        }
        *fake.last.lock() = Some((uri, headers, alerts));
    }
    StatusCode::from_u16(status).unwrap()
}
