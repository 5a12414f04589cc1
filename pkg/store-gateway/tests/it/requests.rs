//! How many requests a query costs.

use crate::common::*;

const HOUR: i64 = 3_600_000;

async fn fixture() -> Fixture {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 500, 0, 400)).await;
    f
}

#[tokio::test]
async fn a_sync_is_a_listing_one_of_deletions_and_one_get_per_block() {
    let mut f = fixture().await;
    f.raw(2, &[("cluster", "b")], (0, 2 * HOUR), fleet("up", 5, 0, 10)).await;
    let component = f.component(|_| {});
    component.syncer.sync().await.unwrap();
    assert_eq!(f.log.take(), (0, 0, 4));
    component.syncer.sync().await.unwrap();
    assert_eq!(f.log.take(), (0, 0, 2));
}

#[tokio::test]
async fn cold_and_warm() {
    let f = fixture().await;
    let component = f.gateway(|_| {}).await;
    let want = select((0, 2 * HOUR), &["__name__=up", "job=job-3"]);
    let right = f.right(&want).await;
    assert_eq!(right.len(), 71);
    // Header (a small index comes whole), postings, series; one segment.
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (3, 1, 0));
    // Warm: all of the index comes from memory.
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (0, 1, 0));
    // Labels only: nothing at all.
    let labels = storage::Select { skip_chunks: true, ..want.clone() };
    assert_eq!(ask(&component, &labels).await.value.len(), 71);
    assert_eq!(f.log.take(), (0, 0, 0));
    // Another selector over a known list: its postings and series, one request each.
    ask(&component, &select((0, 2 * HOUR), &["__name__=up", "job=job-4"])).await;
    assert_eq!(f.log.take(), (2, 1, 0));
    // What cannot match costs nothing.
    for matcher in ["job=nowhere", "cluster=b", "cluster!=a", "nothing=~.+"] {
        assert!(ask(&component, &select((0, 2 * HOUR), &["__name__=up", matcher])).await.value.is_empty());
        assert_eq!(f.log.take(), (0, 0, 0), "{matcher}");
    }
}

#[tokio::test]
async fn a_restart_reads_headers_from_disk() {
    let f = fixture().await;
    let want = select((0, 2 * HOUR), &["job=job-3"]);
    let first = ask(&f.gateway(|_| {}).await, &want).await;
    assert_eq!(f.log.take(), (3, 1, 0));
    let component = f.gateway(|_| {}).await;
    assert_eq!(ask(&component, &want).await, first);
    assert_eq!(f.log.take(), (2, 1, 0));
    // A corrupt one is made again.
    let header = f.data_dir().join(component.gateway.blocks()[0].id.to_string()).join("index-header");
    let whole = std::fs::read(&header).unwrap();
    for damage in 0..3 {
        let mut bytes = whole.clone();
        match damage {
            0 => bytes[40] ^= 1,
            1 => bytes.truncate(bytes.len() / 2),
            _ => bytes.clear(),
        }
        std::fs::write(&header, bytes).unwrap();
        assert_eq!(ask(&f.gateway(|_| {}).await, &want).await, first);
        assert_eq!(f.log.take(), (3, 1, 0));
        assert_eq!(std::fs::read(&header).unwrap(), whole);
    }
}

#[tokio::test]
async fn without_disk_and_without_caches() {
    let f = fixture().await;
    let component = f
        .gateway(|c| {
            c.data_dir = None;
            c.index_cache.max_bytes = 0;
        })
        .await;
    let want = select((0, 2 * HOUR), &["job=job-3"]);
    let right = f.right(&want).await;
    for expected in [(3, 1, 0), (2, 1, 0), (2, 1, 0)] {
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!(f.log.take(), expected);
    }
    assert!(!f.data_dir().exists());
}

/// Guesses that are too short cost one more request for each step, not one for each item.
#[tokio::test]
async fn short_guesses_are_asked_again_together() {
    // One chunk each: its entry does not tell how long it is.
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 500, 0, 100)).await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    let component = f
        .gateway(|c| {
            c.series_bytes = 24;
            c.chunk_bytes = 24;
        })
        .await;
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (4, 2, 0));
    let text = f.metrics.encode();
    // All but the last lie within what was fetched for their neighbours.
    for line in [
        "thanos_bucket_store_series_refetches_total{tenant=\"\"} 1\n",
        "thanos_bucket_store_chunk_refetches_total{tenant=\"\"} 1\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

/// A series' chunks are about as long as each other: however bad the guess is for a chunk of unknown length, none is asked
/// for twice, and none asked for with what lies far behind it.
#[tokio::test]
async fn lengths_of_a_series_chunks_tell_of_the_last() {
    let f = fixture().await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    for guess in [24, 64 << 20] {
        let component = f.gateway(|c| c.chunk_bytes = guess).await;
        f.log.take();
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!(f.log.take().1, 1, "guess of {guess} bytes");
    }
}

/// Batches of any size give the same answer.
#[tokio::test]
async fn batches() {
    let f = fixture().await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    for (batch, gap) in [(1, 0), (7, 0), (100, 1 << 20), (499, 100), (500, 0), (501, 1 << 20)] {
        let component = f
            .gateway(|c| {
                c.batch_series = batch;
                c.gap_bytes = gap;
                c.gap_free_bytes = gap.min(1 << 10);
                c.index_cache.max_bytes = 0;
            })
            .await;
        assert_eq!(ask(&component, &want).await.value, right, "batches of {batch}");
    }
}

#[tokio::test]
async fn chunks_kept_in_memory() {
    let f = fixture().await;
    let component = f
        .gateway(|c| {
            let options =
                store_gateway::ChunkCacheOptions { max_bytes: 64 << 20, piece_bytes: 16_000, requests_max: 3 };
            c.chunk_cache = Some(options);
        })
        .await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take().1, 1);
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (0, 0, 0));
}

#[tokio::test]
async fn unused_headers_are_closed() {
    let f = fixture().await;
    let component = f.gateway(|_| {}).await;
    let want = select((0, 2 * HOUR), &["job=job-3"]);
    ask(&component, &want).await;
    assert_eq!(component.gateway.close_unused(300_000), 0);
    f.clock.advance(300_001);
    assert_eq!(component.gateway.close_unused(300_000), 1);
    assert!(!component.gateway.blocks()[0].is_open());
    f.log.take();
    ask(&component, &want).await;
    assert_eq!(f.log.take(), (0, 1, 0));
}

/// Headers of large indexes: head and tail, then what lies between; in parts of any size.
#[tokio::test]
async fn headers_in_parts() {
    let f = fixture().await;
    let want = select((0, 2 * HOUR), &["job=job-3"]);
    let right = f.right(&want).await;
    let mut headers = Vec::new();
    for (tail_bytes, part_bytes, gets) in [(1 << 20, 1 << 20, 5), (52, 1 << 20, 6), (0, 1 << 20, 6), (1000, 1 << 20, 6)]
    {
        std::fs::remove_dir_all(f.data_dir()).ok();
        let component = f
            .gateway(|c| {
                c.header.whole_bytes_max = 0;
                c.header.tail_bytes = tail_bytes;
                c.header.part_bytes = part_bytes;
            })
            .await;
        assert_eq!(ask(&component, &want).await.value, right, "tail of {tail_bytes}");
        assert_eq!(f.log.take(), (gets, 1, 0), "tail of {tail_bytes}");
        let file = f.data_dir().join(component.gateway.blocks()[0].id.to_string()).join("index-header");
        headers.push(std::fs::read(file).unwrap());
    }
    std::fs::remove_dir_all(f.data_dir()).ok();
    let component = f
        .gateway(|c| {
            c.header.whole_bytes_max = 0;
            c.header.part_bytes = 1000;
        })
        .await;
    assert_eq!(ask(&component, &want).await.value, right);
    assert!(f.log.take().0 > 10);
    assert!(headers.windows(2).all(|w| w[0] == w[1]));
}
