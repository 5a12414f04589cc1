//! Answers from downsampled data are those of the raw samples behind it, where the aggregates hold them.

mod common;

use std::sync::Arc;

use chunkenc::{Encoding, encode_xor};
use common::{DAY, FIVE, HOUR, Levels, MINUTE, Random, Sample, assert_near, engine, range, rise, source, steps};
use promql::{Query, ReadOptions, Value};
use storage::{AggrChunk, Aggregate, Chunk, Ctx, EncodedChunk, SeriesSource};

const START: i64 = 472_222 * HOUR;

/// A gauge each `every` ms over `hours`, some samples missing.
fn gauge(every: i64, hours: i64, random: &mut Random) -> Vec<Sample> {
    let ticks = hours * HOUR / every;
    let all = (0..ticks).map(|i| (START + 1234 + i * every, random.below(1000) as f64 - 300.0));
    all.collect::<Vec<_>>().into_iter().filter(|_| random.below(11) != 0).collect()
}

/// A counter each minute over `hours`, set to what `reset` says at the samples it says.
fn counter(hours: i64, random: &mut Random, reset: impl Fn(usize) -> Option<f64>) -> Vec<Sample> {
    let mut value = 5000.0;
    (0..hours as usize * 60)
        .map(|i| {
            value = reset(i).unwrap_or(value + random.below(50) as f64);
            (START + 2345 + i as i64 * MINUTE, value)
        })
        .collect()
}

fn strict() -> ReadOptions {
    ReadOptions { max_resolution_ms: HOUR, ..ReadOptions::default() }
}

/// Looks back far enough for 1 h data.
fn wide() -> ReadOptions {
    ReadOptions { lookback_ms: 2 * HOUR, ..strict() }
}

async fn values(
    source: &Arc<dyn SeriesSource>,
    query: &str,
    times: (i64, i64, i64),
    o: &ReadOptions,
) -> Vec<Option<f64>> {
    steps(&range(source, query, times, o).await)
}

#[tokio::test]
async fn windows_at_their_borders_hold_what_raw_samples_hold() {
    let mut random = Random(1);
    for every in [15_000, 60_000] {
        let samples = gauge(every, 40, &mut random);
        let levels = Levels::of(&samples);
        let raw = source(levels.raw.clone());
        for (resolution, ranges) in [(FIVE, ["5m", "10m", "1h", "7h"]), (HOUR, ["1h", "2h", "7h", "1d"])] {
            let coarse = source(levels.level(resolution).to_vec());
            let times = (START + HOUR - 1, START + 39 * HOUR - 1, resolution);
            for f in ["count", "sum", "avg", "min", "max", "present"] {
                for r in ranges {
                    let query = format!("{f}_over_time(m[{r}])");
                    let (got, want) =
                        (values(&coarse, &query, times, &strict()).await, values(&raw, &query, times, &strict()).await);
                    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                        assert_near(*got, *want, &format!("{query} at {resolution} ms, step {i}"));
                    }
                }
            }
            let times = (START + 2 * HOUR - 1, START + 39 * HOUR - 1, resolution);
            // Sums and averages of instants are of averages, not of sums.
            for query in ["sum(m)", "avg(m)", "m", "avg(sum_over_time(m[1m:1m]))", "-max(-min_over_time(m[1m:1m]))"] {
                let got = values(&coarse, query, times, &wide()).await;
                let least = values(&raw, &format!("min_over_time(m[{}s])", resolution / 500), times, &strict()).await;
                let most = values(&raw, &format!("max_over_time(m[{}s])", resolution / 500), times, &strict()).await;
                for (i, v) in got.iter().enumerate() {
                    let inside = v.is_some_and(|v| least[i].unwrap() <= v && v <= most[i].unwrap());
                    assert!(inside, "{query} at {resolution} ms, step {i}: {v:?}");
                }
            }
            for (query, want) in [("count(m)", "1"), ("count_over_time(m[1m:1m])", "1"), ("group(m)", "1")] {
                let got = values(&coarse, query, times, &wide()).await;
                assert!(got.iter().all(|v| v.is_some_and(|v| v.to_string() == want)), "{query}: {got:?}");
            }
            for (query, same) in [
                ("min(m)", "min_over_time(m[W])"),
                ("max(m)", "max_over_time(m[W])"),
                ("max(-m)", "-min_over_time(m[W])"),
                ("min(-m)", "-max_over_time(m[W])"),
            ] {
                let same = same.replace('W', &format!("{}s", resolution / 1000));
                let (got, want) =
                    (values(&coarse, query, times, &strict()).await, values(&raw, &same, times, &strict()).await);
                assert_eq!(got, want, "{query} at {resolution}");
            }
        }
    }
}

/// A selector that asks for the number of distinct values is no request for counts.
#[tokio::test]
async fn count_values_counts_values() {
    let samples: Vec<Sample> = (0..600).map(|i| (START + i * MINUTE, 7.0)).collect();
    let coarse = source(Levels::of(&samples).five);
    let o = strict();
    let result = engine()
        .evaluate(
            &Ctx::background(),
            coarse,
            Query::instant("count_values(\"v\", m)", START + 2 * HOUR - 1).reading(o.clone()),
        )
        .await;
    let Value::Vector { samples, .. } = result.unwrap().value else { panic!("no vector") };
    assert_eq!(samples[0].labels.value("v"), "7");
}

#[tokio::test]
async fn r1568_resets_at_each_border_count() {
    let plain = Levels::of(&counter(30, &mut Random(3), |_| None));
    // Ends of windows and of chunks, of both resolutions.
    let ends = |chunks: &[Chunk]| chunks.iter().map(|c| c.max_time).collect::<Vec<_>>();
    let mut borders = ends(&plain.five);
    borders.extend(ends(&plain.hour));
    borders.extend([START + 10 * HOUR - 1, START + 10 * HOUR + FIVE - 1, START + 7 * HOUR + FIVE / 2]);
    for border in borders {
        let at = ((border - START - 2345) / MINUTE) as usize;
        for reset_at in at.saturating_sub(2)..=at + 3 {
            for to in [0.0, 4000.0] {
                let samples = counter(30, &mut Random(3), |i| (i == reset_at).then_some(to));
                let levels = Levels::of(&samples);
                for resolution in [FIVE, HOUR] {
                    let coarse = source(levels.level(resolution).to_vec());
                    let times = (START + 2 * HOUR - 1, START + 30 * HOUR - 1, resolution);
                    let got = values(&coarse, "increase(m[2h] anchored)", times, &wide()).await;
                    for (i, got) in got.iter().enumerate() {
                        let end = times.0 + i as i64 * resolution;
                        // What lies before the first sample is not known.
                        let want = rise(&samples, (end - 2 * HOUR).max(samples[0].0), end);
                        assert_near(
                            *got,
                            Some(want),
                            &format!("reset to {to} at {reset_at}, {resolution} ms, step {i}"),
                        );
                    }
                    let resets =
                        values(&coarse, "resets(m[1d])", (START + 29 * HOUR - 1, START + 29 * HOUR - 1, 1), &wide())
                            .await;
                    let seen = (6 * 60..29 * 60 - 1).contains(&reset_at) && to == 0.0;
                    assert!(!seen || resets == [Some(1.0)], "reset to {to} at {reset_at}: {resets:?}");
                }
            }
        }
    }
}

/// Rates over one window, some and many, with restarts at the borders of windows, chunks and ranges: as over raw samples.
#[tokio::test]
async fn rates_are_those_of_raw_samples() {
    let plain = Levels::of(&counter(30, &mut Random(3), |_| None));
    let mut borders = vec![START + 10 * HOUR, START + 12 * HOUR + FIVE, START + 15 * HOUR + FIVE / 2];
    borders.extend([&plain.five, &plain.hour].map(|chunks| chunks[0].max_time));
    for border in borders {
        let at = ((border - START - 2345) / MINUTE) as usize;
        for reset_at in at - 1..=at + 2 {
            for to in [0.0, 30.0] {
                // Restarts come in a pair, so that one lies in the window behind the other.
                let resets = |i: usize| [reset_at, reset_at + 4].contains(&i).then_some(to);
                let samples = counter(30, &mut Random(3), resets);
                let levels = Levels::of(&samples);
                let raw = source(levels.raw.clone());
                for (resolution, hours) in [(FIVE, &["5m", "1h", "6h"][..]), (HOUR, &["1h", "6h"])] {
                    let coarse = source(levels.level(resolution).to_vec());
                    let times = (START + 7 * HOUR - 1, START + 30 * HOUR - 1, resolution);
                    for r in hours {
                        for f in ["rate", "increase"] {
                            // Exact, from sample to sample.
                            let query = format!("{f}(m[{r}] anchored)");
                            let want = values(&raw, &query, times, &wide()).await;
                            let got = values(&coarse, &query, times, &wide()).await;
                            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                                let what =
                                    format!("{query} at {resolution} ms, resets to {to} at {reset_at}, step {i}");
                                assert_near(*got, *want, &what);
                            }
                        }
                        // Extrapolated: only what lies between two ends of windows is known.
                        let query = format!("rate(m[{r}])");
                        let want = values(&raw, &query, times, &strict()).await;
                        let given = values(&coarse, &query, times, &strict()).await;
                        let auto = ReadOptions { max_resolution_ms: resolution, auto_resolution: true, ..strict() };
                        let auto = values(&coarse, &query, times, &auto).await;
                        for (i, want) in want.iter().enumerate() {
                            let what = format!("{query} at {resolution} ms, resets to {to} at {reset_at}, step {i}");
                            let want = want.unwrap();
                            // Up to 49 a minute, of which a restart may take some.
                            let near = |v: f64| {
                                (0.0..49.0 / 60.0).contains(&v)
                                    && (*r == "5m" || *r == "1h" && resolution == HOUR || (v - want).abs() < 0.12)
                            };
                            assert!(auto[i].is_some_and(near), "{what}: {:?}, not {want}", auto[i]);
                            assert!(given[i].is_none_or(near), "{what}: {:?}, not {want}", given[i]);
                        }
                    }
                }
            }
        }
    }
}

/// All three resolutions, each for a part of the time or for more than that.
#[tokio::test]
async fn what_is_there_at_several_resolutions_counts_once() {
    let mut random = Random(5);
    let gauges = gauge(30_000, 72, &mut random);
    let counters = counter(72, &mut random, |i| (i % 701 == 700).then_some((i % 3) as f64));
    let cut = |chunks: &[Chunk], from: i64, to: i64| -> Vec<Chunk> {
        let inside = |c: &&Chunk| c.max_time >= START + from * HOUR && c.min_time < START + to * HOUR;
        chunks.iter().filter(inside).cloned().collect()
    };
    for (name, parts) in [
        ("all of everything", [(0, 72), (0, 72), (0, 72)]),
        ("one after the other", [(48, 72), (24, 48), (0, 24)]),
        ("the other way round", [(0, 24), (24, 48), (48, 72)]),
        ("raw in the middle", [(30, 40), (0, 72), (0, 30)]),
        ("raw beside 1 h", [(20, 40), (0, 0), (0, 72)]),
        ("raw and 5 m over all of 1 h", [(50, 72), (20, 60), (0, 72)]),
    ] {
        let mixed = |levels: &Levels| {
            let mut all = cut(&levels.raw, parts[0].0, parts[0].1);
            all.extend(cut(&levels.five, parts[1].0, parts[1].1));
            all.extend(cut(&levels.hour, parts[2].0, parts[2].1));
            source(all)
        };
        let levels = Levels::of(&gauges);
        let (coarse, raw) = (mixed(&levels), source(levels.raw.clone()));
        let times = (START + 6 * HOUR - 1, START + 72 * HOUR - 1, HOUR);
        for f in ["count", "sum", "avg", "min", "max"] {
            let query = format!("{f}_over_time(m[6h])");
            let (got, want) =
                (values(&coarse, &query, times, &strict()).await, values(&raw, &query, times, &strict()).await);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_near(*got, *want, &format!("{name}: {query}, step {i}"));
            }
        }
        let coarse = mixed(&Levels::of(&counters));
        let times = (START + 8 * HOUR - 1, START + 72 * HOUR - 1, HOUR);
        let got = values(&coarse, "increase(m[6h] anchored)", times, &wide()).await;
        for (i, got) in got.iter().enumerate() {
            let end = times.0 + i as i64 * HOUR;
            let want = rise(&counters, end - 6 * HOUR, end);
            assert_near(*got, Some(want), &format!("{name}: increase, step {i}"));
        }
    }
}

/// Of raw data that stops in the middle of a window the window tells more; where raw data is whole, its samples show.
#[tokio::test]
async fn finer_data_shows_where_it_is_whole() {
    let samples: Vec<Sample> = (0..12 * 60).map(|i| (START + i * MINUTE, i as f64)).collect();
    let levels = Levels::of(&samples);
    let half = Levels::of(&samples[..5 * 60 + 20]);
    let mut chunks = levels.hour.clone();
    chunks.extend(half.raw);
    let times = (START + 4 * HOUR + 30 * MINUTE, START + 6 * HOUR, 10 * MINUTE);
    let got = values(&source(chunks), "m", times, &wide()).await;
    // The sixth hour is a window, and shows its mean.
    let want = [270.0, 280.0, 290.0, 299.0, 329.5, 329.5, 329.5, 329.5, 329.5, 329.5];
    assert_eq!(got, want.map(Some));
}

/// Two replicas' windows: for each the fuller one, whole.
#[tokio::test]
async fn of_replicas_the_fuller_window_counts() {
    let mut random = Random(9);
    let every = 30_000;
    let replica = |offset: i64, random: &mut Random| -> Vec<Sample> {
        let mut down = 0;
        (0..48 * HOUR / every)
            .map(|i| (START + offset + i * every, (i * 37 % 100) as f64))
            .filter(|_| {
                down = if down > 0 {
                    down - 1
                } else if random.below(150) == 0 {
                    random.below(200)
                } else {
                    0
                };
                down == 0
            })
            .collect()
    };
    let (a, b) = (replica(1000, &mut random), replica(14_000, &mut random));
    let of = |samples: &[Sample], id: u64, resolution: i64| -> Vec<Chunk> {
        Levels::of(samples).level(resolution).iter().map(|c| Chunk { replica: id, ..c.clone() }).collect()
    };
    for resolution in [FIVE, HOUR] {
        let mut fuller: Vec<Sample> = Vec::new();
        let mut last = &a;
        for window in START / resolution..(START + 48 * HOUR) / resolution {
            let inside =
                |s: &[Sample]| -> Vec<Sample> { s.iter().filter(|s| s.0 / resolution == window).copied().collect() };
            let (x, y) = (inside(&a), inside(&b));
            if x.len() > y.len() {
                last = &a;
            } else if y.len() > x.len() {
                last = &b;
            }
            fuller.extend(inside(last));
        }
        let want = source(Levels::of(&fuller).raw);
        for ids in [(7, 8), (0, 0)] {
            let mut chunks = of(&a, ids.0, resolution);
            chunks.extend(of(&b, ids.1, resolution));
            // The same chunk from two stores.
            chunks.push(chunks[0].clone());
            let got = source(chunks);
            let times = (START + 6 * HOUR - 1, START + 48 * HOUR - 1, resolution);
            for f in ["count", "sum", "avg", "min", "max"] {
                let query = format!("{f}_over_time(m[6h])");
                let (got, want) =
                    (values(&got, &query, times, &strict()).await, values(&want, &query, times, &strict()).await);
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert_near(*got, *want, &format!("{query} at {resolution} ms, replicas {ids:?}, step {i}"));
                }
            }
        }
    }
}

/// T#2548, T#7271: replicas of a counter, one of them often down; no rise is counted twice, none is taken for a reset.
#[tokio::test]
async fn r2548_replicas_of_a_counter_rise_once() {
    let samples = counter(48, &mut Random(11), |i| (i == 1300).then_some(3.0));
    let mut random = Random(12);
    let mut down = 0;
    let mut gappy = |s: &&Sample| {
        down = if down > 0 {
            down - 1
        } else if random.below(100) == 0 {
            random.below(200)
        } else {
            0
        };
        down == 0 || s.0 == samples[0].0
    };
    let (a, b): (Vec<Sample>, Vec<Sample>) =
        (samples.iter().filter(&mut gappy).copied().collect(), samples.iter().filter(&mut gappy).copied().collect());
    for resolution in [FIVE, HOUR] {
        let mut chunks: Vec<Chunk> = Vec::new();
        for (id, s) in [(7, &a), (8, &b)] {
            chunks.extend(Levels::of(s).level(resolution).iter().map(|c| Chunk { replica: id, ..c.clone() }));
        }
        let both = source(chunks);
        let times = (START + 3 * HOUR - 1, START + 47 * HOUR - 1, resolution);
        let got = values(&both, "increase(m[1h] anchored)", times, &wide()).await;
        for (i, v) in got.iter().enumerate() {
            let end = times.0 + i as i64 * resolution;
            let there = |s: &[Sample]| s.iter().any(|s| s.0 > end - HOUR && s.0 <= end);
            if !there(&a) && !there(&b) {
                continue;
            }
            // A rise behind a gap of both may show late.
            let limit = rise(&samples, end - 5 * HOUR, end) + 1e-6;
            assert!(v.is_some_and(|v| (0.0..=limit).contains(&v)), "{resolution} ms, step {i}: {v:?}, limit {limit}");
        }
        let all = values(&both, "increase(m[44h] anchored)", (times.1, times.1, 1), &wide()).await[0].unwrap();
        // What one of them saw. In the chunk with the reset it is not known which sample a window ends with.
        let mut seen: Vec<Sample> = a.iter().chain(&b).copied().collect();
        seen.sort_by_key(|s| s.0);
        seen.dedup();
        let want = rise(&seen, times.1 - 44 * HOUR, times.1);
        assert!((all - want).abs() <= want * 0.02, "{resolution} ms: {all}, not {want}");
    }
}

/// A day of 1 h windows as raw data would have it: no sample is lost where a chunk begins or ends.
#[tokio::test]
async fn long_series_keep_every_sample() {
    let samples: Vec<Sample> = (0..30 * 24 * 60).map(|i| (START + i * MINUTE, i as f64)).collect();
    let levels = Levels::of(&samples);
    assert!(levels.five.len() > 2 && levels.hour.len() > 2);
    for resolution in [FIVE, HOUR] {
        let coarse = source(levels.level(resolution).to_vec());
        let times = (START + DAY - 1, START + 30 * DAY - 1, DAY);
        for v in values(&coarse, "count_over_time(m[1d])", times, &strict()).await {
            assert_eq!(v, Some(1440.0));
        }
    }
}

/// Downsampled native histograms have no minima and maxima, which is told; tests/native_downsampled.rs has what they have.
#[tokio::test]
async fn histograms_left_out_are_told() {
    let count = encode_xor((0..10).map(|i| (START + (i + 1) * FIVE - 1, 5.0))).unwrap();
    let mut aggr = AggrChunk::default();
    aggr.parts[Aggregate::Count as usize] = Some(EncodedChunk { encoding: Encoding::Xor, data: count.into() });
    for aggregate in [Aggregate::Sum, Aggregate::Counter] {
        let data = vec![0, 0, 0].into();
        aggr.parts[aggregate as usize] = Some(EncodedChunk { encoding: Encoding::FloatHistogram, data });
    }
    let source = source(vec![Chunk::aggr(START, START + 10 * FIVE - 1, aggr)]);
    let times = (START + 4 * FIVE - 1, START + 10 * FIVE - 1, FIVE);
    for (function, want) in [("count", Some(20.0)), ("present", Some(1.0)), ("min", None), ("max", None)] {
        let result = range(&source, &format!("{function}_over_time(m[20m])"), times, &strict()).await;
        assert!(steps(&result).iter().all(|v| *v == want), "{function}: {:?}", steps(&result));
        assert_eq!(result.annotations.iter().count(), usize::from(want.is_none()), "{function}");
    }
    for query in ["resets(m[20m])", "changes(m[20m])"] {
        let result = range(&source, query, times, &strict()).await;
        assert!(result.annotations.iter().any(|a| a.text.contains("native histogram")), "{query}");
    }
}

/// One replica's data is left at 5 m, the other's at 1 h, and each was down for a time.
#[tokio::test]
async fn replicas_at_different_resolutions_count_once() {
    let replica = |offset: i64, down: std::ops::Range<i64>| -> Vec<Sample> {
        let ticks = (0..48 * 60).filter(|i| !down.contains(&(i / 60)));
        ticks.map(|i| (START + offset + i * MINUTE, (i * 60) as f64)).collect()
    };
    let (a, b) = (replica(1000, 10..14), replica(31_000, 20..23));
    for (of_a, of_b) in [(FIVE, HOUR), (HOUR, FIVE)] {
        let mut chunks: Vec<Chunk> = Vec::new();
        for (id, samples, level) in [(7, &a, of_a), (8, &b, of_b)] {
            chunks.extend(Levels::of(samples).level(level).iter().map(|c| Chunk { replica: id, ..c.clone() }));
        }
        let both = source(chunks);
        let times = (START + 3 * HOUR - 1, START + 48 * HOUR - 1, 20 * MINUTE);
        for automatic in [false, true] {
            let o = ReadOptions { auto_resolution: automatic, ..strict() };
            for (query, want) in [
                ("count_over_time(m[2h])", 120.0),
                ("count_over_time(m[5m])", 5.0),
                ("increase(m[2h])", 7200.0),
                ("rate(m[10m])", 1.0),
                ("sum_over_time(m[1h]) / avg_over_time(m[1h])", 60.0),
                ("present_over_time(m[5m])", 1.0),
                ("count(m)", 1.0),
            ] {
                for (i, v) in values(&both, query, times, &o).await.into_iter().enumerate() {
                    let near = v.is_some_and(|v| (v - want).abs() <= want * 0.05);
                    assert!(near, "{query} over {of_a} and {of_b} ms, automatic {automatic}, is {v:?} at step {i}");
                }
            }
        }
    }
}
