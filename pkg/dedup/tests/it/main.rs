//! The promises of deduplication, on small examples and on random replicas.

use bytes::Bytes;
use chunkenc::{
    Appended, Column, Encoding, HistogramAppender, HistogramColumn, ResetFlag, decode_floats, decode_histograms,
    encode_xor,
};
use dedup::{DedupOptions, Method, dedup_series};
use histogram::{Histogram, Span};
use labels::Labels;
use model::{is_stale, stale_nan};
use proptest::prelude::*;
use storage::{Chunk, ChunkData, Series};

const LOOKBACK: i64 = 300_000;

/// So long after the last sample of all a sample must be visible: the last scrape that one replica saw is not shown again as
/// another saw it.
const TAIL: i64 = LOOKBACK - LOOKBACK / 4;

fn options(function: &str) -> DedupOptions {
    DedupOptions {
        method: Method::Penalty,
        lookback_ms: LOOKBACK,
        function: Some(function.to_owned()),
        end_ms: i64::MAX,
    }
}

/// Chunks of at most `size` samples.
fn chunks(replica: u64, samples: &[(i64, f64)], size: usize) -> Vec<Chunk> {
    samples
        .chunks(size)
        .map(|part| Chunk {
            replica,
            ..Chunk::raw(
                part[0].0,
                part[part.len() - 1].0,
                Encoding::Xor,
                Bytes::from(encode_xor(part.iter().copied()).unwrap()),
            )
        })
        .collect()
}

fn run(replicas: &[Vec<(i64, f64)>], options: &DedupOptions) -> Vec<(i64, f64)> {
    let mut all: Vec<_> = replicas.iter().zip(1..).flat_map(|(s, id)| chunks(id, s, 7)).collect();
    all.sort_by_key(|c| (c.min_time, c.max_time));
    let (series, damage) = dedup_series(Series { labels: Labels::empty(), chunks: all }, options);
    assert!(damage.is_empty(), "{damage:?}");
    samples(&series)
}

fn samples(series: &Series) -> Vec<(i64, f64)> {
    let mut column = Column::new();
    for chunk in &series.chunks {
        match &chunk.data {
            ChunkData::Raw(c) => decode_floats(c.encoding, &c.data, &mut column).unwrap(),
            ChunkData::Decoded(c) => c.iter().for_each(|(t, v)| column.push(t, v)),
            ChunkData::Aggr(_) => panic!("raw in, raw out"),
        }
    }
    column.iter().collect()
}

/// A scrape each `every` seconds from `start`, but for the seconds in `but`; the value is the time.
fn scrapes(start: i64, every: i64, end: i64, but: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    (start..end).step_by(every as usize).filter(|s| !but.contains(s)).map(|s| (s * 1000, s as f64)).collect()
}

#[test]
fn one_replica_passes_untouched() {
    let input = Series { labels: Labels::empty(), chunks: chunks(1, &scrapes(0, 15, 3000, 600..900), 120) };
    assert_eq!(dedup_series(input.clone(), &options("rate")).0, input);
}

/// What two sources send of it comes in any order, and twice: raw chunks of one replica, downsampled ones of several.
#[test]
fn doubles_are_dropped_and_all_else_passes() {
    let raw = chunks(1, &scrapes(0, 15, 3000, 0..0), 50);
    let aggregates = |replica: u64| {
        let part = |c: &Chunk| match &c.data {
            ChunkData::Raw(data) => Some(data.clone()),
            _ => None,
        };
        let aggr = |c: &Chunk| storage::AggrChunk { parts: [part(c), part(c), None, None, None] };
        raw.iter().map(|c| Chunk { replica, ..Chunk::aggr(c.min_time, c.max_time, aggr(c)) }).collect::<Vec<_>>()
    };
    let mut both: Vec<Chunk> = aggregates(1).into_iter().chain(aggregates(2)).collect();
    both.sort_by_key(|c| (c.min_time, c.max_time, c.replica));
    for want in [raw, both] {
        let twice: Vec<Chunk> = want.iter().rev().chain(&want).cloned().collect();
        let (got, damage) = dedup_series(Series { labels: Labels::empty(), chunks: twice }, &options("rate"));
        assert_eq!((got.chunks, damage), (want, vec![]));
    }
    let none = Series { labels: Labels::empty(), chunks: Vec::new() };
    assert_eq!(dedup_series(none.clone(), &options("rate")).0, none);
}

#[test]
fn follows_one_replica_and_fills_its_gap() {
    let a = scrapes(0, 30, 3000, 600..1200);
    let b = scrapes(10, 30, 3000, 0..0);
    let got = run(&[a, b.clone()], &options("avg_over_time"));
    let times: Vec<_> = got.iter().map(|(t, _)| t / 1000).collect();
    assert!(times.starts_with(&[0, 30, 60]), "{times:?}");
    // The last sample of a is at 570; b's at 580 is its near double, b's at 610 goes on.
    let at = times.iter().position(|t| *t == 570).unwrap();
    assert_eq!(times[at..at + 4], [570, 610, 640, 670]);
    assert_eq!(*times.last().unwrap(), b.last().unwrap().0 / 1000);
    assert!(times.windows(2).all(|w| w[1] - w[0] <= 45), "{times:?}");
}

/// Else `irate` would be zero at the right edge of each graph, and `count_over_time` one too many.
#[test]
fn no_series_ends_with_the_same_scrape_twice() {
    for offset in [1, 7, 14, 22, 29] {
        let (a, b) = (scrapes(0, 30, 601, 0..0), scrapes(offset, 30, 601 + offset, 0..0));
        for function in ["irate", "max_over_time"] {
            assert_eq!(run(&[a.clone(), b.clone()], &options(function)), a, "{offset} {function}");
        }
        // So too where only the selected range ends, and b's chunk goes on.
        let a = scrapes(0, 30, 421, 0..0);
        let selected = DedupOptions { end_ms: 449_999, ..options("max_over_time") };
        assert_eq!(run(&[a.clone(), b], &selected), a, "{offset}");
    }
}

#[test]
fn a_series_that_ends_within_a_pause_says_so() {
    // a is cut off, and right behind its last sample b is told that the series is gone.
    let (a, mut b) = (scrapes(0, 30, 601, 0..0), scrapes(7, 30, 608, 0..0));
    b.push((615_000, stale_nan()));
    let got = run(&[a, b], &options("sum"));
    assert!(got.last().is_some_and(|(t, v)| *t == 615_000 && is_stale(*v)), "{got:?}");
}

#[test]
fn r3485_a_dead_replicas_stale_marker_does_not_hide_the_live_one() {
    let mut a = scrapes(0, 30, 600, 0..0);
    a.push((600_000, stale_nan()));
    let b = scrapes(17, 30, 1200, 0..0);
    let got = run(&[a, b], &options("sum"));
    assert!(got.iter().all(|(_, v)| !is_stale(*v)));
    assert_eq!(got.last().unwrap().0, 1_187_000);
}

#[test]
fn a_series_that_is_gone_from_all_replicas_and_comes_back_is_gone_meanwhile() {
    // A sparse series: how far apart its samples are as a rule cannot be told from its pauses.
    let one: Vec<(i64, f64)> = [576, 591, 786, 1221, 1236, 1251, 1476, 1491, 1506]
        .map(|s| (s * 1000, if s == 786 || s == 1251 { stale_nan() } else { s as f64 }))
        .into();
    let other: Vec<_> = one.iter().map(|(t, v)| (t + 4000, *v)).collect();
    for replicas in [[one.clone(), one.clone()], [one.clone(), other.clone()], [other, one]] {
        let got = run(&replicas, &options("sum_over_time"));
        assert_eq!(got.iter().filter(|(_, v)| is_stale(*v)).count(), 2, "{got:?}");
    }
}

#[test]
fn stale_markers_show_when_all_replicas_end() {
    let end = |offset: i64| {
        let mut s = scrapes(offset, 30, 600, 0..0);
        s.push(((600 + offset) * 1000, stale_nan()));
        s.extend(scrapes(2000 + offset, 30, 2600, 0..0));
        s
    };
    let got = run(&[end(0), end(10)], &options("sum"));
    assert_eq!(got.iter().filter(|(_, v)| is_stale(*v)).count(), 1);
    let marker = got.iter().position(|(_, v)| is_stale(*v)).unwrap();
    assert!(got[marker].0 >= 600_000 && got[marker + 1].0 >= 2_000_000);
}

#[test]
fn after_a_leading_marker_the_first_to_come_alive_is_followed() {
    // The window begins with both replicas' markers; then a's gap lasts longer than b's silence.
    let after = |from: i64| {
        let mut s = vec![(0, stale_nan())];
        s.extend(scrapes(from, 30, 3000, 0..0));
        s
    };
    let got = run(&[after(1800), after(1200)], &options("sum"));
    assert_eq!(got.first().map(|(t, _)| *t), Some(1_200_000));
    assert_eq!(got.len(), after(1200).len() - 1);
}

#[test]
fn r2890_no_false_reset_when_the_other_replica_lags() {
    // b read the same counter a little earlier, so its values are lower than a's.
    let a: Vec<_> = scrapes(0, 30, 3000, 900..1500);
    let b: Vec<_> = scrapes(5, 30, 3000, 0..0).into_iter().map(|(t, v)| (t, v - 40.0)).collect();
    let got = run(&[a, b], &options("rate"));
    assert!(got.windows(2).all(|w| w[1].1 >= w[0].1), "{got:?}");
    let total = got.last().unwrap().1 - got[0].1;
    assert!((2900.0..3060.0).contains(&total), "{total}");
}

#[test]
fn real_resets_stay() {
    let reset = |offset: i64, but: std::ops::Range<i64>| -> Vec<_> {
        let drop = |(t, v): (i64, f64)| (t, if t >= 1_000_000 { v - 1000.0 } else { v });
        scrapes(offset, 30, 3000, but).into_iter().map(drop).collect()
    };
    let got = run(&[reset(0, 900..1500), reset(5, 0..0)], &options("increase"));
    let falls: Vec<_> = got.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[1].0 / 1000).collect();
    assert_eq!(falls, [1025], "{got:?}");
}

#[test]
fn a_reset_seen_by_the_replica_before_counts_once() {
    // The counter restarts at 1000; b was down from 900 to 1510 and lags a little, a goes down at 1500.
    let value = |s: i64, lag: f64| if s >= 1000 { (s - 1000) as f64 - lag } else { s as f64 - lag };
    let a: Vec<_> = scrapes(0, 30, 1500, 0..0).into_iter().map(|(t, _)| (t, value(t / 1000, 0.0))).collect();
    let b: Vec<_> = scrapes(20, 30, 3000, 900..1510).into_iter().map(|(t, _)| (t, value(t / 1000, 60.0))).collect();
    let got = run(&[a, b], &options("rate"));
    let falls: Vec<_> = got.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[1].0 / 1000).collect();
    assert_eq!(falls, [1020], "{got:?}");
}

#[test]
fn damage_in_one_replica_is_told_and_covered_by_the_other() {
    let mut all = chunks(1, &scrapes(0, 15, 1800, 0..0), 120);
    if let ChunkData::Raw(c) = &mut all[0].data {
        c.data = c.data.slice(..c.data.len() / 2);
    }
    all.extend(chunks(2, &scrapes(7, 15, 1800, 0..0), 120));
    all.sort_by_key(|c| (c.min_time, c.max_time));
    let (series, damage) = dedup_series(Series { labels: Labels::empty(), chunks: all }, &options("sum"));
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(samples(&series).len() >= 119);
}

/// What cannot be read is told only if somebody has tried to.
#[test]
fn regular_replicas_beside_a_regular_one_are_not_decoded() {
    let with = |b: &[(i64, f64)], gap: std::ops::Range<i64>| {
        let mut all = chunks(1, &scrapes(0, 15, 7200, gap), 120);
        let mut others = chunks(2, b, 120);
        others.iter_mut().for_each(|chunk| {
            if let ChunkData::Raw(c) = &mut chunk.data {
                c.data = c.data.slice(..c.data.len() - 1);
            }
        });
        all.append(&mut others);
        let (series, damage) = dedup_series(Series { labels: Labels::empty(), chunks: all }, &options("rate"));
        assert!(samples(&series).len() >= 470, "all of the first");
        damage.len()
    };
    assert_eq!(with(&scrapes(7, 15, 7200, 0..0), 0..0), 0);
    assert_eq!(with(&scrapes(7, 60, 7200, 0..0), 0..0), 0, "a sparse one has nothing to add");
    assert!(with(&scrapes(7, 10, 7200, 0..0), 0..0) > 0, "a denser one has");
    assert!(with(&scrapes(7, 15, 7200, 0..0), 3600..3660) > 0, "there is a gap");
    assert!(with(&scrapes(7, 15, 7200, 2000..2100), 0..0) > 0, "it is not regular");
    assert!(with(&scrapes(7, 15, 7300, 0..0), 0..0) > 0, "it goes on");
}

#[test]
fn chain_shows_everything() {
    let (a, b) = (scrapes(0, 30, 300, 0..0), scrapes(10, 30, 300, 0..0));
    let chain = DedupOptions { method: Method::Chain, ..options("sum") };
    assert_eq!(run(&[a.clone(), b.clone()], &chain).len(), a.len() + b.len());
}

/// A native histogram a second, 30 s apart, but for the seconds in `but`.
fn histograms(replica: u64, start: i64, end: i64, but: std::ops::Range<i64>) -> Chunk {
    let mut appender = HistogramAppender::new(ResetFlag::Unknown);
    let times: Vec<i64> = (start..end).step_by(30).filter(|s| !but.contains(s)).collect();
    for s in &times {
        let h = Histogram {
            count: *s as u64,
            positive_spans: vec![Span { offset: 0, length: 1 }],
            positive_deltas: vec![*s],
            ..Histogram::default()
        };
        assert_eq!(appender.append(s * 1000, &h), Ok(Appended::InPlace));
    }
    let (first, last) = (times[0] * 1000, times[times.len() - 1] * 1000);
    Chunk { replica, ..Chunk::raw(first, last, Encoding::Histogram, Bytes::from(appender.to_vec())) }
}

fn histogram_times(series: &Series) -> Vec<i64> {
    let mut column = HistogramColumn::default();
    for chunk in &series.chunks {
        let ChunkData::Raw(c) = &chunk.data else { panic!("raw in, raw out") };
        decode_histograms(c.encoding, &c.data, &mut column).unwrap();
    }
    column.times.iter().map(|t| t / 1000).collect()
}

#[test]
fn histograms_gaps_are_filled_too() {
    let series = |chunks: Vec<Chunk>| Series { labels: Labels::empty(), chunks };
    let (a, b) = (histograms(1, 0, 3000, 900..1800), histograms(2, 10, 3600, 0..0));
    let (got, damage) = dedup_series(series(vec![a.clone(), b.clone()]), &options("rate"));
    let times = histogram_times(&got);
    assert!(damage.is_empty());
    assert!(times.windows(2).all(|w| w[1] > w[0] && w[1] - w[0] <= 45), "{times:?}");
    assert_eq!((times[0], times[times.len() - 1]), (0, 3580));
    // One that cannot be read is told, and the other stands in for it.
    let mut broken = a;
    if let ChunkData::Raw(c) = &mut broken.data {
        c.data = c.data.slice(..c.data.len() / 2);
    }
    let (got, damage) = dedup_series(series(vec![broken, b]), &options("rate"));
    assert_eq!((histogram_times(&got).len(), damage.len()), (120, 1), "{damage:?}");
}

/// What an instant selector sees at `t`.
fn visible(samples: &[(i64, f64)], t: i64) -> Option<f64> {
    let last = samples.iter().rev().find(|(time, _)| *time <= t)?;
    (last.0 > t - LOOKBACK && !is_stale(last.1)).then_some(last.1)
}

/// A replica: (gap before in scrapes, scrapes) runs, with an interval and an offset.
fn replica() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let runs = prop::collection::vec((0i64..40, 1i64..40), 1..6);
    (runs, prop::sample::select(vec![15i64, 30, 60, 120, 240, 290]), 0i64..15_000).prop_map(
        |(runs, interval, offset)| {
            let (mut t, mut out) = (offset, Vec::new());
            for (gap, length) in runs {
                t += gap * interval * 1000;
                for _ in 0..length {
                    out.push((t, (t / 1000) as f64));
                    t += interval * 1000;
                }
            }
            out
        },
    )
}

#[test]
fn the_near_double_counts_when_it_is_all_there_is() {
    let a: Vec<(i64, f64)> = (1..15).map(|i| (i * 290_000, 0.0)).chain([(4_640_000, 0.0)]).collect();
    let b: Vec<(i64, f64)> = (130..138).map(|i| (i * 30_000, 1.0)).collect();
    let got = run(&[a, b], &options("sum"));
    assert!(got.ends_with(&[(4_080_000, 1.0), (4_110_000, 1.0), (4_640_000, 0.0)]), "{got:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn where_any_replica_has_a_sample_there_is_a_sample(replicas in prop::collection::vec(replica(), 1..4)) {
        let got = run(&replicas, &options("sum"));
        prop_assert!(got.windows(2).all(|w| w[0].0 < w[1].0), "times ascend");
        let end = replicas.iter().flatten().map(|(t, _)| *t).max().unwrap() + TAIL;
        for t in (0..end).step_by(7_001) {
            let any = replicas.iter().any(|r| visible(r, t).is_some());
            prop_assert!(!any || visible(&got, t).is_some(), "nothing at {t}");
        }
        for sample in &got {
            prop_assert!(replicas.iter().any(|r| r.contains(sample)), "{sample:?} was invented");
        }
    }

    #[test]
    fn monotone_replicas_give_a_monotone_result(replicas in prop::collection::vec(replica(), 1..4)) {
        let got = run(&replicas, &options("rate"));
        prop_assert!(got.windows(2).all(|w| w[1].1 >= w[0].1), "{got:?}");
    }
}

/// No counter has such values, yet they are there to be asked for.
#[test]
fn infinite_values_are_not_counted_on() {
    let odd = [1.0, f64::INFINITY, 3.0, f64::NAN, f64::NEG_INFINITY, 2.0, f64::INFINITY];
    let all: Vec<(i64, f64)> = (0..200).map(|i| (i * 15_000, odd[i as usize % odd.len()])).collect();
    let bits = |list: &[(i64, f64)]| list.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>();
    for gap in 20..20 + odd.len() {
        let other: Vec<_> = [&all[..gap], &all[gap + 10..]].concat();
        let again: Vec<_> = [&all[..gap + 40], &all[gap + 50..]].concat();
        assert_eq!(bits(&run(&[other, again], &options("increase"))), bits(&all), "{gap}");
    }
}
