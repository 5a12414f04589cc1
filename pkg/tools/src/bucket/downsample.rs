//! `tools bucket downsample`: makes coarser blocks beside those that are old or large enough, again and again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::bucket::Filters;
use block::{BlockId, BlockMeta};
use compactor::coverage::Coverage;
use compactor::downsampling::{STEPS, Todo, todo};
use compactor::output;
use compactor::policy::Policy;
use flags::{Flag, Parsed};
use futures::stream::{self, StreamExt};
use merge::Downsampling;
use objstore::Bucket;
use telemetry::{CounterVec, HistogramVec, Metrics};

use super::common;
use super::publish::Workshop;
use crate::{Deps, Error, Verdict};

pub(super) const ABOUT: &str = "Continuously downsamples blocks in an object store bucket.";
pub(super) const SHORTS: &[(char, &str)] = &[];
pub(super) const FLAGS: &[&[Flag]] = &[
    transport::flags::HTTP,
    &[
        Flag::duration("wait-interval", "5m", "Wait interval between downsample runs."),
        Flag::count("downsample.concurrency", "1", "Blocks that are downsampled at a time."),
        Flag::count("block-files-concurrency", "1", "Files of a block that are fetched or uploaded at a time.")
            .ignored("chunks are streamed, no block is fetched"),
        Flag::text("data-dir", "./data", "Data directory in which to process downsamplings."),
        Flag::word(
            "hash-func",
            &["SHA256", ""],
            "",
            "Which hash function to use when calculating the hashes of produced files.",
        ),
        Flag::switch("single-run", "Run only one time, then exit."),
    ],
];

struct DownsampleMetrics {
    done: CounterVec,
    failures: CounterVec,
    seconds: HistogramVec,
}

impl DownsampleMetrics {
    fn new(m: &Metrics) -> Self {
        let labels = &["resolution"];
        let seconds = [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0];
        Self {
            done: m.counters("thanos_compact_downsample_total", "Total number of downsampling attempts.", labels),
            failures: m.counters(
                "thanos_compact_downsample_failures_total",
                "Total number of failed downsampling attempts.",
                labels,
            ),
            seconds: m.histograms(
                "thanos_compact_downsample_duration_seconds",
                "Duration of downsample runs.",
                labels,
                &seconds,
            ),
        }
    }
}

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let bucket = common::open_bucket(parsed, deps)?;
    let dir = PathBuf::from(parsed.text("data-dir")).join("downsample");
    let workshop = Workshop::new(&bucket, &dir, parsed.text("hash-func") == "SHA256", deps);
    let concurrency = (parsed.count("downsample.concurrency") as usize).clamp(1, 64);
    let metrics = DownsampleMetrics::new(&deps.metrics);
    if parsed.switch("single-run") {
        return downsample(&bucket, &workshop, concurrency, &metrics, deps).await;
    }
    let server = common::serve_probe(parsed, deps).await?;
    let shutdown = deps.shutdown.clone();
    let interval = Duration::from_millis(parsed.duration_ms("wait-interval").max(0) as u64);
    while !shutdown.is_cancelled() {
        let run = downsample(&bucket, &workshop, concurrency, &metrics, deps);
        match shutdown.run_until_cancelled(run).await {
            Some(Err(e)) => tracing::error!(err = %e, "downsampling failed, trying again later"),
            Some(Ok(_)) => {}
            None => break,
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
            break;
        }
    }
    server.ended().await?;
    Ok(Verdict::Fine)
}

/// Both steps: what the first makes, the second may make coarser still.
async fn downsample(
    bucket: &Bucket,
    workshop: &Workshop,
    concurrency: usize,
    metrics: &DownsampleMetrics,
    deps: &mut Deps<'_>,
) -> Result<Verdict, Error> {
    let (mut failed, mut tried) = (false, BTreeSet::new());
    for _pass in 0..2 {
        let view = common::view(bucket, 32, 0, deps).await?;
        failed |= common::warn_of_unknown(&view);
        let now_ms = deps.clock.now_ms();
        let filters = Filters { deduplicate: true, ..Filters::default() };
        let mut blocks = filters.apply(&view, now_ms).kept;
        blocks.retain(|id, meta| {
            let labelled = meta.thanos.as_ref().is_some_and(|t| !t.labels.is_empty());
            labelled && !view.deletion_marks.contains_key(id) && !view.broken.contains_key(id)
        });
        let is_marked = |id: &&BlockId| view.objects.get(*id).is_some_and(|o| o.no_downsample_mark().is_some());
        let unwanted: BTreeSet<BlockId> = blocks.keys().filter(is_marked).copied().collect();
        let coverage = Coverage::new(blocks.values());
        let mut todo =
            todo(&STEPS, &blocks, &coverage, &unwanted, &BTreeSet::new(), &BTreeSet::new(), &Policy::default(), now_ms);
        todo.retain(|t| tried.insert(t.block.ulid));
        let one = |todo: Todo| async move {
            let outcome = downsample_one(&todo, workshop, metrics).await;
            (todo, outcome)
        };
        let work: Vec<_> = todo.into_iter().map(one).collect();
        let mut work = stream::iter(work).buffer_unordered(concurrency);
        while let Some((todo, outcome)) = work.next().await {
            let id = todo.block.ulid;
            let to = crate::output::format_duration(todo.step.to_ms);
            match outcome {
                Ok(new) => deps.print(&format!("{id}: downsampled to {to} as {new}\n"))?,
                Err(e) => {
                    failed = true;
                    tracing::error!(block = %id, err = %e, "block not downsampled");
                    deps.print(&format!("{id}: not downsampled to {to}: {e}\n"))?;
                }
            }
        }
    }
    Ok(Verdict::of(failed))
}

async fn downsample_one(todo: &Todo, workshop: &Workshop, metrics: &DownsampleMetrics) -> Result<BlockId, Error> {
    let began = Instant::now();
    let resolution = todo.block.resolution_ms().to_string();
    let outcome = make_coarser(&todo.block, todo.step.from_ms, todo.step.to_ms, workshop).await;
    metrics.seconds.with(&[&resolution]).observe(began.elapsed().as_secs_f64());
    match &outcome {
        Ok(_) => metrics.done.with(&[&resolution]).inc(),
        Err(_) => metrics.failures.with(&[&resolution]).inc(),
    };
    outcome
}

async fn make_coarser(block: &Arc<BlockMeta>, from_ms: i64, to_ms: i64, workshop: &Workshop) -> Result<BlockId, Error> {
    let id = workshop.next_id();
    let mut job = Workshop::job(block, output::downsampled(id, block, to_ms));
    job.downsampling = Some(Downsampling { from_ms, to_ms });
    let finished = workshop.run(&job).await?;
    match &finished.outputs[..] {
        [output] => {
            workshop.publish(output.meta.clone()).await?;
            Ok(output.meta.ulid)
        }
        outputs => {
            for output in outputs {
                workshop.discard(output.meta.ulid).await?;
            }
            Err(Error::Failed(format!("it became {} blocks", outputs.len())))
        }
    }
}
