//! Requests, and a receiver that they are sent to.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use ingest::wire::Writer;
use model::FakeClock;
use otlp::{Receiver, ReceiverDeps, ReceiverOptions, Settings};
use parking_lot::Mutex;
use storage::Budget;
use telemetry::Metrics;
use tower::ServiceExt;

use crate::recorder::Recorder;

pub const NOW_MS: i64 = 1_700_000_000_000;
pub const NOW_NS: u64 = NOW_MS as u64 * 1_000_000;

pub fn attribute(writer: &mut Writer, field: u64, key: &str, value: &str) {
    writer.message(field, |pair| _ = pair.string(1, key).message(2, |v| _ = v.string(1, value)));
}

/// A request of one resource with these attributes, and metrics that `metrics` writes into its only scope.
pub fn request(resource: &[(&str, &str)], metrics: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    add_resource(&mut writer, resource, metrics);
    writer.into_bytes()
}

pub fn add_resource(writer: &mut Writer, resource: &[(&str, &str)], metrics: impl FnOnce(&mut Writer)) {
    writer.message(1, |rm| {
        rm.message(1, |r| resource.iter().for_each(|(key, value)| attribute(r, 1, key, value)));
        rm.message(2, |sm| {
            sm.message(1, |scope| {
                scope.string(1, "lib").string(2, "1.2");
                attribute(scope, 3, "kind.of", "test");
            });
            metrics(sm);
            sm.string(3, "http://schema");
        });
    });
}

pub fn metric(scope: &mut Writer, name: &str, unit: &str, data: impl FnOnce(&mut Writer)) {
    scope.message(2, |metric| {
        metric.string(1, name).string(2, format!("About {name}.")).string(3, unit);
        data(metric);
    });
}

/// A gauge of points, each of attributes, time and value.
pub fn gauge(scope: &mut Writer, name: &str, points: &[(&[(&str, &str)], u64, f64)]) {
    metric(scope, name, "", |m| {
        m.message(5, |gauge| points.iter().for_each(|p| number(gauge, p)));
    });
}

/// A sum of points; temporality 1 is delta, 2 cumulative.
pub fn sum(scope: &mut Writer, name: &str, temporality: u64, points: &[(&[(&str, &str)], u64, f64)]) {
    metric(scope, name, "", |m| {
        m.message(7, |sum| {
            sum.varint(2, temporality).varint(3, 1);
            points.iter().for_each(|p| number(sum, p));
        });
    });
}

fn number(data: &mut Writer, (attributes, time_ns, value): &(&[(&str, &str)], u64, f64)) {
    data.message(1, |point| {
        attributes.iter().for_each(|(key, value)| attribute(point, 7, key, value));
        point.fixed64(3, *time_ns).double(4, *value);
    });
}

/// A receiver and what it wrote.
pub struct Bed {
    pub store: Recorder,
    pub settings: Arc<Mutex<Arc<Settings>>>,
    pub metrics: Metrics,
    receiver: Receiver,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Bed {
    pub fn new(settings: Settings) -> Self {
        Self::with(settings, ReceiverOptions::default(), Budget::unlimited())
    }

    pub fn with(settings: Settings, options: ReceiverOptions, budget: Arc<Budget>) -> Self {
        let store = Recorder::default();
        let settings = Arc::new(Mutex::new(Arc::new(settings)));
        let (metrics, shared) = (Metrics::new(), settings.clone());
        let deps = ReceiverDeps {
            appendable: Arc::new(store.clone()),
            settings: Arc::new(move || shared.lock().clone()),
            clock: Arc::new(FakeClock::at(NOW_MS)),
            budget,
            metrics: metrics.clone(),
        };
        Self { store, settings, metrics, receiver: Receiver::new(options, deps) }
    }

    pub async fn post(&self, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post("/api/v1/otlp/v1/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.receiver.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { status, headers, body }
    }

    pub async fn send(&self, body: Vec<u8>) -> Answer {
        self.post(body, &[("content-type", "application/x-protobuf")]).await
    }

    /// Sends what must be taken as a whole.
    pub async fn ok(&self, body: Vec<u8>) {
        let answer = self.send(body).await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, ""));
    }

    /// The samples since the last call.
    pub fn samples(&self) -> Vec<String> {
        std::mem::take(&mut self.store.0.lock().samples)
    }
}
