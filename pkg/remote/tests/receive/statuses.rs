//! Each status of the specification, and what the sender is told.

use axum::body::Body;
use http::Request;
use remote::receive::{MessageType, ReceiverOptions};
use storage::Budget;

use crate::messages::{self as m, Symbols};
use crate::{NOW_MS, Rig};

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "x")];

fn up(time_ms: i64, value: f64) -> Vec<u8> {
    m::series_v1(UP, &[(2, m::sample(time_ms, value, 0))])
}

#[tokio::test]
async fn unsupported_requests() {
    let rig = Rig::with(ReceiverOptions { accepted: vec![MessageType::V1], ..Default::default() }, Budget::unlimited());
    for (kind, encoding) in [
        ("application/json", "snappy"),
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy"),
        ("application/x-protobuf", "gzip"),
    ] {
        let request = Request::post("/api/v1/write").header("content-type", kind).header("content-encoding", encoding);
        let got = rig.send(request.body(Body::from("x")).unwrap()).await;
        assert_eq!(got.status, 415, "{kind} {encoding}: {}", got.text);
    }
    let got = rig.send(Request::get("/api/v1/write").body(Body::empty()).unwrap()).await;
    assert_eq!(got.status, 405);
}

#[tokio::test]
async fn bodies_that_are_no_message() {
    let rig = Rig::new();
    let bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    let mut with_v2 = Vec::new();
    m::bytes(&mut with_v2, 4, b"");
    let mut named = Vec::new();
    m::bytes(&mut named, 4, b"first");
    for (message, body, text) in [
        (MessageType::V1, bomb, "exceeds limit 33554432"),
        (MessageType::V1, b"no snappy at all".to_vec(), "snappy"),
        (MessageType::V1, m::pack(&[0x0a, 0x7f]), "offset 2: a length reaches beyond the end"),
        (MessageType::V1, m::pack(&with_v2), "fields of remote write 2.0"),
        (MessageType::V2, m::pack(&m::request_v1(&[up(NOW_MS, 1.0)])), "fields of remote write 1.0"),
        (MessageType::V2, m::pack(&named), "first symbol is not the empty string"),
    ] {
        let got = rig.post(message, body).await;
        assert_eq!(got.status, 400, "{}", got.text);
        assert!(got.text.contains(text), "{} should say {text}", got.text);
        assert_eq!(got.written(), (message == MessageType::V2).then_some((0, 0, 0)));
    }
    assert!(rig.floats().await.is_empty());
}

#[tokio::test]
async fn too_large_a_body() {
    let rig = Rig::with(ReceiverOptions { body_bytes_max: 10, ..Default::default() }, Budget::unlimited());
    let got = rig.v1(&[up(NOW_MS, 1.0)]).await;
    assert_eq!(got.status, 413, "{}", got.text);
}

#[tokio::test]
async fn no_room_for_now() {
    let budget = Budget::new("remote write", "--x", 40_000, None);
    let rig = Rig::with(ReceiverOptions::default(), budget.clone());
    let many: Vec<_> = (0..100).map(|i| up(NOW_MS + i, 1.0)).collect();
    let got = rig.v1(&many).await;
    assert_eq!((got.status.as_u16(), got.headers["retry-after"].to_str().unwrap()), (503, "5"), "{}", got.text);
    assert!(rig.metric("aion_remote_write_busy_total 1"));
    assert_eq!(budget.used_bytes(), 0);
    // A smaller one has room.
    assert_eq!(rig.v1(&[up(NOW_MS, 1.0)]).await.status, 204);
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn what_is_valid_is_written_and_the_rest_is_told() {
    let rig = Rig::new();
    assert_eq!(rig.v1(&[up(NOW_MS, 1.0)]).await.status, 204);
    let sample = || (2, m::sample(NOW_MS, 1.0, 0));
    for (series, text) in [
        (
            up(NOW_MS - 1, 1.0),
            format!("out of order sample for series {{__name__=\"up\", job=\"x\"}} at {}", NOW_MS - 1),
        ),
        (up(NOW_MS, 2.0), "duplicate sample for timestamp for series".to_owned()),
        (up(NOW_MS + 601_000, 2.0), "out of bounds: timestamp is too far in the future for series".to_owned()),
        (m::series_v1(&[("job", "x")], &[sample()]), "invalid metric name or labels for series {job=\"x\"}".to_owned()),
        (m::series_v1(&[("__name__", "")], &[sample()]), "invalid metric name or labels".to_owned()),
        (m::series_v1(&[("__name__", "a"), ("", "x")], &[sample()]), "invalid metric name or labels".to_owned()),
        (
            m::series_v1(&[("__name__", "a"), ("b", "1"), ("b", "2")], &[sample()]),
            "label name \"b\" is not unique".to_owned(),
        ),
        (m::series_v1(&[], &[sample()]), "invalid metric name or labels for series {}".to_owned()),
        (
            m::series_v1(&[("__name__", "h")], &[(4, m::histogram(NOW_MS, 60, (1, 1)))]),
            "got schema 60 for series {__name__=\"h\"}".to_owned(),
        ),
        (
            m::series_v1(&[("__name__", "h")], &[(4, m::histogram(NOW_MS, 3, (-1, 3)))]),
            "invalid histogram: positive side: bucket number 1 has observation count of -1".to_owned(),
        ),
    ] {
        let before = rig.floats().await.len();
        let good = m::series_v1(&[("__name__", "good")], &[(2, m::sample(NOW_MS + before as i64, 1.0, 0))]);
        let got = rig.v1(&[series, good]).await;
        assert_eq!(got.status, 400, "{text}: {}", got.text);
        assert!(got.text.contains(&text), "{} should say {text}", got.text);
        assert_eq!(rig.floats().await.len(), before + 1, "{text}: the good series is written");
    }
    assert!(rig.metric("prometheus_api_remote_write_invalid_labels_samples_total 5"), "{}", rig.metrics.encode());
}

#[tokio::test]
async fn names_that_are_not_utf8() {
    let rig = Rig::new();
    let mut bad = Vec::new();
    m::bytes(&mut bad, 1, b"job");
    m::bytes(&mut bad, 2, &[0xff, 0xfe]);
    let mut series = Vec::new();
    m::bytes(&mut series, 1, &m::label("__name__", "a"));
    m::bytes(&mut series, 1, &bad);
    m::bytes(&mut series, 2, &m::sample(NOW_MS, 1.0, 0));
    let got = rig.v1(&[series]).await;
    assert_eq!(got.status, 400);
    assert!(got.text.contains("is not UTF-8"), "{}", got.text);
}

#[tokio::test]
async fn long_lists_are_cut() {
    let rig = Rig::new();
    let many: Vec<_> = (0..30).map(|_| m::series_v1(&[("job", "x")], &[(2, m::sample(NOW_MS, 1.0, 0))])).collect();
    let got = rig.v1(&many).await;
    assert_eq!(got.text.lines().count(), 11);
    assert!(got.text.contains("and 20 more"), "{}", got.text);
}

#[tokio::test]
async fn small_parts_do_not_become_much_memory() {
    let rig = Rig::new();
    // An empty histogram, an empty series, an empty exemplar take two bytes each, and are legal.
    let many = |field: u8| {
        let mut series = m::label("__name__", "a");
        series = {
            let mut out = Vec::new();
            m::bytes(&mut out, 1, &series);
            out
        };
        series.extend([field << 3 | 2, 0].repeat(200_000));
        m::request_v1(&[series])
    };
    for (message, plain) in [
        (MessageType::V1, many(4)),
        (MessageType::V1, many(3)),
        (MessageType::V1, [0x0a, 0].repeat(200_000)),
        (MessageType::V2, [0x22, 0].repeat(200_000)),
        (MessageType::V2, [0x2a, 0].repeat(200_000)),
    ] {
        let got = rig.post(message, m::pack(&plain)).await;
        assert_eq!(got.status, 400);
        assert!(got.text.contains("than a request of this size may have"), "{}", got.text);
    }
}

#[tokio::test]
async fn long_symbols_are_not_copied_without_end() {
    let options = ReceiverOptions { new_labels_bytes_max: 1 << 20, ..Default::default() };
    let rig = Rig::with(options, Budget::unlimited());
    let mut symbols = Symbols::new();
    let long = "x".repeat(100 << 10);
    let series: Vec<_> = (0..40)
        .map(|n| {
            let name = format!("m{n}");
            let exemplar = m::exemplar_v2(&mut symbols, &[("t", &long)], 1.0, NOW_MS);
            let said = m::metadata_v2(&mut symbols, 2, &long, "");
            let parts = [(2, m::sample(NOW_MS, 1.0, 0)), (4, exemplar), (5, said)];
            m::series_v2(&mut symbols, &[("__name__", &name), ("l", &long)], &parts)
        })
        .collect();
    let got = rig.v2(&symbols, &series).await;
    assert_eq!(got.status, 400);
    assert!(got.text.contains("together are too long"), "{}", got.text.chars().take(200).collect::<String>());
    // As many as have room are written; no exemplar is, as those are longer than any may be.
    assert_eq!(got.written(), Some((10, 0, 0)));
    assert!(rig.metric("aion_remote_write_exemplars_dropped_total 40"));
}

#[tokio::test]
async fn too_many_labels() {
    let rig = Rig::new();
    let owned: Vec<_> = (0..20_000).map(|n| (format!("l{n}"), "v".to_owned())).collect();
    let mut labels: Vec<_> = owned.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    labels.push(("__name__", "a"));
    let got = rig.v1(&[m::series_v1(&labels, &[(2, m::sample(NOW_MS, 1.0, 0))])]).await;
    assert_eq!(got.status, 400);
    assert!(got.text.contains("20001 labels, more than 16384"), "{}", got.text.chars().take(200).collect::<String>());
}

#[tokio::test]
async fn version_2_tells_how_much_was_written() {
    let rig = Rig::new();
    let mut symbols = Symbols::new();
    let sample = |t| (2, m::sample(t, 1.0, 0));
    let good = m::series_v2(&mut symbols, UP, &[sample(NOW_MS), sample(NOW_MS + 1), sample(NOW_MS)]);
    let old_exemplars = [
        m::exemplar_v2(&mut symbols, &[("t", "1")], 1.0, NOW_MS),
        m::exemplar_v2(&mut symbols, &[("t", "2")], 1.0, NOW_MS - 1),
    ];
    let exemplars: Vec<_> = old_exemplars.into_iter().map(|e| (4, e)).chain([sample(NOW_MS)]).collect();
    let with_exemplars = m::series_v2(&mut symbols, &[("__name__", "e")], &exemplars);
    let h = m::series_v2(&mut symbols, &[("__name__", "h")], &[(3, m::histogram(NOW_MS, 1, (1, 2)))]);
    let empty = m::series_v2(&mut symbols, &[("__name__", "empty")], &[]);
    let mut outside = Vec::new();
    m::bytes(&mut outside, 1, &[1, 99]);
    m::bytes(&mut outside, 2, &m::sample(NOW_MS, 1.0, 0));
    let mut odd = Vec::new();
    m::bytes(&mut odd, 1, &[1]);
    m::bytes(&mut odd, 2, &m::sample(NOW_MS, 1.0, 0));
    let got = rig.v2(&symbols, &[good, with_exemplars, h, empty, outside, odd]).await;
    assert_eq!(got.status, 400);
    // Of `up` the sample that comes back to the first time is the same as the first: that is no error.
    assert_eq!(got.written(), Some((4, 1, 1)), "{}", got.text);
    for text in [
        "TimeSeries must contain at least one sample or histogram for series {__name__=\"empty\"}",
        "parsing labels for series [1, 99]: reference 99 is outside of the symbols table",
        "parsing labels for series [1]: 1 references, which are no pairs",
        "out of order exemplar for series {__name__=\"e\"}",
    ] {
        assert!(got.text.contains(text), "{} should say {text}", got.text);
    }
}
