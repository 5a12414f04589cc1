//! Native histograms by remote write: the latencies of some hundreds of handlers, in integer buckets of schema 3.

use anyhow::ensure;
use prost::Message;
use proto::prometheus_copy::histogram::{Count, ZeroCount};
use proto::prometheus_copy::{BucketSpan, Histogram, Label, TimeSeries};
use tests::client::http;

use crate::fleet::{START_MS, TICK_MS};
use crate::queries::Ask::{self, Range};

const HOUR: u32 = 3600;
/// Series of one target.
pub const SERIES_PER_TARGET: usize = 10;
const BUCKETS: usize = 32;

/// Asked over twelve hours at one point a minute.
pub const QUERIES: [(&str, Ask); 4] = [
    (
        "n1 quantile by handler",
        Range("histogram_quantile(0.9, sum by (handler) (rate(request_seconds[5m])))", 11 * HOUR, 60),
    ),
    ("n2 quantile of all", Range("histogram_quantile(0.9, sum(rate(request_seconds[5m])))", 11 * HOUR, 60)),
    ("n3 count by handler", Range("sum by (handler) (histogram_count(rate(request_seconds[5m])))", 11 * HOUR, 60)),
    ("n4 quantile of each", Range("histogram_quantile(0.9, rate(request_seconds[5m]))", 11 * HOUR, 60)),
];

/// One series and where it stands.
struct Handler {
    labels: Vec<Label>,
    counts: [i64; BUCKETS],
    sum: f64,
    seed: u64,
}

impl Handler {
    fn new(target: usize, number: usize) -> Self {
        let label = |name: &str, value: String| Label { name: name.to_owned(), value };
        let labels = vec![
            label("__name__", "request_seconds".to_owned()),
            label("handler", format!("/api/v1/part-{number}")),
            label("instance", format!("10.0.{}.{}:8080", target / 250, target % 250)),
            label("job", "api".to_owned()),
        ];
        Self { labels, counts: [0; BUCKETS], sum: 0.0, seed: (target * SERIES_PER_TARGET + number) as u64 + 1 }
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// The next scrape: some observations around the middle.
    fn next(&mut self, time_ms: i64) -> TimeSeries {
        for _ in 0..20 {
            let spread = self.random();
            let at = (spread % 11 + spread / 11 % 11 + spread / 121 % 12) as usize;
            self.counts[at.min(BUCKETS - 1)] += 1;
            self.sum += 0.01 * at as f64;
        }
        let mut before = 0;
        let deltas = self.counts.iter().map(|count| count - std::mem::replace(&mut before, *count)).collect();
        let histogram = Histogram {
            count: Some(Count::CountInt(self.counts.iter().sum::<i64>() as u64)),
            sum: self.sum,
            schema: 3,
            zero_threshold: 1e-128,
            zero_count: Some(ZeroCount::ZeroCountInt(0)),
            positive_spans: vec![BucketSpan { offset: -48, length: BUCKETS as u32 }],
            positive_deltas: deltas,
            timestamp: time_ms,
            ..Default::default()
        };
        TimeSeries { labels: self.labels.clone(), histograms: vec![histogram], ..Default::default() }
    }
}

/// Sends `ticks` scrapes of `targets` targets to the server at `base`.
///
/// # Errors
/// The server refuses a request or is gone.
pub async fn send(base: &str, targets: usize, ticks: i64) -> anyhow::Result<()> {
    let client = http()?;
    let numbers = (0..targets).flat_map(|target| (0..SERIES_PER_TARGET).map(move |number| (target, number)));
    let mut handlers: Vec<Handler> = numbers.map(|(target, number)| Handler::new(target, number)).collect();
    for tick in 0..ticks {
        let time_ms = START_MS + tick * TICK_MS;
        let mut plain = Vec::new();
        for handler in &mut handlers {
            // Field 1 of a request.
            plain.push(0x0a);
            handler.next(time_ms).encode_length_delimited(&mut plain)?;
        }
        let post = client
            .post(format!("{base}/api/v1/write"))
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .body(snap::raw::Encoder::new().compress_vec(&plain)?);
        let answer = post.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "tick {tick}: {status}: {}", answer.text().await.unwrap_or_default());
    }
    Ok(())
}
