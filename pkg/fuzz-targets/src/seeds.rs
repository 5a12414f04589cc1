//! Well-formed inputs, small, made by our own writers.

use block::toc::Toc;
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, IndexParts, ThanosMeta, Tombstones};
use bucket::marks::{DeletionMark, MARK_VERSION, NoCompactMark, NoDownsampleMark};
use chunkenc::{
    Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, TimedChunk, aggr, encode_xor, encode_xor2,
};
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Span};
use labels::Labels;
use model::TimeRange;
use prost::Message;
use proto::{prometheus, prometheus_copy, thanos};

const T0: i64 = 1_700_000_000_000;

fn samples(count: usize, value: impl Fn(usize) -> f64) -> Vec<(i64, f64)> {
    let late = |i: usize| if i % 7 == 3 { 11 } else { 0 };
    (0..count).map(|i| (T0 + 15_000 * i as i64 + late(i), value(i))).collect()
}

fn many_samples() -> Vec<Vec<(i64, f64)>> {
    vec![
        Vec::new(),
        samples(1, |_| 1.0),
        samples(40, |_| 7.0),
        samples(40, |i| (i * i * 37) as f64),
        samples(40, |i| (i as f64).sin()),
        samples(12, |i| if i % 5 == 4 { model::stale_nan() } else { i as f64 }),
        // Every class of time code.
        [0, 1, 2, 70_000, 70_001, 300_000, 300_010, 599_000, 1 << 45].map(|d| (T0 + d, d as f64)).to_vec(),
    ]
}

pub(crate) fn xor() -> Vec<Vec<u8>> {
    many_samples().into_iter().map(|s| encode_xor(s).expect("few samples")).collect()
}

pub(crate) fn xor2() -> Vec<Vec<u8>> {
    let encode = |start: fn(i64) -> i64| {
        let all = many_samples().into_iter();
        all.map(move |s| encode_xor2(s.into_iter().map(|(t, v)| (start(t), t, v))).expect("few samples"))
    };
    encode(|_| 0).chain(encode(|t| t - t % 100_000)).collect()
}

fn spans() -> Vec<Span> {
    vec![Span { offset: -2, length: 3 }, Span { offset: 100, length: 1 }, Span { offset: 0, length: 2 }]
}

fn integer_histogram(i: i64) -> Histogram {
    Histogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: i as u64,
        count: 22 + 7 * i as u64,
        sum: 1.5 * i as f64,
        positive_spans: spans(),
        positive_deltas: vec![1 + i, 1, -1, 2, 0, 1],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_deltas: vec![5],
        ..Histogram::default()
    }
}

fn float_histogram_at(i: i64) -> FloatHistogram {
    FloatHistogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 0.5,
        count: 20.25 + i as f64,
        sum: -1.5 * i as f64,
        positive_spans: spans(),
        positive_buckets: vec![1.0, 2.0 + i as f64, 0.5, 3.0, 4.25, 0.0],
        ..FloatHistogram::default()
    }
}

fn custom_buckets(i: i64) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3.0 * i as f64,
        sum: 2.0 * i as f64,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![i as f64; 3],
        custom_values: vec![0.005, 0.1, 12.5],
        ..FloatHistogram::default()
    }
}

/// With start timestamps the header is another: a flag in the count, a byte for the timestamps.
fn with_start_time_header(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    out[0] |= data[2] & 0xc0;
    out[2] = 0;
    out
}

/// Histograms of exponential and of custom buckets.
pub(crate) fn integer_histograms() -> Vec<Histogram> {
    let custom = Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 5,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_deltas: vec![2, 1],
        custom_values: vec![0.5, 1.0, 2.5],
        ..Histogram::default()
    };
    let stale = Histogram { sum: model::stale_nan(), ..Histogram::default() };
    vec![integer_histogram(1), Histogram { schema: 11, ..integer_histogram(2) }, custom, stale]
}

pub(crate) fn histogram() -> Vec<Vec<u8>> {
    let mut plain = HistogramAppender::new(ResetFlag::Unknown);
    for i in 0..20 {
        let mut h = integer_histogram(i);
        if i == 11 {
            h = Histogram { sum: model::stale_nan(), ..Histogram::default() };
        }
        plain.append(T0 + 15_000 * i, &h).expect("it fits");
    }
    let mut one = HistogramAppender::new(ResetFlag::Unknown);
    one.append(T0, &Histogram::default()).expect("it fits");
    let all = [plain.to_vec(), one.to_vec()];
    let other = all.iter().map(|d| with_start_time_header(d)).collect::<Vec<_>>();
    all.into_iter().chain(other).collect()
}

pub(crate) fn float_histogram() -> Vec<Vec<u8>> {
    let write = |histogram: fn(i64) -> FloatHistogram| {
        let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
        for i in 0..12 {
            appender.append(T0 + 15_000 * i, &histogram(i)).expect("it fits");
        }
        appender.to_vec()
    };
    let all = [write(float_histogram_at), write(custom_buckets)];
    let other = all.iter().map(|d| with_start_time_header(d)).collect::<Vec<_>>();
    all.into_iter().chain(other).collect()
}

pub(crate) fn aggregates() -> Vec<Vec<u8>> {
    let (floats, histograms) = (&xor()[3], &float_histogram()[0]);
    let float = || Some((Encoding::Xor, floats.as_slice()));
    vec![
        aggr::encode([float(), float(), float(), float(), float()]),
        aggr::encode([float(), None, None, None, Some((Encoding::FloatHistogram, histograms))]),
        aggr::encode([None, None, None, None, None]),
    ]
}

/// A block's files: index, chunks, meta.
struct Files {
    index: Vec<u8>,
    chunks: Vec<u8>,
    meta: Vec<u8>,
}

fn chunk(encoding: Encoding, data: &[u8]) -> TimedChunk {
    TimedChunk { min_time: T0, max_time: T0 + 600_000, encoding, data: data.to_vec().into() }
}

fn block_files() -> Files {
    let dir = tempfile::tempdir().expect("there is a place for temporary files");
    let options = BlockWriterOptions { max_segment_bytes: 1 << 20, postings_in_memory: 1 << 10, tombstones: true };
    let id = BlockId::new(T0 as u64, 7);
    let mut writer = BlockWriter::create(dir.path(), id, options).expect("it can be written");
    let (floats, floats2) = (xor(), xor2());
    let (integer, float) = (histogram(), float_histogram());
    for (i, name) in ["a_total", "b_seconds", "up"].iter().enumerate() {
        for instance in 0..12 {
            let labels = Labels::from_pairs([
                ("__name__", (*name).to_owned()),
                ("instance", instance.to_string()),
                ("job", format!("job-{}", instance % 3)),
            ]);
            let chunks = match i {
                0 => vec![chunk(Encoding::Xor, &floats[3])],
                1 => vec![chunk(Encoding::Histogram, &integer[0])],
                _ => vec![chunk(Encoding::Xor2, &floats2[4])],
            };
            // Series of a name come in the order of their labels as strings: 0, 1, 10, 11, 2 …
            if instance < 10 {
                writer.add_series(&labels, &chunks).expect("in order");
            }
        }
    }
    let last = Labels::from_pairs([("__name__", "z"), ("ünïcode", "wert mit \"Zeichen\"")]);
    writer.add_series(&last, &[chunk(Encoding::FloatHistogram, &float[0])]).expect("in order");
    let meta = BlockMeta { thanos: Some(ThanosMeta::default()), ..BlockMeta::default() };
    writer.finish(meta).expect("it can be written");
    let read = |name: &str| std::fs::read(dir.path().join(id.to_string()).join(name)).expect("it has been written");
    Files { index: read("index"), chunks: read("chunks/000001"), meta: read("meta.json") }
}

fn uvarint(out: &mut Vec<u8>, value: u64) {
    encoding::put_uvarint(out, value);
}

fn section(body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    out
}

/// Version 1 is no longer written by anybody: references are offsets, nothing is aligned, lists come in any order.
fn index_version_1() -> Vec<u8> {
    let mut out = 0xBAAA_D700u32.to_be_bytes().to_vec();
    out.push(1);
    let symbols_at = out.len() as u64;
    let texts = ["", "1", "2", "instance"];
    let mut body = (texts.len() as u32).to_be_bytes().to_vec();
    let mut references = Vec::new();
    for text in texts {
        references.push(out.len() as u64 + 4 + body.len() as u64);
        encoding::put_string(&mut body, text);
    }
    out.extend(section(&body));
    let series_at = out.len() as u64;
    let mut ids = Vec::new();
    for value in [1, 2] {
        ids.push(out.len() as u32);
        let mut body = Vec::new();
        for number in [1, references[3], references[value], 0] {
            uvarint(&mut body, number);
        }
        uvarint(&mut out, body.len() as u64);
        out.extend_from_slice(&body);
        out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    }
    let postings_at = out.len() as u64;
    let mut entries = 3u32.to_be_bytes().to_vec();
    for (name, value, list) in [("instance", "2", &ids[1..]), ("instance", "1", &ids[..1]), ("", "", &ids[..])] {
        uvarint(&mut entries, 2);
        encoding::put_string(&mut entries, name);
        encoding::put_string(&mut entries, value);
        uvarint(&mut entries, out.len() as u64);
        block::postings::encode(list, &mut out);
    }
    let table_at = out.len() as u64;
    out.extend(section(&entries));
    let toc = Toc {
        symbols: symbols_at,
        series: series_at,
        label_indices: postings_at,
        label_offset_table: postings_at,
        postings: postings_at,
        postings_offset_table: table_at,
    };
    out.extend(toc.to_bytes());
    out
}

pub(crate) fn index() -> Vec<Vec<u8>> {
    vec![block_files().index, index_version_1()]
}

pub(crate) fn index_header() -> Vec<Vec<u8>> {
    let header = |index: Vec<u8>| {
        let (index, size) = (bytes::Bytes::from(index), 0);
        let size = index.len() as u64 + size;
        let part = |r: &std::ops::Range<u64>| index.slice(r.start as usize..r.end as usize);
        let [head, toc] = IndexParts::probe("index", size)?;
        let parts = IndexParts::parse("index", size, &part(&head), &part(&toc))?;
        parts.build("index", &part(&parts.symbols), &part(&parts.tail))
    };
    index().into_iter().map(|index| header(index).expect("an index")).collect()
}

pub(crate) fn chunk_segment() -> Vec<Vec<u8>> {
    vec![block_files().chunks]
}

pub(crate) fn postings() -> Vec<Vec<u8>> {
    let list = |ids: &[u32]| {
        let mut out = Vec::new();
        block::postings::encode(ids, &mut out);
        out
    };
    vec![list(&[]), list(&[1, 2, 3, 100, u32::MAX]), list(&(0..100).map(|i| i * 16).collect::<Vec<_>>())]
}

/// The part of an index that lies between two entries of its table of contents.
fn part_of_index(index: &[u8], part: impl Fn(Toc) -> std::ops::Range<u64>) -> Vec<u8> {
    let toc = Toc::parse("index", index.len() as u64, index).expect("an index");
    let range = part(toc);
    index[range.start as usize..range.end as usize].to_vec()
}

pub(crate) fn postings_table() -> Vec<Vec<u8>> {
    let part = |index: Vec<u8>| {
        let end = (index.len() - block::toc::TOC_LEN) as u64;
        part_of_index(&index, |toc| toc.postings_offset_table..end)
    };
    index().into_iter().map(part).collect()
}

pub(crate) fn symbols() -> Vec<Vec<u8>> {
    let part = |index: Vec<u8>| {
        let mut part = part_of_index(&index, |toc| toc.symbols..toc.series);
        // Up to the next section there is padding.
        let len = u32::from_be_bytes([part[0], part[1], part[2], part[3]]) as usize;
        part.truncate(len + 8);
        part
    };
    index().into_iter().map(part).collect()
}

pub(crate) fn series_entry() -> Vec<Vec<u8>> {
    let entry = |labels: &[(u32, u32)], chunks: u64| {
        let chunk = |i: u64| block::ChunkMeta {
            min_time: T0 + 1000 * i as i64,
            max_time: T0 + 1000 * i as i64 + 999,
            reference: 8 + 170 * i,
        };
        let raw = block::series::RawEntry { labels: labels.to_vec(), chunks: (0..chunks).map(chunk).collect() };
        let mut out = Vec::new();
        block::series::put_entry(&mut out, &mut Vec::new(), &raw);
        out
    };
    vec![entry(&[], 0), entry(&[(1, 2), (3, 4)], 1), entry(&[(1, 200_000)], 30)]
}

pub(crate) fn toc() -> Vec<Vec<u8>> {
    index().into_iter().map(|index| index[index.len() - block::toc::TOC_LEN..].to_vec()).collect()
}

pub(crate) fn tombstones() -> Vec<Vec<u8>> {
    let mut some = Tombstones::default();
    some.add(16, TimeRange::new(T0, T0 + 1000));
    some.add(16, TimeRange::new(-5, 5));
    some.add(48, TimeRange::new(i64::MIN, i64::MAX));
    vec![Tombstones::default().to_bytes(), some.to_bytes()]
}

pub(crate) fn meta_json() -> Vec<Vec<u8>> {
    vec![block_files().meta, BlockMeta { version: 1, ..BlockMeta::default() }.to_json()]
}

pub(crate) fn marks() -> Vec<Vec<u8>> {
    let (id, version, details, time) = (BlockId::new(T0 as u64, 7), MARK_VERSION, "why".to_owned(), T0 / 1000);
    let deletion = DeletionMark { id, version, details: details.clone(), deletion_time: time };
    let reason = "manual".to_owned();
    let no_compact =
        NoCompactMark { id, version, details: details.clone(), no_compact_time: time, reason: reason.clone() };
    let no_downsample = NoDownsampleMark { id, version, details, no_downsample_time: time, reason };
    let request = bucket::deletions::Request::new(id, T0, &[vec![]], TimeRange::new(0, 1), "who");
    [
        serde_json::to_vec(&deletion),
        serde_json::to_vec(&no_compact),
        serde_json::to_vec(&no_downsample),
        serde_json::to_vec(&request),
    ]
    .map(|json| json.expect("it has text keys"))
    .to_vec()
}

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

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn promql() -> Vec<Vec<u8>> {
    texts(&[
        r#"sum by (job, "äö") (rate({"http.requests", code=~"5..|404", env!~"dev"}[5m] offset -1h)) / on (job) group_left (team) up @ end() > bool 0.5e-3"#,
        r"histogram_quantile(0.9, sum without (le) (increase(x_bucket[1h30m:30s]))) or -vector(1) ^ 2 % 0x1F and unless_y",
        r#"label_replace(topk(3, a{b="c\n\u00e4\x41"}), 'x', `$1`, "y", "(.*)") # comment"#,
        r#"count_values("v", min_over_time(a[5m:]) @ 1700000000.5) == NaN + Inf - 1_000"#,
        "quantile_over_time(scalar(foo), bar[10m]) atan2 (absent(baz{}) * ignoring () foo)",
        "predict_linear(a[step()+5m], 3600) offset (1h * 2) + limitk(3, b) fill (0) c smoothed",
    ])
}

pub(crate) fn promql_selectors() -> Vec<Vec<u8>> {
    texts(&[
        r#"up{job="a", instance=~"x.*"}"#,
        r#"{"metric.name", a!="b", c!~"d"}"#,
        r#"metric{a="b"} 1 2 _ stale 3x5 1+2x3 NaN -Inf 5-1.5x_2"#,
        r#"h{} {{schema:1 sum:5 count:4 buckets:[1 2 1] offset:-1 z_bucket:2 z_bucket_w:0.1 n_buckets:[1] counter_reset_hint:gauge}}x3"#,
        r#""a \"quoted\" \u00e4 text""#,
    ])
}

pub(crate) fn re2_pattern() -> Vec<Vec<u8>> {
    texts(&[
        "node-exporter-(1|2|3)[0-9]+:9100",
        r"^(?i:a|b|cd)*?\d{2,3}[^\w\s]+\pL\x{1F600}$",
        r"(?P<name>[[:alpha:]]+)|(?:x{0,5}y?)+|\Q.*\E",
        "foo.*|.*bar|.*baz.*|qux",
        r"[a-z&&\-\]]{3}\b\B\z",
    ])
}

pub(crate) fn test_script() -> Vec<Vec<u8>> {
    texts(&[
        "clear\nload 5m\n  metric{a=\"b\"} 0+10x5 _ 3\n  h {{schema:0 sum:1 count:1 buckets:[1]}}x2\n\neval instant at 50m sum(metric)\n  expect no_info\n  {} 50\n",
        "load_with_nhcb 1m\n  b_bucket{le=\"1\"} 0 1 2\n  b_bucket{le=\"+Inf\"} 0 2 4\n\neval range from 0 to 5m step 1m rate(b[2m])\n  expect warn msg: something\n  expect ordered\n  {} _ 1 2 3\n\neval_fail instant at 1m ceil(\n",
        "eval instant at 0 x\n  expect fail regex: .*\n\neval instant at 1s vector(1)\n  expect string \"a\"\n  1\n",
    ])
}

pub(crate) fn durations() -> Vec<Vec<u8>> {
    texts(&[
        "5m\n1h30m\n1y2w3d4h5m6s7ms\n0\n1.5h\n-5m\n300ms\n2us\n10GiB\n1.5MB\n512\n2026-01-02T03:04:05Z\n1700000000.123\n",
    ])
}

pub(crate) fn exposition_text() -> Vec<Vec<u8>> {
    texts(&[
        "# HELP a Some text\\n.\n# TYPE a counter\na_total{b=\"c\",d=\"e\\\"\\n\"} 1.5 1700000000000\n{\"u.v\",\"w.x\"=\"y\"} NaN\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 4e-3\nh_count 3\n# a comment\n\n\ts { q = \"1\" , } +Inf\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n# TYPE \"q.u\" untyped\n",
    ])
}

pub(crate) fn exposition_openmetrics() -> Vec<Vec<u8>> {
    texts(&[
        "# HELP a_seconds Text.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{b=\"c\"} 1 1700000000.5 # {id=\"x\"} 0.5 1.25\na_seconds_created{b=\"c\"} 1.5\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 3 # {} 2\nh_sum 4\nh_count 3\nh_created 7\n# TYPE i info\ni_info{\"a.b\"=\"c\"} 1\n# EOF",
    ])
}

pub(crate) fn exposition_protobuf() -> Vec<Vec<u8>> {
    vec![
        // A counter with help, label, exemplar and created timestamp.
        b"\x2d\x0a\x01a\x12\x01h\x18\x00\x22\x23\x0a\x06\x0a\x01b\x12\x01c\x1a\x19\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x12\x08\x0a\x06\x0a\x01i\x12\x01d\x1a\x04\x08\x05\x10\x01"
            .to_vec(),
        // A histogram with classic and native buckets.
        b"\x3e\x0a\x01h\x18\x04\x22\x37\x3a\x35\x08\x03\x11\x00\x00\x00\x00\x00\x00\x10\x40\x1a\x0b\x08\x03\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x28\x06\x31\x00\x00\x00\x00\x00\x00\xe0\x3f\x38\x00\x62\x04\x08\x02\x10\x02\x6a\x02\x02\x02\x7a\x04\x08\x05\x10\x01"
            .to_vec(),
        // A summary with a quantile, and a gauge with a timestamp.
        b"\x26\x0a\x01s\x18\x02\x22\x1f\x22\x1d\x08\x02\x11\x00\x00\x00\x00\x00\x00\x10\x40\x1a\x12\x09\x00\x00\x00\x00\x00\x00\xe0\x3f\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x15\x0a\x01g\x18\x01\x22\x0e\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf8\x7f\x30\xe8\x07"
            .to_vec(),
    ]
}

pub(crate) fn content_type() -> Vec<Vec<u8>> {
    texts(&[
        "text/plain; version=0.0.4; charset=\"utf-8\"",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ])
}

pub(crate) fn metrics_page() -> Vec<Vec<u8>> {
    texts(&[
        "# HELP a text\n# TYPE a gauge\nprometheus_tsdb_lowest_timestamp_seconds 1.7e9\nprometheus_tsdb_lowest_timestamp 9.223372036854776e+15\n",
    ])
}

pub(crate) fn objstore_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "type: S3\nconfig:\n  bucket: metrics\n  endpoint: s3.example.com:9000\n  region: eu-1\n  access_key: a\n  secret_key: $(HOME)\n  insecure: true\n  signature_version2: false\n  put_user_metadata: {a: b}\n  http_config:\n    idle_conn_timeout: 90s\n    tls_config: {insecure_skip_verify: true}\n  sse_config: {type: SSE-S3}\nprefix: x/y\n",
        "type: GCS\nconfig:\n  bucket: b\n  service_account: |-\n    {\"type\": \"service_account\"}\n",
        "type: AZURE\nconfig: {storage_account: a, storage_account_key: Zm9v, container: c, max_retries: 3}\n",
        "type: FILESYSTEM\nconfig: &a\n  directory: ./dir\n",
    ])
}

pub(crate) fn relabel_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "- action: replace\n  source_labels: [job, instance]\n  separator: ';'\n  regex: '(.+);(.+):\\d+'\n  target_label: out_$1\n  replacement: '${1}-$2'\n- action: hashmod\n  source_labels: [instance]\n  modulus: 8\n  target_label: shard\n- action: keep\n  source_labels: [__name__]\n  regex: up|down\n",
        "- {action: labelmap, regex: '(.+)a(.+)', replacement: '$2$1'}\n- {action: labeldrop, regex: rep.*}\n- {action: uppercase, source_labels: [job], target_label: job}\n- {action: dropequal, source_labels: [job], target_label: replica}\n",
    ])
}

pub(crate) fn alert_template() -> Vec<Vec<u8>> {
    texts(&[
        "{{ $labels.instance }} of {{ .Labels.job | toUpper }} is at {{ $value | humanize }} ({{ printf \"%.2f%%\" .Value }})",
        "{{ range $i, $x := query \"up\" }}{{ if eq $i 0 }}{{ else }}, {{ end }}{{ $x | label \"job\" }}={{ $x | value }}{{ end }}",
        "{{ define \"t\" }}{{ with . }}{{ . }}{{ end }}{{ end }}{{ template \"t\" $externalURL }}{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance }}",
        "{{ humanizeDuration 1e6 }}{{ humanizeTimestamp 1.5e9 }}{{ args 1 \"a\" | len }}{{ first (query \"a\") | strvalue }}{{- /* c */ -}}",
    ])
}

pub(crate) fn api_histogram() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"count":"12","sum":"3.5","buckets":[[1,"-4","-2","1"],[3,"-0.001","0.001","2"],[0,"0.5","1","3"],[0,"4","8","2"]]}"#,
        r#"{"count":"6","sum":"9","buckets":[[3,"-Inf","0.1","1"],[0,"0.25","0.7","2"],[0,"0.7","+Inf","3"]]}"#,
    ])
}

pub(crate) fn http_answer() -> Vec<Vec<u8>> {
    texts(&[
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n1;x=y\r\n\n\r\n0\r\nx: y\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\nup to the end",
    ])
}

pub(crate) fn http_client_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "basic_auth: {username: a, password: b}\ntls_config: {ca_file: /ca, insecure_skip_verify: true, server_name: x}\nproxy_url: http://proxy:3128\nfollow_redirects: false\nheaders: {x-a: {values: [b]}}\n",
        "authorization: {type: Bearer, credentials_file: /token}\ntransport_config: {max_idle_conns: 10, idle_conn_timeout: 90}\n",
    ])
}

pub(crate) fn web_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  min_version: TLS12\n  client_auth_type: RequireAndVerifyClientCert\nhttp_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\nbasic_auth_users:\n  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze\n",
        "rate_limit: {interval: 1s, burst: 5}\nhttp_server_config: {http2: false}\n",
    ])
}

pub(crate) fn tracing_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "type: OTLP\nconfig:\n  client_type: grpc\n  service_name: aion\n  endpoint: localhost:4317\n  insecure: true\n  headers: {a: b}\n  sampler_type: traceidratio\n  sampler_param: '0.5'\n",
        "type: JAEGER\nconfig: {service_name: a, agent_host: localhost, agent_port: 6831, sampler_type: ratelimiting, sampler_param: 2}\n",
    ])
}

pub(crate) fn request_log_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "options:\n  level: INFO\n  decision: {log_start: true, log_end: true}\nhttp:\n  config:\n  - path: /api/v1/query\n    port: 10902\ngrpc:\n  options: {level: DEBUG, decision: {log_end: true}}\n  config:\n  - service: thanos.Store\n    method: Series\n",
    ])
}

pub(crate) fn prometheus_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "global:\n  scrape_interval: 15s\n  external_labels:\n    cluster: eu-1\n    replica: 'a'\n  # a comment\nscrape_configs:\n- job_name: node\n  static_configs: [{targets: [a, b]}]\n",
        "scrape_configs: []\nglobal: {external_labels: {a: \"b\\n\", c: 1}}\n",
    ])
}
