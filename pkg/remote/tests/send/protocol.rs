//! What is on the wire, by the specifications of both versions.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use histogram::{Histogram, Span};
use labels::{Labels, MatchType, Matcher};
use memory_store::{MemoryStore, MemoryStoreOptions};
use model::{SystemClock, TimeRange};
use relabel::parse_rules;
use remote::receive::{MessageType, Receiver, ReceiverOptions};
use remote::send::{MetadataSending, QueueConfig};
use storage::{Budget, Ctx, Select, SeriesEvent, SeriesSource};
use telemetry::Metrics;
use wal::record::{ExemplarRow, encode_exemplars, encode_histograms};

use crate::logs::Log;
use crate::storages::Storage;
use crate::{Rig, queue, wait};

/// The fields of a message: number, and bytes or a number.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>, u64)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut out = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        match tag & 7 {
            0 => out.push((tag >> 3, vec![], varint(&mut message))),
            1 => {
                out.push((tag >> 3, vec![], u64::from_le_bytes(message[..8].try_into().unwrap())));
                message = &message[8..];
            }
            2 => {
                let len = varint(&mut message) as usize;
                out.push((tag >> 3, message[..len].to_vec(), 0));
                message = &message[len..];
            }
            other => panic!("wire type {other}"),
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_both_versions() {
    for (message, content, version) in [
        (MessageType::V1, "application/x-protobuf", "0.1.0"),
        (MessageType::V2, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    ] {
        let (storage, url) = Storage::start().await;
        let mut log = Log::new();
        let series = log.many(1);
        let http = yaml::parse("basic_auth: {username: me, password: secret}").unwrap();
        let config = QueueConfig {
            message,
            headers: [("X-Scope-OrgID".to_owned(), "tenant".to_owned())].into(),
            http: transport::http::ClientConfig::from_section(&http).unwrap(),
            ..queue(&url)
        };
        let rig = Rig::new(&log, vec![config]);
        log.samples(&series, 1000, 1.0);
        wait("a request", async || storage.requests() == 1).await;
        let came = storage.came.lock()[0].clone();
        assert_eq!(came.header("content-type"), Some(content));
        assert_eq!(came.header("content-encoding"), Some("snappy"));
        assert_eq!(came.header("x-prometheus-remote-write-version"), Some(version));
        assert_eq!(came.header("x-scope-orgid"), Some("tenant"));
        assert_eq!(came.header("authorization"), Some("Basic bWU6c2VjcmV0"));
        assert!(came.header("user-agent").unwrap().starts_with("aion/"));
        assert_eq!(came.header("retry-attempt"), None);
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn symbols_come_once_and_begin_with_the_empty_one() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let a = log.series(&[("__name__", "requests_total"), ("job", "x")]);
    let b = log.series(&[("__name__", "other"), ("job", "x")]);
    let metadata = Some(MetadataSending { interval: Duration::from_secs(60), max_samples_per_send: 10 });
    let rig = Rig::with(
        &log,
        vec![QueueConfig { message: MessageType::V2, metadata, ..queue(&url) }],
        Labels::from_pairs([("cluster", "x")]),
    );
    // Until metadata is there.
    let mut time_ms = 0;
    let with_metadata = async || {
        time_ms += 1000;
        log.samples(&[a, b, a], time_ms, 0.0);
        wait("a request", async || storage.requests() as i64 * 1000 >= time_ms).await;
        let came = storage.came.lock().last().unwrap().clone();
        fields(&came.plain).iter().any(|(field, bytes, _)| *field == 4 && bytes == b"Requests.")
    };
    wait("metadata", with_metadata).await;
    let came = storage.came.lock().last().unwrap().clone();
    let all = fields(&came.plain);
    let symbols: Vec<_> =
        all.iter().filter(|(f, ..)| *f == 4).map(|(_, bytes, _)| String::from_utf8(bytes.clone()).unwrap()).collect();
    assert_eq!(symbols[0], "");
    let mut unique = symbols.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), symbols.len(), "{symbols:?}");
    let series: Vec<_> = all.iter().filter(|(f, ..)| *f == 5).map(|(_, bytes, _)| fields(bytes)).collect();
    assert_eq!(series.len(), 2, "samples of one series are together");
    let labels: Vec<_> = series[0][0].1.iter().map(|n| symbols[usize::from(*n)].as_str()).collect();
    assert_eq!(labels, ["__name__", "requests_total", "cluster", "x", "job", "x"]);
    let of = |series: &[(u64, Vec<u8>, u64)], field| series.iter().filter(|(f, ..)| *f == field).count();
    assert_eq!((of(&series[0], 2), of(&series[1], 2)), (2, 1));
    let metadata = fields(&series[0].iter().find(|(field, ..)| *field == 5).unwrap().1);
    assert_eq!(metadata[0].2, 1, "a counter");
    assert_eq!(symbols[metadata[1].2 as usize], "Requests.");
    // A storage that says nothing of what it wrote has not understood it.
    wait("failures", async || rig.metric("prometheus_remote_storage_samples_failed_total{") >= 3.0).await;
    assert!(rig.metric("aion_remote_write_samples_without_metadata_total{") == 0.0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_goes_in_requests_of_its_own_with_version_1() {
    let (storage, url) = Storage::start().await;
    let log = Log::new();
    let metadata = Some(MetadataSending { interval: Duration::from_secs(60), max_samples_per_send: 10 });
    let rig = Rig::new(&log, vec![QueueConfig { metadata, ..queue(&url) }]);
    wait("the request", async || storage.requests() == 1).await;
    let came = storage.came.lock()[0].clone();
    let all = fields(&came.plain);
    assert_eq!(all.len(), 1);
    let one = fields(&all[0].1);
    assert_eq!(
        (all[0].0, one[0].2, one[1].1.as_slice(), one[2].1.as_slice()),
        (3, 1, &b"requests_total"[..], &b"Requests."[..])
    );
    wait("the count", async || rig.metric("prometheus_remote_storage_metadata_total{") == 1.0).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_keep_their_bits_and_labels_are_sorted() {
    const STALE: u64 = 0x7ff0_0000_0000_0002;
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.series(&[("z", "1"), ("__name__", "a"), ("b", "2")]);
    let rig = Rig::with(&log, vec![queue(&url)], Labels::from_pairs([("m", "external")]));
    let values = [f64::from_bits(STALE), -0.0, f64::INFINITY, 5e-324, 0.0];
    for (n, value) in values.iter().enumerate() {
        log.samples(&[series], 1000 * n as i64 - 1000, *value);
    }
    wait("all values", async || storage.samples() == values.len()).await;
    let mut found = Vec::new();
    for came in storage.came.lock().iter() {
        let request = <proto::prometheus::WriteRequest as prost::Message>::decode(came.plain.as_slice()).unwrap();
        for series in request.timeseries {
            let names: Vec<_> = series.labels.iter().map(|label| label.name.as_str()).collect();
            assert_eq!(names, ["__name__", "b", "m", "z"]);
            found.extend(series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())));
        }
    }
    let expected: Vec<_> =
        values.iter().enumerate().map(|(n, value)| (1000 * n as i64 - 1000, value.to_bits())).collect();
    assert_eq!(found, expected);
    rig.end().await;
}

fn a_histogram(schema: i32) -> Histogram {
    Histogram {
        schema,
        count: 6,
        sum: 1.5,
        zero_count: 1,
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![2, 1],
        custom_values: if schema == histogram::CUSTOM_BUCKETS_SCHEMA { vec![1.0, 2.0] } else { vec![] },
        ..Histogram::default()
    }
}

/// Everything arrives at our own receiver, which checks each message.
#[tokio::test(flavor = "multi_thread")]
async fn samples_histograms_and_exemplars_arrive_in_both_versions() {
    for message in [MessageType::V1, MessageType::V2] {
        let store = MemoryStore::new(MemoryStoreOptions::default());
        let options = ReceiverOptions { accepted: MessageType::ALL.to_vec(), ..ReceiverOptions::default() };
        let metrics = Metrics::new();
        let receiver =
            Receiver::new(Arc::new(store.clone()), options, Arc::new(SystemClock), Budget::unlimited(), &metrics);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let router = receiver.router();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let mut log = Log::new();
        let (a, b) = (log.series(&[("__name__", "a"), ("x", "1")]), log.series(&[("__name__", "b"), ("y", "2")]));
        let dropped = log.series(&[("__name__", "dropped")]);
        let rules =
            "- {source_labels: [__name__], regex: dropped, action: drop}\n- {target_label: z, replacement: '3'}";
        let config = QueueConfig {
            message,
            exemplars: true,
            histograms: true,
            relabel: parse_rules(rules).unwrap().into(),
            ..queue(&url)
        };
        let rig = Rig::with(&log, vec![config], Labels::from_pairs([("x", "external"), ("c", "external")]));
        log.samples(&[a, b, dropped], 1000, -0.0);
        log.samples(&[a], 2000, f64::NAN);
        let (mut exemplar, mut histograms) = (Vec::new(), Vec::new());
        let labels = [("trace_id", "abc")];
        let row = ExemplarRow { series_ref: a, time_ms: 1500, value: 0.5, labels: labels.iter().copied() };
        encode_exemplars(&mut exemplar, [row]);
        let (plain, custom) = (a_histogram(0), a_histogram(histogram::CUSTOM_BUCKETS_SCHEMA));
        encode_histograms(&mut histograms, false, [(b, 3000, &plain)]);
        let mut customs = Vec::new();
        let custom = Histogram { zero_count: 0, zero_threshold: 0.0, count: 5, ..custom };
        encode_histograms(&mut customs, true, [(b, 4000, &custom)]);
        log.records(&[exemplar, histograms, customs]);

        let custom_too = message == MessageType::V2;
        let line = |kind: &str| format!("aion_remote_write_received_total{{kind=\"{kind}\"}}");
        let count = |kind: &str| {
            let (text, line) = (metrics.encode(), line(kind));
            text.lines().find(|l| l.starts_with(&line)).map(|l| l.rsplit(' ').next().unwrap().to_owned())
        };
        let arrived = async || {
            [count("float"), count("histogram"), count("exemplar")].map(Option::unwrap_or_default)
                == ["3", if custom_too { "2" } else { "1" }, "1"]
        };
        wait("everything", arrived).await;
        let all = vec![Matcher::new(MatchType::Regex, "__name__", ".*").unwrap()];
        let mut stream = store.select(&Ctx::background(), Select::new(TimeRange::ALL, all));
        let mut found = Vec::new();
        while let Some(event) = stream.next().await {
            let SeriesEvent::Batch(batch) = event.unwrap() else { panic!("a warning") };
            found.extend(batch.into_iter().map(|series| series.labels.to_string()));
        }
        let a = r#"{__name__="a", c="external", x="1", z="3"}"#;
        let b = r#"{__name__="b", c="external", x="external", y="2", z="3"}"#;
        assert_eq!(found, [a, b]);
        assert!(rig.metrics.encode().contains("reason=\"dropped_series\"} 1"));
        let customs = rig.metrics.encode().contains("reason=\"nhcb_not_supported\"} 1");
        assert_eq!(customs, !custom_too);
        for kind in ["samples", "histograms", "exemplars"] {
            let failed = format!("prometheus_remote_storage_{kind}_failed_total{{");
            assert_eq!(rig.metric(&failed), 0.0, "{kind}");
        }
        rig.end().await;
    }
}
