//! Requests as OpenTelemetry's SDKs send them, into a store that takes everything: what the receiver itself costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use futures::future::{BoxFuture, ready};
use ingest::wire::Writer;
use model::FakeClock;
use otlp::{Receiver, ReceiverDeps, ReceiverOptions, Settings};
use storage::append::{
    AppendOptions, Appendable, Appender, CommitError, Committed, Exemplars, Floats, Histograms, Metadata, Refused,
    SeriesRef, SeriesRefusal,
};
use storage::{Budget, Ctx, Result};
use telemetry::Metrics;

const NOW_MS: i64 = 1_700_000_000_000;
/// Data points of a request.
const POINTS: usize = 2000;

#[derive(Debug, Default)]
struct Sink(AtomicU64);

#[derive(Debug)]
struct SinkAppender(u64);

impl Appendable for Sink {
    fn appender(&self, _: &Ctx, _: AppendOptions) -> Box<dyn Appender> {
        Box::new(SinkAppender(self.0.fetch_add(1 << 20, Ordering::Relaxed)))
    }
}

impl Appender for SinkAppender {
    fn resolve(&mut self, series: &[&[(&str, &str)]]) -> Result<Vec<std::result::Result<SeriesRef, SeriesRefusal>>> {
        let first = self.0;
        self.0 += series.len() as u64;
        Ok((first..self.0).map(|n| Ok(SeriesRef(n))).collect())
    }

    fn floats(&mut self, rows: Floats<'_>) -> Result<Vec<Refused>> {
        rows.check().map(|()| Vec::new())
    }

    fn histograms(&mut self, rows: Histograms<'_>) -> Result<Vec<Refused>> {
        rows.check().map(|()| Vec::new())
    }

    fn exemplars(&mut self, _: Exemplars<'_>) -> Result<Vec<Refused>> {
        Ok(Vec::new())
    }

    fn metadata(&mut self, _: Metadata<'_>) -> Result<Vec<Refused>> {
        Ok(Vec::new())
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, std::result::Result<Committed, CommitError>> {
        Box::pin(ready(Ok(Committed::default())))
    }

    fn rollback(self: Box<Self>) {}
}

fn attribute(writer: &mut Writer, field: u64, key: &str, value: &str) {
    writer.message(field, |pair| _ = pair.string(1, key).message(2, |v| _ = v.string(1, value)));
}

/// Counters of `POINTS` data points: 40 metrics of one resource.
fn counters() -> Bytes {
    request(|metric, n| {
        metric.string(1, format!("http.server.requests.{n}")).string(3, "{request}").message(7, |sum| {
            sum.varint(2, 2).varint(3, 1);
            for point in 0..POINTS / 40 {
                sum.message(1, |p| {
                    p.fixed64(2, NOW_MS as u64 * 1_000_000 - 1_000_000_000).fixed64(3, NOW_MS as u64 * 1_000_000);
                    p.double(4, point as f64);
                    attributes(p, 7, point);
                });
            }
        });
    })
}

/// Histograms with ten bounds: 2000 data points are 26000 samples.
fn histograms() -> Bytes {
    request(|metric, n| {
        metric.string(1, format!("http.server.duration.{n}")).string(3, "s").message(9, |histogram| {
            histogram.varint(2, 2);
            for point in 0..POINTS / 40 {
                histogram.message(1, |p| {
                    p.fixed64(3, NOW_MS as u64 * 1_000_000).fixed64(4, 11).double(5, 3.5);
                    p.string(6, [1u64; 11].map(u64::to_le_bytes).concat());
                    p.string(7, [0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0f64].map(f64::to_le_bytes).concat());
                    attributes(p, 9, point);
                });
            }
        });
    })
}

fn attributes(point: &mut Writer, field: u64, n: usize) {
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/v1/query_range"),
        ("network.protocol.version", "1.1"),
        ("server.address", "query.example.net"),
        ("url.scheme", "https"),
    ] {
        attribute(point, field, key, value);
    }
    attribute(point, field, "http.response.status_code", &format!("{}", 200 + n));
}

fn request(metric: impl Fn(&mut Writer, usize)) -> Bytes {
    let mut writer = Writer::default();
    writer.message(1, |rm| {
        rm.message(1, |resource| {
            for (key, value) in [
                ("service.name", "query"),
                ("service.namespace", "metrics"),
                ("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
                ("host.name", "node-17"),
                ("k8s.pod.name", "query-6d4cf56db6-x2x7k"),
            ] {
                attribute(resource, 1, key, value);
            }
        });
        rm.message(2, |sm| {
            for n in 0..40 {
                sm.message(2, |m| metric(m, n));
            }
        });
    });
    writer.into_bytes().into()
}

fn receiver() -> Receiver {
    let settings = Arc::new(Settings::default());
    Receiver::new(
        ReceiverOptions::default(),
        ReceiverDeps {
            appendable: Arc::new(Sink::default()),
            settings: Arc::new(move || settings.clone()),
            clock: Arc::new(FakeClock::at(NOW_MS)),
            budget: Budget::unlimited(),
            metrics: Metrics::new(),
        },
    )
}

fn run(bencher: Bencher<'_, '_>, body: &Bytes, samples: usize, is_new: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let kept = receiver();
    runtime.block_on(kept.take(body.clone())).unwrap();
    bencher.counter(ItemsCount::new(samples)).bench_local(|| {
        let receiver = if is_new { receiver() } else { kept.clone() };
        runtime.block_on(receiver.take(body.clone())).unwrap();
    });
}

#[divan::bench]
fn counters_known(bencher: Bencher<'_, '_>) {
    run(bencher, &counters(), POINTS, false);
}

#[divan::bench]
fn counters_new(bencher: Bencher<'_, '_>) {
    run(bencher, &counters(), POINTS, true);
}

#[divan::bench]
fn histograms_known(bencher: Bencher<'_, '_>) {
    run(bencher, &histograms(), POINTS * 13, false);
}

fn main() {
    divan::main();
}
