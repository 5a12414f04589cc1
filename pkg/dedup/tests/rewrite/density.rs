//! A deduplicated series is at every place about as dense as its densest replica: replicas of any intervals, which change
//! and pause, against what they scraped and the process behind it.

use std::collections::BTreeMap;

use chunkenc::TimedChunk;
use dedup::Method;
use dedup::rewrite::LaneChunk;
use downsample::Downsampler;
use model::stale_nan;
use proptest::prelude::*;

use crate::kinds::{Kind, Scrape, chunks, kind};
use crate::replicas::{FINE, LOOKBACK, Process, TAIL, process, visible};
use crate::ways::{Value, at_query, exposed, resets, told, values, windows};
use crate::{Samples, lane, merge, samples};

/// Scrapes at one interval, ms.
#[derive(Debug, Clone)]
struct Stretch {
    pause: i64,
    interval: i64,
    scrapes: i64,
    marker: bool,
}

#[derive(Debug, Clone)]
struct Replica {
    offset: i64,
    /// Thousandths of the interval.
    jitter: i64,
    stretches: Vec<Stretch>,
    /// Samples in a chunk.
    size: usize,
}

impl Replica {
    fn scrapes(&self) -> Vec<Scrape> {
        let (mut t, mut out) = (self.offset, Vec::new());
        for stretch in &self.stretches {
            t += stretch.pause;
            for n in 0..stretch.scrapes {
                let time = t + n * 7919 % (stretch.interval * self.jitter / 1000 + 1);
                out.push((time, Some(time)));
                t += stretch.interval;
            }
            if stretch.marker {
                out.push((t, None));
                t += stretch.interval;
            }
        }
        out
    }
}

fn replica(intervals: &'static [i64], markers: bool) -> impl Strategy<Value = Replica> {
    let pause = prop_oneof![3 => Just(0i64), 2 => 0i64..400_000, 1 => 400_000i64..3_000_000];
    let marker = prop::bool::weighted(if markers { 0.3 } else { 0.0 });
    let stretch = (pause, prop::sample::select(intervals), 1i64..80, marker)
        .prop_map(|(pause, interval, scrapes, marker)| Stretch { pause, interval: interval * 1000, scrapes, marker });
    (0i64..30_000, 0i64..30, prop::collection::vec(stretch, 1..5), 2usize..130)
        .prop_map(|(offset, jitter, stretches, size)| Replica { offset, jitter, stretches, size })
}

const INTERVALS: &[i64] = &[10, 12, 15, 15, 20, 30, 60, 60, 120, 200];
const ALL_INTERVALS: &[i64] = &[10, 15, 60, 200, 290, 600];

fn replicas(intervals: &'static [i64], markers: bool) -> impl Strategy<Value = Vec<Replica>> {
    prop::collection::vec(replica(intervals, markers), 2..5)
}

fn lanes(kind: Kind, process: &Process, replicas: &[Replica]) -> Vec<LaneChunk> {
    (1u64..).zip(replicas).flat_map(|(id, r)| chunks(kind, process, id, &r.scrapes(), r.size)).collect()
}

fn live_times(samples: &[(i64, Value)]) -> Vec<i64> {
    samples.iter().filter(|(_, v)| *v != Value::Stale).map(|(t, _)| *t).collect()
}

fn count(times: &[i64], from: i64, to: i64) -> usize {
    times.partition_point(|t| *t < to) - times.partition_point(|t| *t < from)
}

/// In windows of several of the shortest spacing in them: as many samples as the densest replica has, but for a share that
/// is not worth a change of replicas, one or two at the borders, and `passed` over. Not where `spared` says so.
fn dense(
    replicas: &[Replica],
    got: &[i64],
    passed: f64,
    spared: impl Fn(i64, i64) -> bool,
) -> Result<(), TestCaseError> {
    let live = |r: &Replica| r.scrapes().iter().filter(|(_, seen)| seen.is_some()).map(|(t, _)| *t).collect();
    let each: Vec<Vec<i64>> = replicas.iter().map(live).collect();
    for scrapes in &each {
        for (most, share, border) in [(10, 0.75, 2.0), (40, 0.8, 3.0)] {
            for window in scrapes.windows(most) {
                let (from, to) = (window[0], window[most - 1] + 1);
                let (shown, least) = (count(got, from, to) as f64, most as f64 * share - border - passed);
                prop_assert!(shown >= least || spared(from, to), "{} of {} from {} to {}", shown, most, from, to);
            }
        }
    }
    Ok(())
}

/// Of what is rewritten. Nobody knows that numbers are a gauge's: until they have fallen twice, some that are less are
/// passed over. Beside a restart a counter that is less may lag behind.
fn dense_rewritten(kind: Kind, process: &Process, replicas: &[Replica], got: &[i64]) -> Result<(), TestCaseError> {
    let restarts = |from: i64, to: i64| !kind.is_gauge() && process.restarts(from - 3 * LOOKBACK, to);
    dense(replicas, got, if kind == Kind::Gauge { 4.0 } else { 0.0 }, restarts)
}

/// Two samples side by side are not one scrape seen twice, unless nothing follows for long.
fn no_doubles(replicas: &[Replica], got: &[i64]) -> Result<(), TestCaseError> {
    let least = |s: &Stretch, jitter: i64| s.interval - s.interval * jitter / 1000;
    let spacings = replicas.iter().flat_map(|r| r.stretches.iter().map(|s| least(s, r.jitter)));
    let near = spacings.min().unwrap_or(0) / 2;
    for w in got.windows(2) {
        let own = replicas.iter().any(|r| r.scrapes().windows(2).any(|s| s[0].0 == w[0] && s[1].0 == w[1]));
        let alone = count(got, w[0] + near, w[0] + LOOKBACK) == 0;
        prop_assert!(own || alone || w[1] - w[0] >= near.min(LOOKBACK / 4), "{} and {}", w[0], w[1]);
    }
    Ok(())
}

/// At no time nothing where a replica has a sample within the look-back. Only at the very end a last scrape that others
/// have seen may be missing.
fn no_hole(replicas: &[Replica], got: &[(i64, Value)]) -> Result<(), TestCaseError> {
    let number = |stale: bool| if stale { stale_nan() } else { 0.0 };
    let each: Vec<Samples> =
        replicas.iter().map(|r| r.scrapes().iter().map(|(t, seen)| (*t, number(seen.is_none()))).collect()).collect();
    let shown: Samples = got.iter().map(|(t, v)| (*t, number(*v == Value::Stale))).collect();
    let end = each.iter().flatten().map(|(t, _)| *t).max().unwrap_or(0) + TAIL;
    for t in (0..end).step_by(7_001) {
        let any = each.iter().any(|s| visible(s.iter().copied(), t, LOOKBACK));
        prop_assert!(!any || visible(shown.iter().copied(), t, LOOKBACK), "nothing at {}", t);
    }
    Ok(())
}

/// Every sample is one that a replica has; a counter rises as the process counts.
fn true_to(kind: Kind, process: &Process, replicas: &[Replica], got: &[(i64, Value)]) -> Result<(), TestCaseError> {
    prop_assert!(got.windows(2).all(|w| w[0].0 < w[1].0), "times ascend");
    for (t, value) in got {
        let mut at = replicas.iter().flat_map(Replica::scrapes).filter(|(time, _)| time == t);
        prop_assert!(at.any(|(_, seen)| exposed(kind, process, seen).same(value)), "{:?} at {} was invented", value, t);
    }
    // Of two restarts within three scrapes nobody can tell which were shown.
    let three = replicas.iter().flat_map(|r| &r.stretches).map(|s| 3 * s.interval).max().unwrap_or(0);
    let starts = |from: i64, to: i64| process.starts.iter().filter(|start| (from..to).contains(*start)).count();
    let mut before: Option<&(i64, Value)> = None;
    for now in got.iter().filter(|(_, v)| *v != Value::Stale && !kind.is_gauge()) {
        let Some((t, value)) = before.replace(now) else { continue };
        let (seen, is_less) = resets(value, &now.1);
        let known = process.restarts(*t, now.0) || starts(t - three, now.0) > 1;
        prop_assert!(!seen || known, "no restart from {} to {}", t, now.0);
        prop_assert!(seen || !is_less, "a reset is denied at {}", now.0);
    }
    Ok(())
}

/// What counter functions see rises as the process counts, from each sample to the next.
fn rises(process: &Process, got: &[(i64, Value)]) -> Result<(), TestCaseError> {
    let mut before: Option<(i64, f64)> = None;
    for (t, value) in got {
        let Value::Number(now) = *value else { continue };
        let Some((from, was)) = before.replace((*t, now)) else { continue };
        let rise = if now < was { now } else { now - was };
        let real = process.total(*t) - process.total(from);
        prop_assert!(rise <= real, "{} instead of {} from {} to {}", rise, real, from, t);
        // A scrape seen twice may be taken for the one before.
        prop_assert!(
            process.restarts(from, *t) || rise >= (real / 2.0).min(real - LOOKBACK as f64 / 500.0) - 1.0,
            "{} instead of {} from {} to {}",
            rise,
            real,
            from,
            t
        );
    }
    Ok(())
}

/// `PROPTEST_CASES` tries more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rewritten(kind in kind(), process in process(), replicas in replicas(INTERVALS, false)) {
        let got = values(&merge(lanes(kind, &process, &replicas), Method::Penalty).0);
        true_to(kind, &process, &replicas, &got)?;
        no_hole(&replicas, &got)?;
        dense_rewritten(kind, &process, &replicas, &live_times(&got))?;
        no_doubles(&replicas, &live_times(&got))?;
    }

    #[test]
    fn asked_for(kind in kind(), process in process(), replicas in replicas(INTERVALS, false)) {
        let lanes = lanes(kind, &process, &replicas);
        let spared = |from: i64, to: i64| kind.is_histogram() && process.restarts(from - 3 * LOOKBACK, to);
        let got = at_query(&lanes, "max_over_time");
        no_hole(&replicas, &got)?;
        dense(&replicas, &live_times(&got), 0.0, spared)?;
        no_doubles(&replicas, &live_times(&got))?;
        let got = at_query(&lanes, "rate");
        no_hole(&replicas, &got)?;
        dense(&replicas, &live_times(&got), 0.0, spared)?;
        if kind == Kind::Counter {
            rises(&process, &got)?;
        }
    }

    #[test]
    fn rare_scrapes_and_markers(kind in kind(), process in process(), replicas in replicas(ALL_INTERVALS, true)) {
        let lanes = lanes(kind, &process, &replicas);
        let got = values(&merge(lanes.clone(), Method::Penalty).0);
        true_to(kind, &process, &replicas, &got)?;
        dense_rewritten(kind, &process, &replicas, &live_times(&got))?;
        if !kind.is_histogram() {
            dense(&replicas, &live_times(&at_query(&lanes, "max_over_time")), 0.0, |_, _| false)?;
        }
    }

    #[test]
    fn rare_scrapes(process in process(), replicas in replicas(ALL_INTERVALS, false)) {
        let lanes = lanes(Kind::Counter, &process, &replicas);
        no_hole(&replicas, &values(&merge(lanes.clone(), Method::Penalty).0))?;
        no_hole(&replicas, &at_query(&lanes, "max_over_time"))?;
    }

    #[test]
    fn a_query_shows_what_a_rewrite_keeps(
        kind in kind().prop_filter("a rewrite does not know that numbers are a gauge's", |kind| *kind != Kind::Gauge),
        process in process().prop_map(Process::with_starts_apart),
        replicas in replicas(ALL_INTERVALS, true),
    ) {
        let lanes = lanes(kind, &process, &replicas);
        let (kept, queried) = (values(&merge(lanes.clone(), Method::Penalty).0), at_query(&lanes, "max_over_time"));
        let first = kept.iter().zip(&queried).find(|(a, b)| a.0 != b.0 || !a.1.same(&b.1));
        prop_assert!(first.is_none() && kept.len() == queried.len(), "{:?}: {} {}", first, kept.len(), queried.len());
    }

    #[test]
    fn downsampled(kind in kind(), process in process(), replicas in replicas(INTERVALS, false)) {
        let mut all = Vec::new();
        let mut most: BTreeMap<i64, f64> = BTreeMap::new();
        for (id, r) in (1u64..).zip(&replicas) {
            let raw: Vec<TimedChunk> =
                chunks(kind, &process, id, &r.scrapes(), r.size).into_iter().map(|l| l.chunk).collect();
            for (key, window) in windows(&values(&raw), FINE) {
                let most = most.entry(key).or_insert(0.0);
                *most = most.max(window.count);
            }
            let mut fine = Vec::new();
            Downsampler::new().raw(&raw, FINE, &mut fine).unwrap();
            all.extend(fine.into_iter().map(|chunk| LaneChunk { replica: id, order: id as u32, chunk }));
        }
        let got = told(&merge(all, Method::Penalty).0, FINE);
        let counts: BTreeMap<i64, f64> = got.into_iter().map(|(key, window)| (key, window.count)).collect();
        prop_assert_eq!(counts, most);
    }

    /// Whatever the offset and however they jitter, one is followed from its begin to its end.
    #[test]
    fn equal_replicas_do_not_alternate(
        interval in prop::sample::select(vec![10_000i64, 15_000, 60_000]),
        offsets in prop::collection::vec(0i64..1000, 2..4),
        jitter in prop_oneof![Just(0i64), 0i64..200],
        sizes in prop::collection::vec(prop::sample::select(vec![2usize, 7, 120]), 3),
    ) {
        let replica = |(offset, size): (&i64, &usize)| Replica {
            offset: offset * interval / 1000,
            jitter,
            stretches: vec![Stretch { pause: 0, interval, scrapes: 300, marker: false }],
            size: *size,
        };
        let replicas: Vec<Replica> = offsets.iter().zip(&sizes).map(replica).collect();
        let process = Process { starts: Vec::new() };
        let lanes = lanes(Kind::Counter, &process, &replicas);
        let first = replicas.iter().min_by_key(|r| r.scrapes()[0].0).unwrap();
        let want: Vec<i64> = first.scrapes().iter().map(|(t, _)| *t).collect();
        prop_assert_eq!(&live_times(&values(&merge(lanes.clone(), Method::Penalty).0)), &want);
        for function in ["max_over_time", "rate"] {
            prop_assert_eq!(&live_times(&at_query(&lanes, function)), &want);
        }
    }

    /// A denser replica that lags behind is taken up once, and kept.
    #[test]
    fn a_denser_replica_that_lags_behind(
        lag in 0i64..280,
        sparse in prop::sample::select(vec![30i64, 60, 200]),
        later in 0i64..3000,
    ) {
        let count = |t: i64| 1_000_000.0 + (t * 4) as f64;
        let a: Samples = (0..20_000).step_by(sparse as usize).map(|t| (t * 1000, count(t))).collect();
        let b: Samples = (later..20_000).step_by(15).map(|t| (t * 1000 + 1, count(t - lag))).collect();
        let got = samples(&merge([lane(1, &a, 120), lane(2, &b, 120)].concat(), Method::Penalty).0);
        prop_assert!(got.windows(2).all(|w| w[0].1 <= w[1].1), "a reset");
        let hole = got.windows(2).map(|w| w[1].0 - w[0].0).max();
        prop_assert!(hole <= Some(LOOKBACK), "{:?}", hole);
        let kept = got.iter().filter(|(t, _)| *t >= later * 1000).count();
        prop_assert!(kept as i64 + (2 * lag + 2 * sparse) / 15 + 4 >= b.len() as i64, "{} of {}", kept, b.len());
    }
}

/// Replicas of the series of numbers that `value` gives, each (first second, interval, samples).
fn both(lanes: &[(i64, i64, i64)], value: impl Fn(u64, i64) -> f64) -> [Samples; 2] {
    let one = |(id, (from, every, samples)): (u64, &(i64, i64, i64))| -> Vec<LaneChunk> {
        let list: Samples = (0..*samples).map(|n| from + n * every).map(|t| (t, value(id, t))).collect();
        lane(id, &list, 120)
    };
    let all: Vec<LaneChunk> = (1u64..).zip(lanes).flat_map(one).collect();
    let kept = samples(&merge(all.clone(), Method::Penalty).0);
    let number = |v: Value| if let Value::Number(v) = v { v } else { stale_nan() };
    let asked = at_query(&all, "count_over_time").into_iter().map(|(t, v)| (t, number(v))).collect();
    [kept, asked]
}

#[test]
fn a_lane_whose_spacing_is_not_known_yet_is_left() {
    // 18 samples beside one before the first of them and one 270 s later.
    for got in both(&[(3190, 15_000, 18), (2086, 270_000, 2)], |_, t| f64::from(u8::from(t == 138_190))) {
        assert!(got.len() >= 18, "{got:?}");
        assert!(got.contains(&(138_190, 1.0)), "{got:?}");
    }
    // Beside one in their middle.
    for got in both(&[(3190, 15_000, 18), (100_086, 290_000, 2)], |_, _| 1.0) {
        assert_eq!(got.len(), 19, "{got:?}");
    }
    // One that is scraped every ten minutes.
    for got in both(&[(603_190, 15_000, 40), (2086, 600_000, 5)], |_, _| 1.0) {
        assert!(got.len() >= 43, "{got:?}");
    }
}

#[test]
fn a_sparse_replica_that_begins_first_is_left() {
    for every in [30_000, 60_000, 200_000] {
        for got in both(&[(3190, 15_000, 400), (2086, every, 6_000_000 / every)], |_, _| 1.0) {
            assert!((399..=402).contains(&got.len()), "{every}: {}", got.len());
        }
    }
    // Less than twice as dense: found out after a while.
    for (dense, sparse) in [(10_000, 15_000), (12_000, 15_000), (50_000, 60_000)] {
        for got in both(&[(3190, dense, 400), (2086, sparse, 400 * dense / sparse)], |_, _| 1.0) {
            assert!((390..=405).contains(&got.len()), "{dense} {sparse}: {}", got.len());
        }
    }
}

#[test]
fn replicas_that_show_different_constants_are_no_counter_that_lags() {
    for (a, b) in [(0.0, 1.0), (1.0, 0.0), (7.0, 5.0)] {
        let value = |id, _| if id == 1 { a } else { b };
        for got in both(&[(3190, 15_000, 400), (2086, 60_000, 100)], value) {
            assert!(got.len() >= 398, "{a} {b}: {}", got.len());
        }
    }
}

#[test]
fn a_dense_replica_stays_where_only_one_that_lags_far_behind_is_left() {
    // The dense one ends in the middle.
    let value = |id: u64, t: i64| (t - if id == 1 { 0 } else { 400_000 }) as f64;
    let [kept, asked] = both(&[(1_003_190, 15_000, 400), (1_002_086, 60_000, 200)], value);
    assert!(kept.len() >= 450, "{}", kept.len());
    assert!(asked.len() >= 490, "{}", asked.len());
}

#[test]
fn doubles_of_rare_scrapes() {
    let replica = |offset, stretches: &[(i64, i64, i64, bool)]| Replica {
        offset,
        jitter: 0,
        stretches: stretches
            .iter()
            .map(|(pause, interval, scrapes, marker)| Stretch {
                pause: *pause,
                interval: *interval,
                scrapes: *scrapes,
                marker: *marker,
            })
            .collect(),
        size: 2,
    };
    let replicas = [
        replica(0, &[(0, 60_000, 65, false), (33_236, 10_000, 1, true)]),
        replica(0, &[(960_001, 10_000, 51, false), (0, 600_000, 5, false)]),
        replica(0, &[(270_002, 600_000, 7, true)]),
        replica(0, &[(0, 200_000, 21, false)]),
    ];
    let lanes = lanes(Kind::Counter, &Process { starts: Vec::new() }, &replicas);
    let times = |samples: Vec<(i64, Value)>| -> Vec<i64> { samples.into_iter().map(|(t, _)| t).collect() };
    let kept = times(values(&merge(lanes.clone(), Method::Penalty).0));
    assert_eq!(kept, times(at_query(&lanes, "max_over_time")));
}
