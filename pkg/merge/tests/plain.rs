//! Well-formed blocks: what comes out holds what went in, however the work is cut.

mod common;

use common::*;
use merge::{Counts, Repairs};
use objstore::Bucket;

const HOUR: i64 = 3_600_000;

/// `blocks` blocks of 2 h that follow each other; some series only in some blocks.
async fn aligned(bucket: &Bucket, blocks: u64, series: u64) -> (Vec<std::sync::Arc<block::BlockMeta>>, Samples) {
    let (mut metas, mut want) = (Vec::new(), Samples::new());
    for b in 0..blocks {
        let start = b as i64 * 2 * HOUR;
        let mut list = Vec::new();
        for s in 0..series {
            if (s + b) % 5 == 4 {
                continue;
            }
            let chunks = ramp(start + s as i64, 15_000, 100 + (s as usize * 37) % 300, s as f64);
            let (job, instance) = (format!("job-{}", s % 3), format!("instance-{s:05}"));
            let labels = [("__name__", "up"), ("instance", &*instance), ("job", &*job)];
            let text = labels::Labels::from_pairs(labels).to_string();
            for chunk in &chunks {
                want.entry(text.clone()).or_default().extend(samples_of(chunk.encoding, &chunk.data));
            }
            list.push(raw(&labels, chunks));
        }
        let layout = Layout { segment_bytes: 20_000, ..Layout::default() };
        metas.push(put_block(bucket, b, (start, start + 2 * HOUR), &list, layout).await);
    }
    (metas, want)
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_blocks_that_follow_each_other_are_copied() {
    let (bucket, dir) = (Bucket::in_memory(), tempfile::tempdir().unwrap());
    let (metas, want) = aligned(&bucket, 3, 40).await;
    let (finished, found) = merged(&bucket, &job(&metas), &options(dir.path()), dir.path()).await;
    assert_eq!(found, want);
    let Counts { chunks_copied, chunks_rewritten, requests, bytes_read, .. } = finished.counts;
    assert_eq!((chunks_copied, chunks_rewritten), (finished.outputs[0].meta.stats.num_chunks, 0));
    assert_eq!(finished.repairs, Repairs::default());
    assert!(requests > 10 && bytes_read > 10_000, "{:?}", finished.counts);
}

/// Where one replica's block ends and another's begins, one scrape is not kept twice.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_whose_blocks_follow_each_other_are_put_together() {
    let (bucket, dir) = (Bucket::in_memory(), tempfile::tempdir().unwrap());
    let (labels, mut metas) = ([("__name__", "up")], Vec::new());
    // The second begins 3 ms after the first has ended.
    for (b, start) in [0, 480 * 15_000 - 15_000 + 3].into_iter().enumerate() {
        let list = [raw(&labels, ramp(start, 15_000, 480, 480.0 * b as f64))];
        metas.push(put_block(&bucket, b as u64, (start, start + 2 * HOUR), &list, Layout::default()).await);
    }
    for (replicas, kept) in [([1, 2], 959), ([1, 1], 960)] {
        let mut job = job(&metas);
        job.vertical = merge::Vertical::Penalty;
        job.meta.ulid = id(1_000_000 + kept);
        job.inputs.iter_mut().zip(replicas).for_each(|(input, replica)| input.replica = replica);
        let (_, found) = merged(&bucket, &job, &options(dir.path()), dir.path()).await;
        assert_eq!(found.values().map(|samples| samples.len() as u64).sum::<u64>(), kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_segments_and_memory_do_not_change_the_content() {
    let memory = Bucket::in_memory();
    let (metas, want) = aligned(&memory, 3, 300).await;
    for (n, (shards, segment_bytes, memory_bytes)) in
        [(1, 30_000, 32 << 20), (2, 30_000, 0), (4, 512 << 20, 1 << 20), (4, 300, 64 << 20), (3, 30_000, 32 << 20)]
            .into_iter()
            .enumerate()
    {
        let bucket = read_as(memory.clone(), n.is_multiple_of(2));
        let dir = tempfile::tempdir().unwrap();
        let mut job = job(&metas);
        job.meta.ulid = id(5000 + n as u64);
        let options = merge::Options {
            limits: merge::Limits { shards, segment_bytes, memory_bytes, hash: true, ..small() },
            ..options(dir.path())
        };
        let (finished, found) = merged(&bucket, &job, &options, dir.path()).await;
        assert!(found == want, "{shards} shards, segments of {segment_bytes}");
        let thanos = finished.outputs[0].meta.thanos.clone().unwrap();
        let numbers: Vec<String> = (1..=thanos.segment_files.len()).map(|n| format!("{n:06}")).collect();
        assert_eq!(thanos.segment_files, numbers);
        assert!(thanos.files[0].hash.as_ref().unwrap().value.len() == 64);
        assert!(shards < 4 || segment_bytes < 1000 || numbers.len() == 4, "{numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_split_at_its_limits() {
    let bucket = Bucket::in_memory();
    let (metas, want) = aligned(&bucket, 2, 100).await;
    for (n, (series_max, index_bytes_max)) in [(30, 64 << 30), (0, 6_000), (1, 64 << 30)].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let mut job = job(&metas);
        job.meta.ulid = id(6000 + n as u64);
        let next = std::sync::atomic::AtomicU64::new(7000 + 1000 * n as u64);
        let next_id = std::sync::Arc::new(move || id(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
        let options = merge::Options {
            limits: merge::Limits { series_max, index_bytes_max, shards: 4, ..small() },
            next_id,
            ..options(dir.path())
        };
        let (finished, found) = merged(&bucket, &job, &options, dir.path()).await;
        assert!(found == want, "{series_max} series, {index_bytes_max} bytes");
        assert!(finished.outputs.len() > 2, "{}", finished.outputs.len());
        for output in &finished.outputs {
            assert!(series_max == 0 || output.meta.stats.num_series <= series_max);
            let files = &output.meta.thanos.as_ref().unwrap().files;
            let index = files.iter().find(|f| f.rel_path == "index").unwrap();
            assert!(index.size_bytes <= index_bytes_max, "{}", index.size_bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_of_blocks_without_samples() {
    let (bucket, dir) = (Bucket::in_memory(), tempfile::tempdir().unwrap());
    let empty = [raw(&[("a", "1")], vec![]), raw(&[("a", "2")], vec![])];
    let metas = [
        put_block(&bucket, 1, (0, HOUR), &empty, Layout::default()).await,
        put_block(&bucket, 2, (HOUR, 2 * HOUR), &[], Layout::default()).await,
    ];
    let finished = run(&bucket, &job(&metas), &options(dir.path())).await.unwrap();
    assert!(finished.outputs.is_empty());
}

/// Series without samples are not carried on, and neither are symbols that only they used.
#[tokio::test(flavor = "multi_thread")]
async fn symbols_are_those_that_occur() {
    let (bucket, dir) = (Bucket::in_memory(), tempfile::tempdir().unwrap());
    let series = [
        raw(&[("a", "1"), ("gone", "secret")], vec![]),
        raw(&[("a", "2")], ramp(0, 1000, 10, 0.0)),
        raw(&[("a", "3")], ramp(0, 1000, 10, 0.0)),
    ];
    let metas = [put_block(&bucket, 1, (0, HOUR), &series, Layout::default()).await];
    let (finished, found) = merged(&bucket, &job(&metas), &options(dir.path()), dir.path()).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), [r#"{a="2"}"#, r#"{a="3"}"#]);
    let index = bucket.get(&format!("{}/index", finished.outputs[0].meta.ulid)).await.unwrap();
    assert!(!index.windows(6).any(|w| w == b"secret"));
}

/// With a prefix, which is a directory; the inputs are left as they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_read_where_it_is() {
    let (place, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\nprefix: a/b\n", place.path().display());
    let bucket = objstore::Config::parse(&yaml, &|_| None).unwrap().open(&objstore::OpenOptions::default()).unwrap();
    let (metas, want) = aligned(&bucket, 3, 300).await;
    let index = place.path().join(format!("a/b/{}/index", id(1)));
    let before = std::fs::read(&index).unwrap();
    for (n, shards) in [1, 3].into_iter().enumerate() {
        let mut job = job(&metas);
        job.meta.ulid = id(9000 + n as u64);
        let options = merge::Options {
            limits: merge::Limits { shards, segment_bytes: 30_000, ..small() },
            ..options(dir.path())
        };
        let (_, found) = merged(&bucket, &job, &options, dir.path()).await;
        assert!(found == want, "{shards} shards");
        assert!(std::fs::read(&index).unwrap() == before);
    }
    std::fs::remove_file(&index).unwrap();
    let error = run(&bucket, &job(&metas), &options(dir.path())).await.unwrap_err();
    assert!(matches!(&error, merge::Error::Input { block, .. } if *block == id(1)), "{error}");
}
