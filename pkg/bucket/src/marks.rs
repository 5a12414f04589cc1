//! Marks: small JSON objects beside a block that change how it is treated.
//!
//! A block marked for deletion is left out by readers after one delay and deleted after a longer one. A mark is
//! never overwritten, as nothing locks it: the time of the first one holds.

use block::{BlockId, META_FILE};
use model::Clock;
use objstore::{Bucket, Created};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Object name of a [`DeletionMark`], inside the block.
pub const DELETION_MARK: &str = "deletion-mark.json";
/// Object name of a [`NoCompactMark`], inside the block.
pub const NO_COMPACT_MARK: &str = "no-compact-mark.json";
/// Object name of a [`NoDownsampleMark`], inside the block.
pub const NO_DOWNSAMPLE_MARK: &str = "no-downsample-mark.json";
/// The mark that cleaning leaves on a partial upload whose files are about to be deleted, see [`crate::partial`].
pub const CLEANUP_MARK: &str = "aion-cleanup-mark.json";
/// The only version of marks.
pub const MARK_VERSION: u32 = 1;

/// The block is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    /// The block that is marked.
    pub id: BlockId,
    /// [`MARK_VERSION`] in marks that are written.
    pub version: u32,
    /// Why it was marked, for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, Unix seconds.
    pub deletion_time: i64,
}

/// The block is to be left as it is by compaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    /// The block that is marked.
    pub id: BlockId,
    /// [`MARK_VERSION`] in marks that are written.
    pub version: u32,
    /// Why it was marked, for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, Unix seconds.
    pub no_compact_time: i64,
    /// `manual`, `index-size-exceeding`, `block-index-out-of-order-chunk`, `downsample-vertical-compaction`.
    pub reason: String,
}

/// The block is not to be downsampled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoDownsampleMark {
    /// The block that is marked.
    pub id: BlockId,
    /// [`MARK_VERSION`] in marks that are written.
    pub version: u32,
    /// Why it was marked, for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, Unix seconds.
    pub no_downsample_time: i64,
    /// One of the values of [`NoCompactMark::reason`].
    pub reason: String,
}

/// What the three kinds of marks have in common.
pub trait Mark: Serialize + DeserializeOwned + Send {
    /// The object's name inside the block.
    const FILE: &'static str;
    /// The version that was read, [`MARK_VERSION`] in marks of this program.
    fn version(&self) -> u32;
    /// The block that it marks.
    fn block(&self) -> BlockId;
}

macro_rules! mark {
    ($type:ty, $file:expr) => {
        impl Mark for $type {
            const FILE: &'static str = $file;

            fn version(&self) -> u32 {
                self.version
            }

            fn block(&self) -> BlockId {
                self.id
            }
        }
    };
}

mark!(DeletionMark, DELETION_MARK);
mark!(NoCompactMark, NO_COMPACT_MARK);
mark!(NoDownsampleMark, NO_DOWNSAMPLE_MARK);

/// Path of a mark in the bucket.
pub fn path<M: Mark>(block: BlockId) -> String {
    format!("{block}/{}", M::FILE)
}

/// What lies where a mark would lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<M> {
    /// No object of this name.
    Absent,
    /// A mark of this block.
    Mark(M),
    /// Something else. As a deletion mark it has no effect; a mark that protects a block has its effect by being there.
    Corrupt {
        /// What is wrong with it.
        why: String,
        /// It has a version that is not known, so that it may mean something to others.
        of_other_version: bool,
    },
}

/// Reads what lies where a mark would lie.
///
/// # Errors
/// Failures of the store.
pub async fn find<M: Mark>(bucket: &Bucket, block: BlockId) -> Result<Found<M>> {
    let body = match bucket.get(&path::<M>(block)).await {
        Ok(body) => body,
        Err(e) if e.is_not_found() => return Ok(Found::Absent),
        Err(e) => return Err(e.into()),
    };
    let corrupt = |why: String, of_other_version: bool| Ok(Found::Corrupt { why, of_other_version });
    match serde_json::from_slice::<M>(&body) {
        Ok(mark) if mark.version() != MARK_VERSION => {
            corrupt(format!("{} has version {}, not {MARK_VERSION}", M::FILE, mark.version()), true)
        }
        Ok(mark) if mark.block() != block => corrupt(format!("{} is of block {}", M::FILE, mark.block()), false),
        Ok(mark) => Ok(Found::Mark(mark)),
        Err(_) if is_of_other_version(&body) => {
            corrupt(format!("{} is of a version that is not known, {MARK_VERSION} is", M::FILE), true)
        }
        Err(e) => corrupt(format!("{} is corrupt: {e}", M::FILE), false),
    }
}

/// Reads a mark; `None` if there is none, or if it is corrupt or of another block, which is logged.
///
/// # Errors
/// Failures of the store, and a version that is not ours: what such a mark means is not known.
pub async fn read<M: Mark>(bucket: &Bucket, block: BlockId) -> Result<Option<M>> {
    match find(bucket, block).await? {
        Found::Absent => Ok(None),
        Found::Mark(mark) => Ok(Some(mark)),
        Found::Corrupt { why, of_other_version: true } => Err(Error::Corrupt { block, what: why }),
        Found::Corrupt { why, .. } => {
            tracing::warn!(%block, why, "mark is corrupt and taken as absent; delete it if it stays so");
            Ok(None)
        }
    }
}

/// Whether it is JSON with a version that is not ours: other fields may be missing or of other kinds.
fn is_of_other_version(body: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    value.and_then(|v| v.get("version")?.as_u64()).is_some_and(|version| version != u64::from(MARK_VERSION))
}

/// What a call did about a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// The mark was written by this call.
    Now,
    /// There was a mark before, which stays.
    Already,
    /// The block is not in the bucket any more: nothing was written.
    Gone,
}

/// Writes `mark` unless there is one. A corrupt one counts as absent for every reader, so it is replaced.
///
/// A block without `meta.json` is not marked: it was deleted by somebody else, and a mark alone would come back as a
/// block that nobody can read (thanos-io/thanos#8410).
///
/// # Errors
/// Failures of the store.
pub async fn write<M: Mark>(bucket: &Bucket, mark: &M) -> Result<Marked> {
    let block = mark.block();
    let path = path::<M>(block);
    let is_corrupt = bucket.exists(&path).await?
        && match read::<M>(bucket, block).await {
            Ok(Some(_)) | Err(Error::Corrupt { .. }) => return Ok(Marked::Already),
            Ok(None) => true,
            Err(e) => return Err(e),
        };
    if !bucket.exists(&format!("{block}/{META_FILE}")).await? {
        return Ok(Marked::Gone);
    }
    let json = serde_json::to_vec(mark).map_err(|e| Error::Corrupt { block, what: e.to_string() })?;
    if is_corrupt {
        bucket.put(&path, json).await?;
        return Ok(Marked::Now);
    }
    match bucket.put_if_absent(&path, json).await? {
        Created::Created => Ok(Marked::Now),
        Created::AlreadyExists => Ok(Marked::Already),
    }
}

/// Marks `block` for deletion, now.
///
/// # Errors
/// Failures of the store.
pub async fn mark_for_deletion(bucket: &Bucket, block: BlockId, details: &str, clock: &dyn Clock) -> Result<Marked> {
    let deletion_time = clock.now_ms().div_euclid(1000);
    let mark = DeletionMark { id: block, version: MARK_VERSION, details: details.to_owned(), deletion_time };
    let marked = write(bucket, &mark).await?;
    if marked == Marked::Now {
        tracing::info!(%block, details, "block marked for deletion");
    }
    Ok(marked)
}

/// Why [`on_request`] did not mark.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The request is wrong; says which parameter.
    #[error("{0}")]
    Invalid(String),
    /// The store failed, or what it holds is corrupt.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Marks a block on a request over HTTP, in Thanos' words: `action` is `DELETION` or `NO_COMPACTION`.
///
/// # Errors
/// What is wrong with the request, also that there is no such block; failures of the store.
pub async fn on_request(
    bucket: &Bucket,
    id: &str,
    action: &str,
    details: &str,
    clock: &dyn Clock,
) -> std::result::Result<(), RequestError> {
    let invalid = |text: String| Err(RequestError::Invalid(text));
    if id.is_empty() {
        return invalid("ID cannot be empty".to_owned());
    }
    if action.is_empty() {
        return invalid("Action cannot be empty".to_owned());
    }
    let id = match BlockId::parse(id) {
        Ok(id) => id,
        Err(e) => return invalid(format!("ULID {id:?} is not valid: {e}")),
    };
    let marked = match action {
        "DELETION" => mark_for_deletion(bucket, id, details, clock).await?,
        "NO_COMPACTION" => {
            let mark = NoCompactMark {
                id,
                version: MARK_VERSION,
                details: details.to_owned(),
                no_compact_time: clock.now_ms().div_euclid(1000),
                reason: "manual".to_owned(),
            };
            write(bucket, &mark).await?
        }
        other => return invalid(format!("not supported marker {other}")),
    };
    match marked {
        Marked::Now | Marked::Already => Ok(()),
        Marked::Gone => invalid(format!("block {id} is not in the bucket")),
    }
}

/// Removes a mark; none there is no error.
///
/// # Errors
/// Failures of the store.
pub async fn remove<M: Mark>(bucket: &Bucket, block: BlockId) -> Result<()> {
    Ok(bucket.delete(&path::<M>(block)).await?)
}
