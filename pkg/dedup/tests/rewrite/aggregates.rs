//! Downsampled chunks, window by window.

use std::collections::BTreeMap;

use chunkenc::{Column, CounterReader, Encoding, TimedChunk, aggr, decode_floats};
use dedup::Method;
use dedup::rewrite::LaneChunk;
use downsample::Downsampler;
use proptest::prelude::*;

use crate::{Samples, lane, merge};

const FINE: i64 = 300_000;
const COARSE: i64 = 3_600_000;

/// A replica's samples downsampled.
fn fine(replica: u64, samples: &[(i64, f64)]) -> Vec<LaneChunk> {
    let chunks: Vec<TimedChunk> = lane(replica, samples, 120).into_iter().map(|l| l.chunk).collect();
    let mut out = Vec::new();
    Downsampler::new().raw(&chunks, FINE, &mut out).unwrap();
    out.into_iter().map(|chunk| LaneChunk { replica, order: replica as u32, chunk }).collect()
}

fn part(chunks: &[TimedChunk], place: usize) -> Samples {
    let mut column = Column::new();
    for chunk in chunks {
        assert_eq!(chunk.encoding, Encoding::Aggregates);
        let parts = aggr::decode(&chunk.data).unwrap();
        let (encoding, data) = parts[place].as_ref().unwrap();
        decode_floats(*encoding, data, &mut column).unwrap();
    }
    column.iter().collect()
}

fn counter(chunks: &[TimedChunk]) -> Samples {
    let (mut reader, mut out) = (CounterReader::new(), Column::new());
    for chunk in chunks {
        let parts = aggr::decode(&chunk.data).unwrap();
        let (encoding, data) = parts[4].as_ref().unwrap();
        reader.read(*encoding, data, &mut out).unwrap();
    }
    out.iter().collect()
}

fn windows(counts: &[(i64, f64)], resolution: i64) -> BTreeMap<i64, f64> {
    let mut out = BTreeMap::new();
    counts.iter().for_each(|(t, c)| *out.entry(t.div_euclid(resolution)).or_insert(0.0) += c);
    out
}

/// The counter at each sample: one a second, restarting at each of `restarts`.
fn scrapes(from: i64, to: i64, every: i64, restarts: &[i64]) -> Samples {
    let value = |s: i64| s - restarts.iter().filter(|r| **r <= s).max().unwrap_or(&-1000);
    (from..to).step_by(every as usize).map(|s| (s * 1000, value(s) as f64)).collect()
}

/// The total, corrected for resets, at a time.
fn total(samples: &[(i64, f64)], time: i64) -> f64 {
    let mut total = 0.0;
    let mut last = 0.0;
    for (_, v) in samples.iter().take_while(|(t, _)| *t <= time) {
        total += if *v < last { *v } else { v - last };
        last = *v;
    }
    total
}

#[test]
fn overlapping_blocks_of_the_same_samples_make_one() {
    let restarts = [20_000, 50_000, 61_111, 90_000];
    let all = scrapes(0, 200_000, 15, &restarts);
    let cut = |from: i64, to: i64| -> Samples {
        all.iter().copied().filter(|(t, _)| (from..to).contains(&(t / 1000))).collect()
    };
    let chunks = [fine(1, &cut(0, 100_000)), fine(2, &cut(60_500, 200_000))].concat();
    for method in [Method::Chain, Method::Penalty] {
        let (got, merged) = merge(chunks.clone(), method);
        assert!(merged.copied > 0, "{merged:?}");
        let want: Vec<TimedChunk> = fine(1, &all).into_iter().map(|l| l.chunk).collect();
        // Ends of chunks have the last sample's time: compared by windows.
        for place in 0..4 {
            assert_eq!(windows(&part(&got, place), FINE), windows(&part(&want, place), FINE), "aggregate {place}");
        }
        for (time, value) in counter(&got) {
            assert_eq!(value, total(&all, time), "at {time}");
        }
        // And so at the next resolution.
        let mut coarse = Vec::new();
        Downsampler::new().aggregates(&got, FINE, COARSE, &mut coarse).unwrap();
        for (time, value) in counter(&coarse) {
            assert_eq!(value, total(&all, time), "1 h, at {time}");
        }
    }
}

#[test]
fn the_fuller_replica_is_taken_and_no_reset_arises() {
    // b lags by 25 s and fills two gaps of a's.
    let restarts = [40_000];
    let gaps = |s: i64| !(10_000..20_000).contains(&s) && !(70_000..71_000).contains(&s);
    let all = scrapes(0, 100_000, 15, &restarts);
    let a: Samples = all.iter().copied().filter(|(t, _)| gaps(t / 1000)).collect();
    let b: Samples = scrapes(0, 99_000, 15, &restarts).into_iter().map(|(t, v)| (t + 25_000, v)).collect();
    let (got, merged) = merge([fine(1, &a), fine(2, &b)].concat(), Method::Penalty);
    let counts = windows(&part(&got, 0), FINE);
    assert_eq!(counts.len(), 334);
    assert!(counts.values().filter(|c| **c < 19.0).count() <= 2, "{counts:?}");
    let told = counter(&got);
    assert!(told.windows(2).all(|w| w[1].1 >= w[0].1));
    for (time, value) in told {
        let off = value - total(&all, time);
        // Each change of replica may be off by the lag.
        assert!(off.abs() <= 6.0 * 25.0, "{off} at {time}");
    }
    assert!(merged.samples_left_out > 250);
}

#[test]
fn r6775_a_block_that_is_there_twice() {
    let all = scrapes(0, 100_000, 15, &[30_000]);
    let (got, merged) = merge([fine(1, &all), fine(1, &all)].concat(), Method::Chain);
    assert_eq!(got, fine(1, &all).into_iter().map(|l| l.chunk).collect::<Vec<_>>());
    assert_eq!(merged.duplicates, got.len() as u64);
}

#[test]
fn raw_chunks_among_downsampled_ones_are_downsampled() {
    let all = scrapes(0, 50_000, 15, &[]);
    let raw = lane(2, &all[2000..2400], 100);
    let (got, _) = merge([fine(1, &all), raw].concat(), Method::Chain);
    assert_eq!(
        windows(&part(&got, 0), FINE),
        windows(&part(&fine(1, &all).into_iter().map(|l| l.chunk).collect::<Vec<_>>(), 0), FINE)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_window_is_one_replicas_and_the_counter_is_right(
        spans in prop::collection::vec((0i64..60_000, 1i64..60_000), 1..5),
        restarts in prop::collection::btree_set(0i64..110_000, 0..6),
    ) {
        let restarts: Vec<i64> = restarts.into_iter().collect();
        let all = scrapes(0, 120_000, 15, &restarts);
        let replica = |(from, len): &(i64, i64)| -> Samples {
            all.iter().copied().filter(|(t, _)| (*from..from + len).contains(&(t / 1000))).collect()
        };
        let replicas: Vec<Samples> = spans.iter().map(replica).filter(|r| !r.is_empty()).collect();
        prop_assume!(!replicas.is_empty());
        let chunks: Vec<LaneChunk> = (1u64..).zip(&replicas).flat_map(|(id, r)| fine(id, r)).collect();
        let each: Vec<BTreeMap<i64, f64>> = replicas
            .iter()
            .map(|r| windows(&r.iter().map(|(t, _)| (*t, 1.0)).collect::<Vec<_>>(), FINE))
            .collect();
        let (got, _) = merge(chunks, Method::Penalty);
        let counts = windows(&part(&got, 0), FINE);
        for (window, count) in &counts {
            let best = each.iter().filter_map(|w| w.get(window)).copied().fold(0.0, f64::max);
            let sum: f64 = each.iter().filter_map(|w| w.get(window)).sum();
            prop_assert!(best <= *count && *count <= sum, "window {}: {} of {}", window, count, best);
        }
        let any: std::collections::BTreeSet<i64> = each.iter().flat_map(|w| w.keys().copied()).collect();
        prop_assert_eq!(counts.keys().copied().collect::<std::collections::BTreeSet<_>>(), any);
        // Samples of the same counter: rises are right wherever the union of replicas has no pause that hides a restart.
        let told = counter(&got);
        prop_assert!(told.windows(2).all(|w| w[1].0 > w[0].0 && w[1].1 >= w[0].1));
    }
}
