//! Views of a bucket, and the filters over them.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use block::meta::Rewrite;
use block::{BlockId, BlockMeta};
use bucket::Partial;
use bucket::marks::{DELETION_MARK, DeletionMark, NO_COMPACT_MARK, NO_DOWNSAMPLE_MARK};
use bucket::{FetchOptions, Filters, Listing, MetaFetcher, State, SyncMetrics, View};
use common::*;
use futures::future::BoxFuture;
use objstore::decorate::Hook;
use objstore::faults::{Effect, Faults};
use objstore::{Bucket, Config, ErrorKind, Op, OpenOptions};
use testkit::s3::{self, FaultKind, Operation, Server};

/// Long after all marks.
const NOW_MS: i64 = 1_700_000_000_000;

async fn put_block(bucket: &Bucket, meta: &BlockMeta) {
    let dir = tempfile::tempdir().unwrap();
    let local = write_block(dir.path(), meta.ulid);
    bucket::upload::upload_block(bucket, &local, meta.clone(), &Default::default()).await.unwrap();
}

fn fetcher(bucket: &Bucket, options: FetchOptions) -> MetaFetcher {
    MetaFetcher::new(bucket.clone(), options, SyncMetrics::new(&telemetry::Metrics::new()))
}

fn ids(view: &View) -> Vec<BlockId> {
    view.metas.keys().copied().collect()
}

#[tokio::test]
async fn view_of_a_bucket() {
    for listing in [Listing::Recursive, Listing::Concurrent] {
        let bucket = Bucket::in_memory();
        for n in 1..=3 {
            put_block(&bucket, &meta(id(n))).await;
        }
        bucket.put(&format!("{}/chunks/000001", id(4)), "x").await.unwrap();
        bucket.put(&format!("{}/meta.json", id(5)), "{\"ulid\":").await.unwrap();
        bucket.put(&format!("{}/meta.json", id(6)), meta(id(1)).to_json()).await.unwrap();
        bucket.put(&format!("{}/chunks/000002", id(3)), "short").await.unwrap();
        bucket.put("debug/metas/x.json", "not a block").await.unwrap();
        bucket.put("stray", "not a block").await.unwrap();
        let mark = DeletionMark { id: id(2), version: 1, details: String::new(), deletion_time: 5 };
        bucket::marks::write(&bucket, &mark).await.unwrap();
        let view = fetcher(&bucket, FetchOptions { listing, ..Default::default() }).fetch().await.unwrap();
        assert_eq!(ids(&view), [id(1), id(2), id(3)]);
        assert!(view.is_complete());
        assert_eq!(view.partial[&id(4)], Partial::NoMeta);
        assert!(matches!(view.partial[&id(5)], Partial::CorruptMeta(_)));
        assert!(matches!(&view.partial[&id(6)], Partial::CorruptMeta(why) if why.contains(&id(1).to_string())));
        assert_eq!(view.broken[&id(3)], "chunks/000002 has 5 bytes of 500");
        assert_eq!(view.broken.len(), 1);
        assert_eq!(view.deletion_marks[&id(2)].deletion_time, 5);
        assert_eq!(view.objects[&id(1)].objects.len(), 4);
    }
}

/// What cannot be read is taken as absent, so it may be replaced; a later version's mark holds.
#[tokio::test]
async fn corrupt_marks() {
    let mark = DeletionMark { id: id(1), version: 1, details: "ours".to_owned(), deletion_time: 5 };
    for (body, holds) in [
        ("", false),
        ("garbage", false),
        ("{}", false),
        ("{\"version\":7}", true),
        ("{\"version\":7,\"deletion_time\":\"noon\"}", true),
        ("{\"version\":1,\"deletion_time\":9}", false),
    ] {
        let bucket = Bucket::in_memory();
        put_block(&bucket, &meta(id(1))).await;
        let path = format!("{}/deletion-mark.json", id(1));
        bucket.put(&path, body).await.unwrap();
        let read = bucket::marks::read::<DeletionMark>(&bucket, id(1)).await;
        assert_eq!((read.is_err(), holds || matches!(read, Ok(None))), (holds, true), "{body}");
        let marked = bucket::marks::write(&bucket, &mark).await.unwrap();
        assert_eq!(marked == bucket::marks::Marked::Already, holds, "{body}");
        let after = bucket.get(&path).await.unwrap();
        assert_eq!(after == body.as_bytes(), holds, "{body}");
        assert_eq!(bucket::marks::write(&bucket, &mark).await.unwrap(), bucket::marks::Marked::Already, "{body}");
    }
}

/// A quiescent bucket costs its listing, also after a restart.
#[tokio::test]
async fn hist_13_nothing_fetched_twice() {
    let server = Server::start().await;
    let bucket = open(&server);
    let cache = tempfile::tempdir().unwrap();
    for n in 1..=3 {
        put_block(&bucket, &meta(id(n))).await;
    }
    let options = FetchOptions { cache_dir: Some(cache.path().into()), ..Default::default() };
    let first = fetcher(&bucket, options.clone());
    let before = server.requests(Operation::Get);
    assert_eq!(ids(&first.fetch().await.unwrap()).len(), 3);
    assert_eq!(server.requests(Operation::Get), before + 3);
    let lists = server.requests(Operation::List);
    first.fetch().await.unwrap();
    assert_eq!(ids(&fetcher(&bucket, options.clone()).fetch().await.unwrap()).len(), 3);
    assert_eq!((server.requests(Operation::Get), server.requests(Operation::List)), (before + 3, lists + 2));
    assert_eq!(server.requests(Operation::Head), 9, "those of the uploads");
    // a file of a block that is gone goes, a stranger's stays
    std::fs::create_dir(cache.path().join("stranger")).unwrap();
    bucket::delete::delete_block(&bucket, id(2), &Default::default()).await.unwrap();
    first.fetch().await.unwrap();
    assert!(!cache.path().join(id(2).to_string()).exists() && cache.path().join("stranger").exists());
}

/// `meta.json` rewritten under the same name is seen, in memory and on disk.
#[tokio::test]
async fn hist_16_r8389_rewritten_meta() {
    let server = Server::start().await;
    let bucket = open(&server);
    let cache = tempfile::tempdir().unwrap();
    let options = FetchOptions { cache_dir: Some(cache.path().into()), ..Default::default() };
    put_block(&bucket, &meta(id(1))).await;
    let first = fetcher(&bucket, options.clone());
    first.fetch().await.unwrap();
    let mut changed = meta(id(1));
    changed.thanos.as_mut().unwrap().labels.insert("cluster".into(), "b".into());
    bucket.put(&format!("{}/meta.json", id(1)), changed.to_json()).await.unwrap();
    // the one that has only the disk goes first: the other would mend the disk for it
    for fetcher in [fetcher(&bucket, options), first] {
        let view = fetcher.fetch().await.unwrap();
        assert_eq!(view.metas[&id(1)].thanos.as_ref().unwrap().labels["cluster"], "b");
    }
}

/// Whatever is wrong with what is kept on disk, it is fetched again.
#[tokio::test]
async fn hist_17_corrupt_disk_cache() {
    let bucket = Bucket::in_memory();
    let cache = tempfile::tempdir().unwrap();
    let options = FetchOptions { cache_dir: Some(cache.path().into()), ..Default::default() };
    put_block(&bucket, &meta(id(1))).await;
    let want = fetcher(&bucket, options.clone()).fetch().await.unwrap().metas;
    let dir = cache.path().join(id(1).to_string());
    let whole = std::fs::read(dir.join("meta.json")).unwrap();
    for damage in [&b""[..], &whole[..whole.len() / 2], &[b'{'; 700][..]] {
        std::fs::write(dir.join("meta.json"), damage).unwrap();
        assert_eq!(fetcher(&bucket, options.clone()).fetch().await.unwrap().metas, want);
        assert_eq!(std::fs::read(dir.join("meta.json")).unwrap(), whole);
    }
    std::fs::write(dir.join("origin.json"), "{").unwrap();
    assert_eq!(fetcher(&bucket, options).fetch().await.unwrap().metas, want);
}

/// Some stores and tools leave objects that stand for directories, and keys that are no paths at all.
#[tokio::test]
async fn r8691_directory_markers_and_odd_keys() {
    let server = Server::start().await;
    let bucket = open(&server);
    put_block(&bucket, &meta(id(1))).await;
    for key in ["", "/chunks", "/chunks/"] {
        server.backend().insert(Server::BUCKET, &format!("{}{key}", id(1)), "", SystemTime::now());
    }
    for key in ["odd//key", "/leading", "spa ce/ü", "dots/../x", "new\nline"] {
        server.backend().insert(Server::BUCKET, key, "x", SystemTime::now());
    }
    let view = fetcher(&bucket, FetchOptions::default()).fetch().await.unwrap();
    assert_eq!(ids(&view), [id(1)]);
    assert!(view.broken.is_empty() && view.is_complete());
}

/// A listing that is not whole is no view.
#[tokio::test]
async fn hist_10_r4374_truncated_listing() {
    let server = Server::start().await;
    let bucket = open(&server);
    put_block(&bucket, &meta(id(1))).await;
    let fetcher = fetcher(&bucket, FetchOptions::default());
    server.fault(s3::Fault::next(u64::MAX, Operation::List, "", FaultKind::TruncatedWithoutToken));
    assert!(fetcher.fetch().await.is_err());
    server.clear_faults();
    server.fault(s3::Fault::next(u64::MAX, Operation::List, "", FaultKind::Status(500)));
    assert!(fetcher.fetch().await.is_err());
    server.clear_faults();
    assert_eq!(ids(&fetcher.fetch().await.unwrap()), [id(1)]);
}

/// A meta or a mark that cannot be fetched makes the view incomplete; it hides nothing.
#[tokio::test]
async fn hist_12_failures_are_not_absence() {
    let inner = Bucket::in_memory();
    put_block(&inner, &meta(id(1))).await;
    put_block(&inner, &meta(id(2))).await;
    let mark = DeletionMark { id: id(2), version: 1, details: String::new(), deletion_time: 5 };
    bucket::marks::write(&inner, &mark).await.unwrap();
    let faults = Faults::new();
    let bucket = inner.decorated(faults.clone());
    let meta_1 = format!("{}/meta.json", id(1));
    faults.always("meta", Some(Op::Get), &meta_1, Effect::Fail(ErrorKind::Throttled));
    faults.always("mark", Some(Op::Get), "deletion-mark", Effect::Fail(ErrorKind::Unavailable));
    let view = fetcher(&bucket, FetchOptions::default()).fetch().await.unwrap();
    assert!(!view.is_complete());
    assert_eq!(ids(&view), [id(2)]);
    assert_eq!(view.failed.keys().copied().collect::<Vec<_>>(), [id(1), id(2)]);
    assert!(view.partial.is_empty());
    let filters = Filters { ignore_deletion_marks_delay_ms: Some(0), ..Default::default() };
    assert!(filters.apply(&view, i64::MAX).kept.contains_key(&id(2)), "not known to be marked");
    // not found, though the listing goes on showing it: not known
    faults.clear();
    faults.always("gone", Some(Op::Get), &meta_1, Effect::Fail(ErrorKind::NotFound));
    let view = fetcher(&bucket, FetchOptions::default()).fetch().await.unwrap();
    assert!(!view.is_complete() && view.partial.is_empty());
    assert!(view.failed[&id(1)].starts_with("listed, but "), "{:?}", view.failed);
    // deleted between the listing and the reading: gone, not failed
    let deleting = inner.decorated(Deleting { path: meta_1, from: inner.clone() });
    let view = fetcher(&deleting, FetchOptions::default()).fetch().await.unwrap();
    assert!(view.is_complete());
    assert_eq!(view.partial[&id(1)], Partial::NoMeta);
}

/// Deletes an object when somebody is about to read it.
#[derive(Debug)]
struct Deleting {
    path: String,
    from: Bucket,
}

impl Hook for Deleting {
    type Guard = ();

    fn before<'a>(&'a self, op: Op, path: &'a str) -> BoxFuture<'a, object_store::Result<()>> {
        Box::pin(async move {
            if op == Op::Get && path == self.path {
                self.from.delete(path).await.unwrap();
            }
            Ok(())
        })
    }

    fn after(&self, (): (), _: Op, _: &str, _: u64, _: Option<&object_store::Error>) -> Option<object_store::Error> {
        None
    }
}

/// A deletion mark that is not one of its block hides nothing; one that protects does so however it looks. Each is told.
#[tokio::test]
async fn odd_marks_are_told_and_hide_nothing() {
    let bucket = Bucket::in_memory();
    put_block(&bucket, &meta(id(1))).await;
    let filters = Filters { ignore_deletion_marks_delay_ms: Some(0), ..Default::default() };
    let whole = format!(
        "{{\"id\":\"{}\",\"version\":1,\"deletion_time\":5,\"no_compact_time\":5,\
                         \"no_downsample_time\":5,\"reason\":\"manual\"}}",
        id(1)
    );
    let bodies = [
        (whole.clone(), None),
        (whole.replace(&id(1).to_string(), &id(2).to_string()), Some(format!("is of block {}", id(2)))),
        (whole.replace("\"version\":1", "\"version\":2"), Some("has version 2, not 1".to_owned())),
        (whole[..30].to_owned(), Some("is corrupt: ".to_owned())),
        (String::new(), Some("is corrupt: ".to_owned())),
        (whole.replace(":5", ":\"x\""), Some("is corrupt: ".to_owned())),
        (whole.replace(":5", ":99999999999999999999"), Some("is corrupt: ".to_owned())),
    ];
    for (body, odd) in bodies {
        for file in [DELETION_MARK, NO_COMPACT_MARK, NO_DOWNSAMPLE_MARK] {
            bucket.put(&format!("{}/{file}", id(1)), body.clone()).await.unwrap();
            let fetcher = fetcher(&bucket, FetchOptions::default());
            // the second time from memory
            for _ in 0..2 {
                let view = fetcher.fetch().await.unwrap();
                let is_later = file == DELETION_MARK && odd.as_ref().is_some_and(|o| o.contains("version 2"));
                assert_eq!(view.failed.contains_key(&id(1)), is_later, "{:?}", view.failed);
                let told = view.odd_marks.get(&id(1)).map(|whats| whats.join("; "));
                match &odd {
                    None => assert_eq!(told, None, "{file}: {body}"),
                    Some(want) => {
                        let told = told.unwrap_or_default();
                        assert!(told.contains(file) && told.contains(want), "{body}: {told}");
                    }
                }
                let filtered = filters.apply(&view, NOW_MS);
                let is_hidden = file == DELETION_MARK && odd.is_none();
                assert_eq!(filtered.kept.contains_key(&id(1)), !is_hidden, "{file}: {body}");
                assert_eq!(filtered.no_compact, usize::from(file == NO_COMPACT_MARK), "{body}");
                assert_eq!(filtered.no_downsample, usize::from(file == NO_DOWNSAMPLE_MARK), "{body}");
            }
            bucket.delete(&format!("{}/{file}", id(1))).await.unwrap();
            assert!(fetcher.fetch().await.unwrap().odd_marks.is_empty());
        }
    }
}

/// A block whose directory cannot be read is not known; the others are.
#[tokio::test]
async fn a_directory_that_cannot_be_listed() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.path().display());
    let bucket = Config::parse(&yaml, &|_| None).unwrap().open(&OpenOptions::default()).unwrap();
    put_block(&bucket, &meta(id(1))).await;
    put_block(&bucket, &meta(id(2))).await;
    // a loop
    std::os::unix::fs::symlink(dir.path().join(id(2).to_string()), dir.path().join(format!("{}/loop", id(2)))).unwrap();
    for listing in [Listing::Recursive, Listing::Concurrent] {
        let view = fetcher(&bucket, FetchOptions { listing, ..Default::default() }).fetch().await.unwrap();
        assert_eq!((ids(&view), view.failed.keys().collect::<Vec<_>>()), (vec![id(1)], vec![&id(2)]));
        assert!(!view.is_complete() && view.partial.is_empty() && view.objects.contains_key(&id(2)));
    }
}

/// Sources that are the same by damage take no block away whose time the other does not have.
#[test]
fn duplicates_lie_within_each_others_time() {
    let of = |n: u128, range: (i64, i64)| {
        with(n, |m| {
            (m.min_time, m.max_time) = range;
            m.compaction.sources = vec![id(7)];
        })
    };
    let filters = Filters { deduplicate: true, ..Default::default() };
    for (ranges, kept) in [
        ([(0, 10), (0, 10)], &[1][..]),
        ([(0, 10), (2, 9)], &[1]),
        ([(0, 10), (10, 20)], &[1, 2]),
        ([(0, 10), (0, 11)], &[1, 2]),
    ] {
        let view = view(vec![of(1, ranges[0]), of(2, ranges[1])]);
        let want: Vec<BlockId> = kept.iter().map(|n| id(*n)).collect();
        assert_eq!(filters.apply(&view, 0).kept.into_keys().collect::<Vec<_>>(), want, "{ranges:?}");
    }
}

/// The age of a partial block is that of its newest object, whatever its ULID says.
#[tokio::test]
async fn hist_1_hist_2_r2470_partial_age() {
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    let now = 1_800_000_000_000i64;
    for (block_age, object_ages, abandoned) in [
        (30 * DAY, vec![20 * DAY, HOUR], false),
        (30 * DAY, vec![47 * HOUR], false),
        (30 * DAY, vec![48 * HOUR, 20 * DAY], true),
        (HOUR, vec![49 * HOUR], true),
        (-HOUR, vec![0], false),
    ] {
        let server = Server::start().await;
        let block = BlockId::new((now - block_age) as u64, 1);
        for (n, age) in object_ages.iter().enumerate() {
            let modified = UNIX_EPOCH + Duration::from_millis((now - age) as u64);
            server.backend().insert(Server::BUCKET, &format!("{block}/chunks/{n:06}"), "x", modified);
        }
        let view = fetcher(&open(&server), FetchOptions::default()).fetch().await.unwrap();
        let found = view.abandoned(now, 48 * HOUR);
        assert_eq!(!found.is_empty(), abandoned, "block of {block_age} ms, objects of {object_ages:?} ms");
        // one that is marked is for the deletion to finish
        let mark = DeletionMark { id: block, version: 1, details: String::new(), deletion_time: 5 };
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let json = serde_json::to_vec(&mark).unwrap();
        server.backend().insert(Server::BUCKET, &format!("{block}/deletion-mark.json"), json, modified);
        let view = fetcher(&open(&server), FetchOptions::default()).fetch().await.unwrap();
        assert!(view.abandoned(now, 48 * HOUR).is_empty());
    }
}

fn view(metas: Vec<BlockMeta>) -> View {
    View { metas: metas.into_iter().map(|m| (m.ulid, m.into())).collect(), ..Default::default() }
}

fn with(n: u128, change: impl FnOnce(&mut BlockMeta)) -> BlockMeta {
    let mut meta = meta(id(n));
    change(&mut meta);
    meta
}

#[test]
fn each_filter() {
    let labelled = |n: u128, replica: &'static str| {
        with(n, |m| {
            m.thanos.as_mut().unwrap().labels.insert("replica".into(), replica.into());
        })
    };
    let sources = |n: u128, of: &[u128]| with(n, |m| m.compaction.sources = of.iter().map(|s| id(*s)).collect());
    let rules = |yaml: &str| relabel::parse_rules(yaml).unwrap();
    let times = |n: u128, min: i64, max: i64| {
        with(n, |m| {
            m.min_time = min;
            m.max_time = max;
        })
    };
    let source = |n: u128, source: &'static str, at: i64| {
        with(n, |m| {
            let thanos = m.thanos.as_mut().unwrap();
            thanos.source = source.into();
            thanos.set_upload_time_ms(at);
        })
    };
    let now = 1_800_000_000_000;
    let none = Filters::default;
    let dedup = || Filters { deduplicate: true, ..none() };
    for (what, filters, metas, hidden, state) in [
        (
            "time, both ends inclusive",
            Filters { time: Some((100, 200)), ..none() },
            vec![times(1, 0, 99), times(2, 0, 100), times(3, 200, 300), times(4, 201, 300)],
            vec![1, 4],
            State::TimeExcluded,
        ),
        (
            "shard by label",
            Filters { shard: rules("[{action: keep, source_labels: [replica], regex: a}]"), ..none() },
            vec![labelled(1, "a"), labelled(2, "b")],
            vec![2],
            State::LabelExcluded,
        ),
        (
            "shard by id",
            Filters {
                shard: rules(&format!("[{{action: drop, source_labels: [__block_id], regex: '{}'}}]", id(1))),
                ..none()
            },
            vec![labelled(1, "a"), labelled(2, "b")],
            vec![1],
            State::LabelExcluded,
        ),
        (
            "consistency delay, compactors' blocks excepted, ULID without upload time",
            Filters { consistency_delay_ms: 1000, ..none() },
            vec![
                source(1, "sidecar", now - 999),
                source(2, "sidecar", now - 1000),
                source(3, "compactor", now),
                meta(id(4)),
            ],
            vec![1],
            State::TooFresh,
        ),
        (
            "subset of sources",
            dedup(),
            vec![sources(1, &[1]), sources(2, &[2]), sources(9, &[1, 2])],
            vec![1, 2],
            State::Duplicate,
        ),
        ("overlapping sources only", dedup(), vec![sources(1, &[1, 3]), sources(9, &[1, 2])], vec![], State::Duplicate),
        (
            "equal sources: the older stays",
            dedup(),
            vec![sources(1, &[5, 6]), sources(2, &[5, 6])],
            vec![2],
            State::Duplicate,
        ),
        (
            "equal sources: what was rewritten stays",
            dedup(),
            vec![
                sources(1, &[5, 6]),
                with(2, |m| {
                    m.compaction.sources = vec![id(5), id(6)];
                    let rewrite = Rewrite { sources: vec![id(1)], ..Rewrite::default() };
                    m.thanos.as_mut().unwrap().rewrites.push(rewrite);
                }),
            ],
            vec![1],
            State::Duplicate,
        ),
        ("no sources", dedup(), vec![sources(1, &[]), sources(9, &[7, 8])], vec![], State::Duplicate),
        (
            "other group",
            dedup(),
            vec![sources(9, &[1, 2]), with(1, |m| m.thanos.as_mut().unwrap().downsample.resolution = 300_000)],
            vec![],
            State::Duplicate,
        ),
        (
            "replicas become one group",
            Filters { remove_replica_labels: vec!["replica".into()], ..dedup() },
            vec![
                with(9, |m| {
                    m.compaction.sources = vec![id(1), id(2)];
                    m.thanos.as_mut().unwrap().labels.insert("replica".into(), "b".into());
                }),
                labelled(1, "a"),
            ],
            vec![1],
            State::Duplicate,
        ),
    ] {
        let out = filters.apply(&view(metas), now);
        let want: Vec<_> = hidden.iter().map(|n| (id(*n), state)).collect();
        assert_eq!(out.hidden.into_iter().collect::<Vec<_>>(), want, "{what}");
    }
}

#[test]
fn deletion_marks_and_order() {
    let mut view = view(vec![meta(id(1)), with(9, |m| m.compaction.sources = vec![id(1), id(9)])]);
    let mark = |n: u128, at: i64| DeletionMark { id: id(n), version: 1, details: String::new(), deletion_time: at };
    view.deletion_marks.insert(id(9), mark(9, 1000));
    let filters = Filters { ignore_deletion_marks_delay_ms: Some(10_000), deduplicate: true, ..Default::default() };
    // within the delay the marked block still covers its source
    let out = filters.apply(&view, 1_010_000);
    assert_eq!(out.hidden.into_iter().collect::<Vec<_>>(), [(id(1), State::Duplicate)]);
    // after it the source is back
    let out = filters.apply(&view, 1_010_001);
    assert_eq!(out.hidden.into_iter().collect::<Vec<_>>(), [(id(9), State::MarkedForDeletion)]);
}

#[test]
fn replica_labels_leave_one() {
    let filters = Filters { remove_replica_labels: vec!["cluster".into()], ..Default::default() };
    let out = filters.apply(&view(vec![meta(id(1))]), 0);
    assert_eq!(out.modified, 1);
    let labels = &out.kept[&id(1)].thanos.as_ref().unwrap().labels;
    assert_eq!(labels.iter().collect::<Vec<_>>(), [(&"cluster".to_owned(), &"deduped".to_owned())]);
}

#[test]
fn metrics_by_state() {
    let metrics = telemetry::Metrics::new();
    let sync = SyncMetrics::new(&metrics);
    let mut view = view(vec![meta(id(1)), meta(id(2))]);
    view.partial.insert(id(3), Partial::NoMeta);
    view.failed.insert(id(4), "x".into());
    let filters = Filters { time: Some((0, 1)), ..Default::default() };
    sync.show(&view, &filters.apply(&view, 0));
    let text = metrics.encode();
    for (state, count) in
        [("loaded", 2), ("no-meta-json", 1), ("failed", 1), ("corrupted-meta-json", 0), ("duplicate", 0)]
    {
        let line = format!("thanos_blocks_meta_synced{{state=\"{state}\"}} {count}.0\n");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(text.contains("thanos_blocks_meta_syncs_total 0\n"), "{text}");
}
