//! Whether a block in the bucket is what a block must be. Reads front to back; memory does not grow with the block, but
//! for 8 bytes for each symbol.

mod chunks;
mod depth;
mod index;
mod remote;
mod report;

use std::sync::Arc;

use block::{BlockId, BlockMeta, META_FILE};
use futures::future::BoxFuture;
use objstore::Bucket;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::input;
use crate::wait::Wait;

pub use depth::Depth;
pub use report::{BlockReport, Problem};

/// Verifies a block by its own `meta.json`. What is corrupt is in the report.
///
/// # Errors
/// [`Error::Vanished`], [`Error::Bucket`]: then nothing is known.
pub fn verify_block(bucket: &Bucket, id: BlockId, depth: Depth) -> BoxFuture<'_, Result<BlockReport>> {
    Box::pin(async move {
        let path = format!("{id}/{META_FILE}");
        let json = match bucket.get(&path).await {
            Ok(json) => json,
            Err(e) if e.is_not_found() => return Err(Error::Vanished { block: id }),
            Err(e) => return Err(e.into()),
        };
        let meta = match BlockMeta::parse(META_FILE, &json) {
            Ok(meta) => meta,
            Err(e) => {
                let mut report = BlockReport::new(id, depth);
                report.problem(Error::of_input(id, e))?;
                return Ok(report);
            }
        };
        let mut report = verify_files(bucket, &meta, depth).await?;
        if meta.ulid != id {
            report.note(META_FILE, format!("names block {}", meta.ulid));
        }
        Ok(report)
    })
}

/// Verifies a block that has no `meta.json` yet, by the meta that it will get.
///
/// # Errors
/// As [`verify_block`].
pub fn verify_files<'a>(bucket: &'a Bucket, meta: &'a BlockMeta, depth: Depth) -> BoxFuture<'a, Result<BlockReport>> {
    Box::pin(async move {
        let id = meta.ulid;
        let mut report = BlockReport::new(id, depth);
        let files = match input::list(bucket, meta).await {
            Ok(files) => files,
            Err(e) => {
                report.problem(e)?;
                return Ok(report);
            }
        };
        report.index_bytes = files.index_bytes;
        report.chunk_bytes = files.segments.bytes();
        if meta.min_time >= meta.max_time {
            report.note(META_FILE, format!("range from {} to {}", meta.min_time, meta.max_time));
        }
        if depth == Depth::Sizes {
            return Ok(report);
        }
        let cancel = CancellationToken::new();
        let _end = cancel.clone().drop_guard();
        let wait = Wait { runtime: tokio::runtime::Handle::current(), cancel };
        let (bucket, meta) = (bucket.clone(), Arc::new(meta.clone()));
        let task = tokio::task::spawn_blocking(move || {
            index::verify(&bucket, &wait, &meta, &files, depth == Depth::Full, &mut report).map(|()| report)
        });
        match task.await {
            Ok(outcome) => outcome,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Err(Error::Cancelled),
        }
    })
}
