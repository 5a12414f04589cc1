//! Marks: small JSON objects beside a block that say what is to become of it.
//!
//! A block marked for deletion is left out by readers after one delay and deleted after a longer one. Since nothing here
//! locks, a mark is never written over: the first one's time holds.

use block::{BlockId, META_FILE};
use model::Clock;
use objstore::{Bucket, Created};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `deletion-mark.json`.
pub const DELETION_MARK: &str = "deletion-mark.json";
/// `no-compact-mark.json`.
pub const NO_COMPACT_MARK: &str = "no-compact-mark.json";
/// `no-downsample-mark.json`.
pub const NO_DOWNSAMPLE_MARK: &str = "no-downsample-mark.json";
/// The only version there is.
pub const MARK_VERSION: u32 = 1;

/// The block is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    /// The block.
    pub id: BlockId,
    /// [`MARK_VERSION`].
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, Unix seconds.
    pub deletion_time: i64,
}

/// The block is to be left as it is by compaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    /// The block.
    pub id: BlockId,
    /// [`MARK_VERSION`].
    pub version: u32,
    /// Why, for people.
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
    /// The block.
    pub id: BlockId,
    /// [`MARK_VERSION`].
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, Unix seconds.
    pub no_downsample_time: i64,
    /// As in [`NoCompactMark::reason`].
    pub reason: String,
}

/// The three kinds.
pub trait Mark: Serialize + DeserializeOwned + Send {
    /// The object's name inside the block.
    const FILE: &'static str;
    /// Its version.
    fn version(&self) -> u32;
    /// The block it speaks of.
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

/// Where a mark lies.
pub fn path<M: Mark>(block: BlockId) -> String {
    format!("{block}/{}", M::FILE)
}

/// What lies where a mark would lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<M> {
    /// Nothing.
    Absent,
    /// A mark of this block.
    Mark(M),
    /// Something else; says what. Of a deletion mark it means nothing. Marks that protect a block protect it by being there.
    Unreadable {
        /// What is wrong with it.
        why: String,
        /// It has a version that is not known, so that it may mean something to others.
        of_other_version: bool,
    },
}

/// Looks at the place of a mark.
///
/// # Errors
/// Failures of the store.
pub async fn look<M: Mark>(bucket: &Bucket, block: BlockId) -> Result<Found<M>> {
    let body = match bucket.get(&path::<M>(block)).await {
        Ok(body) => body,
        Err(e) if e.is_not_found() => return Ok(Found::Absent),
        Err(e) => return Err(e.into()),
    };
    let unreadable = |why: String, of_other_version: bool| Ok(Found::Unreadable { why, of_other_version });
    match serde_json::from_slice::<M>(&body) {
        Ok(mark) if mark.version() != MARK_VERSION => {
            unreadable(format!("{} has version {}, not {MARK_VERSION}", M::FILE, mark.version()), true)
        }
        Ok(mark) if mark.block() != block => unreadable(format!("{} speaks of block {}", M::FILE, mark.block()), false),
        Ok(mark) => Ok(Found::Mark(mark)),
        Err(_) if is_of_other_version(&body) => {
            unreadable(format!("{} is of a version that is not known, {MARK_VERSION} is", M::FILE), true)
        }
        Err(e) => unreadable(format!("{} is damaged: {e}", M::FILE), false),
    }
}

/// Reads a mark; `None` if there is none, or if it is damaged or speaks of another block, which is logged.
///
/// # Errors
/// Failures of the store, and a version that is not ours: what such a mark means is not known.
pub async fn read<M: Mark>(bucket: &Bucket, block: BlockId) -> Result<Option<M>> {
    match look(bucket, block).await? {
        Found::Absent => Ok(None),
        Found::Mark(mark) => Ok(Some(mark)),
        Found::Unreadable { why, of_other_version: true } => Err(Error::Damaged { block, what: why }),
        Found::Unreadable { why, .. } => {
            tracing::warn!(%block, why, "mark unreadable, taken as absent; delete it if it stays so");
            Ok(None)
        }
    }
}

/// Whether it is JSON with a version that is not ours: other fields may be missing or of other kinds.
fn is_of_other_version(body: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    value.and_then(|v| v.get("version")?.as_u64()).is_some_and(|version| version != u64::from(MARK_VERSION))
}

/// What marking did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// The mark is written.
    Now,
    /// There was one; it holds.
    Already,
    /// There is no such block, any more: nothing was written.
    Gone,
}

/// Writes `mark` unless there is one. One that cannot be read is taken as absent by all who read it, so it is replaced.
///
/// A block without `meta.json` is not marked: it was deleted by somebody else, and a mark alone would come back as a
/// block that nobody can read (thanos-io/thanos#8410).
///
/// # Errors
/// Failures of the store.
pub async fn write<M: Mark>(bucket: &Bucket, mark: &M) -> Result<Marked> {
    let block = mark.block();
    let path = path::<M>(block);
    let is_unreadable = bucket.exists(&path).await?
        && match read::<M>(bucket, block).await {
            Ok(Some(_)) | Err(Error::Damaged { .. }) => return Ok(Marked::Already),
            Ok(None) => true,
            Err(e) => return Err(e),
        };
    if !bucket.exists(&format!("{block}/{META_FILE}")).await? {
        return Ok(Marked::Gone);
    }
    // marks are plain structs: they always have a JSON form
    let json = serde_json::to_vec(mark).map_err(|e| Error::Damaged { block, what: e.to_string() })?;
    if is_unreadable {
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
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Marks a block as somebody asks over HTTP, in Thanos' words: `action` is `DELETION` or `NO_COMPACTION`.
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

/// Takes a mark away again.
///
/// # Errors
/// Failures of the store.
pub async fn remove<M: Mark>(bucket: &Bucket, block: BlockId) -> Result<()> {
    Ok(bucket.delete(&path::<M>(block)).await?)
}
