//! Native histograms, sample by sample, and mixed kinds.

use bytes::Bytes;
use chunkenc::{
    Appended, Encoding, FloatHistogramAppender, HistogramAppender, HistogramColumn, ResetFlag, TimedChunk,
    decode_histograms,
};
use dedup::Method;
use dedup::rewrite::LaneChunk;
use histogram::{FloatHistogram, Histogram, ResetHint, Span};
use model::stale_nan;
use proptest::prelude::*;

use crate::{lane, merge};

/// Buckets from `first` on, each with `n` observations.
fn integer(n: u64, first: i32, buckets: u32, hint: ResetHint) -> Histogram {
    let mut positive_deltas = vec![0; buckets as usize];
    positive_deltas[0] = n as i64;
    Histogram {
        reset_hint: hint,
        schema: 2,
        count: n * u64::from(buckets),
        sum: n as f64,
        positive_spans: vec![Span { offset: first, length: buckets }],
        positive_deltas,
        ..Histogram::default()
    }
}

fn chunk(replica: u64, list: &[(i64, Histogram)]) -> LaneChunk {
    let mut appender = HistogramAppender::new(ResetFlag::Unknown);
    for (time, h) in list {
        assert_ne!(
            std::mem::discriminant(&appender.append(*time, h).unwrap()),
            std::mem::discriminant(&Appended::Cut(ResetFlag::Gauge))
        );
    }
    timed(replica, list[0].0, list[list.len() - 1].0, Encoding::Histogram, appender.to_vec())
}

fn float_chunk(replica: u64, list: &[(i64, FloatHistogram)]) -> LaneChunk {
    let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
    list.iter().for_each(|(time, h)| assert_eq!(appender.append(*time, h), Ok(Appended::InPlace)));
    timed(replica, list[0].0, list[list.len() - 1].0, Encoding::FloatHistogram, appender.to_vec())
}

fn timed(replica: u64, min_time: i64, max_time: i64, encoding: Encoding, data: Vec<u8>) -> LaneChunk {
    let chunk = TimedChunk { min_time, max_time, encoding, data: Bytes::from(data) };
    LaneChunk { replica, order: replica as u32, chunk }
}

fn read(chunks: &[TimedChunk]) -> Vec<(i64, f64, ResetHint)> {
    let mut column = HistogramColumn::default();
    for chunk in chunks {
        decode_histograms(chunk.encoding, &chunk.data, &mut column).unwrap();
    }
    column.times.iter().zip(&column.values).map(|(t, h)| (*t, h.count, h.reset_hint)).collect()
}

fn flags(chunks: &[TimedChunk]) -> Vec<ResetFlag> {
    chunks.iter().map(|c| ResetFlag::of(c.encoding, &c.data)).collect()
}

#[test]
fn integers_stay_integers_and_all_times_are_kept() {
    let list = |from: i64, buckets: u32| -> Vec<_> {
        (0..10).map(|i| (from + i * 20, integer((from + i * 20) as u64, 0, buckets, ResetHint::Unknown))).collect()
    };
    let (got, merged) = merge(vec![chunk(1, &list(0, 2)), chunk(2, &list(10, 2))], Method::Chain);
    assert_eq!(got.iter().map(|c| c.encoding).collect::<Vec<_>>(), [Encoding::Histogram]);
    let counts: Vec<_> = read(&got).iter().map(|(t, c, _)| (*t, *c)).collect();
    assert_eq!(counts, (0..20).map(|i| (i * 10, (i * 20) as f64)).collect::<Vec<_>>());
    assert_eq!((merged.copied, merged.rewritten), (0, 1));
    assert_eq!(flags(&got), [ResetFlag::Unknown]);
}

#[test]
fn a_new_chunk_begins_where_the_kind_changes_or_the_counter_falls() {
    let h = |t: i64, n: u64| (t, integer(n, 0, 1, ResetHint::Unknown));
    let ints = chunk(1, &[h(0, 10), h(20, 12), h(60, 16)]);
    let floats = float_chunk(2, &[(40, h(0, 14).1.to_float())]);
    let restarted = chunk(3, &[h(50, 3), h(70, 4)]);
    let plain = lane(4, &[(65, 1.0)], 120);
    let (got, _) = merge([vec![ints, floats, restarted], plain].concat(), Method::Chain);
    let shape: Vec<_> = got.iter().map(|c| (c.min_time, c.max_time, c.encoding)).collect();
    assert_eq!(
        shape,
        [
            (0, 20, Encoding::Histogram),
            (40, 40, Encoding::FloatHistogram),
            (50, 60, Encoding::Histogram),
            (65, 65, Encoding::Xor),
            (70, 70, Encoding::Histogram),
        ]
    );
    // A fall within one kind is a reset in the header.
    let (got, _) = merge(vec![chunk(1, &[h(0, 10), h(20, 12)]), chunk(3, &[h(10, 3), h(30, 11)])], Method::Chain);
    assert_eq!(flags(&got), [ResetFlag::Unknown, ResetFlag::Reset, ResetFlag::Reset]);
    assert_eq!(got.iter().map(|c| (c.min_time, c.max_time)).collect::<Vec<_>>(), [(0, 0), (10, 20), (30, 30)]);
}

#[test]
fn gauges_and_stale_markers() {
    let h = |t: i64, n: u64| (t, integer(n, 0, 1, ResetHint::Gauge));
    let (got, _) = merge(vec![chunk(1, &[h(0, 10), h(20, 2)]), chunk(2, &[h(10, 5)])], Method::Chain);
    assert_eq!(flags(&got), [ResetFlag::Gauge]);
    assert_eq!(read(&got), [(0, 10.0, ResetHint::Gauge), (10, 5.0, ResetHint::Gauge), (20, 2.0, ResetHint::Gauge)]);

    let mut a: Vec<_> = (0..4).map(|i| (i * 30_000, integer(i as u64, 0, 1, ResetHint::Unknown))).collect();
    a.push((120_000, Histogram { sum: stale_nan(), ..Histogram::default() }));
    let b: Vec<_> = (0..9).map(|i| (i * 30_000 + 7, integer(i as u64, 0, 1, ResetHint::Unknown))).collect();
    let (got, _) = merge(vec![chunk(1, &a), chunk(2, &b)], Method::Penalty);
    let counts: Vec<_> = read(&got).iter().map(|(t, c, _)| (*t, *c)).collect();
    let want = [
        (0, 0),
        (30_000, 1),
        (60_000, 2),
        (90_000, 3),
        (120_007, 4),
        (150_007, 5),
        (180_007, 6),
        (210_007, 7),
        (240_007, 8),
    ];
    assert_eq!(counts, want.map(|(t, c)| (t, f64::from(c))));
}

#[test]
fn replicas_are_deduplicated_sample_by_sample() {
    let list = |from: i64, but: std::ops::Range<i64>| -> Vec<_> {
        let times = (0..100).map(|i| from + i * 30_000).filter(|t| !but.contains(t));
        times.map(|t| (t, integer((t / 1000) as u64, 0, 2, ResetHint::Unknown))).collect()
    };
    let (a, b) = (chunk(1, &list(0, 900_000..1_500_000)), chunk(2, &list(10_000, 0..0)));
    let (got, _) = merge(vec![a, b], Method::Penalty);
    let got = read(&got);
    assert!(got.windows(2).all(|w| w[1].0 - w[0].0 <= 45_000 && w[1].1 >= w[0].1), "{got:?}");
    assert!((99..=101).contains(&got.len()), "{}", got.len());
}

proptest! {
    #[test]
    fn all_samples_of_all_lanes(lists in prop::collection::vec(prop::collection::btree_map(0i64..300, (1u64..50, -3i32..3, 1u32..4), 1..60), 1..4)) {
        let mut want = std::collections::BTreeMap::new();
        let mut chunks = Vec::new();
        for (replica, list) in (1u64..).zip(&lists) {
            let mut part: Vec<(i64, Histogram)> = Vec::new();
            for (t, (n, first, buckets)) in list {
                let h = integer(*n, *first, *buckets, ResetHint::Unknown);
                want.insert(*t, h.to_float());
                let mut longer = part.clone();
                longer.push((*t, h.clone()));
                let mut appender = HistogramAppender::new(ResetFlag::Unknown);
                if longer.iter().any(|(t, h)| matches!(appender.append(*t, h).unwrap(), Appended::Cut(_))) {
                    chunks.push(chunk(replica, &part));
                    longer = vec![(*t, h)];
                }
                part = longer;
            }
            chunks.push(chunk(replica, &part));
        }
        let (got, _) = merge(chunks, Method::Chain);
        let mut column = HistogramColumn::default();
        for chunk in &got {
            prop_assert_eq!(chunk.encoding, Encoding::Histogram);
            decode_histograms(chunk.encoding, &chunk.data, &mut column).unwrap();
        }
        prop_assert_eq!(column.times.clone(), want.keys().copied().collect::<Vec<_>>());
        let mut before: Option<&FloatHistogram> = None;
        for (got, want) in column.values.iter().zip(want.values()) {
            let used = |h: &FloatHistogram| -> Vec<(i32, f64)> {
                histogram::indexed(&h.positive_spans, &h.positive_buckets).filter(|(_, c)| *c != 0.0).collect()
            };
            prop_assert_eq!(used(got), used(want));
            prop_assert_eq!((got.count, got.sum), (want.count, want.sum));
            if got.reset_hint == ResetHint::NotReset {
                let mut compared = got.clone();
                compared.reset_hint = ResetHint::Unknown;
                prop_assert!(!compared.is_reset_since(before.unwrap()));
            }
            before = Some(got);
        }
    }
}

/// Two replicas of one target, each with chunks that the other has too and one that it lacks.
#[test]
fn what_both_replicas_have_is_known_of_both() {
    let part = |ticks: std::ops::Range<i64>, first: u64| -> Vec<(i64, Histogram)> {
        ticks.map(|i| (i * 15_000, integer(first + i as u64, 0, 2, ResetHint::Unknown))).collect()
    };
    // A reset at the end of a chunk of both: only one replica has what follows.
    let (before, after, later) = (part(0..30, 100), part(30..40, 0), part(40..60, 0));
    let lane = |id: u64, parts: &[&[(i64, Histogram)]]| parts.iter().map(|p| chunk(id, p)).collect::<Vec<_>>();
    let one = lane(1, &[&before, &later]);
    let two = lane(2, &[&before, &after, &later]);
    let all: Vec<_> = [&before[..], &after, &later].concat();
    let seen = |list: &[(i64, Histogram)]| list.iter().map(|(t, h)| (*t, h.count as f64)).collect::<Vec<_>>();
    let got = |lanes: &[Vec<LaneChunk>]| {
        let (chunks, _) = merge(lanes.concat(), Method::Penalty);
        read(&chunks).iter().map(|(t, count, _)| (*t, *count)).collect::<Vec<_>>()
    };
    assert_eq!(got(&[one.clone(), two.clone()]), seen(&all));
    assert_eq!(got(&[two.clone(), one]), seen(&all));

    // The last scrape, alone in its chunk.
    let last = part(60..61, 0);
    let late = lane(1, &[&before, &part(31..40, 0), &later, &last]);
    let early = lane(2, &[&before, &after, &part(41..60, 0), &last]);
    assert_eq!(got(&[late.clone(), early.clone()]), seen(&[all, last.clone()].concat()));
    assert_eq!(got(&[early, late]).last(), seen(&last).last());
}

#[test]
fn a_marker_of_both_replicas_is_shown() {
    let all: Vec<(i64, f64)> = (0..20).map(|i| (i * 15_000, i as f64)).collect();
    let marker = [(300_000, stale_nan())];
    let back: Vec<(i64, f64)> = (40..60).map(|i| (i * 15_000, i as f64)).collect();
    let of = |id, first: usize| [lane(id, &all[first..], 120), lane(id, &marker, 120), lane(id, &back, 120)].concat();
    for lanes in [[of(1, 0), of(2, 1)], [of(1, 1), of(2, 0)]] {
        let (got, _) = merge(lanes.concat(), Method::Penalty);
        let got: Vec<_> = crate::samples(&got).iter().map(|(t, v)| (*t, v.to_bits())).collect();
        let want = [&all[..], &marker, &back].concat();
        assert_eq!(got, want.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>());
    }
}

#[test]
fn replicas_that_have_the_same_are_not_written_again() {
    let all: Vec<(i64, f64)> = (0..500).map(|i| (i * 15_000, i as f64)).collect();
    let (whole, part) = (lane(1, &all, 100), lane(2, &all[100..400], 100));
    let (got, merged) = merge([whole.clone(), part, lane(3, &all, 100)].concat(), Method::Penalty);
    assert_eq!(got, whole.into_iter().map(|l| l.chunk).collect::<Vec<_>>());
    assert_eq!((merged.copied, merged.rewritten, merged.duplicates), (5, 0, 8));
}
