//! Blocks that come and go.

use block::BlockId;
use bucket::marks::{DeletionMark, MARK_VERSION};
use objstore::faults::Effect;
use objstore::{ErrorKind, Op};

use crate::common::*;

const HOUR: i64 = 3_600_000;

async fn four() -> (Fixture, Vec<BlockId>) {
    let mut f = Fixture::new();
    let mut ids = Vec::new();
    for n in 0..4i64 {
        let (from, cluster) = (n / 2 * HOUR, if n % 2 == 0 { "a" } else { "b" });
        ids.push(f.raw(n as u128, &[("cluster", cluster)], (from, from + HOUR), fleet("up", 2, from, 10)).await);
    }
    (f, ids)
}

fn served(component: &store_gateway::Store) -> Vec<BlockId> {
    component.gateway.blocks().iter().map(|b| b.id).collect()
}

#[tokio::test]
async fn come_and_go() {
    let (f, ids) = four().await;
    let component = f.gateway(|_| {}).await;
    assert_eq!(served(&component), ids);
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    ask(&component, &want).await;
    let header = |id: BlockId| f.data_dir().join(id.to_string()).join("index-header");
    assert!(ids.iter().all(|id| header(*id).exists()));
    bucket::delete::delete_block(&f.plain, ids[0], &service::Failpoints::none()).await.unwrap();
    component.syncer.sync().await.unwrap();
    assert_eq!(served(&component), ids[1..]);
    assert!(!header(ids[0]).exists() && !f.data_dir().join(ids[0].to_string()).exists() && header(ids[1]).exists());
    // Marked, then marked for long.
    let mark = DeletionMark { id: ids[1], version: MARK_VERSION, details: String::new(), deletion_time: NOW_MS / 1000 };
    bucket::marks::write(&f.plain, &mark).await.unwrap();
    component.syncer.sync().await.unwrap();
    assert_eq!(served(&component), ids[1..]);
    f.clock.advance(24 * HOUR + 1000);
    component.syncer.sync().await.unwrap();
    assert_eq!(served(&component), ids[2..]);
    // What an earlier run left behind goes too; what is no block stays.
    let (old, other) = (f.data_dir().join(BlockId::new(5, 5).to_string()), f.data_dir().join("meta-syncer"));
    std::fs::create_dir_all(&old).unwrap();
    std::fs::create_dir_all(&other).unwrap();
    component.syncer.sync().await.unwrap();
    assert!(!old.exists() && other.exists());
    let text = f.metrics.encode();
    for line in [
        "thanos_bucket_store_block_loads_total 4\n",
        "thanos_bucket_store_block_drops_total 2\n",
        "thanos_bucket_store_blocks_loaded 2.0\n",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
}

/// A view that is not whole drops nothing.
#[tokio::test]
async fn r6328_failures_drop_no_block() {
    let (mut f, ids) = four().await;
    let component = f.gateway(|_| {}).await;
    f.faults.always("listing", Some(Op::Iter), "", Effect::Fail(ErrorKind::Unavailable));
    assert!(component.syncer.sync().await.is_err());
    assert_eq!(served(&component), ids);
    assert!(component.syncer.seen().error.is_some());
    f.faults.clear();
    // One new block's meta cannot be read while an old block is deleted: the one does not hold up the other.
    let new = f.raw(9, &[("cluster", "c")], (0, HOUR), fleet("up", 2, 0, 10)).await;
    bucket::delete::delete_block(&f.plain, ids[0], &service::Failpoints::none()).await.unwrap();
    f.faults.always("meta", Some(Op::Get), &new.to_string(), Effect::Fail(ErrorKind::Denied));
    component.syncer.sync().await.unwrap();
    assert_eq!(served(&component), ids[1..]);
    f.faults.clear();
    component.syncer.sync().await.unwrap();
    assert_eq!(served(&component), [&ids[1..], &[new]].concat());
}

#[tokio::test]
async fn strange_resolutions_are_not_served() {
    let mut f = Fixture::new();
    f.block(Spec { n: 1, external: &[("a", "b")], range: (0, HOUR), resolution_ms: 7, series: fleet("up", 1, 0, 3) })
        .await;
    let component = f.gateway(|_| {}).await;
    assert!(served(&component).is_empty());
    assert!(f.metrics.encode().contains("thanos_bucket_store_block_load_failures_total 1\n"));
}

#[tokio::test]
async fn headers_ahead_of_queries() {
    let (f, ids) = four().await;
    let component = f.gateway(|_| {}).await;
    component.syncer.prepare(2).await;
    assert_eq!(f.log.take(), (4, 0, 0));
    assert!(ids.iter().all(|id| f.data_dir().join(id.to_string()).join("index-header").exists()));
    f.gateway(|_| {}).await.syncer.prepare(2).await;
    assert_eq!(f.log.take(), (0, 0, 0));
}

#[tokio::test]
async fn info_joins_adjacent_blocks() {
    let mut f = Fixture::new();
    for (n, cluster, from, to) in [(1, "a", 0, 2), (2, "a", 2, 4), (3, "a", 6, 8), (4, "b", 0, 8), (5, "b", 1, 2)] {
        f.raw(n, &[("cluster", cluster)], (from * HOUR, to * HOUR), fleet("up", 1, from * HOUR, 2)).await;
    }
    let info = f.gateway(|_| {}).await.gateway.endpoint_info().unwrap();
    let shown: Vec<_> =
        info.sets.iter().map(|s| (s.labels.to_string(), s.range.min / HOUR, s.range.max / HOUR)).collect();
    let (a, b) = ("{cluster=\"a\"}".to_owned(), "{cluster=\"b\"}".to_owned());
    assert_eq!(shown, [(a.clone(), 0, 4), (a, 6, 8), (b, 0, 8)]);
    assert_eq!((info.source.range.min, info.source.range.max, info.source.label_sets.len()), (0, 8 * HOUR, 2));
}
