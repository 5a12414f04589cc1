//! Random blocks against a plain model: what is in the inputs and not deleted is in the output, and nothing else.

mod common;

use std::collections::BTreeMap;

use chunkenc::{Encoding, HistogramAppender, ResetFlag, TimedChunk};
use common::*;
use histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, Span};
use labels::Matcher;
use merge::{Deletion, Vertical};
use model::TimeRange;
use objstore::Bucket;
use proptest::collection::vec;
use proptest::prelude::*;

const HOUR: i64 = 3_600_000;

/// What a chunk's samples are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Float,
    Exponential,
    Custom,
    Gauge,
}

#[derive(Debug, Clone)]
struct Piece {
    start: i64,
    step: i64,
    values: Vec<i8>,
    twice: bool,
}

#[derive(Debug, Clone)]
struct Shape {
    name: u8,
    kind: Kind,
    pieces: Vec<Piece>,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![4 => Just(Kind::Float), 1 => Just(Kind::Exponential), 1 => Just(Kind::Custom), 1 => Just(Kind::Gauge)]
}

fn piece() -> impl Strategy<Value = Piece> {
    (0..HOUR / 1000, 1..40i64, vec(-3..100i8, 1..12), prop::bool::weighted(0.1))
        .prop_map(|(start, step, values, twice)| Piece { start: start * 1000, step: step * 1000, values, twice })
}

fn block() -> impl Strategy<Value = Vec<Shape>> {
    // The kind goes by the name, so that inputs agree on it.
    let shape = (0..12u8, vec(piece(), 0..4)).prop_map(|(name, pieces)| Shape { name, kind: Kind::Float, pieces });
    (vec(shape, 0..8), prop::array::uniform12(kind())).prop_map(|(mut shapes, kinds)| {
        shapes.iter_mut().for_each(|s| s.kind = kinds[s.name as usize]);
        shapes
    })
}

fn sample(kind: Kind, value: i8) -> Histogram {
    let stale = f64::from_bits(model::STALE_NAN_BITS);
    let reset_hint = if kind == Kind::Gauge { ResetHint::Gauge } else { ResetHint::Unknown };
    if value < 0 {
        return Histogram { sum: stale, reset_hint, ..Histogram::default() };
    }
    let value = value as i64;
    let custom = kind == Kind::Custom;
    Histogram {
        reset_hint,
        schema: if custom { CUSTOM_BUCKETS_SCHEMA } else { 2 },
        zero_threshold: if custom { 0.0 } else { 0.001 },
        zero_count: 0,
        count: 2 * value as u64 + 1,
        sum: value as f64,
        positive_spans: vec![Span { offset: (value % 3) as i32, length: 2 }],
        positive_deltas: vec![value, 1],
        custom_values: if custom { vec![1.0, 2.0, 4.0, 8.0] } else { vec![] },
        ..Histogram::default()
    }
}

fn chunks(kind: Kind, piece: &Piece, base: i64) -> Vec<TimedChunk> {
    let stale = f64::from_bits(model::STALE_NAN_BITS);
    let time = |i: usize| base + piece.start + i as i64 * piece.step;
    let mut out = Vec::new();
    if kind == Kind::Float {
        let value = |v: &i8| if *v < 0 { stale } else { f64::from(*v) };
        let samples: Vec<_> = piece.values.iter().enumerate().map(|(i, v)| (time(i), value(v))).collect();
        out.push(xor(&samples));
    } else {
        let mut appender = HistogramAppender::new(ResetFlag::Unknown);
        let mut first = None;
        for (i, value) in piece.values.iter().enumerate() {
            let histogram = sample(kind, *value);
            if let chunkenc::Appended::Cut(flag) = appender.append(time(i), &histogram).unwrap() {
                out.push(timed(first.take().unwrap_or(time(i)), time(i - 1), &appender));
                appender = HistogramAppender::new(flag);
                appender.append(time(i), &histogram).unwrap();
            }
            first.get_or_insert(time(i));
        }
        if let Some(first) = first {
            out.push(timed(first, time(piece.values.len() - 1), &appender));
        }
    }
    if piece.twice {
        let copies = out.clone();
        out.extend(copies);
    }
    out
}

fn timed(min_time: i64, max_time: i64, appender: &HistogramAppender) -> TimedChunk {
    TimedChunk { min_time, max_time, encoding: Encoding::Histogram, data: appender.to_vec().into() }
}

/// The samples of each series: of equal times that of the later input, but no stale marker where another input has a
/// sample; within an input of any of its chunks. Beside them, whether they are samples and of which input.
type Expected = BTreeMap<String, BTreeMap<i64, ((bool, usize), Vec<String>)>>;

fn expect(
    expected: &mut Expected,
    input: usize,
    series: &RawSeries,
    range: (i64, i64),
    gone: &dyn Fn(&RawSeries, i64) -> bool,
) {
    let labels = labels::Labels::from_pairs(series.labels.iter().map(|(n, v)| (n, v))).to_string();
    let own = expected.entry(labels).or_default();
    for chunk in &series.chunks {
        for (time, value) in samples_of(chunk.encoding, &chunk.data) {
            if time < range.0 || time >= range.1 || gone(series, time) {
                continue;
            }
            let is_stale = value.starts_with("stale") || value == format!("{:016x}", model::STALE_NAN_BITS);
            let rank = (!is_stale, input);
            let slot = own.entry(time).or_insert((rank, Vec::new()));
            if slot.0 < rank {
                *slot = (rank, Vec::new());
            }
            if slot.0 == rank {
                slot.1.push(value);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_invented(
        blocks in vec((block(), 0..3i64, prop::bool::weighted(0.2)), 1..5),
        shards in 1..4usize,
        segment_bytes in 100..5000u64,
        sizes in 200..3000usize,
        is_local: bool,
        delete in prop::option::of((0..12u8, 0..HOUR, 0..HOUR)),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (bucket, dir) = (read_as(Bucket::in_memory(), is_local), tempfile::tempdir().unwrap());
            let gone = |series: &RawSeries, time: i64| delete.is_some_and(|(name, a, b)| {
                series.labels[1].1 == format!("{name:02}") && (a.min(b)..=a.max(b)).contains(&time)
            });
            let (mut metas, mut expected) = (Vec::new(), Expected::new());
            for (n, (shapes, hour, old)) in blocks.iter().enumerate() {
                let base = hour * HOUR;
                let range = (base, base + HOUR);
                let mut list = Vec::new();
                for shape in shapes {
                    let chunks = shape.pieces.iter().flat_map(|p| chunks(shape.kind, p, base)).collect();
                    let series = raw(&[("__name__", "m"), ("n", &format!("{:02}", shape.name))], chunks);
                    expect(&mut expected, n, &series, range, &gone);
                    list.push(series);
                }
                let layout = Layout { version: if *old { 1 } else { 2 }, segment_bytes: sizes };
                metas.push(put_block(&bucket, n as u64, range, &list, layout).await);
            }
            let mut job = job(&metas);
            job.vertical = Vertical::Merge;
            if let Some((name, a, b)) = delete {
                let matchers = vec![Matcher::equal("n", format!("{name:02}"))];
                job.deletions = vec![Deletion { matchers, ranges: vec![TimeRange::new(a.min(b), a.max(b))] }];
            }
            let options = merge::Options { limits: merge::Limits { shards, segment_bytes, ..small() }, ..options(dir.path()) };
            let (_, found) = merged(&bucket, &job, &options, dir.path()).await;
            expected.retain(|_, samples| !samples.is_empty());
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (series, samples) in &expected {
                let times: Vec<_> = samples.keys().collect();
                assert_eq!(found[series].keys().collect::<Vec<_>>(), times, "{series}");
                for (time, (_, values)) in samples {
                    assert!(values.contains(&found[series][time]), "{series} at {time}: {} not in {values:?}", found[series][time]);
                }
            }
        });
    }
}
