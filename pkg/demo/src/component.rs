//! The demo itself: history first, then all parts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assembly::{BucketConfig, Deps};
use flags::Parsed;
use futures::future::BoxFuture;
use objstore::Bucket;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tracing::info;
use transport::ServeOptions;
use up::{Settings, System, say};

use crate::blocks::Error;
use crate::history::{BLOCK_MS, Backfilled, History, backfill, upload_since};
use crate::lanes::lanes;
use crate::live::{self, Replica};
use crate::record::Record;
use crate::tour::tour;

/// `aion demo`.
///
/// # Errors
/// Disk full, addresses in use, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        match parsed.text_opt("dir") {
            Some(dir) => show(parsed, dir.into(), deps, shutdown).await,
            None => {
                let temporary = tempfile::Builder::new().prefix("aion-demo-").tempdir()?;
                let ended = show(parsed, temporary.path().to_owned(), deps, shutdown).await;
                info!(dir = %temporary.path().display(), "removing the demo's files");
                ended
            }
        }
    })
}

async fn show(parsed: &Parsed, dir: PathBuf, deps: Deps, shutdown: CancellationToken) -> Result<(), Error> {
    let mut system = System::open(settings(parsed, dir.clone()), deps.clone(), shutdown).await?;
    let bucket = open_bucket(&system, &deps).await?;
    let end_ms = deps.clock.now_ms().div_euclid(BLOCK_MS) * BLOCK_MS;
    let days = u32::try_from(parsed.count("days")).unwrap_or(u32::MAX).min(3650);
    let Some(record) = system.shutdown().run_until_cancelled(write_history(&bucket, &dir, days, end_ms)).await else {
        return Ok(());
    };
    let record = record?;
    start_replicas(&mut system, &bucket, &dir, &deps, record).await?;
    let found = system.start().await?;
    let more = tour(found.page, &record.story(), record.days, deps.clock.now_ms());
    system.run(found, more).await
}

/// The compactor merges replicas, soon after they come, and the store sees it soon.
fn settings(parsed: &Parsed, dir: PathBuf) -> Settings {
    let compact = [
        "--wait-interval=10s",
        "--consistency-delay=0s",
        "--deduplication.replica-label=replica",
        "--deduplication.func=penalty",
        // So that some days of history show each kind of block.
        "--debug.max-compaction-level=3",
        "--downsample.age-1h=10d",
    ];
    let mut settings = Settings::new(parsed, dir);
    settings.store = vec!["--sync-block-duration=10s".to_owned()];
    settings.compact = parsed.switch("compact").then(|| compact.map(str::to_owned).to_vec());
    settings
}

/// The bucket; what the demo itself does to it is in no component's metrics.
async fn open_bucket(system: &System, deps: &Deps) -> Result<Bucket, Error> {
    let file = system.bucket_file().ok_or("the demo has a bucket of its own")?;
    let (yaml, origin) = (tokio::fs::read_to_string(file).await?, file.display().to_string());
    let of_demo = Deps { clock: deps.clock.clone(), ..Deps::isolated(Metrics::new()) };
    Ok(BucketConfig { yaml, origin, ..BucketConfig::default() }.open_required(&of_demo)?)
}

fn scratch(dir: &Path) -> PathBuf {
    dir.join("scratch")
}

/// Writes what the bucket lacks until `end_ms`.
async fn write_history(bucket: &Bucket, dir: &Path, days: u32, end_ms: i64) -> Result<Record, Error> {
    let found = Record::load(dir).await?;
    let (record, Backfilled { blocks, samples }) = match found {
        Some(record) if record.until_ms >= end_ms => return Ok(record),
        Some(record) => {
            say(&format!("The folder has {} days of history, adding what came since …", record.days));
            (record, upload_since(bucket, &scratch(dir), record.until_ms, end_ms, &record.story()).await?)
        }
        None => {
            say(&format!("Writing {days} days of history into {} …", dir.join("bucket").display()));
            let concurrency = std::thread::available_parallelism().map_or(1, usize::from);
            let history = History { days, end_ms, scratch: scratch(dir), concurrency };
            (Record { days, end_ms, until_ms: end_ms }, backfill(bucket, &history).await?)
        }
    };
    say(&format!("{blocks} blocks, {samples} samples."));
    let record = Record { until_ms: end_ms, ..record };
    record.save(dir).await?;
    Ok(record)
}

async fn start_replicas(
    system: &mut System,
    bucket: &Bucket,
    dir: &Path,
    deps: &Deps,
    record: Record,
) -> Result<(), Error> {
    for lane in lanes() {
        let replica = Replica::new(lane, record.story(), deps.clock.clone(), record.until_ms);
        let listener = transport::bind("127.0.0.1:0").await?;
        system.endpoint(listener.local_addr()?.to_string());
        let part = deps.metrics.with_labels(&[("component", "replica")]);
        let options = ServeOptions::grpc(Duration::from_secs(1), Duration::ZERO);
        let stop = system.shutdown();
        system.spawn("replica", transport::serve(listener, live::routes(replica, &part), options, stop));
    }
    let (bucket, dir, clock, stop) = (bucket.clone(), dir.to_owned(), deps.clock.clone(), system.shutdown());
    system.spawn("upload", async move { live::upload(&bucket, &dir, &scratch(&dir), &*clock, record, stop).await });
    Ok(())
}
