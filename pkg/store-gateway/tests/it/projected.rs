//! Series without the labels that nobody looks at are the same series.

use std::sync::Arc;

use block::BlockId;
use chunkenc::TimedChunk;
use storage::{Select, Series, is_projected};

use crate::common::*;
use crate::crafted;
use crate::disorder::{Case, as_large, cases};

const HOUR: i64 = 3_600_000;

/// What is left of series, in an order that does not depend on what was left out: chunks as begin and bytes.
fn left(series: &[Series], names: &[String]) -> Vec<(String, Vec<(i64, Vec<u8>)>)> {
    let one = |series: &Series| {
        let chunks = series.chunks.iter().map(|c| TimedChunk::try_from(c).unwrap());
        (series.labels.only(names).to_string(), chunks.map(|c| (c.min_time, c.data.to_vec())).collect())
    };
    let mut all: Vec<(String, Vec<(i64, Vec<u8>)>)> = series.iter().map(one).collect();
    all.sort();
    all
}

fn names(of: &[&str]) -> Arc<[String]> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

/// Asks for all labels, and for those of `names`.
async fn both(component: &store_gateway::Store, want: &Select, names: &Arc<[String]>, what: &str) {
    let full = ask(component, want).await;
    let want = Select { labels: Some(names.clone()), ..want.clone() };
    let answer = ask(component, &want).await;
    assert!(answer.value.iter().all(|s| is_projected(&s.labels)), "{what}: all are told apart in one way");
    for one in &answer.value {
        assert!(one.labels.iter().skip(1).all(|(name, _)| names.iter().any(|n| n == name)), "{what}: {}", one.labels);
    }
    assert_eq!(left(&answer.value, names), left(&full.value, names), "{what}");
    assert_eq!(answer.warnings, full.warnings, "{what}");
}

#[tokio::test]
async fn of_one_block_and_of_several() {
    for blocks in [1, 3] {
        let mut f = Fixture::new();
        for n in 0..blocks {
            let from = n * HOUR / 2;
            let series = fleet("up", 600, from, 4);
            f.raw(n as u128, &[("cluster", "a"), ("replica", "r0")], (from, from + HOUR), series).await;
        }
        for (large, batch_series) in [(false, 1000), (true, 1000), (false, 3)] {
            let component = f
                .gateway(|c| {
                    c.batch_series = batch_series;
                    if large {
                        as_large(c);
                    }
                })
                .await;
            for kept in [&[][..], &["__name__", "cluster", "job"], &["instance", "none"]] {
                for without in [&[][..], &["replica"], &["instance"]] {
                    let want =
                        Select { without_replica_labels: names(without), ..select((0, 4 * HOUR), &["__name__=up"]) };
                    let what = format!("{blocks} blocks, large: {large}, {batch_series}, {kept:?} without {without:?}");
                    both(&component, &want, &names(kept), &what).await;
                }
            }
        }
    }
}

/// Twice the same series, labels in another order: nothing is told apart by its place then.
#[tokio::test]
async fn of_blocks_in_disorder() {
    for Case { what, series, reversed, .. } in cases() {
        let f = Fixture::new();
        crafted::put(&f.plain, BlockId::new(1_700_000_000_000, 2), "a", (HOUR, 2 * HOUR), &series, reversed).await;
        for large in [false, true] {
            for kept in [&[][..], &["__name__"], &["cluster", "x"]] {
                let want = select((0, 3 * HOUR), &["__name__=m"]);
                let change = |c: &mut store_gateway::Config| {
                    if large {
                        as_large(c);
                    }
                };
                // Once before anything is known of the block, and once after.
                let projected = Select { labels: Some(names(kept)), ..want.clone() };
                let first = ask(&f.gateway(change).await, &projected).await;
                let component = f.gateway(change).await;
                both(&component, &want, &names(kept), what).await;
                let full = ask(&component, &want).await;
                assert_eq!(left(&first.value, &names(kept)), left(&full.value, &names(kept)), "{what}, large: {large}");
            }
        }
    }
}

/// An entry that is longer than guessed is read once more, behind its neighbours.
#[tokio::test]
async fn of_entries_longer_than_guessed() {
    let mut f = Fixture::new();
    let mut series = fleet("up", 300, 0, 10);
    for at in [0, 7, 8, 150, 299] {
        let long = "x".repeat(3000);
        let labels = series[at].labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
        // Their labels are short, and their chunks many.
        let lists: Vec<Vec<(i64, f64)>> = (0..400).map(|n| vec![(n * 1000, n as f64)]).collect();
        let lists: Vec<&[(i64, f64)]> = lists.iter().map(Vec::as_slice).collect();
        let more = testkit::series_with_chunks(&[], &lists);
        series[at] = Series { labels: labels::Labels::from_pairs(labels.chain([("long".to_owned(), long)])), ..more };
    }
    f.raw(1, &[("cluster", "a")], (0, HOUR), series).await;
    for large in [false, true] {
        let component = f
            .gateway(|c| {
                c.series_bytes = 128;
                if large {
                    as_large(c);
                }
            })
            .await;
        both(&component, &select((0, HOUR), &["__name__=up"]), &names(&["job"]), "long entries").await;
        both(&component, &select((0, HOUR), &["job=~job-[0-3]"]), &names(&["job"]), "long entries, some").await;
    }
}
