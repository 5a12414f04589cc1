//! One message of remote write made of samples at hand, for tools.

use std::collections::HashMap;

use ingest::wire::Writer;
use labels::{Labels, METRIC_NAME};
use model::MetricType;
use prost::Message as _;
use proto::prometheus::WriteRequest;
use proto::prometheus_copy::metric_metadata::MetricType as WireType;
use proto::prometheus_copy::{Label, MetricMetadata, Sample, TimeSeries};

use crate::receive::MessageType;

/// A sample with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedSample {
    /// Of its series, the name among them.
    pub labels: Labels,
    /// ms since the epoch.
    pub time_ms: i64,
    /// Its value.
    pub value: f64,
}

/// What a metric family is.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedFamily {
    /// The name of the family.
    pub name: String,
    /// Its type.
    pub metric_type: MetricType,
    /// What it measures, for people.
    pub help: String,
}

/// What follows the name of a family in the names of its series.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Headers of a request with such a message as its body.
pub fn push_headers(message: MessageType) -> [(&'static str, &'static str); 3] {
    let (content_type, version) = match message {
        MessageType::V1 => ("application/x-protobuf", "0.1.0"),
        MessageType::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    [("Content-Encoding", "snappy"), ("Content-Type", content_type), ("X-Prometheus-Remote-Write-Version", version)]
}

/// The message as it goes over the wire.
///
/// # Errors
/// It is too long for its compression.
pub fn push_message(
    message: MessageType,
    samples: &[PushedSample],
    families: &[PushedFamily],
) -> Result<Vec<u8>, String> {
    let plain = match message {
        MessageType::V1 => v1(samples, families).encode_to_vec(),
        MessageType::V2 => v2(samples, families),
    };
    snap::raw::Encoder::new().compress_vec(&plain).map_err(|e| e.to_string())
}

fn v1(samples: &[PushedSample], families: &[PushedFamily]) -> WriteRequest {
    let label = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    let series = samples.iter().map(|sample| TimeSeries {
        labels: sample.labels.iter().map(label).collect(),
        samples: vec![Sample { value: sample.value, timestamp: sample.time_ms }],
        ..TimeSeries::default()
    });
    let metadata = families.iter().map(|family| MetricMetadata {
        r#type: wire_type(family.metric_type).into(),
        metric_family_name: family.name.clone(),
        help: family.help.clone(),
        unit: String::new(),
    });
    WriteRequest { timeseries: series.collect(), metadata: metadata.collect() }
}

/// `io.prometheus.write.v2.Request`: texts by their numbers in a table, each series with its own metadata.
fn v2(samples: &[PushedSample], families: &[PushedFamily]) -> Vec<u8> {
    let families: HashMap<&str, &PushedFamily> = families.iter().map(|family| (family.name.as_str(), family)).collect();
    // The first one is always empty.
    let (mut symbols, mut numbers) = (vec![""], HashMap::from([("", 0u64)]));
    let mut number_of = |text| {
        *numbers.entry(text).or_insert_with(|| {
            symbols.push(text);
            symbols.len() as u64 - 1
        })
    };
    let mut all_series = Writer::default();
    for sample in samples {
        let refs = sample.labels.iter().flat_map(|(name, value)| [name, value]).map(&mut number_of);
        let mut packed = Vec::new();
        refs.for_each(|number| prost::encoding::encode_varint(number, &mut packed));
        let name = sample.labels.get(METRIC_NAME).unwrap_or_default();
        let family = families.get(name).or_else(|| {
            let bases = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
            bases.filter_map(|base| families.get(base)).next()
        });
        all_series.message(5, |series| {
            series.string(1, &packed).message(2, |s| _ = s.double(1, sample.value).varint(2, sample.time_ms as u64));
            if let Some(family) = family {
                let help = number_of(family.help.as_str());
                // Both versions have the same numbers.
                let kind = wire_type(family.metric_type) as u64;
                series.message(5, |metadata| _ = metadata.varint(1, kind).varint(3, help));
            }
        });
    }
    let mut request = Writer::default();
    for symbol in symbols {
        request.string(4, symbol);
    }
    let mut out = request.into_bytes();
    out.extend_from_slice(all_series.bytes());
    out
}

fn wire_type(metric_type: MetricType) -> WireType {
    match metric_type {
        MetricType::Unknown => WireType::Unknown,
        MetricType::Counter => WireType::Counter,
        MetricType::Gauge => WireType::Gauge,
        MetricType::Summary => WireType::Summary,
        MetricType::Histogram => WireType::Histogram,
        MetricType::GaugeHistogram => WireType::Gaugehistogram,
        MetricType::Info => WireType::Info,
        MetricType::StateSet => WireType::Stateset,
    }
}
