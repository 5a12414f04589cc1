//! Remote write and remote read, as a server takes them: decoders and seeds.

use prost::Message;
use proto::{prometheus, prometheus_copy};
use remote::receive::MessageType;

const T0: i64 = 1_700_000_000_000;

/// A decompressed request of remote write 1.0.
pub fn remote_write_v1(data: &[u8]) {
    remote::receive::untrusted(MessageType::V1, data);
}

/// A decompressed request of remote write 2.0.
pub fn remote_write_v2(data: &[u8]) {
    remote::receive::untrusted(MessageType::V2, data);
}

/// A request of remote read: as it is, and as what is inside the compression.
pub fn remote_read_request(data: &[u8]) {
    remote::serve::untrusted(data);
    if let Ok(packed) = snap::raw::Encoder::new().compress_vec(data) {
        remote::serve::untrusted(&packed);
    }
}

fn label(name: &str, value: &str) -> prometheus_copy::Label {
    prometheus_copy::Label { name: name.to_owned(), value: value.to_owned() }
}

fn integer() -> prometheus_copy::Histogram {
    prometheus_copy::Histogram {
        timestamp: T0,
        schema: 10,
        sum: 1.5,
        count: Some(prometheus_copy::histogram::Count::CountInt(3)),
        positive_spans: vec![prometheus_copy::BucketSpan { offset: -3, length: 2 }],
        positive_deltas: vec![1, 1],
        ..Default::default()
    }
}

fn custom() -> prometheus_copy::Histogram {
    prometheus_copy::Histogram {
        timestamp: T0 + 1,
        schema: -53,
        count: Some(prometheus_copy::histogram::Count::CountFloat(1.5)),
        positive_spans: vec![prometheus_copy::BucketSpan { offset: 1, length: 1 }],
        positive_counts: vec![1.5],
        custom_values: vec![0.5, 1.0],
        ..Default::default()
    }
}

pub(crate) fn seeds_v1() -> Vec<Vec<u8>> {
    let exemplar = prometheus_copy::Exemplar { labels: vec![label("trace_id", "7")], value: 0.5, timestamp: T0 };
    let series = |name: &str| prometheus_copy::TimeSeries {
        labels: vec![label("__name__", name), label("job", "x")],
        samples: (0..3).map(|i| prometheus_copy::Sample { value: i as f64, timestamp: T0 + i }).collect(),
        exemplars: vec![exemplar.clone()],
        histograms: vec![integer(), custom()],
    };
    let metadata = prometheus_copy::MetricMetadata { metric_family_name: "up".to_owned(), ..Default::default() };
    let request = prometheus::WriteRequest { timeseries: vec![series("up"), series("h")], metadata: vec![metadata] };
    vec![request.encode_to_vec()]
}

/// A field of a length and bytes; both are small here.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.extend([number << 3 | 2, bytes.len() as u8]);
    out.extend_from_slice(bytes);
}

pub(crate) fn seeds_v2() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for symbol in ["", "__name__", "up", "job", "x", "Help.", "trace_id", "7"] {
        field(&mut out, 4, symbol.as_bytes());
    }
    let sample = prometheus_copy::Sample { value: 1.5, timestamp: T0 }.encode_to_vec();
    let exemplar = [vec![0x0a, 2, 6, 7, 0x11], 0.5f64.to_le_bytes().to_vec(), vec![0x18, 9]].concat();
    let mut series = Vec::new();
    field(&mut series, 1, &[1, 2, 3, 4]);
    field(&mut series, 2, &[sample.as_slice(), &[0x18, 5]].concat());
    field(&mut series, 3, &integer().encode_to_vec());
    field(&mut series, 4, &exemplar);
    field(&mut series, 5, &[0x08, 1, 0x18, 5, 0x20, 0]);
    field(&mut out, 5, &series);
    vec![out]
}

pub(crate) fn seeds_read() -> Vec<Vec<u8>> {
    let matcher = |kind: i32, name: &str, value: &str| prometheus::LabelMatcher {
        r#type: kind,
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let query = prometheus::Query {
        start_timestamp_ms: T0,
        end_timestamp_ms: T0 + 1000,
        matchers: vec![matcher(0, "__name__", "up"), matcher(0, "replica", "a"), matcher(2, "job", "a|b.*")],
        hints: Some(prometheus::ReadHints { func: "rate".to_owned(), ..Default::default() }),
    };
    let request = prometheus::ReadRequest { queries: vec![query], accepted_response_types: vec![1, 0] };
    let plain = request.encode_to_vec();
    let packed = snap::raw::Encoder::new().compress_vec(&plain).expect("it is small");
    vec![plain, packed]
}
