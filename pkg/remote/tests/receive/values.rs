//! What is sent arrives as it was sent.

use histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use remote::receive::ReceiverOptions;
use storage::{Budget, Ctx, ExemplarsQuery, ExemplarsSource, MetadataQuery, MetadataSource, PartialResponse};

use crate::messages::{self as m, Symbols};
use crate::{NOW_MS, Rig};

const A: &[(&str, &str)] = &[("__name__", "a"), ("job", "x"), ("sité.name", "ü\"1")];

fn floats(times: &[(i64, f64)]) -> Vec<(u8, Vec<u8>)> {
    times.iter().map(|(t, v)| (2, m::sample(*t, *v, 0))).collect()
}

/// Decodes the histograms of the only series.
async fn histograms(rig: &Rig) -> Vec<(i64, histogram::FloatHistogram)> {
    let mut found = Vec::new();
    for (_, chunk) in rig.chunks().await {
        let storage::ChunkData::Raw(raw) = &chunk.data else { panic!("raw chunks only") };
        let mut column = chunkenc::HistogramColumn::default();
        chunkenc::decode_histograms(raw.encoding, &raw.data, &mut column).unwrap();
        found.extend(column.times.iter().copied().zip(column.values.iter().cloned()));
    }
    found
}

#[tokio::test]
async fn floats_of_version_1() {
    let rig = Rig::new();
    let b = [("__name__", "b")];
    let nan = model::stale_nan();
    let first = [
        m::series_v1(A, &floats(&[(NOW_MS - 2, 1.0), (NOW_MS - 1, -0.5)])),
        m::series_v1(&b, &floats(&[(NOW_MS, 7.0)])),
    ];
    let got = rig.v1(&first).await;
    assert_eq!((got.status.as_u16(), got.text.as_str(), got.written()), (204, "", None));
    // The same series again, now without reading their labels.
    let got =
        rig.v1(&[m::series_v1(&b, &floats(&[(NOW_MS + 1, nan)])), m::series_v1(A, &floats(&[(NOW_MS, 0.0)]))]).await;
    assert_eq!(got.status, 204, "{}", got.text);
    let a = r#"{__name__="a", job="x", "sité.name"="ü\"1"}"#.to_owned();
    let b = r#"{__name__="b"}"#.to_owned();
    let found = rig.floats().await;
    let wanted = [
        (a.clone(), NOW_MS - 2, 1.0),
        (a.clone(), NOW_MS - 1, -0.5),
        (a, NOW_MS, 0.0),
        (b.clone(), NOW_MS, 7.0),
        (b, NOW_MS + 1, nan),
    ];
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!((&found.0, found.1, found.2.to_bits()), (&wanted.0, wanted.1, wanted.2.to_bits()));
    }
    assert!(rig.metric(r#"aion_remote_write_received_total{kind="float"} 5"#), "{}", rig.metrics.encode());
}

#[tokio::test]
async fn labels_in_any_order_and_place() {
    let rig = Rig::new();
    let sample = |t| m::sample(t, 1.0, 0);
    // The name comes last, behind the samples.
    let mut scattered = Vec::new();
    m::bytes(&mut scattered, 1, &m::label("job", "x"));
    m::bytes(&mut scattered, 2, &sample(NOW_MS));
    m::bytes(&mut scattered, 1, &m::label("__name__", "a"));
    let unsorted = m::series_v1(&[("job", "x"), ("__name__", "a")], &[(2, sample(NOW_MS + 1))]);
    let empty = m::series_v1(&[("__name__", "a"), ("gone", ""), ("job", "x")], &[(2, sample(NOW_MS + 2))]);
    let long = "v".repeat(1000);
    let with_long = m::series_v1(&[("__name__", "b"), ("l", &long)], &[(2, sample(NOW_MS))]);
    let got = rig.v1(&[scattered, unsorted, empty, with_long]).await;
    assert_eq!(got.status, 204, "{}", got.text);
    let found = rig.floats().await;
    assert_eq!(found.len(), 4);
    assert!(found[..3].iter().all(|(labels, ..)| labels == r#"{__name__="a", job="x"}"#), "{found:?}");
}

#[tokio::test]
async fn everything_of_version_2() {
    let rig = Rig::new();
    let mut symbols = Symbols::new();
    let exemplar = m::exemplar_v2(&mut symbols, &[("trace_id", "t1")], 0.5, NOW_MS);
    let metadata = m::metadata_v2(&mut symbols, 1, "What a counts.", "seconds");
    let a = m::series_v2(&mut symbols, A, &[(2, m::sample(NOW_MS, 4.0, NOW_MS - 50)), (4, exemplar), (5, metadata)]);
    let said = m::metadata_v2(&mut symbols, 3, "What h observes.", "");
    let h = m::series_v2(&mut symbols, &[("__name__", "h_bucket")], &[(2, m::sample(NOW_MS, 1.0, 0)), (5, said)]);
    let got = rig.v2(&symbols, &[a, h]).await;
    assert_eq!((got.status.as_u16(), got.written()), (204, Some((2, 0, 1))), "{}", got.text);
    assert_eq!(rig.floats().await.len(), 2);
    let ctx = Ctx::background();
    let metadata = rig.store.metadata(&ctx, MetadataQuery::default()).await.unwrap().value;
    let said: Vec<_> =
        metadata.iter().map(|(n, m)| (n.as_str(), m[0].metric_type.as_str(), m[0].help.as_str())).collect();
    assert_eq!(said, [("a", "counter", "What a counts."), ("h", "histogram", "What h observes.")]);
    let want = ExemplarsQuery {
        query: "a".to_owned(),
        selectors: vec![vec![labels::Matcher::equal("__name__", "a")]],
        range: model::TimeRange::ALL,
        partial_response: PartialResponse::Warn,
    };
    let exemplars = rig.store.exemplars(&ctx, want).await.unwrap().value;
    assert_eq!(exemplars[0].exemplars[0].labels.to_string(), r#"{trace_id="t1"}"#);
}

/// Where it is wanted, type and unit are labels, in place of those that the sender has.
#[tokio::test]
async fn type_and_unit_become_labels() {
    let options = ReceiverOptions { type_and_unit_labels: true, ..ReceiverOptions::default() };
    let rig = Rig::with(options, Budget::unlimited());
    let mut symbols = Symbols::new();
    let own: &[(&str, &str)] = &[("__name__", "a"), ("__type__", "old"), ("__unit__", "old"), ("x", "y")];
    let said = |symbols: &mut Symbols, kind, unit| m::metadata_v2(symbols, kind, "Help.", unit);
    let mut series = Vec::new();
    for (n, (kind, unit)) in [(1, "seconds"), (1, ""), (0, "bytes"), (0, ""), (2, "seconds")].into_iter().enumerate() {
        let metadata = said(&mut symbols, kind, unit);
        series.push(m::series_v2(&mut symbols, own, &[(2, m::sample(NOW_MS, n as f64, 0)), (5, metadata)]));
    }
    // Twice, since series that are known are not read again.
    for _ in 0..2 {
        let got = rig.v2(&symbols, &series).await;
        assert_eq!((got.status.as_u16(), got.written()), (204, Some((5, 0, 0))), "{}", got.text);
    }
    let mut found = rig.floats().await;
    found.sort_by(|a, b| a.2.total_cmp(&b.2));
    let labels: Vec<&str> = found.iter().map(|(labels, ..)| labels.as_str()).collect();
    assert_eq!(
        labels,
        [
            r#"{__name__="a", __type__="counter", __unit__="seconds", x="y"}"#,
            r#"{__name__="a", __type__="counter", x="y"}"#,
            r#"{__name__="a", __unit__="bytes", x="y"}"#,
            r#"{__name__="a", __type__="old", __unit__="old", x="y"}"#,
            r#"{__name__="a", __type__="gauge", __unit__="seconds", x="y"}"#,
        ]
    );
}

#[tokio::test]
async fn start_timestamps_arrive_and_senseless_ones_cost_nothing() {
    let rig = Rig::new();
    let mut symbols = Symbols::new();
    let samples = [(2, m::sample(NOW_MS, 1.0, NOW_MS - 9)), (2, m::sample(NOW_MS + 1, 2.0, NOW_MS + 7))];
    let a = m::series_v2(&mut symbols, A, &samples);
    assert_eq!(rig.v2(&symbols, &[a]).await.written(), Some((2, 0, 0)));
    let chunks = rig.chunks().await;
    let storage::ChunkData::Raw(raw) = &chunks[0].1.data else { panic!("raw chunks only") };
    assert_eq!(raw.data, chunkenc::encode_xor2([(NOW_MS - 9, NOW_MS, 1.0)]).unwrap());
    assert_eq!(rig.floats().await.len(), 2);
}

#[tokio::test]
async fn histograms_of_all_kinds() {
    let rig = Rig::new();
    let series = |t: i64, h: Vec<u8>| m::series_v1(&[("__name__", &format!("h{t}"))], &[(4, h)]);
    let got = rig
        .v1(&[
            series(0, m::histogram(NOW_MS, 3, (2, 5))),
            // Finer than what is stored: it is reduced.
            series(1, m::histogram(NOW_MS + 1, 10, (2, 5))),
            series(2, m::custom_histogram(NOW_MS + 2, 4.0)),
        ])
        .await;
    assert_eq!(got.status, 204, "{}", got.text);
    let found = histograms(&rig).await;
    assert_eq!(
        found.iter().map(|(t, h)| (t - NOW_MS, h.schema)).collect::<Vec<_>>(),
        [(0, 3), (1, 8), (2, CUSTOM_BUCKETS_SCHEMA)]
    );
    assert_eq!((found[0].1.count, &found[0].1.positive_buckets[..]), (7.0, &[2.0, 5.0][..]));
    assert_eq!(found[1].1.count, 7.0);
    assert_eq!((found[2].1.count, &found[2].1.custom_values[..]), (4.0, &[1.0, 2.0][..]));
    assert_eq!(found[2].1.positive_spans, [Span { offset: 1, length: 1 }]);
}
