//! Running a job: opening the inputs, merging, removing what a failed job left.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::BoxFuture;
use objstore::{Bucket, BufferPool};
use tokio_util::sync::CancellationToken;

use crate::buffers::Buffers;
use crate::checkpoint::{Checkpoint, Saver, fingerprint};
use crate::count::Traffic;
use crate::error::{Error, Result};
use crate::input::{self, OpenInput, OpenOptions};
use crate::job::{Finished, Job, Options, Progress};
use crate::leftovers::{remove_objects, still_there};
use crate::outputs::Merger;
use crate::wait::Wait;

/// How often [`Progress`] is updated.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Does a job: reads the inputs, writes the outputs' chunks and indexes. `meta.json` is the caller's to write.
///
/// After an interruption, what was uploaded stays in the bucket and a checkpoint stays in [`Options::dir`]: the same job with
/// the same directory goes on from the last finished segment. The end of the job, and an input that is corrupt, remove the
/// directory.
///
/// # Errors
/// [`Error`], by what the caller may do.
pub fn run<'a>(
    bucket: &'a Bucket,
    job: &'a Job,
    options: &'a Options,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
) -> BoxFuture<'a, Result<Finished>> {
    Box::pin(async move {
        if job.inputs.is_empty() {
            return Err(Error::Refused("a merge without inputs".to_owned()));
        }
        let traffic = Traffic::default();
        let pool = BufferPool::new(usize::try_from(options.limits.memory_bytes).unwrap_or(usize::MAX));
        let bucket = bucket.decorated(traffic.clone()).with_pool(pool);
        let cancel = cancel.child_token();
        // Whoever drops this future ends the threads too.
        let _end = cancel.clone().drop_guard();
        std::fs::create_dir_all(&options.dir).map_err(Error::local("create", &options.dir))?;
        let saver = Saver::new(&options.dir);
        let fingerprint = fingerprint(job, options);
        let resumed = match saver.load(&fingerprint) {
            Some(checkpoint) if still_there(&bucket, &checkpoint).await? => {
                tracing::info!(block = %checkpoint.current.id, segments = checkpoint.current.segments.len(), "merge goes on");
                Some(checkpoint)
            }
            _ => None,
        };
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            opened = open_inputs(&bucket, job, options, progress) => opened,
        };
        let outcome = match outcome {
            Ok(inputs) => {
                let merger = Merger {
                    bucket: bucket.clone(),
                    wait: Wait { runtime: tokio::runtime::Handle::current(), cancel: cancel.clone() },
                    job: job.clone(),
                    options: options.clone(),
                    saver,
                    buffers: Buffers::new(&options.limits, &bucket),
                    progress: Default::default(),
                };
                in_background(merger, inputs, resumed, fingerprint, progress).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(mut finished) => {
                (finished.counts.requests, finished.counts.bytes_read, finished.counts.bytes_written) = traffic.sums();
                remove_dir(options);
                Ok(finished)
            }
            Err(error) => {
                if matches!(error, Error::Input { .. } | Error::Vanished { .. } | Error::Refused(_)) {
                    // The same job cannot end otherwise: nothing of it is kept.
                    if let Err(error) = remove_objects(&bucket, options, job).await {
                        tracing::warn!(%error, "cannot remove what a failed merge left; a later cleaning will");
                    }
                    remove_dir(options);
                }
                Err(error)
            }
        }
    })
}

fn remove_dir(options: &Options) {
    if let Err(error) = std::fs::remove_dir_all(&options.dir) {
        tracing::warn!(path = %options.dir.display(), %error, "cannot remove a merge's directory");
    }
}

async fn open_inputs(bucket: &Bucket, job: &Job, options: &Options, progress: &Progress) -> Result<Vec<OpenInput>> {
    let fetch_bytes = (options.limits.memory_bytes / 16).clamp(256 << 10, 8 << 20);
    let (mut inputs, mut total) = (Vec::new(), 0);
    for one in &job.inputs {
        let files = input::list(bucket, &one.meta).await?;
        total += files.segments.bytes();
        progress.bytes_total.store(total, Relaxed);
        let open = OpenOptions { tombstones: job.tombstones, dir: &options.dir, fetch_bytes };
        inputs.push(input::open(bucket, one, &files, &open).await?);
    }
    Ok(inputs)
}

/// Merges on threads of its own, and updates `progress`.
async fn in_background(
    merger: Merger,
    inputs: Vec<OpenInput>,
    resumed: Option<Checkpoint>,
    fingerprint: String,
    progress: &Progress,
) -> Result<Finished> {
    let done = merger.progress.clone();
    let mut task = tokio::task::spawn_blocking(move || merger.merge(inputs, resumed, fingerprint));
    let show = || {
        progress.bytes_done.store(done.bytes.load(Relaxed), Relaxed);
        progress.series_done.store(done.series.load(Relaxed), Relaxed);
    };
    loop {
        match tokio::time::timeout(PROGRESS_EVERY, &mut task).await {
            Err(_) => show(),
            Ok(Ok(outcome)) => {
                show();
                return outcome;
            }
            // A panic in it is passed on.
            Ok(Err(e)) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Ok(Err(_)) => return Err(Error::Cancelled),
        }
    }
}
