//! Which blocks, which part of them, in which order, within which limits.

use std::sync::Arc;

use chunkenc::{Encoding, encode_xor};
use model::TimeRange;
use storage::{
    AggrChunk, Aggregate, Aggregates, Budget, Chunk, Ctx, EncodedChunk, Error, PartialResponse, Select, Series, Shard,
};
use store_gateway::Limits;

use crate::common::*;

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn several_blocks_are_merged() {
    let mut f = Fixture::new();
    for (n, cluster, from) in [(1, "a", 0), (2, "a", 2), (3, "b", 0), (4, "b", 1), (5, "c", 0)] {
        let series = fleet("up", 40, from * HOUR, 200);
        f.raw(n, &[("cluster", cluster), ("replica", "r0")], (from * HOUR, (from + 2) * HOUR), series).await;
    }
    let component = f.gateway(|_| {}).await;
    for (range, matchers) in [
        ((0, 4 * HOUR), &["__name__=up"][..]),
        ((0, 4 * HOUR), &["cluster=b"]),
        ((0, HOUR / 2), &["cluster=~a|b", "job=job-1"]),
        ((3 * HOUR, 4 * HOUR), &["__name__=up"]),
        ((2 * HOUR, 2 * HOUR), &["instance=host-00001"]),
        ((9 * HOUR, 10 * HOUR), &["__name__=up"]),
    ] {
        let want = select(range, matchers);
        let right = f.right(&want).await;
        assert_eq!(ask(&component, &want).await.value, right, "{range:?} {matchers:?}");
        let want = Select { without_replica_labels: Arc::from(["replica".to_owned()]), ..want };
        let right = f.right(&want).await;
        assert_eq!(ask(&component, &want).await.value, right, "{range:?} {matchers:?} without replica");
        assert!(right.iter().all(|s| s.labels.get("replica").is_none()));
    }
}

/// External labels between the series' own change their order, labels taken away too.
#[tokio::test]
async fn order_is_that_of_the_answer() {
    let mut f = Fixture::new();
    let sets: [&[(&str, &str)]; 8] = [
        &[("a", "1")],
        &[("a", "1"), ("b", "1")],
        &[("a", "1"), ("b", "1"), ("z", "1")],
        &[("a", "1"), ("replica", "x")],
        &[("a", "1"), ("z", "1")],
        &[("a", "2")],
        &[("b", "1"), ("region", "own")],
        &[("z", "1")],
    ];
    let series: Vec<Series> = sets.iter().map(|s| testkit::series(s, &[(0, 1.0), (1000, 2.0)])).collect();
    let externals: [&[(&str, &str)]; 4] =
        [&[], &[("c", "ext")], &[("region", "eu")], &[("c", "ext"), ("replica", "r1"), ("y", "1")]];
    for (n, external) in externals.into_iter().enumerate() {
        let mut f = Fixture::new();
        f.raw(n as u128, external, (0, HOUR), series.clone()).await;
        for without in [&[][..], &["replica"], &["a"], &["c", "b"], &["replica", "nothing"]] {
            for batch_series in [1, 3, 1000] {
                let component = f.gateway(|c| c.batch_series = batch_series).await;
                let without: Vec<String> = without.iter().map(|s| (*s).to_owned()).collect();
                let want = Select { without_replica_labels: without.into(), ..select((0, HOUR), &["no=", "none!=x"]) };
                let right = by_replica(f.right(&want).await);
                let got = ask_with(&component, &Ctx::background(), &want).await.unwrap();
                assert_eq!(by_replica(got.value), right, "{external:?} {:?}", want.without_replica_labels);
            }
        }
    }
    f.raw(9, &[("c", "ext")], (0, HOUR), series).await;
    let want = Select { limit: 3, ..select((0, HOUR), &["a=~.+"]) };
    let component = f.gateway(|_| {}).await;
    assert_eq!(ask(&component, &want).await.value, f.right(&Select { limit: 0, ..want }).await[..3]);
}

/// Chunks of equal times come in any order, and may come twice.
fn by_replica(mut series: Vec<Series>) -> Vec<Series> {
    for series in &mut series {
        series.chunks.sort_by_key(|c| (c.min_time, c.max_time, c.replica));
        series.chunks.dedup();
    }
    series
}

pub fn aggregates(from: i64, to: i64, step: i64) -> Series {
    let points = |scale: f64| (from..to).step_by(step as usize).map(move |t| (t + step - 1, scale * t as f64));
    let part = |scale: f64| EncodedChunk { encoding: Encoding::Xor, data: encode_xor(points(scale)).unwrap().into() };
    let parts = [Some(part(1.0)), Some(part(2.0)), Some(part(3.0)), None, Some(part(5.0))];
    let last = points(1.0).last().unwrap().0;
    let chunk = Chunk::aggr(from + step - 1, last, AggrChunk { parts });
    Series { labels: testkit::labels_of(&[("__name__", "up")]), chunks: vec![chunk] }
}

#[tokio::test]
async fn resolutions() {
    let mut f = Fixture::new();
    let external = &[("cluster", "a")];
    let points: Vec<(i64, f64)> = (0..960).map(|i| (i * 15_000, i as f64)).collect();
    f.raw(1, external, (0, 2 * HOUR), vec![testkit::series(&[("__name__", "up")], &points[..480])]).await;
    f.raw(2, external, (2 * HOUR, 4 * HOUR), vec![testkit::series(&[("__name__", "up")], &points[480..])]).await;
    let series = vec![aggregates(0, 2 * HOUR, 300_000)];
    f.block(Spec { n: 3, external, range: (0, 2 * HOUR), resolution_ms: 300_000, series }).await;
    let component = f.gateway(|_| {}).await;
    let kinds = |series: &[Series]| {
        let chunks = series.iter().flat_map(|s| &s.chunks);
        let (aggr, raw): (Vec<_>, Vec<_>) = chunks.partition(|c| matches!(c.data, storage::ChunkData::Aggr(_)));
        (aggr.len(), raw.len())
    };
    let sums = Aggregates::of(&[Aggregate::Count, Aggregate::Sum]);
    for (max_resolution_ms, aggregates, want_kinds) in
        [(0, Aggregates::NONE, (0, 8)), (299_999, sums, (0, 8)), (300_000, sums, (1, 4)), (i64::MAX, sums, (1, 4))]
    {
        let want = Select { max_resolution_ms, aggregates, ..select((0, 4 * HOUR), &["__name__=up"]) };
        let got = ask(&component, &want).await;
        assert_eq!((kinds(&got.value), got.warnings.len()), (want_kinds, 0), "at {max_resolution_ms}");
    }
    // Exactly what was asked for.
    let want = Select { max_resolution_ms: HOUR, aggregates: sums, ..select((0, HOUR), &["__name__=up"]) };
    let got = ask(&component, &want).await.value;
    let storage::ChunkData::Aggr(parts) = &got[0].chunks[0].data else { panic!("raw chunk") };
    let there: Vec<bool> = parts.parts.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, true, false, false, false]);
    // What is not there is said, or fails.
    let want = Select { aggregates: Aggregates::of(&[Aggregate::Max]), ..want };
    let got = ask(&component, &want).await;
    assert!(got.value.is_empty() && got.warnings[0].contains("has no Max"), "{:?}", got.warnings);
    let want = Select { partial_response: PartialResponse::Abort, ..want };
    assert!(ask_with(&component, &Ctx::background(), &want).await.unwrap_err().to_string().contains("has no Max"));
}

#[tokio::test]
async fn shards_are_a_partition() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, HOUR), fleet("up", 100, 0, 10)).await;
    let component = f.gateway(|_| {}).await;
    for (by, label) in [(true, "instance"), (false, "job"), (true, "cluster")] {
        let mut all = Vec::new();
        for index in 0..3 {
            let shard = Some(Shard { index, total: 3, by, labels: vec![label.to_owned()] });
            let want = Select { shard, ..select((0, HOUR), &["__name__=up"]) };
            let got = ask(&component, &want).await.value;
            assert_eq!(got, f.right(&want).await);
            all.extend(names(&got));
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 100, "{by} {label}");
    }
}

#[tokio::test]
async fn time_partition_and_block_matchers() {
    let mut f = Fixture::new();
    for n in 0..4 {
        let from = NOW_MS - (4 - n) * HOUR;
        f.raw(
            n as u128,
            &[("cluster", if n % 2 == 0 { "a" } else { "b" })],
            (from, from + HOUR),
            fleet("up", 3, from, 240),
        )
        .await;
    }
    let all = select((0, NOW_MS), &["__name__=up"]);
    let spans = |series: &[Series]| {
        let chunks = || series.iter().flat_map(|s| &s.chunks);
        let ago = |t: i64| (NOW_MS - t) as f64 / HOUR as f64;
        (chunks().map(|c| c.min_time).min().map(ago), chunks().map(|c| c.max_time).max().map(|t| ago(t).floor()))
    };
    let component = f.gateway(|_| {}).await;
    assert_eq!(spans(&ask(&component, &all).await.value), (Some(4.0), Some(0.0)));
    assert_eq!(component.gateway.blocks().len(), 4);
    let component = f.gateway(|c| c.times.min = "-90m".into()).await;
    assert_eq!(component.gateway.blocks().len(), 2);
    let info = component.gateway.endpoint_info().unwrap();
    assert_eq!(info.source.range, TimeRange::new(NOW_MS - 90 * 60_000, NOW_MS));
    let component = f.gateway(|c| c.times.max = "-3h".into()).await;
    assert_eq!(component.gateway.endpoint_info().unwrap().source.range.max, NOW_MS - 3 * HOUR);
    assert_eq!(spans(&ask(&component, &all).await.value), (Some(4.0), Some(2.0)));
    let component = f.gateway(|_| {}).await;
    let id = component.gateway.blocks()[2].id.to_string();
    for (matcher, series) in [("cluster=b", 3), ("cluster=~.*", 6), (&*format!("__block_id={id}"), 3), ("nothing=x", 0)]
    {
        let want = Select { block_matchers: vec![m(matcher)].into(), ..all.clone() };
        assert_eq!(ask(&component, &want).await.value.len(), series, "{matcher}");
    }
}

#[tokio::test]
async fn limits() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 2000, 0, 10)).await;
    f.raw(2, &[("cluster", "b")], (0, 2 * HOUR), fleet("up", 10, 0, 10)).await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    for limit in [1, 5, 2000, 2009, 2010, 3000] {
        let got = ask(&f.gateway(|_| {}).await, &Select { limit, ..want.clone() }).await;
        assert_eq!(got.value.len(), limit.min(2010));
    }
    let none = Limits::default();
    for (limits, text) in [
        (Limits { touched_series: 2009, ..none }, "limit 2009 violated (got 2010 over all blocks)"),
        (Limits { samples: 1000, ..none }, "limit 1000 violated"),
        (Limits { downloaded_bytes: 100_000, ..none }, "--store.grpc.downloaded-bytes-limit"),
    ] {
        let component = f.gateway(|c| c.limits = limits).await;
        let error = ask_with(&component, &Ctx::background(), &want).await.unwrap_err();
        assert!(matches!(&error, Error::Limit(t) if t.contains(text)), "{error}");
    }
    let enough = Limits { touched_series: 2010, samples: 2010 * 120, downloaded_bytes: 10 << 20 };
    assert_eq!(ask(&f.gateway(|c| c.limits = enough).await, &want).await.value.len(), 2010);
}

/// A query larger than its budget ends with an error, and never holds more.
#[tokio::test]
async fn a_budget_ends_in_an_error_not_in_memory() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, 4 * HOUR), fleet("up", 1500, 0, 960)).await;
    let component = f.gateway(|c| c.request_bytes_max = 1 << 20).await;
    let want = select((0, 4 * HOUR), &["__name__=up"]);
    for mode in [PartialResponse::Warn, PartialResponse::Abort] {
        let ctx = Ctx { budget: component.budget(), ..Ctx::background() };
        let want = Select { partial_response: mode, ..want.clone() };
        let error = ask_with(&component, &ctx, &want).await.unwrap_err();
        assert!(matches!(&error, Error::Limit(t) if t.contains("--store.limits.request-bytes")), "{error}");
        assert!(ctx.budget.peak_bytes() <= 1 << 20);
    }
    // Large enough for a batch is enough for all: what was sent is given back.
    let component = f.gateway(|c| c.batch_series = 100).await;
    let budget = Budget::new("test", "--x", 4 << 20, None);
    let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
    let got = ask_with(&component, &ctx, &want).await.unwrap();
    let bytes: usize = got.value.iter().flat_map(|s| &s.chunks).map(Chunk::size_bytes).sum();
    assert_eq!(got.value.len(), 1500);
    assert!(bytes > 4 << 20, "{bytes}");
    testkit::wait_for("all to be given back", std::time::Duration::from_secs(10), async || budget.used_bytes() == 0)
        .await;
}

#[tokio::test]
async fn not_ready_before_the_first_sync() {
    let f = Fixture::new();
    let component = f.component(|_| {});
    assert!(component.gateway.endpoint_info().is_none());
    let error = ask_with(&component, &Ctx::background(), &select((0, 1), &["a=b"])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    component.syncer.sync().await.unwrap();
    assert!(ask(&component, &select((0, 1), &["a=b"])).await.value.is_empty());
    assert!(component.gateway.endpoint_info().unwrap().source.range.is_empty());
}
