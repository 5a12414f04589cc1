//! An engine without samples: a block holds a list of texts, `<ancestor> <series>`, and merging is union.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use block::meta::BlockFile;
use block::{BlockId, BlockMeta};
use merge::{Counts, Finished, Job, Output, Progress, Repairs};
use objstore::Bucket;
use service::Failpoints;
use tokio_util::sync::CancellationToken;

use super::gate::Process;
use crate::engine::{Depth, Engine, EngineError, RunOptions};
use crate::output::RETENTION_PREFIX;

/// One text of a block.
pub(super) type Unit = String;

/// Where a block's texts lie.
pub(super) const DATA: &str = "chunks/000001";

/// See the module.
#[derive(Debug)]
pub(super) struct FakeEngine {
    pub(super) bucket: Bucket,
    /// Blocks with more texts than this are split in two.
    pub(super) units_max: usize,
    pub(super) failpoints: Failpoints,
    pub(super) process: Arc<Process>,
}

/// The texts in a block's data.
pub(super) fn units(body: &[u8]) -> BTreeSet<Unit> {
    String::from_utf8_lossy(body).lines().map(str::to_owned).collect()
}

/// The files of a block of these texts, named in its meta.
pub(super) fn files(meta: &mut BlockMeta, units: &BTreeSet<Unit>) -> [(&'static str, String); 2] {
    let body = units.iter().map(|u| format!("{u}\n")).collect::<String>();
    meta.stats.num_samples = units.len() as u64;
    meta.stats.num_series = units.len() as u64;
    let files = [(DATA, body), ("index", format!("index of {}", units.len()))];
    let describe = |(rel_path, body): &(&str, String)| BlockFile {
        rel_path: (*rel_path).to_owned(),
        size_bytes: body.len() as u64,
        hash: None,
    };
    meta.thanos.get_or_insert_default().files = files.iter().map(describe).collect();
    files
}

fn failed(id: BlockId, e: &objstore::Error) -> EngineError {
    if e.is_not_found() { EngineError::Vanished(id) } else { EngineError::Transient(e.to_string()) }
}

fn kind(job: &Job) -> &'static str {
    let is_retention = || {
        let rewrites = job.meta.thanos.iter().flat_map(|t| &t.rewrites).next_back();
        rewrites.iter().flat_map(|r| &r.deletions_applied).any(|d| d.request_id.starts_with(RETENTION_PREFIX))
    };
    match (job.downsampling.is_some(), job.deletions.is_empty()) {
        (true, _) => "downsampling",
        (false, true) => "compaction",
        (false, false) if is_retention() => "retention",
        (false, false) => "deletion",
    }
}

impl FakeEngine {
    async fn read(&self, id: BlockId) -> Result<BTreeSet<Unit>, EngineError> {
        let body = self.bucket.get(&format!("{id}/{DATA}")).await.map_err(|e| failed(id, &e))?;
        Ok(units(&body))
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn run(
        &self,
        job: &Job,
        options: &RunOptions,
        _: &Arc<Progress>,
        cancel: &CancellationToken,
    ) -> Result<Finished, EngineError> {
        *self.process.kind.lock() = kind(job);
        let mut all = BTreeSet::new();
        for input in &job.inputs {
            if cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            all.extend(self.read(input.meta.ulid).await?);
        }
        self.failpoints.hit("merge.after_inputs")?;
        for deletion in &job.deletions {
            let series = |unit: &Unit| unit.rsplit(' ').next().unwrap_or_default().to_owned();
            all.retain(|u| !deletion.matchers.iter().all(|m| m.name() != "s" || m.matches(&series(u))));
        }
        let mut outputs = Vec::new();
        let parts: Vec<BTreeSet<Unit>> = match all.len() {
            0 => Vec::new(),
            n if n > self.units_max => {
                let (even, odd) = all.into_iter().enumerate().partition::<Vec<_>, _>(|(at, _)| at % 2 == 0);
                [even, odd].into_iter().map(|part| part.into_iter().map(|(_, u)| u).collect()).collect()
            }
            _ => vec![all],
        };
        for (at, part) in parts.iter().enumerate() {
            let mut meta = job.meta.clone();
            if at > 0 {
                meta.ulid = (options.next_id)();
            }
            for ((rel_path, body), failpoints) in files(&mut meta, part)
                .into_iter()
                .zip([&["merge.after_segment", "merge.after_chunks"][..], &["merge.after_index"]])
            {
                let path = format!("{}/{rel_path}", meta.ulid);
                self.bucket.put(&path, body).await.map_err(|e| failed(meta.ulid, &e))?;
                for name in failpoints {
                    self.failpoints.hit(name)?;
                }
            }
            outputs.push(Output { meta });
        }
        Ok(Finished { outputs, repairs: Repairs::default(), counts: Counts::default() })
    }

    async fn verify(&self, meta: &BlockMeta, _: Depth) -> Result<(), EngineError> {
        self.read(meta.ulid).await.map(|_| ())
    }
}
