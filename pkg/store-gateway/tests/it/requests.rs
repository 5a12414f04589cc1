//! How many requests a query costs.

use std::time::Duration;

use block::BlockId;
use objstore::Op;
use objstore::faults::Effect;
use storage::Ctx;

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
    // Header (a small index comes whole), postings with series; one segment.
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (2, 1, 0));
    // Warm: all of the index comes from memory.
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (0, 1, 0));
    // Labels only: nothing at all.
    let labels = storage::Select { skip_chunks: true, ..want.clone() };
    assert_eq!(ask(&component, &labels).await.value.len(), 71);
    assert_eq!(f.log.take(), (0, 0, 0));
    // Another selector: all of the index is here.
    ask(&component, &select((0, 2 * HOUR), &["__name__=up", "job=job-4"])).await;
    assert_eq!(f.log.take(), (0, 1, 0));
    // What cannot match costs nothing.
    for matcher in ["job=nowhere", "cluster=b", "cluster!=a", "nothing=~.+"] {
        assert!(ask(&component, &select((0, 2 * HOUR), &["__name__=up", matcher])).await.value.is_empty());
        assert_eq!(f.log.take(), (0, 0, 0), "{matcher}");
    }
}

/// An index that is too large to be read whole: postings, then series.
#[tokio::test]
async fn cold_and_warm_in_parts() {
    let f = fixture().await;
    let component = f.gateway(|c| c.whole_index_bytes = 1000).await;
    let want = select((0, 2 * HOUR), &["__name__=up", "job=job-3"]);
    let right = f.right(&want).await;
    // Header, postings, series; one segment.
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (3, 1, 0));
    // Warm: all of the index comes from memory.
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (0, 1, 0));
    // Another selector over a known list: its postings and series, one request each.
    ask(&component, &select((0, 2 * HOUR), &["__name__=up", "job=job-4"])).await;
    assert_eq!(f.log.take(), (2, 1, 0));
}

#[tokio::test]
async fn a_restart_reads_headers_from_disk() {
    let f = fixture().await;
    let want = select((0, 2 * HOUR), &["job=job-3"]);
    let first = ask(&f.gateway(|_| {}).await, &want).await;
    assert_eq!(f.log.take(), (2, 1, 0));
    let component = f.gateway(|_| {}).await;
    assert_eq!(ask(&component, &want).await, first);
    assert_eq!(f.log.take(), (1, 1, 0));
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
        assert_eq!(f.log.take(), (2, 1, 0));
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
    for expected in [(2, 1, 0), (1, 1, 0), (1, 1, 0)] {
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!(f.log.take(), expected);
    }
    assert!(!f.data_dir().exists());
    let component = f
        .gateway(|c| {
            c.data_dir = None;
            c.index_cache.max_bytes = 0;
            c.whole_index_bytes = 0;
        })
        .await;
    for expected in [(3, 1, 0), (2, 1, 0), (2, 1, 0)] {
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!(f.log.take(), expected);
    }
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
            c.whole_index_bytes = 0;
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
        for whole_index_bytes in [0, 1 << 20] {
            let component = f
                .gateway(|c| {
                    c.batch_series = batch;
                    c.pace.gap_bytes = Some(gap);
                    c.pace.gap_free_bytes = gap.min(1 << 10);
                    c.index_cache.max_bytes = 0;
                    c.whole_index_bytes = whole_index_bytes;
                })
                .await;
            assert_eq!(ask(&component, &want).await.value, right, "batches of {batch}");
        }
    }
}

#[tokio::test]
async fn chunks_kept_in_memory() {
    let f = fixture().await;
    let options =
        store_gateway::ChunkCacheOptions { max_bytes: 64 << 20, piece_bytes: 16_000, requests_max: 3, disk: None };
    let component = f.gateway(|c| c.chunk_cache = Some(options)).await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take().1, 1);
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (0, 0, 0));
    // A part of them is in the same pieces.
    let want = select((0, HOUR), &["__name__=up", "job=job-3"]);
    assert_eq!(ask(&component, &want).await.value, f.right(&want).await);
    assert_eq!(f.log.take(), (0, 0, 0));
}

/// What a cache has not taken yet, as a slow disk, or does not take, costs no more requests than without it.
#[tokio::test]
async fn a_cache_that_takes_nothing_costs_no_request() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 6000, 0, 400)).await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    let options = store_gateway::ChunkCacheOptions { max_bytes: 0, piece_bytes: 16_000, requests_max: 3, disk: None };
    let component = f.gateway(|c| c.chunk_cache = Some(options)).await;
    component.syncer.prepare(1).await;
    for index_requests in [1, 0] {
        f.log.take();
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!(f.log.take(), (index_requests, 1, 0));
    }
}

/// Pieces on disk: there for the next query, and after a restart. What the disk corrupts is read from the bucket.
#[tokio::test]
async fn chunks_kept_on_disk() {
    let f = fixture().await;
    let dir = f.dir.path().join("chunk-cache");
    let cached = async |max_bytes| {
        let disk = Some((dir.clone(), 64 << 20));
        let options = store_gateway::ChunkCacheOptions { max_bytes, piece_bytes: 16_000, requests_max: 3, disk };
        let component = f.gateway(|c| c.chunk_cache = Some(options)).await;
        component.syncer.prepare(1).await;
        component
    };
    let files = || std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some());
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    let segment = format!("{}/chunks/000001", BlockId::new(1_700_000_000_000, 1));
    let size = f.plain.head(&segment).await.unwrap().size;
    let component = cached(0).await;
    f.log.take();
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take().1, 1);
    assert!(size > 5 * 16_000);
    let from_disk = async |component: &store_gateway::Store| {
        testkit::wait_for("all pieces are on disk", Duration::from_secs(60), async || {
            assert_eq!(ask(component, &want).await.value, right);
            f.log.take().1 == 0
        })
        .await;
    };
    from_disk(&component).await;
    drop(component);
    for max_bytes in [0, 1 << 20] {
        let component = cached(max_bytes).await;
        f.log.take();
        f.faults.always("no segment", Some(Op::GetRange), "/chunks/", Effect::Fail(objstore::ErrorKind::Denied));
        testkit::wait_for("the pieces are found again", Duration::from_secs(60), async || {
            let answer = ask_with(&component, &Ctx::background(), &want).await.unwrap();
            answer.value == right
        })
        .await;
        f.faults.clear();
    }
    for path in files() {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.iter_mut().skip(500).step_by(4000).for_each(|b| *b ^= 1);
        std::fs::write(&path, bytes).unwrap();
    }
    let answer = ask(&cached(0).await, &want).await;
    assert_eq!((answer.value, answer.warnings), (right, vec![]));
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
    for (tail_bytes, part_bytes, gets) in [(1 << 20, 1 << 20, 4), (52, 1 << 20, 5), (0, 1 << 20, 5), (1000, 1 << 20, 5)]
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

/// One request for each run of bytes, however many series, batches and windows it takes, and one for its entries.
#[tokio::test]
async fn a_run_of_bytes_is_one_request() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 6000, 0, 400)).await;
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    assert!(right.iter().flat_map(|s| &s.chunks).map(|c| c.size_bytes()).sum::<usize>() > 5 << 20);
    for whole_index_bytes in [0, 64 << 20] {
        let component = f.gateway(|c| c.whole_index_bytes = whole_index_bytes).await;
        component.syncer.prepare(1).await;
        f.log.take();
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!(f.log.take(), (if whole_index_bytes == 0 { 2 } else { 1 }, 1, 0));
    }
    // Batches of entries: a request for the chunks of each, as they are known, none for their entries.
    let component = f
        .gateway(|c| {
            c.batch_series = 2000;
            c.whole_index_bytes = 0;
        })
        .await;
    component.syncer.prepare(1).await;
    f.log.take();
    assert_eq!(ask(&component, &want).await.value, right);
    assert_eq!(f.log.take(), (2, 3, 0));
}

/// What lies between the wanted chunks passes by: it is neither held nor asked for in pieces.
#[tokio::test]
async fn sparse_chunks_come_in_one_request_and_take_little() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, 2 * HOUR), fleet("up", 6000, 0, 400)).await;
    let want = select((0, 2 * HOUR), &["__name__=up", "job=job-3"]);
    let right = f.right(&want).await;
    let component = f.gateway(|_| {}).await;
    let ctx = Ctx { budget: storage::Budget::new("the test", "--test", 0, None), ..Ctx::background() };
    let got = ask_with(&component, &ctx, &want).await.unwrap();
    assert_eq!(got.value, right);
    assert_eq!(f.log.take().1, 1);
    let wanted: usize = right.iter().flat_map(|s| &s.chunks).map(|c| c.size_bytes()).sum();
    let index = f.plain.head(&format!("{}/index", component.gateway.blocks()[0].id)).await.unwrap().size;
    let peak = ctx.budget.peak_bytes();
    assert!(peak < index + 3 * wanted as u64 + (1 << 20), "{peak} for {wanted} of chunks and {index} of index");
}

/// Where no more bodies may stay open, a run is read window by window.
#[tokio::test]
async fn a_bucket_that_lets_few_requests_run_answers_too() {
    let mut f = Fixture::new();
    for n in 0..6 {
        let start = i64::from(n) * 2 * HOUR;
        f.raw(n as u128 + 1, &[("cluster", "a")], (start, start + 2 * HOUR), fleet("up", 700, start, 400)).await;
    }
    let want = select((0, 12 * HOUR), &["__name__=up"]);
    let right = f.right(&want).await;
    for requests_max in [1, 2, 5] {
        let settings = objstore::Settings { requests_max: Some(requests_max), ..f.bucket.settings().clone() };
        let limited = f.bucket.decorated(objstore::limit::LimitHook::new(requests_max)).with_settings(settings);
        let component = build(
            store_gateway::Config { data_dir: None, whole_index_bytes: 0, ..config() },
            limited,
            f.clock.clone(),
            telemetry::Metrics::new(),
        );
        component.syncer.sync().await.unwrap();
        assert_eq!(ask(&component, &want).await.value, right, "{requests_max} requests");
    }
}

/// With series and postings on disk one round: chunks. Without, two after the index-header: postings with series, then
/// chunks. Three where the index is too large for that.
/// Each operation takes a second of a clock that stands still otherwise, so that time counts requests that follow each other.
#[tokio::test(start_paused = true)]
async fn rounds_that_follow_each_other() {
    let mut f = Fixture::new();
    for n in 0..6 {
        let start = i64::from(n) * 2 * HOUR;
        f.raw(n as u128 + 1, &[("cluster", "a")], (start, start + 2 * HOUR), fleet("up", 700, start, 400)).await;
    }
    let far = f.bucket.decorated(objstore::latency::LatencyHook(std::time::Duration::from_secs(1)));
    let want = select((0, 12 * HOUR), &["__name__=up", "job=~job-[1-5]"]);
    let right = f.right(&want).await;
    for (data_dir, whole_index_bytes, rounds, requests) in
        [(Some(f.data_dir()), 4 << 20, 1, (0, 6, 0)), (None, 4 << 20, 2, (6, 6, 0)), (None, 0, 3, (12, 6, 0))]
    {
        let index_disk_bytes = 1 << 30;
        let component = build(
            store_gateway::Config { data_dir, whole_index_bytes, index_disk_bytes, ..config() },
            far.clone(),
            f.clock.clone(),
            telemetry::Metrics::new(),
        );
        component.syncer.sync().await.unwrap();
        component.syncer.prepare(6).await;
        f.log.take();
        let began = tokio::time::Instant::now();
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!((began.elapsed().as_secs(), f.log.take()), (rounds, requests), "{rounds}");
        // All of the index is known by now.
        let began = tokio::time::Instant::now();
        assert_eq!(ask(&component, &want).await.value, right);
        assert_eq!((began.elapsed().as_secs(), f.log.take()), (1, (0, 6, 0)), "{rounds}");
    }
}
