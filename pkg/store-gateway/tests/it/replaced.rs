//! Blocks that others are put in the place of, under the same name: by a repair, by a copy from elsewhere.

use block::BlockId;
use storage::Series;
use store_gateway::{ChunkCacheOptions, Config, Store};

use crate::common::*;
use crate::crafted::{self, Crafted};

const HOUR: i64 = 3_600_000;

fn id(n: u128) -> BlockId {
    BlockId::new(1_700_000_000_000, n)
}

fn of(name: &str, count: usize) -> Vec<Series> {
    let external = labels::Labels::from_pairs([("cluster", "a")]);
    fleet(name, count, 0, 20).into_iter().map(|s| Series { labels: s.labels.overlay(&external), ..s }).collect()
}

async fn put(f: &Fixture, n: u128, name: &str, count: usize) {
    let series: Vec<Crafted> = fleet(name, count, 0, 20).iter().map(Crafted::from).collect();
    crafted::put(&f.plain, id(n), "a", (0, HOUR), &series, false).await;
}

fn with_caches(config: &mut Config) {
    config.chunk_cache = Some(ChunkCacheOptions { max_bytes: 1 << 20, piece_bytes: 1000, requests_max: 3, disk: None });
}

async fn check(component: &Store, right: &[Series], what: &str) {
    for _ in 0..2 {
        let answer = ask(component, &select((0, HOUR), &["cluster=a"])).await;
        assert_eq!((answer.value.as_slice(), answer.warnings.len()), (right, 0), "{what}: {:?}", answer.warnings);
    }
}

/// Of other sizes, and of the very same: then each offset leads to something sound, of the other block.
#[tokio::test]
async fn under_its_name() {
    for (name, count) in [("after", 40), ("befive", 3), ("x", 1)] {
        for running in [true, false] {
            let f = Fixture::new();
            put(&f, 1, "before", 3).await;
            let component = f.gateway(with_caches).await;
            check(&component, &of("before", 3), "before").await;
            put(&f, 1, name, count).await;
            let component = if running { component } else { f.gateway(with_caches).await };
            component.syncer.sync().await.unwrap();
            check(&component, &of(name, count), &format!("{name}, running: {running}")).await;
            check(&f.gateway(with_caches).await, &of(name, count), "started again").await;
        }
    }
}

/// Until the next sync nothing of the new block is taken for the old one's.
#[tokio::test]
async fn before_the_next_sync_it_is_told() {
    let f = Fixture::new();
    put(&f, 1, "before", 3).await;
    let component = f.gateway(|_| {}).await;
    component.syncer.prepare(1).await;
    put(&f, 1, "after", 40).await;
    let answer = ask(&component, &select((0, HOUR), &["cluster=a"])).await;
    assert!(answer.value.is_empty(), "{:?}", names(&answer.value));
    assert!(answer.warnings.join("\n").contains("it was cut or replaced"), "{:?}", answer.warnings);
}

/// Nothing is fetched of a block that has not changed.
#[tokio::test]
async fn a_sync_of_unchanged_blocks_is_one_listing() {
    let f = Fixture::new();
    put(&f, 1, "before", 3).await;
    put(&f, 2, "x", 3).await;
    let component = f.gateway(|_| {}).await;
    component.syncer.prepare(1).await;
    f.log.take();
    component.syncer.sync().await.unwrap();
    component.syncer.prepare(1).await;
    let (index, chunks, others) = f.log.take();
    // blocks, and requests to delete
    assert_eq!((index, chunks, others), (0, 0, 2));
}

#[tokio::test]
async fn headers_of_another_index_are_made_anew() {
    let f = Fixture::new();
    put(&f, 1, "before", 3).await;
    put(&f, 2, "befive", 3).await;
    let right = [of("befive", 3), of("before", 3)].concat();
    let file = |n: u128, name: &str| f.data_dir().join(id(n).to_string()).join(name);
    let swaps: [(&str, &dyn Fn()); 6] = [
        ("nothing", &|| {}),
        ("another's header", &|| {
            std::fs::copy(file(1, "index-header"), file(2, "index-header")).unwrap();
        }),
        ("another's header and what tells of it", &|| {
            for name in ["index-header", "index-header.json"] {
                std::fs::copy(file(1, name), file(2, name)).unwrap();
            }
        }),
        ("a flipped bit", &|| {
            let mut bytes = std::fs::read(file(2, "index-header")).unwrap();
            bytes[7] ^= 1;
            std::fs::write(file(2, "index-header"), bytes).unwrap();
        }),
        ("an older program's", &|| std::fs::remove_file(file(2, "index-header.json")).unwrap()),
        ("a directory", &|| {
            std::fs::remove_file(file(2, "index-header")).unwrap();
            std::fs::create_dir(file(2, "index-header")).unwrap();
        }),
    ];
    for (what, swap) in swaps {
        let component = f.gateway(|_| {}).await;
        component.syncer.prepare(1).await;
        swap();
        check(&f.gateway(|_| {}).await, &right, what).await;
    }
}

/// A segment that is missing does not move the others.
#[tokio::test]
async fn segments_keep_their_numbers() {
    let f = Fixture::new();
    put(&f, 1, "up", 2).await;
    let segment = f.plain.get(&format!("{}/chunks/000001", id(1))).await.unwrap();
    f.plain.put(&format!("{}/chunks/000002", id(1)), segment).await.unwrap();
    f.plain.delete(&format!("{}/chunks/000001", id(1))).await.unwrap();
    let answer = ask(&f.gateway(|_| {}).await, &select((0, HOUR), &["cluster=a"])).await;
    assert!(answer.value.is_empty());
    assert!(answer.warnings.join("\n").contains("chunks/000001"), "{:?}", answer.warnings);
}
