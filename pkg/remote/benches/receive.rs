//! Remote write requests as Prometheus sends them, into a store that takes everything: what the receiver itself costs.

#[path = "../tests/receive/messages.rs"]
mod messages;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use futures::future::{BoxFuture, ready};
use messages as m;
use model::FakeClock;
use remote::receive::{MessageType, Receiver, ReceiverOptions};
use storage::append::{
    AppendOptions, Appendable, Appender, CommitError, Committed, Exemplars, Floats, Histograms, Metadata, Refused,
    SeriesRef, SeriesRefusal,
};
use storage::{Budget, Ctx, Result};
use telemetry::Metrics;

const NOW_MS: i64 = 1_700_000_000_000;
/// Series and samples of a request: what a sender puts into one.
const SERIES: usize = 2000;

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

    fn histograms(&mut self, _: Histograms<'_>) -> Result<Vec<Refused>> {
        Ok(Vec::new())
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

fn labels(series: usize) -> Vec<(String, String)> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    vec![
        pair("__name__", format!("http_request_duration_seconds_{}", series % 50)),
        pair("cluster", "prod-eu-1".to_owned()),
        pair("container", "server".to_owned()),
        pair("endpoint", "http-metrics".to_owned()),
        pair("instance", format!("10.0.{}.{}:8080", series / 250 % 250, series % 250)),
        pair("job", "default/server".to_owned()),
        pair("le", format!("{}", series % 13)),
        pair("namespace", "default".to_owned()),
        pair("pod", format!("server-6d4cf56db6-{series:05}")),
        pair("service", "server".to_owned()),
    ]
}

fn request(message: MessageType, first: usize) -> Bytes {
    let mut symbols = m::Symbols::new();
    let series: Vec<Vec<u8>> = (first..first + SERIES)
        .map(|n| {
            let owned = labels(n);
            let pairs: Vec<_> = owned.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let sample = vec![(2, m::sample(NOW_MS, n as f64 * 0.1, 0))];
            match message {
                MessageType::V1 => m::series_v1(&pairs, &sample),
                MessageType::V2 => m::series_v2(&mut symbols, &pairs, &sample),
            }
        })
        .collect();
    let plain = match message {
        MessageType::V1 => m::request_v1(&series),
        MessageType::V2 => m::request_v2(&symbols, &series),
    };
    m::pack(&plain).into()
}

fn receiver() -> Receiver {
    let clock = Arc::new(FakeClock::at(NOW_MS));
    Receiver::new(Arc::<Sink>::default(), ReceiverOptions::default(), clock, Budget::unlimited(), &Metrics::new())
}

/// Requests of series that are all known, as nearly all are.
#[divan::bench(args = [MessageType::V1, MessageType::V2])]
fn known_series(bencher: Bencher, message: MessageType) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let receiver = receiver();
    let requests: Vec<_> = (0..50).map(|n| request(message, n * SERIES)).collect();
    for request in &requests {
        runtime.block_on(receiver.take(message, request.clone())).unwrap();
    }
    let mut next = 0;
    bencher.counter(ItemsCount::new(SERIES)).bench_local(|| {
        next = (next + 1) % requests.len();
        runtime.block_on(receiver.take(message, requests[next].clone())).unwrap();
    });
}

/// Requests of series that were never seen.
#[divan::bench(args = [MessageType::V1, MessageType::V2])]
fn new_series(bencher: Bencher, message: MessageType) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = request(message, 0);
    bencher.counter(ItemsCount::new(SERIES)).with_inputs(receiver).bench_local_values(|receiver| {
        runtime.block_on(receiver.take(message, request.clone())).unwrap();
    });
}

fn main() {
    divan::main();
}
