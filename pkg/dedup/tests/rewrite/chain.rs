//! Every distinct time is kept.

use std::collections::BTreeMap;

use dedup::Method;
use dedup::rewrite::{LaneChunk, MergeError, SeriesMerger};
use model::{is_stale, stale_nan};
use proptest::prelude::*;

use crate::{Samples, lane, merge, samples};

fn every(from: i64, to: i64, step: usize) -> Samples {
    (from..to).step_by(step).map(|t| (t, t as f64)).collect()
}

#[test]
fn what_does_not_overlap_passes_undecoded() {
    let mut chunks = [lane(1, &every(0, 100, 10), 3), lane(2, &every(200, 300, 10), 3)].concat();
    // No chunk at all.
    chunks[1].chunk.data = bytes::Bytes::from_static(b"\x01");
    let want: Vec<_> = chunks.iter().map(|c| c.chunk.clone()).collect();
    let (got, merged) = merge(chunks, Method::Chain);
    assert_eq!(got, want);
    assert!(got.iter().zip(&want).all(|(a, b)| a.data.as_ptr() == b.data.as_ptr()));
    assert_eq!((merged.copied, merged.rewritten), (8, 0));
}

#[test]
fn doubles_are_dropped() {
    let a = lane(1, &every(0, 100, 10), 4);
    let (got, merged) = merge([a.clone(), lane(2, &every(0, 100, 10), 4)].concat(), Method::Chain);
    assert_eq!(got, a.iter().map(|c| c.chunk.clone()).collect::<Vec<_>>());
    assert_eq!((merged.copied, merged.duplicates, merged.samples_left_out), (3, 3, 0));
}

#[test]
fn only_what_overlaps_is_written_anew() {
    let a = lane(1, &every(0, 1000, 10), 20);
    let b = lane(2, &[(455, 1.0), (461, 2.0)], 20);
    let (got, merged) = merge([a.clone(), b].concat(), Method::Chain);
    assert_eq!((merged.copied, merged.rewritten), (4, 1));
    assert_eq!(got[2].num_samples(), Ok(22));
    assert_eq!(got[3], a[3].chunk);
}

#[test]
fn chunks_have_at_most_120_samples() {
    let (got, _) = merge([lane(1, &every(0, 1000, 2), 250), lane(2, &every(1, 1000, 2), 175)].concat(), Method::Chain);
    let sizes: Vec<_> = got.iter().map(|c| c.num_samples().unwrap()).collect();
    assert_eq!(sizes, [120, 120, 120, 120, 120, 120, 120, 120, 40]);
}

#[test]
fn of_equal_times_the_higher_order_stays_but_no_marker_takes_a_samples_place() {
    let a = [(10, 1.0), (20, 1.0), (30, stale_nan()), (40, 1.0)];
    let b = [(10, 2.0), (20, stale_nan()), (30, 2.0), (35, 2.0)];
    let (got, merged) = merge([lane(1, &a, 120), lane(2, &b, 120)].concat(), Method::Chain);
    assert_eq!(samples(&got), [(10, 2.0), (20, 1.0), (30, 2.0), (35, 2.0), (40, 1.0)]);
    assert_eq!(merged.samples_left_out, 3);
}

#[test]
fn samples_out_of_order_come_to_their_place() {
    let (got, merged) = merge(
        [lane(1, &[(10, 1.0), (30, 3.0), (20, 2.0), (20, 2.5), (60, 6.0)], 120), lane(2, &[(40, 4.0)], 120)].concat(),
        Method::Chain,
    );
    assert_eq!(samples(&got).iter().map(|s| s.0).collect::<Vec<_>>(), [10, 20, 30, 40, 60]);
    assert_eq!(merged.samples_out_of_order, 2);
}

#[test]
fn damage_where_chunks_overlap_is_told() {
    let mut chunks = [lane(1, &every(0, 100, 10), 120), lane(7, &every(5, 100, 10), 120)].concat();
    chunks[1].chunk.data = chunks[1].chunk.data.slice(..9);
    let mut out = vec![chunks[0].chunk.clone()];
    let error = SeriesMerger::default().merge(chunks, Method::Chain, &mut out).unwrap_err();
    assert!(matches!(error, MergeError::Chunk { min_time: 5, max_time: 95, replica: 7, .. }), "{error}");
    assert_eq!(out.len(), 1);
}

#[test]
fn nothing_comes_of_nothing() {
    assert_eq!(merge(Vec::new(), Method::Chain).0, []);
    assert_eq!(merge(Vec::new(), Method::Penalty).0, []);
}

fn lanes() -> impl Strategy<Value = Vec<(Samples, usize)>> {
    let value = prop_oneof![8 => (0i32..9).prop_map(f64::from), 1 => Just(stale_nan()), 1 => any::<f64>()];
    let samples = prop::collection::btree_map(0i64..600, value, 1..200);
    prop::collection::vec((samples.prop_map(|m| m.into_iter().collect()), 1usize..150), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_sample_is_lost_or_invented(lanes in lanes()) {
        let mut want: BTreeMap<i64, u64> = BTreeMap::new();
        let mut chunks: Vec<LaneChunk> = Vec::new();
        for (replica, (list, size)) in (1u64..).zip(&lanes) {
            chunks.extend(lane(replica, list, *size));
            for (t, v) in list {
                let place = want.entry(*t).or_insert(v.to_bits());
                if !is_stale(*v) || is_stale(f64::from_bits(*place)) {
                    *place = v.to_bits();
                }
            }
        }
        let (got, merged) = merge(chunks, Method::Chain);
        let got: BTreeMap<i64, u64> = samples(&got).into_iter().map(|(t, v)| (t, v.to_bits())).collect();
        prop_assert_eq!(merged.samples_out_of_order, 0);
        prop_assert_eq!(got, want);
    }
}
