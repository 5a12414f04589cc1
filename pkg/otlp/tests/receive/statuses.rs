//! Content types, compression, statuses, partial success.

use std::io::Write;

use ingest::wire::Reader;
use otlp::{ReceiverOptions, Settings};
use storage::Budget;
use storage::append::LabelLimits;

use crate::messages::{Bed, NOW_MS, NOW_NS, gauge, metric, request};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

fn small() -> Vec<u8> {
    request(&[], |scope| gauge(scope, "g", &[(&[], NOW_NS, 1.0)]))
}

fn json() -> Vec<u8> {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"g","gauge":{{"dataPoints":[
            {{"timeUnixNano":"{NOW_NS}","asDouble":1}}]}}}}]}}]}}]}}"#
    )
    .into_bytes()
}

#[tokio::test]
async fn forms_and_compressions() {
    let wanted = [format!("{{__name__=\"g\"}} 1 @{NOW_MS}")];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&json()).unwrap();
    for (body, headers, answer) in [
        (small(), vec![PROTOBUF], ""),
        (json(), vec![JSON], "{}"),
        (gzip.finish().unwrap(), vec![JSON, ("content-encoding", "gzip")], "{}"),
        (zstd::encode_all(&small()[..], 1).unwrap(), vec![PROTOBUF, ("content-encoding", "zstd")], ""),
        (small(), vec![PROTOBUF, ("content-encoding", "identity")], ""),
    ] {
        let bed = Bed::new(Settings::default());
        let response = bed.post(body, &headers).await;
        assert_eq!((response.status.as_u16(), response.text().as_str()), (200, answer), "{headers:?}");
        assert_eq!(response.headers["content-type"].to_str().unwrap(), headers[0].1.split(';').next().unwrap());
        assert_eq!(bed.samples(), wanted);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let bed = Bed::new(Settings::default());
    for (body, headers, status, wanted) in [
        (small(), vec![], 415, "unsupported content type: , supported"),
        (small(), vec![("content-type", "text/plain")], 415, "unsupported content type: text/plain"),
        (small(), vec![PROTOBUF, ("content-encoding", "snappy")], 415, "unsupported compression: snappy"),
        (small(), vec![PROTOBUF, ("content-encoding", "gzip")], 400, "cannot be decompressed"),
        (vec![0x0a, 9, 1], vec![PROTOBUF], 400, "a length reaches beyond the end"),
        (b"{\"resourceMetrics\":7}".to_vec(), vec![JSON], 400, "line 1 column"),
        (vec![], vec![JSON], 400, "EOF"),
        (vec![0; 40 << 20], vec![PROTOBUF], 413, "larger than"),
    ] {
        let response = bed.post(body, &headers).await;
        assert!(response.text().contains(wanted), "{}", response.text());
        assert_eq!(response.status.as_u16(), status, "{wanted}");
    }
    let response = bed.post(b"{".to_vec(), &[JSON]).await;
    assert!(response.text().starts_with(r#"{"code":3,"message":"JSON: EOF"#), "{}", response.text());
    assert!(bed.metrics.encode().contains("aion_otlp_requests_total{code=\"415\"} 3"));
    assert!(bed.post(vec![], &[PROTOBUF]).await.status == 200, "nothing is no mistake");
}

#[tokio::test]
async fn partial_success_counts_data_points() {
    let bed = Bed::new(Settings::default());
    bed.store.0.lock().oldest_ms = NOW_MS - 1000;
    let old = NOW_NS - 2_000_000_000;
    let body = || {
        request(&[], |scope| {
            gauge(scope, "g", &[(&[], old, 1.0), (&[], NOW_NS, 2.0), (&[], NOW_NS + 3_600_000_000_000, 3.0)]);
            gauge(scope, "empty", &[]);
            metric(scope, "novalue", "", |m| {
                m.message(5, |gauge| _ = gauge.message(1, |p| _ = p.fixed64(3, NOW_NS)));
            });
            metric(scope, "nodata", "", |_| {});
            gauge(scope, "%%", &[(&[], NOW_NS, 1.0), (&[("a", "b")], NOW_NS, 1.0)]);
        })
    };
    let response = bed.send(body()).await;
    assert_eq!(response.status, 200);
    let mut answer = Reader::new(&response.body, 0);
    let mut partial = answer.field().unwrap().unwrap().1.part(&answer).unwrap();
    assert_eq!(partial.field().unwrap().unwrap().1.varint(&partial), Ok(5));
    let text = response.text();
    for wanted in [
        "too old sample for metric \"g\" at 1699999998000",
        "out of bounds: timestamp is too far in the future for metric \"g\"",
        "data point without a value for metric \"novalue\"",
        "metric \"nodata\": it has no data of a known type",
        "normalization for metric \"%%\" resulted in empty name",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert_eq!(bed.samples(), [format!("{{__name__=\"g\"}} 2 @{NOW_MS}")]);
    let metrics = bed.metrics.encode();
    assert!(metrics.contains("aion_otlp_rejected_data_points_total 5"), "{metrics}");
    assert!(metrics.contains("prometheus_api_otlp_translation_warnings_total{category=\"empty_data_points\"} 1"));
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"g","gauge":{{"dataPoints":[
        {{"timeUnixNano":{NOW_NS},"asInt":1}},{{"timeUnixNano":{NOW_NS}}}]}}}}]}}]}}]}}"#
    );
    let response = bed.post(json.into_bytes(), &[JSON]).await;
    assert!(response.text().starts_with(r#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"data point"#));
}

#[tokio::test]
async fn what_is_repeated_later_says_so() {
    let bed = Bed::new(Settings::default());
    bed.store.0.lock().failures = 1;
    let response = bed.send(small()).await;
    assert_eq!((response.status.as_u16(), response.headers["retry-after"].to_str().unwrap()), (503, "5"));
    bed.ok(small()).await;
    bed.store.0.lock().is_full = true;
    let response = bed.send(request(&[], |scope| gauge(scope, "new", &[(&[], NOW_NS, 1.0)]))).await;
    assert!(response.status == 503 && response.text().contains("memory is short"), "{}", response.text());
    let poor =
        Bed::with(Settings::default(), ReceiverOptions::default(), Budget::new("all", "--limits.memory", 10, None));
    let response = poor.send(small()).await;
    assert!(response.status == 503 && response.text().contains("--limits.memory"), "{}", response.text());
}

#[tokio::test]
async fn series_that_the_store_forgot_are_resolved_again() {
    let bed = Bed::new(Settings::default());
    bed.ok(small()).await;
    bed.samples();
    bed.store.0.lock().forgotten = 1;
    bed.ok(small()).await;
    assert_eq!(bed.samples(), [format!("{{__name__=\"g\"}} 1 @{NOW_MS}")]);
    assert_eq!(bed.store.0.lock().resolved, 2);
    bed.store.0.lock().forgotten = 1000;
    assert_eq!(bed.send(small()).await.status, 503);
}

#[tokio::test]
async fn long_labels_cost_their_series_alone() {
    let labels = LabelLimits { value_bytes_max: 1000, ..LabelLimits::default() };
    let options = ReceiverOptions { labels, ..ReceiverOptions::default() };
    let bed = Bed::with(Settings::default(), options, Budget::unlimited());
    let long = "x".repeat(10 << 20);
    let response =
        bed.send(request(&[], |scope| gauge(scope, "g", &[(&[("a", &long)], NOW_NS, 1.0), (&[], NOW_NS, 2.0)]))).await;
    assert_eq!(response.status, 200);
    assert!(response.text().contains("over the limit of 1000 for metric \"g\""), "{}", response.text());
    assert!(response.body.len() < 1000 && bed.samples().len() == 1);
}
