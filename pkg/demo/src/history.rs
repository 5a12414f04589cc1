//! The days before now: what is in the bucket when the demo begins, and what is added on a later run.

use std::path::{Path, PathBuf};

use bucket::upload::{UploadOptions, upload_block};
use futures::stream::{self, StreamExt, TryStreamExt};
use objstore::Bucket;

use crate::blocks::{Error, Job, Span};
use crate::lanes::{CLUSTERS, lanes};
use crate::story::Story;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// What a Prometheus writes at a time.
pub(crate) const BLOCK_MS: i64 = 2 * HOUR_MS;
/// Blocks of the last day are two hours long, older ones eight, as after a compaction.
const RECENT_MS: i64 = DAY_MS;
/// What is older is in blocks as a compactor leaves them: two days, or two weeks where these are complete.
const RIPE_MS: i64 = 4 * DAY_MS;
const RIPE_BLOCK_MS: i64 = 2 * DAY_MS;
const LARGE_BLOCK_MS: i64 = 14 * DAY_MS;

/// Which days are written.
#[derive(Debug, Clone)]
pub struct History {
    /// How far back, days.
    pub days: u32,
    /// Where history ends, ms since the epoch; a multiple of two hours.
    pub end_ms: i64,
    /// A folder for blocks before they are uploaded.
    pub scratch: PathBuf,
    /// How many blocks are written at a time.
    pub concurrency: usize,
}

/// How much was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backfilled {
    pub blocks: usize,
    pub samples: u64,
}

/// Fills `bucket` with history. Blocks have fixed names, so that what is there from an attempt before is not uploaded twice.
///
/// # Errors
/// Disk full, or the bucket cannot be written.
pub async fn backfill(bucket: &Bucket, history: &History) -> Result<Backfilled, Error> {
    let story = Story::of(history.end_ms, history.days);
    let jobs = plan(history.end_ms - i64::from(history.days) * DAY_MS, history.end_ms);
    run(bucket, &history.scratch, jobs, &story, history.concurrency).await
}

/// Uploads what all replicas scraped in `from..to`, which are bounds of blocks; there are no gaps.
pub(crate) async fn upload_since(
    bucket: &Bucket,
    scratch: &Path,
    from: i64,
    to: i64,
    story: &Story,
) -> Result<Backfilled, Error> {
    let at = (from..to).step_by(BLOCK_MS as usize);
    let jobs = at.flat_map(|at| replicas(Span { from: at, to: at + BLOCK_MS }, from)).collect();
    run(bucket, scratch, jobs, story, 1).await
}

fn replicas(span: Span, always_ms: i64) -> impl Iterator<Item = Job> {
    lanes().map(move |lane| Job::Replica { lane, span, always_ms })
}

/// The blocks from `begin` on, aligned as Prometheus and compactors align them; the last ones end at `end`.
fn plan(begin: i64, end: i64) -> Vec<Job> {
    let ripe = (end - RIPE_MS).div_euclid(RIPE_BLOCK_MS) * RIPE_BLOCK_MS;
    let mut at = begin.div_euclid(8 * HOUR_MS) * 8 * HOUR_MS;
    if at < ripe {
        at = begin.div_euclid(RIPE_BLOCK_MS) * RIPE_BLOCK_MS;
    }
    let mut jobs = Vec::new();
    while at < end {
        let is_large = at.rem_euclid(LARGE_BLOCK_MS) == 0 && at + LARGE_BLOCK_MS <= ripe;
        let length = match () {
            () if is_large => LARGE_BLOCK_MS,
            () if at < ripe => RIPE_BLOCK_MS,
            () if at + 8 * HOUR_MS <= end - RECENT_MS => 8 * HOUR_MS,
            () => BLOCK_MS,
        };
        let span = Span { from: at, to: (at + length).min(end) };
        match at < ripe {
            true => jobs.extend(CLUSTERS.map(|cluster| Job::Compacted { cluster, span })),
            false => jobs.extend(replicas(span, end)),
        }
        at = span.to;
    }
    jobs
}

/// Writes and uploads blocks.
async fn run(
    bucket: &Bucket,
    scratch: &Path,
    jobs: Vec<Job>,
    story: &Story,
    concurrency: usize,
) -> Result<Backfilled, Error> {
    let one = |job: Job| async move {
        let (into, story) = (scratch.to_owned(), story.clone());
        let written = tokio::task::spawn_blocking(move || job.write(&into, &story)).await??;
        let mut sum = Backfilled::default();
        // Nobody checks the demo's blocks against hashes, which take longer than the blocks themselves.
        let options = UploadOptions { hash: false, ..UploadOptions::default() };
        for block in written {
            sum.blocks += 1;
            sum.samples += block.meta.stats.num_samples;
            upload_block(bucket, &block.dir, block.meta, &options).await?;
            tokio::fs::remove_dir_all(&block.dir).await?;
        }
        Ok::<_, Error>(sum)
    };
    let sums = stream::iter(jobs).map(one).buffer_unordered(concurrency.max(1));
    let add = |sum: Backfilled, one: Backfilled| async move {
        Ok(Backfilled { blocks: sum.blocks + one.blocks, samples: sum.samples + one.samples })
    };
    sums.try_fold(Backfilled::default(), add).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const END_MS: i64 = 1_795_219_200_000;

    fn spans(days: i64) -> Vec<(Span, bool)> {
        let of = |job: &Job| match job {
            Job::Replica { span, .. } => (*span, false),
            Job::Compacted { span, .. } => (*span, true),
        };
        let mut spans: Vec<_> = plan(END_MS - days * DAY_MS, END_MS).iter().map(of).collect();
        spans.dedup();
        spans
    }

    #[test]
    fn spans_are_aligned_and_without_gaps() {
        for days in [0, 1, 3, 5, 15, 90] {
            let spans = spans(days);
            assert!(spans.windows(2).all(|w| w[0].0.to == w[1].0.from), "{spans:?}");
            assert!(spans.iter().all(|(s, _)| s.from % (s.to - s.from) == 0), "{spans:?}");
            assert!(spans.last().is_none_or(|(s, _)| s.to == END_MS));
            assert!(days == 0 || spans[0].0.from <= END_MS - days * DAY_MS);
        }
    }

    #[test]
    fn what_is_old_is_compacted() {
        let lengths: std::collections::BTreeSet<_> =
            spans(90).iter().map(|(s, compacted)| (*compacted, (s.to - s.from) / HOUR_MS)).collect();
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [(false, 2), (false, 8), (true, 48), (true, 14 * 24)]);
        assert!(spans(3).iter().all(|(_, compacted)| !compacted));
    }

    #[tokio::test]
    async fn a_second_run_writes_nothing_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let (bucket, story) = (Bucket::in_memory(), Story::of(END_MS, 90));
        let span = Span { from: END_MS - BLOCK_MS, to: END_MS };
        let compacted = CLUSTERS.map(|cluster| Job::Compacted { cluster, span });
        let jobs: Vec<_> = replicas(span, END_MS).chain(compacted).collect();
        let first = run(&bucket, scratch.path(), jobs.clone(), &story, 2).await.unwrap();
        let dirs = bucket.list_dirs("").await.unwrap();
        assert_eq!((first.blocks, dirs.len()), (4 + 2 * 3, 10));
        assert_eq!(run(&bucket, scratch.path(), jobs, &story, 1).await.unwrap(), first);
        assert_eq!(bucket.list_dirs("").await.unwrap(), dirs);
    }
}
