//! What an earlier run of a job left in the bucket.

use std::collections::BTreeMap;

use block::{BlockId, META_FILE};
use futures::TryStreamExt;
use objstore::Bucket;

use crate::checkpoint::{Checkpoint, Saver, fingerprint};
use crate::error::{Error, Result};
use crate::input;
use crate::job::{Job, Options};
use crate::object::Uploaded;

/// Removes the outputs that the job and its checkpoint name from the bucket. They have no `meta.json`, so nobody has seen
/// them.
pub(crate) async fn remove_objects(bucket: &Bucket, options: &Options, job: &Job) -> Result<()> {
    let mut ids = vec![job.meta.ulid];
    if let Some(checkpoint) = Saver::new(&options.dir).load(&fingerprint(job, options)) {
        ids.extend(checkpoint.finished.iter().map(|meta| meta.ulid));
        ids.push(checkpoint.current.id);
    }
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        if bucket.exists(&format!("{id}/{META_FILE}")).await? {
            continue;
        }
        let objects: Vec<_> = bucket.list_recursive(&id.to_string()).try_collect().await?;
        for object in objects {
            bucket.delete(&object.path).await?;
        }
    }
    Ok(())
}

/// Whether all files that a checkpoint names are in the bucket, whole.
pub(crate) async fn still_there(bucket: &Bucket, checkpoint: &Checkpoint) -> Result<bool> {
    let sizes = async |id: BlockId| {
        let prefix = format!("{id}/");
        let objects: Vec<_> = bucket.list_recursive(&id.to_string()).try_collect().await?;
        let path = |o: &objstore::Object| o.path.strip_prefix(&prefix).unwrap_or(&o.path).to_owned();
        Ok::<BTreeMap<String, u64>, Error>(objects.iter().map(|o| (path(o), o.size)).collect())
    };
    for meta in &checkpoint.finished {
        let found = sizes(meta.ulid).await?;
        let files = meta.thanos.iter().flat_map(|t| &t.files).filter(|f| f.rel_path != META_FILE);
        if files.into_iter().any(|f| found.get(&f.rel_path) != Some(&f.size_bytes)) {
            return Ok(false);
        }
    }
    if checkpoint.current.segments.is_empty() {
        return Ok(true);
    }
    let found = sizes(checkpoint.current.id).await?;
    let there = |(n, uploaded): (&u32, &Uploaded)| found.get(&input::Segments::file(n - 1)) == Some(&uploaded.bytes);
    Ok(checkpoint.current.segments.iter().all(there))
}
