//! `tools bucket downsample`: downsamples blocks that are old or large enough, again and again.
//!
//! It is the compactor's own downsampling, with the same leases and commits. So it may run beside compactors, and each block
//! is downsampled once, by one of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use block::{BlockId, BlockMeta, META_FILE};
use flags::{Flag, Parsed};
use merge::{Finished, Job, Limits, Progress};
use objstore::{Bucket, ConditionalCreate, OpenOptions};
use parking_lot::Mutex;
use rand::SeedableRng;
use service::Failpoints;
use service::tool::{Deps, Error, Tool, Verdict};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transport::http::{HttpMetrics, Probe, common_routes};

use crate::compactor::{self, Compactor};
use crate::engine::{Depth, Engine, EngineError, RunOptions};
use crate::merge_engine::MergeEngine;
use crate::settings::Settings;

pub const DOWNSAMPLE_TOOL: Tool = Tool {
    name: "downsample",
    full_name: "tools bucket downsample",
    about: "Continuously downsamples blocks in an object store bucket.",
    shorts: &[],
    flags: FLAGS,
    run: |parsed, deps| Box::pin(run(parsed, deps)),
};

const FLAGS: &[&[Flag]] = &[
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
        Flag::text("deduplication.replica-label", "", "External label that distinguishes replicas, as the compactors of this bucket have it, so that both use the same leases (repeated, or separated by commas).").placeholder("DEDUPLICATION.REPLICA-LABEL").repeated(),
        Flag::switch("single-run", "Run only one time, then exit."),
    ],
];

/// The only range of merges. With one range nothing counts as waiting to be merged, so age alone decides.
const RANGE_MS: i64 = 2 * 3_600_000;

async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let bucket = open_bucket(parsed, deps)?;
    let made = Arc::new(Mutex::new(Vec::new()));
    let worker = worker(parsed, &bucket, made.clone(), deps).await?;
    if parsed.switch("single-run") {
        return downsample(&worker, &bucket, &made, deps).await;
    }
    let server = serve_probe(parsed, deps).await?;
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
    server.await.map_err(|e| Error::Failed(format!("the http server did not end well: {e}")))?;
    Ok(Verdict::Fine)
}

fn open_bucket(parsed: &Parsed, deps: &Deps<'_>) -> Result<Bucket, Error> {
    let needed = || Error::Usage("a bucket is needed: give --objstore.config-file or --objstore.config".to_owned());
    let yaml = parsed.content("objstore.config")?.ok_or_else(needed)?;
    let (metrics, clock) = (Some(deps.metrics.clone()), deps.clock.clone());
    let options = OpenOptions { metrics, clock, ..OpenOptions::default() };
    let opened = objstore::Config::parse(&yaml, &*deps.env).and_then(|config| config.open(&options));
    opened.map_err(|e| Error::Usage(format!("{}: {e}", parsed.origin("objstore.config"))))
}

/// Serves metrics and probes at `--http-address` until the shutdown.
async fn serve_probe(parsed: &Parsed, deps: &Deps<'_>) -> Result<JoinHandle<()>, Error> {
    let probe = Probe::new("not begun");
    let router = HttpMetrics::new(&deps.metrics).wrap(common_routes(deps.metrics.clone(), probe.clone()));
    let (options, web) = transport::flags::http_server(parsed).map_err(of_transport)?;
    let listener = transport::bind(parsed.text("http-address")).await.map_err(of_transport)?;
    let server = tokio::spawn(transport::serve(listener, web.wrap(router), options, deps.shutdown.clone()));
    probe.ready();
    Ok(server)
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::Failed(e.to_string())
}

fn of_transport(e: transport::Error) -> Error {
    match e {
        transport::Error::Config(text) => Error::Usage(text),
        e => failed(e),
    }
}

/// A resolution as Go prints durations.
fn as_go(resolution_ms: i64) -> String {
    match (resolution_ms / 3_600_000, resolution_ms / 60_000 % 60) {
        (0, minutes) => format!("{minutes}m0s"),
        (hours, minutes) => format!("{hours}h{minutes}m0s"),
    }
}

fn replica_labels(parsed: &Parsed) -> Vec<String> {
    let given = parsed.list("deduplication.replica-label");
    let labels = given.iter().flat_map(|labels| labels.split(',')).map(|label| label.trim().to_owned());
    labels.filter(|label| !label.is_empty()).collect()
}

/// A compactor for downsampling alone.
async fn worker(
    parsed: &Parsed,
    bucket: &Bucket,
    made: Arc<Mutex<Vec<Made>>>,
    deps: &Deps<'_>,
) -> Result<Compactor, Error> {
    let mut rng = rand::rngs::StdRng::seed_from_u64((deps.random)() as u64);
    let conditional = bucket.probe_conditional_create(&*deps.clock, &mut rng).await.map_err(failed)?;
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
        engine: Arc::new(Recorder { inner: engine, made }),
        holder: format!("tools-downsample-{}-{:032x}", std::process::id(), (deps.random)()),
        next_id: Arc::new(move || BlockId::new(clock.now_ms().max(0) as u64, random())),
        fetch: bucket::FetchOptions::default(),
        failpoints: Failpoints::none(),
    };
    Ok(Compactor::new(settings, of_compactor))
}

/// One pass over both resolutions; prints what became of each block.
async fn downsample(
    worker: &Compactor,
    bucket: &Bucket,
    made: &Mutex<Vec<Made>>,
    deps: &mut Deps<'_>,
) -> Result<Verdict, Error> {
    let outcome = worker.downsample(&deps.shutdown).await;
    let made = std::mem::take(&mut *made.lock());
    for Made { input, to_ms, outcome } in made {
        let to = as_go(to_ms);
        match outcome {
            // A commit that was given up never became visible.
            Ok(new) if bucket.exists(&format!("{new}/{META_FILE}")).await.map_err(failed)? => {
                deps.print(&format!("{input}: downsampled to {to} as {new}\n"))?;
            }
            Ok(new) => tracing::warn!(block = %input, new = %new, "downsampled block not made visible, see above"),
            Err(e) => deps.print(&format!("{input}: not downsampled to {to}: {e}\n"))?,
        }
    }
    let pass = outcome.map_err(failed)?;
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

/// Merges, and records which blocks were made from which.
#[derive(Debug)]
struct Recorder {
    inner: MergeEngine,
    made: Arc<Mutex<Vec<Made>>>,
}

#[async_trait]
impl Engine for Recorder {
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
            let record = |outcome| self.made.lock().push(Made { input, to_ms, outcome });
            match &finished {
                Ok(finished) => finished.outputs.iter().for_each(|o| record(Ok(o.meta.ulid))),
                Err(EngineError::Cancelled | EngineError::Vanished(_)) => {}
                Err(e) => record(Err(e.to_string())),
            }
        }
        finished
    }

    async fn verify(&self, meta: &BlockMeta, depth: Depth) -> Result<(), EngineError> {
        self.inner.verify(meta, depth).await
    }
}
