//! Logs written by Prometheus 2.42. The expected values come from a decoder of another maker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use histogram::{FloatHistogram, Histogram, ResetHint, Span};
use wal::record::{ExemplarReader, Histograms, Kind, Markers, Samples, SeriesReader, Tombstones};

use crate::read_all;

fn head(name: &str) -> Option<PathBuf> {
    let dir = testkit::conformance_dir().map(|d| d.join("golden-blocks/head").join(name));
    let there = dir.filter(|d| d.is_dir());
    if there.is_none() {
        testkit::skip_without("golden-blocks in AION_CONFORMANCE_DIR", name);
    }
    there
}

#[derive(Default)]
struct Decoded {
    records: BTreeMap<u8, usize>,
    series: Vec<(u64, Vec<(String, String)>)>,
    samples: Samples,
    histograms: Histograms<Histogram>,
    float_histograms: Histograms<FloatHistogram>,
    exemplars: Vec<(u64, i64, f64)>,
    tombstones: Tombstones,
    markers: Markers,
}

fn decode(dir: PathBuf) -> Decoded {
    let (records, corruptions) = read_all(&dir);
    assert_eq!(corruptions, []);
    let mut all = Decoded::default();
    for record in &records {
        *all.records.entry(record[0]).or_default() += 1;
        match Kind::of(record).unwrap() {
            Kind::Series => {
                let mut reader = SeriesReader::new(record).unwrap();
                while let Some((series_ref, labels)) = reader.read().unwrap() {
                    let labels = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
                    all.series.push((series_ref, labels));
                }
            }
            Kind::Samples => all.samples.decode(record).unwrap(),
            Kind::Tombstones => all.tombstones.decode(record).unwrap(),
            Kind::Exemplars => {
                let mut reader = ExemplarReader::new(record).unwrap();
                while let Some(row) = reader.read().unwrap() {
                    all.exemplars.push((row.series_ref, row.time_ms, row.value));
                }
            }
            Kind::MmapMarkers => all.markers.decode(record).unwrap(),
            Kind::Histograms => assert_eq!(all.histograms.decode(record).unwrap(), []),
            Kind::FloatHistograms => assert_eq!(all.float_histograms.decode(record).unwrap(), []),
            other => panic!("{other:?}"),
        }
    }
    all
}

/// All references and times, and all values, in one number each.
fn digests(samples: &Samples) -> (u64, u64) {
    let keys = samples.refs.iter().zip(&samples.times_ms);
    let keys = keys.fold(0, |x, (r, t)| x ^ r.wrapping_mul(1_000_003).wrapping_add(*t as u64));
    (keys, samples.values.iter().fold(0, |x, v| x ^ v.to_bits()))
}

#[test]
fn floats_and_exemplars() {
    let Some(dir) = head("float_ooo_snapshot") else { return };
    let log = decode(dir.join("wal"));
    assert_eq!(log.records, BTreeMap::from([(1, 2), (2, 3), (4, 1)]));
    let first = (1, vec![("__name__".to_owned(), "ctr_total".to_owned()), ("job".to_owned(), "g".to_owned())]);
    assert_eq!((log.series.len(), &log.series[0]), (4, &first));
    assert_eq!((log.samples.len(), log.samples.refs[0], log.samples.times_ms[0]), (279, 1, 1_795_217_760_000));
    assert_eq!(digests(&log.samples), (0x1a1_fb7c_af01, 0x7fd2_5fff_ffff_fffc));
    assert_eq!((log.exemplars.len(), log.exemplars[0]), (2, (1, 1_795_217_761_000, 1.0)));
    assert!(log.samples.starts_ms.is_empty());

    let wbl = decode(dir.join("wbl"));
    assert_eq!(wbl.records, BTreeMap::from([(2, 2), (5, 2)]));
    assert_eq!((wbl.markers.refs[0], wbl.markers.chunk_refs[0]), (4, 4_294_968_189));
    assert_eq!((wbl.samples.len(), wbl.samples.refs[0], wbl.samples.times_ms[0]), (80, 4, 1_795_218_260_000));
    assert_eq!(digests(&wbl.samples), (0x35d80, 0x3ff8_0000_0000_0000));
}

#[test]
fn histograms() {
    let Some(dir) = head("wal_native_hist") else { return };
    let log = decode(dir);
    assert_eq!(log.records, BTreeMap::from([(1, 5), (2, 98), (7, 1), (8, 1)]));
    assert_eq!((log.series.len(), log.samples.len()), (436, 41157));
    assert_eq!(digests(&log.samples), (0x1a2_1760_b907, 0xc3e0_00c9_56ec_3a2e));
    let (ints, floats) = (&log.histograms, &log.float_histograms);
    assert_eq!((ints.len(), ints.refs[0], ints.times_ms[0]), (12, 385, 1_795_218_095_575));
    let expected = Histogram {
        reset_hint: ResetHint::Unknown,
        schema: 3,
        zero_threshold: 2.0f64.powi(-128),
        count: 24,
        sum: 36.0,
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 3, length: 2 }],
        positive_deltas: vec![3, 8, -10, 8],
        negative_spans: vec![Span { offset: -2, length: 2 }],
        negative_deltas: vec![0, 0],
        ..Histogram::default()
    };
    assert_eq!(ints.values[0], expected);
    assert_eq!((floats.len(), floats.refs[0], floats.times_ms[0]), (12, 386, 1_795_218_095_575));
    let expected = FloatHistogram {
        schema: -1,
        zero_threshold: 0.001,
        count: 12.0,
        sum: 36.0,
        positive_spans: vec![Span { offset: 1, length: 2 }, Span { offset: 2, length: 2 }],
        positive_buckets: vec![1.5, 5.5, 0.5, 4.5],
        ..FloatHistogram::default()
    };
    assert_eq!(floats.values[0], expected);
}

#[test]
fn tombstones_and_histograms_of_two_segments() {
    let Some(dir) = head("g2") else { return };
    let log = decode(dir.join("wal"));
    assert_eq!(log.records, BTreeMap::from([(1, 2), (2, 3), (3, 1), (4, 1), (7, 1)]));
    assert_eq!((log.series.len(), log.samples.len(), log.histograms.len()), (6, 279, 15));
    assert_eq!(digests(&log.samples), (0x1a1_fb56_8cbf, 0x7fd2_5fff_ffff_fffc));
    assert!(log.tombstones.is_empty());
}
