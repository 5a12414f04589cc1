//! An engine without samples: a block holds a list of texts, `<ancestor> <series>`, and merging is union.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use block::meta::BlockFile;
use block::{BlockId, BlockMeta};
use merge::{Counts, Finished, Job, Output, Progress, Repairs};
use objstore::Bucket;
use tokio_util::sync::CancellationToken;

use crate::engine::{Depth, Engine, EngineError, RunOptions};

/// One text of a block.
pub(super) type Unit = String;

/// See the module.
#[derive(Debug)]
pub(super) struct FakeEngine {
    pub(super) bucket: Bucket,
    /// Blocks with more texts than this are split in two.
    pub(super) units_max: usize,
}

/// The texts of a block.
pub(super) async fn units(bucket: &Bucket, id: BlockId) -> Result<BTreeSet<Unit>, objstore::Error> {
    let body = bucket.get(&format!("{id}/chunks/000001")).await?;
    Ok(String::from_utf8_lossy(&body).lines().map(str::to_owned).collect())
}

/// Writes the files of a block, and names them in its meta.
pub(super) async fn write(
    bucket: &Bucket,
    meta: &mut BlockMeta,
    units: &BTreeSet<Unit>,
) -> Result<(), objstore::Error> {
    let body = units.iter().map(|u| format!("{u}\n")).collect::<String>();
    meta.stats.num_samples = units.len() as u64;
    meta.stats.num_series = units.len() as u64;
    let thanos = meta.thanos.get_or_insert_default();
    thanos.files.clear();
    for (rel_path, body) in [("chunks/000001", body), ("index", format!("index of {}", units.len()))] {
        thanos.files.push(BlockFile { rel_path: rel_path.to_owned(), size_bytes: body.len() as u64, hash: None });
        bucket.put(&format!("{}/{rel_path}", meta.ulid), body).await?;
    }
    Ok(())
}

fn failed(id: BlockId, e: &objstore::Error) -> EngineError {
    if e.is_not_found() { EngineError::Vanished(id) } else { EngineError::Transient(e.to_string()) }
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
        let mut all = BTreeSet::new();
        for input in &job.inputs {
            if cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            all.extend(units(&self.bucket, input.meta.ulid).await.map_err(|e| failed(input.meta.ulid, &e))?);
        }
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
            write(&self.bucket, &mut meta, part).await.map_err(|e| failed(meta.ulid, &e))?;
            outputs.push(Output { meta });
        }
        Ok(Finished { outputs, repairs: Repairs::default(), counts: Counts::default() })
    }

    async fn verify(&self, meta: &BlockMeta, _: Depth) -> Result<(), EngineError> {
        units(&self.bucket, meta.ulid).await.map(|_| ()).map_err(|e| failed(meta.ulid, &e))
    }
}
