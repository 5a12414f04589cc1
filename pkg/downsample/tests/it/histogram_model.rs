//! Random native histograms against a plain model.

use std::collections::BTreeMap;

use bytes::Bytes;
use chunkenc::{
    Appended, Encoding, FloatHistogramAppender, HistogramColumn, ResetFlag, TimedChunk, aggr, decode_histograms,
};
use downsample::Downsampler;
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint, Span};
use model::{is_stale, stale_nan};
use proptest::prelude::*;

use crate::part;

const FINE: i64 = 100;
const COARSE: i64 = 1200;

type Histograms = Vec<(i64, FloatHistogram)>;

/// What happens before a sample is taken.
#[derive(Debug, Clone)]
enum Event {
    Observe(Vec<(i32, u32)>),
    Restart,
    Coarser,
    WiderZero,
    OtherBounds,
    Stale,
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let observe = prop::collection::vec((-6i32..12, 1u32..5), 0..4).prop_map(Event::Observe);
    let event = prop_oneof![
        40 => observe,
        1 => Just(Event::Restart),
        1 => Just(Event::Coarser),
        1 => Just(Event::WiderZero),
        1 => Just(Event::OtherBounds),
        1 => Just(Event::Stale),
    ];
    prop::collection::vec((prop_oneof![8 => 1i64..40, 1 => 40i64..2000], event), 1..250)
}

fn of(counts: &BTreeMap<i32, u32>, sum: f64) -> FloatHistogram {
    let mut h = FloatHistogram { schema: 3, sum, ..FloatHistogram::default() };
    let mut next = 0;
    for (index, count) in counts {
        h.positive_spans.push(Span { offset: index - next, length: 1 });
        h.positive_buckets.push(f64::from(*count));
        h.count += f64::from(*count);
        next = index + 1;
    }
    h
}

/// A process that counts, scraped now and then.
fn scraped(events: Vec<(i64, Event)>, custom: bool, gauge: bool) -> Histograms {
    let (mut time, mut sum) = (0, 0.0);
    let mut counts = BTreeMap::new();
    let (mut schema, mut zero_threshold, mut bounds) = (3, 0.0, 1.0);
    let mut out = Vec::new();
    for (step, event) in events {
        time += step;
        let mut stale = false;
        match event {
            Event::Observe(list) => {
                if gauge {
                    counts.clear();
                }
                for (index, count) in list {
                    *counts.entry(if custom { index.rem_euclid(4) } else { index }).or_insert(0) += count;
                    sum += f64::from(index);
                }
            }
            Event::Restart => {
                counts.clear();
                (schema, zero_threshold, sum) = (3, 0.0, 0.0);
            }
            Event::Coarser => schema = (schema - 1).max(-2),
            Event::WiderZero => zero_threshold = (zero_threshold * 2.0f64).max(0.4),
            Event::OtherBounds => bounds = 3.0 - bounds,
            Event::Stale => stale = true,
        }
        let mut h = of(&counts, sum);
        if custom {
            h.schema = CUSTOM_BUCKETS_SCHEMA;
            h.custom_values = vec![bounds, 2.5, 7.0];
        } else {
            h.reduce_to(schema);
            h.add(&FloatHistogram { schema: 8, zero_threshold, ..FloatHistogram::default() }).unwrap();
        }
        if gauge {
            h.reset_hint = ResetHint::Gauge;
        }
        if stale {
            h.sum = stale_nan();
        }
        out.push((time, h));
    }
    out
}

/// Chunks as a writer cuts them.
fn chunks(samples: &Histograms, size: usize) -> Vec<TimedChunk> {
    let mut out = Vec::new();
    let mut open: Option<(i64, i64, FloatHistogramAppender)> = None;
    let mut close = |open: Option<(i64, i64, FloatHistogramAppender)>| {
        if let Some((min_time, max_time, appender)) = open {
            let data = Bytes::from(appender.to_vec());
            out.push(TimedChunk { min_time, max_time, encoding: Encoding::FloatHistogram, data });
        }
    };
    for (time, h) in samples {
        let mut flag = ResetFlag::Unknown;
        if let Some((_, end, appender)) = &mut open
            && appender.len() < size
        {
            match appender.append(*time, h).unwrap() {
                Appended::Cut(cut) => flag = cut,
                _ => {
                    *end = *time;
                    continue;
                }
            }
        }
        let mut appender = FloatHistogramAppender::new(flag);
        appender.append(*time, h).unwrap();
        close(open.replace((*time, *time, appender)));
    }
    close(open);
    out
}

fn decode(data: &Bytes) -> Histograms {
    let mut column = HistogramColumn::default();
    decode_histograms(Encoding::FloatHistogram, data, &mut column).unwrap();
    let flag = ResetFlag::of(Encoding::FloatHistogram, data);
    if let (ResetFlag::Reset, Some(first)) = (flag, column.values.first_mut()) {
        first.reset_hint = ResetHint::Reset;
    }
    column.times.into_iter().zip(column.values).collect()
}

/// The running count of observations, corrected for resets, at each sample.
fn totals<'a>(samples: impl Iterator<Item = &'a (i64, FloatHistogram)>) -> Vec<(i64, f64)> {
    let mut state: Option<(f64, &FloatHistogram)> = None;
    samples
        .map(|(time, h)| {
            let total = match state {
                Some((total, last)) if !h.is_reset_since(last) => total + (h.count - last.count),
                Some((total, _)) => total + h.count,
                None => h.count,
            };
            state = Some((total, h));
            (*time, total)
        })
        .collect()
}

fn check(chunks: &[TimedChunk], raw: &Histograms, resolution: i64, gauge: bool) {
    assert!(chunks.windows(2).all(|w| w[0].max_time < w[1].min_time));
    let counts = part_of(chunks, 1);
    let mut windows: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
    for (time, h) in raw {
        let w = windows.entry(time.div_euclid(resolution)).or_default();
        *w = (w.0 + 1.0, w.1 + h.count, w.2 + h.sum);
    }
    let mut told: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
    let samples = part(chunks, 0).concat();
    assert_eq!(samples.len(), counts.len());
    for ((time, count), (sum_time, h)) in samples.iter().zip(&counts) {
        assert_eq!(time, sum_time);
        let inside: f64 = h.zero_count + h.positive_buckets.iter().sum::<f64>();
        assert_eq!(inside, h.count);
        let w = told.entry(time.div_euclid(resolution)).or_default();
        *w = (w.0 + count, w.1 + h.count, w.2 + h.sum);
    }
    assert_eq!(told, windows);

    if gauge {
        for (time, h) in &part_of(chunks, 4) {
            let at = raw.partition_point(|(t, _)| t <= time);
            assert_eq!(h.count, raw[at - 1].1.count);
            assert_eq!(h.reset_hint, ResetHint::Gauge);
        }
    }
}

/// The counter aggregate's running total at each of its samples is that of the raw samples.
fn check_totals(chunks: &[TimedChunk], raw: &Histograms) {
    let counters = part_of(chunks, 4);
    let want = totals(raw.iter());
    let got = totals(counters.iter());
    for (time, total) in &got {
        let at = want.partition_point(|(t, _)| t <= time);
        assert_eq!(*total, want[at - 1].1, "at {time}");
    }
    assert_eq!(got.last().map(|s| s.1), want.last().map(|s| s.1));
}

fn part_of(chunks: &[TimedChunk], place: usize) -> Histograms {
    chunks.iter().flat_map(|c| decode(&aggr::decode(&c.data).unwrap()[place].as_ref().unwrap().1)).collect()
}

/// The live raw samples as they are read back (the headers of chunks tell of resets that the buckets do not show), and
/// the chunks of both resolutions.
fn downsampled(samples: &Histograms, size: usize) -> (Histograms, Vec<TimedChunk>, Vec<TimedChunk>) {
    let input = chunks(samples, size);
    let read = input.iter().flat_map(|c| decode(&c.data));
    let live: Histograms = read.filter(|(_, h)| !is_stale(h.sum)).collect();
    assert_eq!(live.len(), samples.iter().filter(|(_, h)| !is_stale(h.sum)).count());
    let mut downsampler = Downsampler::new();
    let (mut fine, mut coarse) = (Vec::new(), Vec::new());
    let report = downsampler.raw(&input, FINE, &mut fine).unwrap();
    assert_eq!(report.samples, live.len() as u64);
    downsampler.aggregates(&fine, FINE, COARSE, &mut coarse).unwrap();
    (live, fine, coarse)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_count_is_lost(list in events(), kind in 0u8..3, size in 1usize..150) {
        let (custom, gauge) = (kind == 1, kind == 2);
        let (live, fine, coarse) = downsampled(&scraped(list, custom, gauge), size);
        check(&fine, &live, FINE, gauge);
        check(&coarse, &live, COARSE, gauge);
    }

    #[test]
    fn no_reset_is_lost_or_invented(list in events(), custom in proptest::bool::ANY, size in 1usize..150) {
        let (live, fine, coarse) = downsampled(&scraped(list, custom, false), size);
        check_totals(&fine, &live);
        check_totals(&coarse, &live);
    }
}

#[test]
fn kinds_take_turns() {
    let h = |i: i64| (i * 60, of(&BTreeMap::from([(0, i as u32)]), i as f64));
    let mut input = chunks(&(1..5).map(h).collect(), 120);
    input.push(crate::xor(&[(300, 1.0), (360, 2.0)]));
    input.extend(chunks(&(7..9).map(h).collect(), 120));
    let (mut fine, mut coarse) = (Vec::new(), Vec::new());
    let mut downsampler = Downsampler::new();
    downsampler.raw(&input, FINE, &mut fine).unwrap();
    let times = |chunks: &[TimedChunk]| chunks.iter().map(|c| (c.min_time, c.max_time)).collect::<Vec<_>>();
    assert_eq!(times(&fine), [(99, 240), (360, 360), (480, 480)]);
    downsampler.aggregates(&fine, FINE, COARSE, &mut coarse).unwrap();
    assert_eq!(times(&coarse), [(240, 240), (360, 360), (480, 480)]);
    assert_eq!(part(&coarse, 0), [vec![(240, 4.0)], vec![(360, 2.0)], vec![(480, 2.0)]]);
}

#[test]
fn a_sum_that_is_not_a_number_does_not_cost_the_sample() {
    let mut h = of(&BTreeMap::from([(1, 4)]), 1.0);
    h.sum = f64::NAN;
    let mut out = Vec::new();
    Downsampler::new().raw(&chunks(&vec![(10, h.clone()), (20, h)], 120), FINE, &mut out).unwrap();
    assert_eq!(part(&out, 0), [vec![(20, 2.0)]]);
    let (_, sum) = &part_of(&out, 1)[0];
    assert_eq!((sum.count, sum.sum.is_nan()), (8.0, true));
}
