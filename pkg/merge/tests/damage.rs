//! Corrupt and vanishing inputs, failing stores, kills: nothing becomes visible, and what can go on goes on.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use block::BlockMeta;
use common::*;
use futures::TryStreamExt;
use merge::{Depth, Error, verify_block};
use objstore::faults::{Effect, Fault, Faults};
use objstore::{Bucket, ErrorKind, Op};
use service::Failpoints;

const HOUR: i64 = 3_600_000;

fn series(b: u64) -> Vec<RawSeries> {
    let start = b as i64 * HOUR;
    let one = |s: u64| raw(&[("__name__", "m"), ("s", &format!("{s:03}"))], ramp(start, 1000, 130, s as f64));
    (0..40).map(one).collect()
}

fn layout() -> Layout {
    Layout { segment_bytes: 4_000, ..Layout::default() }
}

async fn blocks(bucket: &Bucket) -> Vec<Arc<BlockMeta>> {
    let mut metas = Vec::new();
    for b in 0..2 {
        metas.push(put_block(bucket, b, (b as i64 * HOUR, (b as i64 + 1) * HOUR), &series(b), layout()).await);
    }
    metas
}

async fn paths(bucket: &Bucket) -> Vec<String> {
    let all: Vec<_> = bucket.list_recursive("").try_collect().await.unwrap();
    all.into_iter().map(|o| o.path).collect()
}

async fn nothing_of(bucket: &Bucket, block: block::BlockId) -> bool {
    !paths(bucket).await.iter().any(|p| p.starts_with(&block.to_string()))
}

/// Every bit of a small block's files: an error that names block and file, or the samples as they were.
#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let list =
        [raw(&[("a", "1"), ("b", "x")], ramp(0, 1000, 4, 0.0)), raw(&[("a", "2"), ("b", "y")], ramp(0, 1000, 3, 0.0))];
    let files = files_of(&list, Layout::default());
    let clean = Bucket::in_memory();
    let mut meta = meta_of(id(1), 0, HOUR, &[("cluster", "eu")]);
    meta.stats.num_series = 2;
    meta.stats.num_chunks = 2;
    meta.stats.num_samples = 7;
    let good = upload(&clean, meta.clone(), &files).await;
    let (_, want) = merged(&clean, &job(std::slice::from_ref(&good)), &options(dir.path()), dir.path()).await;
    assert!(verify_block(&clean, id(1), Depth::Full).await.unwrap().is_sound());
    let (mut same, mut told) = (0, 0);
    for (n, (name, bytes)) in files.iter().enumerate() {
        // A stride that visits all kinds of bits, in tests' time.
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut bad = files.clone();
            bad[n].1[bit / 8] ^= 1 << (bit % 8);
            let bucket = read_as(Bucket::in_memory(), bit % 2 == 0);
            let meta = upload(&bucket, meta.clone(), &bad).await;
            let mut job = job(&[meta]);
            job.meta.ulid = id(500 + bit as u64);
            let report = verify_block(&bucket, id(1), Depth::Full).await.unwrap();
            // Padding and the version's unused values change nothing.
            match run(&bucket, &job, &options(dir.path())).await {
                Ok(finished) => {
                    publish(&bucket, &finished).await;
                    let local = download(&bucket, job.meta.ulid, &dir.path().join(format!("{n}"))).await;
                    assert_eq!(read_block(&local).1, want, "{name} bit {bit}");
                    std::fs::remove_dir_all(local).unwrap();
                    same += 1;
                }
                Err(Error::Input { block, file, .. }) => {
                    assert_eq!((block, file.as_str()), (id(1), name.as_str()), "bit {bit}");
                    assert!(!report.is_sound(), "{name} bit {bit}");
                    assert!(nothing_of(&bucket, job.meta.ulid).await, "{name} bit {bit}");
                    told += 1;
                }
                Err(e) => panic!("{name} bit {bit}: {e}"),
            }
        }
    }
    // Postings and their table are not read by a merge; the rest is.
    assert!(told > same && told > 150, "{told} told, {same} the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_prefix_of_a_segment_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = files_of(&[raw(&[("a", "1")], ramp(0, 1000, 240, 0.0))], Layout::default());
    for with_sizes in [true, false] {
        for len in (0..files[0].1.len()).step_by(29) {
            let bucket = read_as(Bucket::in_memory(), len % 2 == 0);
            let mut meta = upload(&bucket, meta_of(id(1), 0, HOUR, &[]), &files).await;
            bucket.put(&format!("{}/chunks/000001", id(1)), files[0].1[..len].to_vec()).await.unwrap();
            if !with_sizes {
                let meta = Arc::make_mut(&mut meta);
                meta.thanos.as_mut().unwrap().files.clear();
            }
            let error = run(&bucket, &job(&[meta]), &options(dir.path())).await.unwrap_err();
            assert!(matches!(&error, Error::Input { file, .. } if file == "chunks/000001"), "{len}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_files_are_damage_and_missing_blocks_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["index", "chunks/000001", "chunks/000002"] {
        let bucket = Bucket::in_memory();
        let metas = blocks(&bucket).await;
        bucket.delete(&format!("{}/{file}", id(1))).await.unwrap();
        let error = run(&bucket, &job(&metas), &options(dir.path())).await.unwrap_err();
        assert!(matches!(&error, Error::Input { block, .. } if *block == id(1)), "{file}: {error}");
        assert!(!verify_block(&bucket, id(1), Depth::Sizes).await.unwrap().is_sound());
        // Deletion begins with the meta.
        bucket.delete(&format!("{}/meta.json", id(1))).await.unwrap();
        let error = run(&bucket, &job(&metas), &options(dir.path())).await.unwrap_err();
        assert!(matches!(error, Error::Vanished { block } if block == id(1)), "{file}: {error}");
        assert!(matches!(verify_block(&bucket, id(1), Depth::Sizes).await, Err(Error::Vanished { .. })));
    }
}

/// The block is listed, and gone when its chunks are read.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_goes_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let bucket = Bucket::in_memory().decorated(faults.clone());
    let metas = blocks(&bucket).await;
    faults.always("gone", Some(Op::GetRange), &format!("{}/chunks", id(1)), Effect::Fail(ErrorKind::NotFound));
    faults.always("gone", Some(Op::Exists), &format!("{}/meta.json", id(1)), Effect::Fail(ErrorKind::NotFound));
    let error = run(&bucket, &job(&metas), &options(dir.path())).await.unwrap_err();
    assert!(matches!(error, Error::Vanished { block } if block == id(1)), "{error}");
    assert!(nothing_of(&bucket, id(1_000_000)).await);
}

/// Each operation fails once, for good or after it was done; the run after goes on, and the result is the same.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_may_fail() {
    let clean = Bucket::in_memory();
    let dir = tempfile::tempdir().unwrap();
    let metas = blocks(&clean).await;
    let limits = |o: merge::Options| merge::Options { limits: merge::Limits { segment_bytes: 5_000, ..o.limits }, ..o };
    let (_, want) = merged(&clean, &job(&metas), &limits(options(dir.path())), dir.path()).await;
    let ops = [Op::Iter, Op::GetRange, Op::Upload, Op::Attributes];
    let effects = [
        Effect::Fail(ErrorKind::Unavailable),
        Effect::FailAfter(ErrorKind::Timeout),
        Effect::Short(3),
        Effect::Fail(ErrorKind::Denied),
    ];
    let (mut failed, mut cases) = (0, 0);
    for op in ops {
        for effect in effects {
            for skip in 0.. {
                let faults = Faults::new();
                let inner = Bucket::in_memory();
                let bucket = inner.decorated(faults.clone());
                let metas = blocks(&bucket).await;
                let path_contains = String::new();
                faults.add(Fault { name: "one", op: Some(op), path_contains, skip, times: 1, effect });
                let dir = tempfile::tempdir().unwrap();
                let first = run(&bucket, &job(&metas), &limits(options(dir.path()))).await;
                if faults.hits("one") == 0 {
                    break;
                }
                cases += 1;
                let finished = match first {
                    Ok(finished) => finished,
                    Err(Error::Bucket(_)) => {
                        failed += 1;
                        run(&bucket, &job(&metas), &limits(options(dir.path()))).await.unwrap()
                    }
                    Err(e) => panic!("{op:?} {skip} {effect:?}: {e}"),
                };
                publish(&inner, &finished).await;
                let local = download(&inner, finished.outputs[0].meta.ulid, dir.path()).await;
                assert_eq!(read_block(&local).1, want, "{op:?} {skip} {effect:?}");
            }
        }
    }
    assert!(cases > 60 && failed > 30, "{cases} cases, {failed} failed at first");
}

/// A bit that changes on the way is read again.
#[tokio::test(flavor = "multi_thread")]
async fn transient_damage_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    for is_local in [false, true] {
        let bucket = read_as(Bucket::in_memory().decorated(faults.clone()), is_local);
        let metas = blocks(&bucket).await;
        // A body cut short is repeated below, by the bucket itself.
        faults.once("short", Op::GetRange, "chunks/000001", Effect::Short(100));
        let (finished, _) = merged(&bucket, &job(&metas), &options(dir.path()), dir.path()).await;
        assert_eq!((finished.outputs.len(), faults.hits("short")), (1, 1 + u64::from(is_local)));
        std::fs::remove_dir_all(dir.path().join(finished.outputs[0].meta.ulid.to_string())).unwrap();
    }
}

/// Ended at each failpoint, at its n-th time: the run after goes on, and the files are those of a run that was not
/// ended.
#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_goes_on() {
    let (mut resumed, mut stops) = (0, 0);
    for (shards, series_max, is_local) in [(1, 0, true), (3, 0, false), (1, 15, false)] {
        let limits = |o: merge::Options| merge::Options {
            limits: merge::Limits { segment_bytes: 2_000, shards, series_max, ..o.limits },
            ..o
        };
        let clean = Bucket::in_memory();
        let metas = blocks(&clean).await;
        let dir = tempfile::tempdir().unwrap();
        let (whole, want) = merged(&clean, &job(&metas), &limits(options(dir.path())), dir.path()).await;
        for point in ["merge.after_inputs", "merge.after_segment", "merge.after_chunks", "merge.after_index"] {
            for nth in 1.. {
                let bucket = read_as(Bucket::in_memory(), is_local);
                let metas = blocks(&bucket).await;
                let dir = tempfile::tempdir().unwrap();
                let hits = Arc::new(AtomicUsize::new(0));
                let counted = hits.clone();
                let hook = move |name: &str| name == point && counted.fetch_add(1, Ordering::Relaxed) + 1 == nth;
                let mut first = limits(options(dir.path()));
                first.failpoints = Failpoints::hook(hook);
                let outcome = run(&bucket, &job(&metas), &first).await;
                if outcome.is_ok() {
                    break;
                }
                stops += 1;
                assert!(matches!(outcome, Err(Error::Failpoint(_))), "{point} {nth}: {outcome:?}");
                assert!(!paths(&bucket).await.iter().any(|p| p.ends_with("meta.json")
                    && !p.contains(&id(0).to_string())
                    && !p.contains(&id(1).to_string())));
                let before: Vec<_> = bucket.list_recursive(&id(1_000_000).to_string()).try_collect().await.unwrap();
                let mut again = job(&metas);
                // Another attempt may come with another id.
                again.meta.ulid = id(3_000_000);
                let (finished, found) = merged(&bucket, &again, &limits(options(dir.path())), dir.path()).await;
                assert!(found == want, "{point} {nth}");
                if point != "merge.after_inputs" && !before.is_empty() {
                    resumed += usize::from(finished.outputs[0].meta.ulid == id(1_000_000));
                }
                if shards == 1 {
                    let of = |f: &merge::Finished| {
                        let metas =
                            f.outputs.iter().map(|o| (o.meta.stats.clone(), o.meta.thanos.clone().unwrap().files));
                        (metas.collect::<Vec<_>>(), f.repairs, f.counts.chunks_copied)
                    };
                    assert_eq!(of(&finished), of(&whole), "{point} {nth}");
                }
            }
        }
    }
    assert!(resumed > 15 && stops > 25, "{resumed} of {stops} went on");
}

/// What an earlier run left is not believed blindly.
#[tokio::test(flavor = "multi_thread")]
async fn corrupt_leftovers_are_not_believed() {
    let clean = Bucket::in_memory();
    let metas = blocks(&clean).await;
    let dir = tempfile::tempdir().unwrap();
    let limits = |o: merge::Options| merge::Options { limits: merge::Limits { segment_bytes: 5_000, ..o.limits }, ..o };
    let (_, want) = merged(&clean, &job(&metas), &limits(options(dir.path())), dir.path()).await;
    let spoils: [fn(&std::path::Path); 5] = [
        |dir| std::fs::write(dir.join("spool.0"), b"xx").unwrap(),
        |dir| {
            let mut bytes = std::fs::read(dir.join("spool.0")).unwrap();
            bytes[10] ^= 4;
            std::fs::write(dir.join("spool.0"), bytes).unwrap();
        },
        |dir| std::fs::remove_file(dir.join("spool.0")).unwrap(),
        |dir| std::fs::write(dir.join("checkpoint.json"), b"{").unwrap(),
        |_| {},
    ];
    for (n, spoil) in spoils.into_iter().enumerate() {
        let bucket = Bucket::in_memory();
        let metas = blocks(&bucket).await;
        let dir = tempfile::tempdir().unwrap();
        let mut first = limits(options(dir.path()));
        first.failpoints = Failpoints::hook(|name| name == "merge.after_chunks");
        run(&bucket, &job(&metas), &first).await.unwrap_err();
        spoil(&first.dir);
        if n == 4 {
            bucket.delete(&format!("{}/chunks/000002", id(1_000_000))).await.unwrap();
        }
        let (_, found) = merged(&bucket, &job(&metas), &limits(options(dir.path())), dir.path()).await;
        assert!(found == want, "case {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_it_ends_soon_and_goes_on_later() {
    let faults = Faults::new();
    let bucket = Bucket::in_memory().decorated(faults.clone());
    let metas = blocks(&bucket).await;
    let dir = tempfile::tempdir().unwrap();
    faults.always("hang", Some(Op::GetRange), "chunks/000002", Effect::Hang);
    let cancel = tokio_util::sync::CancellationToken::new();
    let (job, options) = (job(&metas), options(dir.path()));
    let progress = merge::Progress::default();
    let running = merge::run(&bucket, &job, &options, &progress, &cancel);
    let end = async {
        while faults.hits("hang") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        cancel.cancel();
    };
    let (outcome, ()) =
        tokio::time::timeout(std::time::Duration::from_secs(20), async { tokio::join!(running, end) }).await.unwrap();
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    faults.clear();
    let finished =
        merge::run(&bucket, &job, &options, &progress, &tokio_util::sync::CancellationToken::new()).await.unwrap();
    assert_eq!(finished.outputs[0].meta.stats.num_series, 40);
    assert_eq!(progress.series_done.load(Ordering::Relaxed), 40);
}

/// Series out of order are met late, in whichever thread and output, and each run may be ended anywhere: nothing of what
/// was written until then is left.
#[tokio::test(flavor = "multi_thread")]
async fn out_of_order_wherever_it_is_met_and_killed_anywhere() {
    let labels = |n: usize| format!("{n:03}");
    let put = async |bucket: &Bucket, moved: Option<(usize, usize)>| {
        let mut metas = Vec::new();
        for b in 0..2u64 {
            let chunks = |n: usize| ramp(b as i64 * HOUR, 1000, 40, n as f64);
            let mut series: Vec<_> = (0..120).map(|n| raw(&[("n", &labels(n))], chunks(n))).collect();
            if let Some((from, to)) = moved.filter(|_| b == 1) {
                let one = series.remove(from);
                series.insert(to, one);
            }
            let range = (b as i64 * HOUR, (b as i64 + 1) * HOUR);
            metas.push(put_block(bucket, b, range, &series, Layout::default()).await);
        }
        metas
    };
    let clean = Bucket::in_memory();
    let metas = put(&clean, None).await;
    let dir = tempfile::tempdir().unwrap();
    let (_, want) = merged(&clean, &job(&metas), &options(dir.path()), dir.path()).await;
    let (mut stops, mut in_pieces) = (0, 0);
    for moved in [(119, 0), (0, 119), (64, 58), (119, 118)] {
        for (shards, series_max) in [(1, 0), (2, 0), (4, 0), (1, 25)] {
            for point in ["none", "merge.after_inputs", "merge.after_segment", "merge.after_index"] {
                for nth in [1, 3, 8] {
                    let bucket = Bucket::in_memory();
                    let metas = put(&bucket, Some(moved)).await;
                    let dir = tempfile::tempdir().unwrap();
                    let hits = Arc::new(AtomicUsize::new(0));
                    let hook = move |name: &str| name == point && hits.fetch_add(1, Ordering::Relaxed) + 1 == nth;
                    let limits = |o: merge::Options| merge::Options {
                        limits: merge::Limits { segment_bytes: 2_000, shards, series_max, ..o.limits },
                        ..o
                    };
                    let mut first = limits(options(dir.path()));
                    first.failpoints = Failpoints::hook(hook);
                    let ended = run(&bucket, &job(&metas), &first).await.is_err();
                    stops += usize::from(ended);
                    if !ended {
                        // The directory is gone, and so would be the objects.
                        remove_outputs(&bucket).await;
                    }
                    let (finished, found) =
                        merged(&bucket, &job(&metas), &limits(options(dir.path())), dir.path()).await;
                    assert!(found == want, "{moved:?} {shards} {series_max} {point} {nth}");
                    assert_eq!(finished.repairs.labels_out_of_order, 1, "{moved:?} {shards} {point} {nth}");
                    in_pieces += usize::from(finished.outputs.len() > 1);
                    for output in &finished.outputs {
                        let id = output.meta.ulid;
                        let objects: Vec<_> = bucket.list_recursive(&id.to_string()).try_collect().await.unwrap();
                        let files = &output.meta.thanos.as_ref().unwrap().files;
                        assert_eq!(objects.len(), files.len(), "{objects:?} {files:?}");
                    }
                    if !ended {
                        break;
                    }
                }
            }
        }
    }
    assert!(stops > 60 && in_pieces > 20, "{stops} {in_pieces}");
}

async fn remove_outputs(bucket: &Bucket) {
    let objects: Vec<_> = bucket.list_recursive("").try_collect().await.unwrap();
    for object in objects {
        if !object.path.starts_with(&id(0).to_string()) && !object.path.starts_with(&id(1).to_string()) {
            bucket.delete(&object.path).await.unwrap();
        }
    }
}
