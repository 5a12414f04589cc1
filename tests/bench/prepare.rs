//! The data set on disk: blocks for Prometheus, and the same blocks in a bucket, shipped by `aion sidecar`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use proto::prometheus::WriteRequest;
use proto::prometheus_copy::{Sample, TimeSeries};
use testkit::wait_for;
use tests::aion::{Component, binary};
use tests::client::http;
use tests::engines::shipped;
use tests::peer::{Prometheus, PrometheusOptions, blocks_in};
use tests::remote_write::send;

use crate::fleet::{TICKS_PER_HOUR, Target};

/// Targets in one request, and ticks.
const BATCH: (usize, i64) = (10, 8);

/// Where things are.
pub struct Prepared {
    /// A folder whose `data` Prometheus can serve.
    pub served: PathBuf,
    /// The bucket, a folder.
    pub bucket: PathBuf,
}

impl Prepared {
    /// Thanos' object store configuration of the bucket.
    pub fn config(&self) -> String {
        format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", self.bucket.display().to_string())
    }
}

/// The data set of `targets` over `hours` below `dir`; nothing is done for one that is there.
///
/// # Errors
/// A program fails, the disk is full.
pub async fn prepare(prometheus: &Path, dir: &Path, targets: usize, hours: i64) -> anyhow::Result<Prepared> {
    let dir = dir.join(format!("{targets}x{hours}h"));
    let prepared = Prepared { served: dir.join("served"), bucket: dir.join("bucket") };
    let done = dir.join("done");
    if done.exists() {
        return Ok(prepared);
    }
    // what a broken run has left
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&prepared.bucket)?;
    let options = PrometheusOptions::default();
    let filled = Prometheus::start(prometheus, &dir.join("filled"), &options).await?;
    fill(&filled, targets, hours).await?;
    let client = http()?;
    let answer = client.post(format!("{}/api/v1/admin/tsdb/snapshot", filled.base)).send().await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
    let name = answer["data"]["name"].as_str().with_context(|| answer.to_string())?;
    std::fs::create_dir_all(&prepared.served)?;
    std::fs::rename(filled.data().join("snapshots").join(name), prepared.served.join("data"))?;
    filled.stop().await?;
    std::fs::remove_dir_all(dir.join("filled"))?;

    let options = PrometheusOptions {
        external_labels: vec![("prometheus".into(), "bench".into()), ("replica".into(), "a".into())],
        ..Default::default()
    };
    let serving = Prometheus::start(prometheus, &prepared.served, &options).await?;
    let args = [
        format!("--tsdb.path={}", serving.data().display()),
        format!("--prometheus.url={}", serving.base),
        format!("--objstore.config={}", prepared.config()),
    ];
    let mut sidecar = Component::start(binary(), "sidecar", &dir.join("sidecar"), &args, &[])?;
    sidecar.ready().await?;
    let (data, blocks) = (serving.data(), blocks_in(&serving.data()));
    let all = async || blocks.iter().all(|b| shipped(&data).contains(b));
    wait_for("the blocks to be shipped", Duration::from_secs(300), all).await;
    let errors = sidecar.stop(&[]).await?;
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    serving.stop().await?;
    eprintln!("{} blocks in {}", blocks.len(), prepared.bucket.display());
    std::fs::write(done, "")?;
    Ok(prepared)
}

async fn fill(prometheus: &Prometheus, targets: usize, hours: i64) -> anyhow::Result<()> {
    let client = http()?;
    let mut fleet: Vec<_> = (0..targets).map(Target::new).collect();
    let ticks = hours * TICKS_PER_HOUR;
    let mut from = 0;
    while from < ticks {
        let to = (from + BATCH.1).min(ticks);
        for group in fleet.chunks_mut(BATCH.0) {
            let mut request = WriteRequest::default();
            for target in group {
                let times: Vec<_> = (from..to).map(|tick| target.time_ms(tick)).collect();
                for series in &mut target.series {
                    let samples = times.iter().map(|t| Sample { timestamp: *t, value: series.step() }).collect();
                    request.timeseries.push(TimeSeries {
                        labels: series.labels.clone(),
                        samples,
                        ..Default::default()
                    });
                }
            }
            send(&client, &prometheus.base, &request).await.with_context(|| format!("ticks {from}..{to}"))?;
        }
        from = to;
        if from % TICKS_PER_HOUR == 0 {
            eprintln!("written: hour {} of {hours}", from / TICKS_PER_HOUR);
        }
    }
    Ok(())
}
