//! What every source of series must do, over one block and over blocks that share the series.

use storage::Series;
use storage::conformance::{self, EXTERNAL, START_MS, Traits};

use crate::common::*;

const TRAITS: Traits = Traits { budgeted: true, exact_label_times: false };

/// The chunks that begin in `range`.
fn part(range: (i64, i64)) -> Vec<Series> {
    let inside = |s: Series| {
        let chunks: Vec<_> = s.chunks.into_iter().filter(|c| (range.0..range.1).contains(&c.min_time)).collect();
        (!chunks.is_empty()).then_some(Series { labels: s.labels, chunks })
    };
    conformance::series().into_iter().filter_map(inside).collect()
}

#[tokio::test]
async fn one_block() {
    let mut f = Fixture::new();
    let range = (START_MS, conformance::range().max + 1);
    f.raw(1, &EXTERNAL, range, conformance::series()).await;
    let component = f.gateway(|_| {}).await;
    conformance::run(&component.gateway, TRAITS).await;
}

#[tokio::test]
async fn blocks_one_after_the_other() {
    let mut f = Fixture::new();
    let (begin, middle, end) = (START_MS, START_MS + 2 * 30 * 60 * 1000, conformance::range().max + 1);
    for (n, range) in [(1, (begin, middle)), (2, (middle, end))] {
        f.raw(n, &EXTERNAL, range, part(range)).await;
    }
    let component = f.gateway(|_| {}).await;
    conformance::run(&component.gateway, TRAITS).await;
}
