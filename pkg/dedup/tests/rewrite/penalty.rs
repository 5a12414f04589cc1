//! One replica is followed.

use dedup::Method;
use model::{is_stale, stale_nan};
use proptest::prelude::*;

use crate::{Samples, lane, merge, samples};

const LOOKBACK: i64 = 300_000;

/// So long after the last sample of all a sample must be visible: the last scrape that one replica saw is not shown again as
/// another saw it.
const TAIL: i64 = LOOKBACK - LOOKBACK / 4;

/// A scrape each `every` seconds from `start`, but for the seconds in `but`; the value is the time.
fn scrapes(start: i64, every: i64, end: i64, but: std::ops::Range<i64>) -> Samples {
    (start..end).step_by(every as usize).filter(|s| !but.contains(s)).map(|s| (s * 1000, s as f64)).collect()
}

fn run(replicas: &[Samples], size: usize) -> Samples {
    let chunks = (1..).zip(replicas).flat_map(|(id, s)| lane(id, s, size)).collect();
    samples(&merge(chunks, Method::Penalty).0)
}

fn falls(samples: &[(i64, f64)]) -> Vec<i64> {
    samples.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[1].0 / 1000).collect()
}

#[test]
fn the_followed_replicas_chunks_go_as_they_are() {
    let (a, b) = (lane(1, &scrapes(0, 15, 7200, 0..0), 120), lane(2, &scrapes(7, 15, 7180, 0..0), 120));
    let (got, merged) = merge([a.clone(), b].concat(), Method::Penalty);
    assert!(got == a.iter().map(|c| c.chunk.clone()).collect::<Vec<_>>());
    assert_eq!((merged.copied, merged.rewritten, merged.samples_left_out), (4, 0, 479));
}

#[test]
fn a_gap_is_filled_and_only_its_chunks_are_written_anew() {
    let (a, b) = (scrapes(0, 30, 36_000, 9000..10_800), scrapes(10, 30, 36_000, 0..0));
    let chunks = [lane(1, &a, 120), lane(2, &b, 120)].concat();
    let (got, merged) = merge(chunks, Method::Penalty);
    let times: Vec<i64> = samples(&got).iter().map(|s| s.0 / 1000).collect();
    assert!(times.windows(2).all(|w| w[1] - w[0] <= 45), "{times:?}");
    let at = times.iter().position(|t| *t == 8970).unwrap();
    assert_eq!(times[at..at + 3], [8970, 9010, 9040]);
    assert!(merged.copied >= 6, "{merged:?}");
    assert!(merged.rewritten <= 3, "{merged:?}");
}

#[test]
fn r3485_a_dead_replicas_stale_marker_does_not_hide_the_live_one() {
    let mut a = scrapes(0, 30, 600, 0..0);
    a.push((600_000, stale_nan()));
    let b = scrapes(17, 30, 1200, 0..0);
    let got = run(&[a, b], 120);
    assert!(got.iter().all(|(_, v)| !is_stale(*v)));
    assert_eq!(got.last().unwrap().0, 1_187_000);
}

#[test]
fn r2890_no_false_reset_where_the_other_replica_lags() {
    // b's values are those of 40 s, or of 20 minutes, before; a pauses, ends, and pauses at a chunk's end.
    for lag in [40.0, 1200.0] {
        for but in [2400..2700, 2400..9000, 3600..3900, 3570..9000] {
            let a = scrapes(0, 30, 6000, but.clone());
            let b: Samples = scrapes(5, 30, 6000, 0..0).into_iter().map(|(t, v)| (t, (v - lag).max(0.0))).collect();
            let got = run(&[a, b], 120);
            assert_eq!(falls(&got), [] as [i64; 0], "{lag} {but:?}");
            assert!(got.windows(2).all(|w| w[1].0 - w[0].0 < LOOKBACK), "{lag} {but:?}: {got:?}");
        }
    }
}

#[test]
fn no_false_reset_between_chunks_that_do_not_overlap() {
    let a = scrapes(0, 30, 3600, 0..0);
    let b: Samples = scrapes(3605, 30, 7200, 0..0).into_iter().map(|(t, v)| (t, v - 40.0)).collect();
    let got = run(&[a.clone(), b.clone()], 60);
    assert_eq!(falls(&got), [] as [i64; 0]);
    // Where the other replica has caught up already nothing is touched.
    let ahead: Samples = b.iter().map(|(t, v)| (*t, v + 40.0)).collect();
    let (_, merged) = merge([lane(1, &a, 60), lane(2, &ahead, 60)].concat(), Method::Penalty);
    assert_eq!((merged.copied, merged.rewritten, merged.samples_left_out), (4, 0, 0));
}

#[test]
fn no_near_double_where_replicas_chunks_end_together() {
    // b ends 0.3 s before a goes on, a second behind; chunks so small that none overlap.
    let a: Samples = [6..140, 666..940].map(|r| scrapes(r.start, 15, r.end, 0..0)).concat();
    let a: Samples = a.into_iter().map(|(t, v)| (t + 294, v - 1.0)).collect();
    let b = scrapes(126, 30, 690, 0..0);
    for size in [1, 2, 7, 120] {
        let got = run(&[a.clone(), b.clone()], size);
        assert_eq!(falls(&got), [] as [i64; 0], "{size}");
        assert!(got.windows(2).all(|w| (7_500..=45_000).contains(&(w[1].0 - w[0].0))), "{size}: {got:?}");
    }
}

#[test]
fn real_resets_stay() {
    let reset = |offset: i64, but: std::ops::Range<i64>| -> Samples {
        let drop = |(t, v): (i64, f64)| (t, if t >= 1_000_000 { v - 1000.0 } else { v });
        scrapes(offset, 30, 3000, but).into_iter().map(drop).collect()
    };
    for size in [7, 120] {
        assert_eq!(falls(&run(&[reset(0, 900..1500), reset(5, 0..0)], size)), [1025]);
        assert_eq!(falls(&run(&[reset(0, 990..1500), reset(5, 0..0)], size)), [1025]);
        // The reset lies in the gap between one replica's end and the other's begin.
        let (a, b) = (reset(0, 960..9000), reset(1050, 0..0));
        assert_eq!(falls(&run(&[a, b], size)), [1050]);
    }
}

#[test]
fn a_gauge_keeps_its_values() {
    let wave = |start: i64, but| -> Samples {
        scrapes(start, 30, 6000, but).into_iter().map(|(t, _)| (t, ((t / 1000) as f64 / 300.0).sin())).collect()
    };
    let (a, b) = (wave(0, 2000..3000), wave(11, 0..0));
    let got = run(&[a.clone(), b.clone()], 120);
    assert!(got.iter().all(|s| a.contains(s) || b.contains(s)));
    assert!(got.windows(2).all(|w| w[1].0 - w[0].0 <= 90_000), "{got:?}");
}

#[test]
fn chunks_of_unknown_replicas_find_their_lanes() {
    let (a, b) = (scrapes(0, 15, 7200, 0..0), scrapes(7, 15, 7180, 0..0));
    let mut chunks = [lane(1, &a, 120), lane(2, &b, 120)].concat();
    chunks.iter_mut().for_each(|c| c.replica = 0);
    let (got, _) = merge(chunks, Method::Penalty);
    assert!(samples(&got) == a);
}

/// What an instant selector with a look-back sees at `t`.
fn visible(samples: &[(i64, f64)], t: i64, lookback: i64) -> Option<f64> {
    let behind = samples.partition_point(|(time, _)| *time <= t);
    let last = samples[..behind].last()?;
    (last.0 > t - lookback && !is_stale(last.1)).then_some(last.1)
}

/// A replica: (gap before in scrapes, scrapes) runs, with an interval and an offset; it lags by so many seconds.
fn replica() -> impl Strategy<Value = Samples> {
    let runs = prop::collection::vec((0i64..40, 1i64..40), 1..6);
    let lag = prop_oneof![2 => Just(0i64), 1 => 0i64..60];
    (runs, prop::sample::select(vec![15i64, 30, 60, 120, 240, 290]), 0i64..15_000, lag).prop_map(
        |(runs, interval, offset, lag)| {
            let (mut t, mut out) = (offset, Vec::new());
            for (gap, length) in runs {
                t += gap * interval * 1000;
                for _ in 0..length {
                    // Far from zero, where who lags would look like who restarts.
                    out.push((t, (t / 1000 - lag + 100_000) as f64));
                    t += interval * 1000;
                }
            }
            out
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_hole_no_fall_nothing_invented(replicas in prop::collection::vec(replica(), 1..4), size in 1usize..130) {
        let got = run(&replicas, size);
        // One sample of a replica that is behind may be left out, lest the value falls; no hole is longer for it than a
        // pause that is none.
        let spacing = |r: &Samples| r.windows(2).map(|w| w[1].0 - w[0].0).min().unwrap_or(0);
        let reach = LOOKBACK.max(replicas.iter().map(spacing).max().unwrap_or(0) * 3 / 2);
        let end = replicas.iter().flatten().map(|(t, _)| *t).max().unwrap() + TAIL;
        for t in (0..end).step_by(7_001) {
            let any = replicas.iter().any(|r| visible(r, t, LOOKBACK).is_some());
            prop_assert!(!any || visible(&got, t, reach).is_some(), "nothing at {}", t);
        }
        for sample in &got {
            prop_assert!(replicas.iter().any(|r| r.contains(sample)), "{:?} was invented", sample);
        }
        prop_assert_eq!(falls(&got), [] as [i64; 0]);
    }
}
