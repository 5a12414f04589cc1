//! `tools bucket downsample`: makes coarser blocks beside those that are old or large enough, again and again.
//!
//! It is the compactor's own downsampling, under the same leases and with the same commits: run beside compactors, each
//! block is made coarser once, by one of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use block::{BlockId, BlockMeta, META_FILE};
use compactor::{Compactor, Depth, Engine, EngineError, MergeEngine, RunOptions, Settings};
use flags::{Flag, Parsed};
use merge::{Finished, Job, Limits, Progress};
use objstore::{Bucket, ConditionalCreate};
use parking_lot::Mutex;
use rand::SeedableRng;
use service::Failpoints;
use tokio_util::sync::CancellationToken;

use super::common;
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
        Flag::text("deduplication.replica-label", "", "External label that tells replicas, as the compactors of this bucket have it, so that both know of each other's work (repeated, or separated by commas).").placeholder("DEDUPLICATION.REPLICA-LABEL").repeated(),
        Flag::switch("single-run", "Run only one time, then exit."),
    ],
];

/// Merges are none of this command's business: whatever is old enough is made coarser as it is.
const RANGE_MS: i64 = 2 * 3_600_000;

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let bucket = common::open_bucket(parsed, deps)?;
    let made = Arc::new(Mutex::new(Vec::new()));
    let worker = worker(parsed, &bucket, made.clone(), deps).await?;
    if parsed.switch("single-run") {
        return downsample(&worker, &bucket, &made, deps).await;
    }
    let server = common::serve_probe(parsed, deps).await?;
    let shutdown = deps.shutdown.clone();
    let interval = Duration::from_millis(parsed.duration_ms("wait-interval").max(0) as u64);
    while !shutdown.is_cancelled() {
        if let Err(e) = downsample(&worker, &bucket, &made, deps).await {
            tracing::error!(err = %e, "downsampling failed, trying again later");
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
            break;
        }
    }
    server.ended().await?;
    Ok(Verdict::Fine)
}

fn replica_labels(parsed: &Parsed) -> Vec<String> {
    let given = parsed.list("deduplication.replica-label");
    let labels = given.iter().flat_map(|labels| labels.split(',')).map(|label| label.trim().to_owned());
    labels.filter(|label| !label.is_empty()).collect()
}

/// A compactor that only makes coarser.
async fn worker(
    parsed: &Parsed,
    bucket: &Bucket,
    made: Arc<Mutex<Vec<Made>>>,
    deps: &Deps<'_>,
) -> Result<Compactor, Error> {
    let mut rng = rand::rngs::StdRng::seed_from_u64((deps.random)() as u64);
    let conditional = bucket.probe_conditional_create(&*deps.clock, &mut rng).await?;
    if conditional == ConditionalCreate::Ignored {
        tracing::warn!("the store does not honour conditional creates: no compactor may run on this bucket meanwhile");
    }
    let settings = Settings {
        ranges_ms: vec![RANGE_MS],
        replica_labels: replica_labels(parsed),
        downsample_concurrency: (parsed.count("downsample.concurrency") as usize).clamp(1, 64),
        verify: Depth::Full,
        dir: PathBuf::from(parsed.text("data-dir")).join("downsample"),
        ..Settings::default()
    };
    let engine = MergeEngine {
        bucket: bucket.clone(),
        limits: Limits { hash: parsed.text("hash-func") == "SHA256", ..Limits::default() },
        failpoints: Failpoints::none(),
    };
    let (clock, random) = (deps.clock.clone(), deps.random.clone());
    let of_compactor = compactor::Deps {
        bucket: bucket.clone(),
        conditional,
        clock: deps.clock.clone(),
        store_clock: None,
        metrics: deps.metrics.clone(),
        engine: Arc::new(Noting { inner: engine, made }),
        holder: format!("tools-downsample-{}-{:032x}", std::process::id(), (deps.random)()),
        next_id: Arc::new(move || BlockId::new(clock.now_ms().max(0) as u64, random())),
        fetch: ::bucket::FetchOptions::default(),
        failpoints: Failpoints::none(),
    };
    Ok(Compactor::new(settings, of_compactor))
}

/// Both steps: what the first makes, the second may make coarser still.
async fn downsample(
    worker: &Compactor,
    bucket: &Bucket,
    made: &Mutex<Vec<Made>>,
    deps: &mut Deps<'_>,
) -> Result<Verdict, Error> {
    let outcome = worker.downsample(&deps.shutdown).await;
    let made = std::mem::take(&mut *made.lock());
    for Made { input, to_ms, outcome } in made {
        let to = crate::output::format_duration(to_ms);
        match outcome {
            // what was given up in the end was never visible
            Ok(new) if bucket.exists(&format!("{new}/{META_FILE}")).await? => {
                deps.print(&format!("{input}: downsampled to {to} as {new}\n"))?;
            }
            Ok(new) => tracing::warn!(block = %input, new = %new, "coarser block not made visible, see above"),
            Err(e) => deps.print(&format!("{input}: not downsampled to {to}: {e}\n"))?,
        }
    }
    let pass = outcome.map_err(|e| Error::Failed(e.to_string()))?;
    if pass.busy > 0 {
        tracing::info!(leases = pass.busy, "compactors are at work on some blocks, they are left to them");
    }
    Ok(Verdict::of(pass.failed > 0))
}

/// What became of one block.
#[derive(Debug)]
struct Made {
    input: BlockId,
    to_ms: i64,
    outcome: Result<BlockId, String>,
}

/// Merges, and notes what it made of what.
#[derive(Debug)]
struct Noting {
    inner: MergeEngine,
    made: Arc<Mutex<Vec<Made>>>,
}

#[async_trait]
impl Engine for Noting {
    async fn run(
        &self,
        job: &Job,
        options: &RunOptions,
        progress: &Arc<Progress>,
        cancel: &CancellationToken,
    ) -> Result<Finished, EngineError> {
        let finished = self.inner.run(job, options, progress, cancel).await;
        let to_ms = job.downsampling.map_or(0, |d| d.to_ms);
        for input in &job.inputs {
            let input = input.meta.ulid;
            let note = |outcome| self.made.lock().push(Made { input, to_ms, outcome });
            match &finished {
                Ok(finished) => finished.outputs.iter().for_each(|o| note(Ok(o.meta.ulid))),
                Err(EngineError::Cancelled | EngineError::Vanished(_)) => {}
                Err(e) => note(Err(e.to_string())),
            }
        }
        finished
    }

    async fn verify(&self, meta: &BlockMeta, depth: Depth) -> Result<(), EngineError> {
        self.inner.verify(meta, depth).await
    }
}
