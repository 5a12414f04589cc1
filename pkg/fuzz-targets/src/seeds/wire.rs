//! Messages between processes.

use prost::Message;
use proto::{prometheus, prometheus_copy, thanos};

use super::T0;
use super::blocks::uvarint;
use super::chunks::xor;

fn wire_labels() -> Vec<prometheus_copy::Label> {
    [("__name__", "up"), ("instance", "a:9100"), ("job", "node")]
        .map(|(name, value)| prometheus_copy::Label { name: name.to_owned(), value: value.to_owned() })
        .to_vec()
}

pub(crate) fn remote_message() -> Vec<Vec<u8>> {
    let data = xor().remove(3);
    let chunk =
        |i: i32| prometheus::Chunk { min_time_ms: T0, max_time_ms: T0 + 600_000, r#type: i, data: data.clone().into() };
    let series = prometheus::ChunkedSeries { labels: wire_labels(), chunks: (1..5).map(chunk).collect() };
    let message = prometheus::ChunkedReadResponse { chunked_series: vec![series.clone(), series], query_index: 0 };
    vec![message.encode_to_vec()]
}

pub(crate) fn remote_frames() -> Vec<Vec<u8>> {
    let frames = |part: u8, count: usize| {
        let mut out = vec![part];
        for message in remote_message().iter().cycle().take(count) {
            uvarint(&mut out, message.len() as u64);
            out.extend_from_slice(&crc32c::crc32c(message).to_be_bytes());
            out.extend_from_slice(message);
        }
        out
    };
    vec![frames(255, 2), frames(7, 1), [&[64], "context deadline exceeded\n".as_bytes()].concat()]
}

/// What is inside the compression; the target also reads its input as compressed.
pub(crate) fn remote_samples() -> Vec<Vec<u8>> {
    let samples = (0..250).map(|i| prometheus_copy::Sample { timestamp: T0 + 1000 * i, value: i as f64 }).collect();
    let histogram = |i: i64| prometheus_copy::Histogram {
        timestamp: T0 + i,
        schema: 3,
        count: Some(prometheus_copy::histogram::Count::CountInt(3 + i as u64)),
        positive_spans: vec![prometheus_copy::BucketSpan { offset: 0, length: 2 }],
        positive_deltas: vec![1 + i, 1],
        ..Default::default()
    };
    let float = prometheus_copy::Histogram {
        timestamp: T0 + 100,
        count: Some(prometheus_copy::histogram::Count::CountFloat(1.5)),
        positive_spans: vec![prometheus_copy::BucketSpan { offset: -1, length: 1 }],
        positive_counts: vec![1.5],
        ..Default::default()
    };
    let histograms = (0..5).map(histogram).chain([float]).collect();
    let series = prometheus_copy::TimeSeries { labels: wire_labels(), samples, histograms, ..Default::default() };
    let answer = prometheus::ReadResponse { results: vec![prometheus::QueryResult { timeseries: vec![series] }] };
    let plain = answer.encode_to_vec();
    let packed = snap::raw::Encoder::new().compress_vec(&plain).expect("it is small");
    vec![plain, packed]
}

fn store_series() -> thanos::Series {
    let data = xor().remove(3);
    let chunk = || Some(thanos::Chunk { r#type: 0, data: data.clone().into(), ..Default::default() });
    let labels = wire_labels().into_iter().map(|l| thanos::Label { name: l.name, value: l.value }).collect();
    let raw = thanos::AggrChunk { min_time: T0, max_time: T0 + 600_000, raw: chunk(), ..Default::default() };
    let aggregated = thanos::AggrChunk {
        min_time: T0 + 700_000,
        max_time: T0 + 800_000,
        count: chunk(),
        counter: chunk(),
        replica: 7,
        ..Default::default()
    };
    thanos::Series { labels, chunks: vec![raw, aggregated] }
}

pub(crate) fn store_answer() -> Vec<Vec<u8>> {
    use thanos::series_response::Result;
    let batch = thanos::SeriesBatch { series: vec![store_series(), store_series()] };
    [Result::Series(store_series()), Result::Batch(batch), Result::Warning("a block is missing".to_owned())]
        .map(|result| thanos::SeriesResponse { result: Some(result) }.encode_to_vec())
        .to_vec()
}

pub(crate) fn store_request() -> Vec<Vec<u8>> {
    let matcher = |kind: i32| thanos::LabelMatcher { r#type: kind, name: "job".to_owned(), value: "a|b.*".to_owned() };
    let request = thanos::SeriesRequest {
        min_time: T0,
        max_time: T0 + 1,
        matchers: (0..4).map(matcher).collect(),
        aggregates: vec![1, 5],
        shard_info: Some(thanos::ShardInfo { total_shards: 3, labels: vec!["job".to_owned()], ..Default::default() }),
        without_replica_labels: vec!["replica".to_owned()],
        limit: 10,
        ..Default::default()
    };
    vec![request.encode_to_vec()]
}

pub(crate) fn inspect_messages() -> Vec<Vec<u8>> {
    let set = || {
        let labels = wire_labels().into_iter().map(|l| thanos::Label { name: l.name, value: l.value }).collect();
        Some(thanos::LabelSet { labels })
    };
    let alert = thanos::Alert {
        name: "Down".to_owned(),
        query: "up == 0".to_owned(),
        labels: set(),
        alerts: vec![thanos::AlertInstance { labels: set(), value: "1".to_owned(), ..Default::default() }],
        ..Default::default()
    };
    let group = thanos::RuleGroup {
        name: "group".to_owned(),
        rules: vec![thanos::Rule { result: Some(thanos::rule::Result::Alert(alert)) }],
        interval: 15.0,
        ..Default::default()
    };
    let target = thanos::ActiveTarget { labels: set(), scrape_pool: "node".to_owned(), ..Default::default() };
    let targets = thanos::TargetDiscovery { active_targets: vec![target], ..Default::default() };
    let exemplar = thanos::Exemplar { labels: set(), value: 1.5, ts: T0 };
    let exemplars = thanos::ExemplarData { series_labels: set(), exemplars: vec![exemplar] };
    vec![group.encode_to_vec(), targets.encode_to_vec(), exemplars.encode_to_vec()]
}

pub(crate) fn grpc_snappy() -> Vec<Vec<u8>> {
    use std::io::Write;
    let message = store_answer().concat();
    let mut packed = snap::write::FrameEncoder::new(Vec::new());
    packed.write_all(&message).expect("memory takes all");
    let packed = packed.into_inner().expect("memory takes all");
    let framed = |flag: u8, message: &[u8]| {
        let mut out = vec![flag];
        out.extend_from_slice(&(message.len() as u32).to_be_bytes());
        out.extend_from_slice(message);
        out
    };
    vec![framed(0, &message), framed(1, &packed), [framed(1, &packed), framed(0, b"abc")].concat()]
}
