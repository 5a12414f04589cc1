//! Random floats against a plain model.

use std::collections::BTreeMap;

use chunkenc::{Column, CounterReader, Encoding, TimedChunk, aggr};
use downsample::Downsampler;
use model::{is_stale, stale_nan};
use proptest::prelude::*;

use crate::{Samples, part, xor};

const FINE: i64 = 100;
const COARSE: i64 = 1200;

/// Pauses, values and markers; the values are a counter's, with resets, or a gauge's.
fn series() -> impl Strategy<Value = Samples> {
    let step = prop_oneof![8 => 1i64..40, 2 => 40i64..400, 1 => 400i64..5000];
    let value = prop_oneof![12 => (0u32..50).prop_map(f64::from), 3 => -5.0..5.0f64, 1 => Just(f64::NAN)];
    let sample = (step, value, 0u8..20, 0u8..25);
    (prop::collection::vec(sample, 1..1500), any::<bool>(), -3000i64..3000).prop_map(|(list, counter, start)| {
        let (mut time, mut total) = (start, 0.0);
        list.into_iter()
            .map(|(step, value, stale, reset)| {
                time += step;
                if counter && !value.is_nan() {
                    total = if reset == 0 { value.abs().floor() } else { total + value.abs().floor() };
                }
                let value = if counter && !value.is_nan() { total } else { value };
                (time, if stale == 0 { stale_nan() } else { value })
            })
            .collect()
    })
}

fn chunks(samples: &[(i64, f64)], size: usize) -> Vec<TimedChunk> {
    samples.chunks(size).map(xor).collect()
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Window {
    count: f64,
    sum: f64,
    min: f64,
    max: f64,
}

/// Windows as the definition has them.
fn windows(samples: &[(i64, f64)], resolution: i64) -> BTreeMap<i64, Window> {
    let mut out: BTreeMap<i64, Window> = BTreeMap::new();
    for (time, value) in samples.iter().filter(|(_, v)| !v.is_nan()) {
        let window = out.entry(time.div_euclid(resolution)).or_insert(Window {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            ..Window::default()
        });
        window.count += 1.0;
        window.sum += value;
        window.min = window.min.min(*value);
        window.max = window.max.max(*value);
    }
    out
}

/// What the chunks tell of each window; a window that two chunks share is put together.
fn told(chunks: &[TimedChunk], resolution: i64) -> BTreeMap<i64, Window> {
    let mut out: BTreeMap<i64, Window> = BTreeMap::new();
    let parts: Vec<Samples> = (0..4).map(|place| part(chunks, place).concat()).collect();
    for (i, (time, count)) in parts[0].iter().enumerate() {
        assert!(parts.iter().all(|p| p[i].0 == *time && p.len() == parts[0].len()));
        let (sum, min, max) = (parts[1][i].1, parts[2][i].1, parts[3][i].1);
        out.entry(time.div_euclid(resolution))
            .and_modify(|w| {
                w.count += count;
                w.sum += sum;
                w.min = w.min.min(min);
                w.max = w.max.max(max);
            })
            .or_insert(Window { count: *count, sum, min, max });
    }
    out
}

/// The reset-corrected total at each sample.
fn totals(samples: &[(i64, f64)]) -> Vec<(i64, f64)> {
    let mut state: Option<(f64, f64)> = None;
    let live = samples.iter().filter(|(_, v)| !v.is_nan());
    live.map(|(time, value)| {
        let total = match state {
            None => *value,
            Some((total, last)) if *value < last => total + value,
            Some((total, last)) => total + (value - last),
        };
        state = Some((total, *value));
        (*time, total)
    })
    .collect()
}

fn read_counter(chunks: &[TimedChunk]) -> Samples {
    let (mut reader, mut out) = (CounterReader::new(), Column::new());
    for chunk in chunks {
        let parts = aggr::decode(&chunk.data).unwrap();
        let (encoding, data) = parts[4].as_ref().unwrap();
        reader.read(*encoding, data, &mut out).unwrap();
    }
    out.iter().collect()
}

/// At the end of each window the counter must say what the raw samples say.
fn check_counter(chunks: &[TimedChunk], raw: &[(i64, f64)], exact: bool) {
    let totals = totals(raw);
    let counter = read_counter(chunks);
    assert!(counter.windows(2).all(|w| w[0].0 < w[1].0));
    let last = counter.last().map(|(_, v)| *v);
    let want = totals.last().map(|(_, v)| *v);
    for (time, value) in counter {
        let at = totals.partition_point(|(t, _)| *t <= time);
        let want = totals[at - 1].1;
        let near = (value - want).abs() <= 1e-9 * (1.0 + want.abs());
        assert!(if exact { value == want } else { near }, "{value} at {time}, {want} in the raw samples");
    }
    assert_eq!(last.map(|v| v.round()), want.map(|v| v.round()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn windows_are_exact(samples in series(), size in 1usize..200) {
        let integers = samples.iter().all(|(_, v)| v.is_nan() || v.fract() == 0.0);
        let mut downsampler = Downsampler::new();
        let (mut fine, mut coarse, mut direct) = (Vec::new(), Vec::new(), Vec::new());
        let report = downsampler.raw(&chunks(&samples, size), FINE, &mut fine).unwrap();
        let live = samples.iter().filter(|(_, v)| !v.is_nan()).count() as u64;
        prop_assert_eq!(report.samples, live);
        prop_assert_eq!(report.stale, samples.iter().filter(|(_, v)| is_stale(*v)).count() as u64);
        prop_assert_eq!(report.samples + report.stale + report.nan, samples.len() as u64);
        // Bit for bit: the sum too, since it is taken in the same order.
        prop_assert_eq!(told(&fine, FINE), windows(&samples, FINE));
        prop_assert!(fine.windows(2).all(|w| w[0].max_time < w[1].min_time));

        downsampler.aggregates(&fine, FINE, COARSE, &mut coarse).unwrap();
        downsampler.raw(&chunks(&samples, size), COARSE, &mut direct).unwrap();
        let (from_fine, from_raw) = (told(&coarse, COARSE), told(&direct, COARSE));
        prop_assert_eq!(from_fine.len(), from_raw.len());
        for ((index, a), (_, b)) in from_fine.iter().zip(&from_raw) {
            prop_assert_eq!((a.count, a.min, a.max), (b.count, b.min, b.max), "window {}", index);
            let bound = f64::EPSILON * b.count.sqrt() * b.count * b.min.abs().max(b.max.abs());
            prop_assert!((a.sum - b.sum).abs() <= bound, "{} {}", a.sum, b.sum);
        }
        prop_assert!(coarse.windows(2).all(|w| w[0].max_time < w[1].min_time));
        // The total of a gauge that is below zero falls, and means nothing.
        if live > 0 && samples.iter().all(|(_, v)| v.is_nan() || *v >= 0.0) {
            check_counter(&fine, &samples, integers);
            check_counter(&coarse, &samples, integers);
            check_counter(&direct, &samples, integers);
        }
    }

    #[test]
    fn resets_at_every_place_beside_a_chunks_border(
        shift in -2i64..3, before in 1u32..1000, after in 0u32..2000, size in 2usize..40,
    ) {
        // Long enough for several output chunks; one reset near each border.
        let mut value = 0.0;
        let samples: Samples = (0..12_000i64)
            .map(|i| {
                value += 1.0;
                if (i + shift) % 1201 == 0 {
                    value = f64::from(if i % 2 == 0 { before } else { after });
                }
                (i * 60_000, value)
            })
            .collect();
        let (mut fine, mut coarse) = (Vec::new(), Vec::new());
        Downsampler::new().raw(&chunks(&samples, 120 * size), 300_000, &mut fine).unwrap();
        prop_assert!(fine.len() > 10);
        check_counter(&fine, &samples, true);
        Downsampler::new().aggregates(&fine, 300_000, 3_600_000, &mut coarse).unwrap();
        prop_assert!(coarse.len() > 1);
        check_counter(&coarse, &samples, true);
    }

    #[test]
    fn whatever_the_bytes_are_nothing_panics(
        list in prop::collection::vec((0u8..8, prop::collection::vec(any::<u8>(), 0..80)), 0..6),
    ) {
        let encodings = [1u8, 2, 3, 4, 5, 6, 0xff, 0xff].map(|b| Encoding::from_byte(b).unwrap());
        let chunks: Vec<TimedChunk> = list
            .into_iter()
            .map(|(e, data)| TimedChunk { min_time: 0, max_time: 0, encoding: encodings[e as usize], data: data.into() })
            .collect();
        let mut downsampler = Downsampler::new();
        let mut out = Vec::new();
        let _ = downsampler.raw(&chunks, 100, &mut out);
        let _ = downsampler.aggregates(&chunks, 100, 1000, &mut out);
    }
}
