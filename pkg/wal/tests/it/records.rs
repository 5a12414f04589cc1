//! What is encoded is decoded again, and other bytes are refused.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};
use model::MetricType;
use proptest::collection::vec;
use proptest::prelude::*;
use wal::record::*;

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn time_ms() -> impl Strategy<Value = i64> {
    prop_oneof![5 => 1_700_000_000_000i64..1_700_000_100_000, 1 => any::<i64>()]
}

fn series_ref() -> impl Strategy<Value = u64> {
    prop_oneof![5 => 1u64..100_000, 1 => any::<u64>()]
}

fn value() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits)
}

fn start_ms() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1_690_000_000_000), time_ms()]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{0,8}", "\\PC{0,4}", Just("x".repeat(200))]
}

fn hint() -> impl Strategy<Value = ResetHint> {
    prop_oneof![Just(ResetHint::Unknown), Just(ResetHint::Reset), Just(ResetHint::NotReset), Just(ResetHint::Gauge)]
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    vec((0i32..40, 1u32..4), 0..4).prop_map(|s| s.into_iter().map(|(offset, length)| Span { offset, length }).collect())
}

fn covered(spans: &[Span]) -> usize {
    spans.iter().map(|s| s.length as usize).sum()
}

prop_compose! {
    fn histogram()(
        reset_hint in hint(),
        schema in prop_oneof![-9i32..=8, Just(CUSTOM_BUCKETS_SCHEMA)],
        zero_threshold in any::<f64>(),
        (zero_count, count) in any::<(u64, u64)>(),
        sum in value().prop_filter("compared by value", |v| !v.is_nan()),
        mut positive_spans in spans(),
        negative_spans in spans(),
        seed in any::<i64>(),
    ) -> Histogram {
        let custom = schema == CUSTOM_BUCKETS_SCHEMA;
        if !custom && let Some(first) = positive_spans.first_mut() {
            first.offset -= 20;
        }
        let negative_spans = if custom { Vec::new() } else { negative_spans };
        let deltas = |spans: &[Span]| (0..covered(spans) as i64).map(|i| seed >> (7 * i % 60)).collect::<Vec<_>>();
        Histogram {
            positive_deltas: deltas(&positive_spans),
            negative_deltas: deltas(&negative_spans),
            custom_values: (0..if custom { 200 } else { 0 }).map(|i| i as f64 * 0.3).collect(),
            reset_hint, schema, zero_threshold, zero_count, count, sum, positive_spans, negative_spans,
        }
    }
}

proptest! {
    #[test]
    fn samples(rows in vec((series_ref(), time_ms(), value(), start_ms()), 0..600), with_starts: bool) {
        let refs: Vec<_> = rows.iter().map(|r| r.0).collect();
        let times: Vec<_> = rows.iter().map(|r| r.1).collect();
        let values: Vec<_> = rows.iter().map(|r| r.2).collect();
        let starts: Vec<_> = rows.iter().map(|r| r.3).collect();
        let mut record = Vec::new();
        match with_starts {
            true => encode_samples_with_starts(&mut record, &refs, &times, &starts, &values),
            false => encode_samples(&mut record, &refs, &times, &values),
        }
        let mut decoded = Samples::default();
        for times_decoded in 1..=2 {
            decoded.decode(&record).unwrap();
            prop_assert_eq!(&decoded.refs, &refs.repeat(times_decoded));
            prop_assert_eq!(&decoded.times_ms, &times.repeat(times_decoded));
            prop_assert_eq!(bits(&decoded.values), bits(&values.repeat(times_decoded)));
            let starts = if with_starts { starts.repeat(times_decoded) } else { Vec::new() };
            prop_assert_eq!(&decoded.starts_ms, &starts);
        }
        // A record that is cut short changes nothing, or is one of fewer rows.
        let before = decoded.clone();
        for len in 0..record.len().min(80) {
            if decoded.decode(&record[..len]).is_ok() {
                prop_assert_eq!(&decoded.refs[before.len()..], &refs[..decoded.len() - before.len()]);
                decoded = before.clone();
            }
            prop_assert_eq!(bits(&decoded.values), bits(&before.values));
            prop_assert_eq!(&decoded.starts_ms, &before.starts_ms);
        }
    }

    #[test]
    fn series(rows in vec((series_ref(), vec((text(), text()), 0..5)), 0..20)) {
        let mut record = Vec::new();
        let pairs = |labels: &Vec<(String, String)>| labels.clone();
        let owned: Vec<_> = rows.iter().map(|(r, l)| (*r, pairs(l))).collect();
        encode_series(&mut record, owned.iter().map(|(r, l)| (*r, l.iter().map(|(n, v)| (n.as_str(), v.as_str())))));
        let mut reader = SeriesReader::new(&record).unwrap();
        for (series_ref, labels) in &rows {
            let (found, pairs) = reader.read().unwrap().unwrap();
            prop_assert_eq!(found, *series_ref);
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            prop_assert_eq!(&pairs, labels);
        }
        prop_assert_eq!(reader.read().unwrap(), None);
    }

    #[test]
    fn exemplars(rows in vec((series_ref(), time_ms(), value(), vec((text(), text()), 0..3)), 0..20)) {
        let mut record = Vec::new();
        encode_exemplars(&mut record, rows.iter().map(|(series_ref, time_ms, value, labels)| ExemplarRow {
            series_ref: *series_ref, time_ms: *time_ms, value: *value,
            labels: labels.iter().map(|(n, v)| (n.as_str(), v.as_str())),
        }));
        let mut reader = ExemplarReader::new(&record).unwrap();
        for (series_ref, time_ms, value, labels) in &rows {
            let row = reader.read().unwrap().unwrap();
            prop_assert_eq!((row.series_ref, row.time_ms, row.value.to_bits()), (*series_ref, *time_ms, value.to_bits()));
            let pairs: Vec<_> = row.labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            prop_assert_eq!(&pairs, labels);
        }
        prop_assert!(reader.read().unwrap().is_none());
    }

    #[test]
    fn tombstones_and_markers(rows in vec((any::<u64>(), any::<i64>(), any::<i64>()), 0..20)) {
        let (mut record, mut decoded) = (Vec::new(), Tombstones::default());
        encode_tombstones(&mut record, rows.iter().copied());
        decoded.decode(&record).unwrap();
        let again: Vec<_> = (0..decoded.len())
            .map(|i| (decoded.refs[i], decoded.mins_ms[i], decoded.maxs_ms[i])).collect();
        prop_assert_eq!(&again, &rows);
        let (mut record, mut decoded) = (Vec::new(), Markers::default());
        encode_markers(&mut record, rows.iter().map(|(a, b, _)| (*a, *b as u64)));
        decoded.decode(&record).unwrap();
        prop_assert_eq!(decoded.refs, rows.iter().map(|r| r.0).collect::<Vec<_>>());
        prop_assert_eq!(decoded.chunk_refs, rows.iter().map(|r| r.1 as u64).collect::<Vec<_>>());
        record.push(0);
        prop_assert!(Markers::default().decode(&record).is_err());
    }

    #[test]
    fn histograms(rows in vec((series_ref(), time_ms(), start_ms(), histogram()), 0..12)) {
        round_trip(&rows, |h| h.clone(), |h| h.schema)?;
        round_trip(&rows, Histogram::to_float, |h: &FloatHistogram| h.schema)?;
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(mut bytes in vec(any::<u8>(), 1..200), kind in 0u8..15) {
        bytes[0] = kind;
        _ = Samples::default().decode(&bytes);
        _ = Histograms::<Histogram>::default().decode(&bytes);
        _ = Histograms::<FloatHistogram>::default().decode(&bytes);
        _ = Tombstones::default().decode(&bytes);
        _ = Markers::default().decode(&bytes);
        if let Ok(mut reader) = SeriesReader::new(&bytes) {
            while let Ok(Some(_)) = reader.read() {}
        }
        if let Ok(mut reader) = ExemplarReader::new(&bytes) {
            while let Ok(Some(_)) = reader.read() {}
        }
        if let Ok(mut reader) = MetadataReader::new(&bytes) {
            while let Ok(Some(_)) = reader.read() {}
        }
    }
}

fn round_trip<H: BucketHistogram + PartialEq + std::fmt::Debug>(
    rows: &[(u64, i64, i64, Histogram)],
    convert: impl Fn(&Histogram) -> H,
    schema: impl Fn(&H) -> i32,
) -> Result<(), TestCaseError> {
    let rows: Vec<_> = rows.iter().map(|(r, t, s, h)| (*r, *t, *s, convert(h))).collect();
    let mut decoded = Histograms::<H>::default();
    for custom in [false, true] {
        let mut record = Vec::new();
        let any = encode_histograms(&mut record, custom, rows.iter().map(|(r, t, _, h)| (*r, *t, h)));
        let expected: Vec<_> =
            rows.iter().filter(|(_, _, _, h)| (schema(h) == CUSTOM_BUCKETS_SCHEMA) == custom).collect();
        prop_assert_eq!(any, !expected.is_empty());
        prop_assert_eq!(any, !record.is_empty());
        decoded.clear();
        if any {
            prop_assert_eq!(decoded.decode(&record).unwrap(), []);
        }
        prop_assert_eq!(&decoded.refs, &expected.iter().map(|r| r.0).collect::<Vec<_>>());
        prop_assert_eq!(&decoded.times_ms, &expected.iter().map(|r| r.1).collect::<Vec<_>>());
        prop_assert_eq!(decoded.values.iter().collect::<Vec<_>>(), expected.iter().map(|r| &r.3).collect::<Vec<_>>());
    }
    let mut record = Vec::new();
    encode_histograms_with_starts(&mut record, rows.iter().map(|(r, t, s, h)| (*r, *t, *s, h)));
    decoded.clear();
    prop_assert_eq!(decoded.decode(&record).unwrap(), []);
    prop_assert_eq!(&decoded.starts_ms, &rows.iter().map(|r| r.2).collect::<Vec<_>>());
    prop_assert_eq!(decoded.values.iter().collect::<Vec<_>>(), rows.iter().map(|r| &r.3).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn metadata() {
    let types = [
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ];
    let row =
        |(i, metric_type)| MetadataRow { series_ref: 1u64 << (8 * i), metric_type, unit: "s", help: "What it is." };
    let rows: Vec<_> = types.into_iter().enumerate().map(row).collect();
    let mut record = Vec::new();
    encode_metadata(&mut record, rows.iter().copied());
    // As Prometheus 3 has them: reference, type, two fields, each with its name.
    assert_eq!(record[..10], [6, 1, 0, 2, 4, b'U', b'N', b'I', b'T', 1]);
    let mut reader = MetadataReader::new(&record).unwrap();
    for row in rows {
        assert_eq!(reader.read().unwrap(), Some(row));
    }
    assert_eq!(reader.read().unwrap(), None);
    // A field of a later version, and a type of a later version.
    let mut later = vec![6, 9, 77, 1];
    encoding::put_string(&mut later, "LATER");
    encoding::put_string(&mut later, "value");
    let row = MetadataReader::new(&later).unwrap().read().unwrap().unwrap();
    assert_eq!(row, MetadataRow { series_ref: 9, metric_type: MetricType::Unknown, unit: "", help: "" });
}

/// prometheus#17214: the histograms beside it are read.
#[test]
fn a_histogram_that_makes_no_sense_costs_only_itself() {
    let good = Histogram {
        schema: 1,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![1, 2],
        ..Histogram::default()
    };
    let unknown_schema = Histogram { schema: 53, ..good.clone() };
    let lacks_a_bucket = Histogram { positive_deltas: vec![1], ..good.clone() };
    let overlaps = Histogram {
        positive_spans: vec![Span { offset: 5, length: 1 }, Span { offset: -3, length: 1 }],
        ..good.clone()
    };
    for bad in [unknown_schema, lacks_a_bucket, overlaps] {
        let mut record = Vec::new();
        encode_histograms(&mut record, false, [(1, 10, &good), (2, 10, &bad), (3, 10, &good)]);
        let mut decoded = Histograms::<Histogram>::default();
        assert_eq!(decoded.decode(&record).unwrap().len(), 1);
        assert_eq!(decoded.refs, [1, 3]);
        assert_eq!(decoded.values, [good.clone(), good.clone()]);
        let mut record = Vec::new();
        encode_histograms_with_starts(&mut record, [(1, 10, 7, &good), (2, 10, 8, &bad), (3, 10, 9, &good)]);
        decoded.clear();
        assert_eq!(decoded.decode(&record).unwrap().len(), 1);
        assert_eq!(decoded.starts_ms, [7, 9]);
    }
    // A finer schema than is used is brought down.
    let fine = Histogram { schema: 9, ..good };
    let mut record = Vec::new();
    encode_histograms(&mut record, false, [(1, 10, &fine)]);
    let mut decoded = Histograms::<Histogram>::default();
    assert_eq!(decoded.decode(&record).unwrap(), []);
    assert_eq!((decoded.values[0].schema, &decoded.values[0].positive_deltas), (8, &vec![1, 2]));
}

/// Records of start timestamps, byte by byte: no real ones were at hand.
#[test]
fn bytes_with_starts() {
    let mut record = Vec::new();
    encode_samples_with_starts(&mut record, &[5, 6, 4, 4], &[100, 100, 101, 99], &[50, 50, 0, 60], &[0.0; 4]);
    let zero = [0u8; 8];
    // Reference, time and start of the first row; then differences to the row before, the first row, and a marker.
    let rows: [&[u8]; 4] = [&[10, 200, 1, 100], &[2, 0, 1], &[3, 2, 0], &[0, 1, 2, 20]];
    let expected = rows.iter().fold(vec![11], |all, row| [&all[..], row, &zero].concat());
    assert_eq!(record, expected);
}

#[test]
fn kinds() {
    for number in 0..=20 {
        assert_eq!(Kind::of(&[number]).map(|k| k as u8), (1..=13).contains(&number).then_some(number));
    }
    assert_eq!(Kind::of(&[]), None);
    assert!(Samples::default().decode(&[3]).is_err());
    assert!(Samples::default().decode(&[]).is_err());
}
