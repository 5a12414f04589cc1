//! Multipart uploads that were begun and neither completed nor aborted.
//!
//! S3 and GCS keep their parts until somebody aborts them: unseen by any listing of objects, and paid for. Azure drops
//! blocks that were never committed after a week by itself. On a local disk they are the files that a killed writer leaves.

mod local;
mod xml;

use std::fmt;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};

pub(crate) use self::local::LocalUnfinished;
pub(crate) use self::xml::{Auth, XmlUnfinished};

use crate::bucket::Bucket;
use crate::error::{ErrorKind, Result};

/// A multipart upload that is under way or was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The key that the object is to have, below the bucket's prefix.
    pub path: String,
    /// The store's name for the upload.
    pub id: String,
    /// When it was begun, ms since the epoch, by the store's clock.
    pub begun_ms: i64,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedMarker {
    /// The last key that was shown.
    pub key: String,
    /// The last upload of this key that was shown.
    pub id: String,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnfinishedPage {
    /// The uploads on this page.
    pub uploads: Vec<UnfinishedUpload>,
    /// Where the next page begins; `None` = there is none.
    pub next: Option<UnfinishedMarker>,
}

/// What a store can tell of unfinished uploads below the bucket's prefix, and do about them.
#[async_trait]
pub trait Unfinished: fmt::Debug + Send + Sync + 'static {
    /// A page of them.
    async fn page(&self, after: Option<UnfinishedMarker>) -> object_store::Result<UnfinishedPage>;

    /// When the newest of an upload's parts came, ms; `None` if there are no parts.
    async fn newest_part_ms(&self, upload: &UnfinishedUpload) -> object_store::Result<Option<i64>>;

    /// Gives an upload up, and the room of its parts back.
    async fn abort(&self, upload: &UnfinishedUpload) -> object_store::Result<()>;
}

impl Bucket {
    /// Multipart uploads that are not finished, those still under way too, in the store's order. None where the store
    /// leaves nothing behind.
    ///
    /// The stream ends with an error unless the listing was complete: `Unsupported` where the store cannot list them,
    /// `Denied` without the permission (S3: `s3:ListBucketMultipartUploads`).
    pub fn unfinished_uploads(&self) -> BoxStream<'static, Result<UnfinishedUpload>> {
        let Some(unfinished) = self.unfinished.clone() else { return stream::empty().boxed() };
        let bucket = self.clone();
        let pages = stream::unfold(Some(None), move |at: Option<Option<UnfinishedMarker>>| {
            let (bucket, unfinished) = (bucket.clone(), unfinished.clone());
            async move {
                let after = at?;
                let page = bucket.within("list_uploads", "", unfinished.page(after.clone())).await;
                Some(match page {
                    Ok(page) if page.next.is_some() && page.next == after => {
                        let text = "the listing of unfinished uploads does not get on".to_owned();
                        (vec![Err(bucket.text_error(ErrorKind::Other, "list_uploads", "", text))], None)
                    }
                    Ok(page) => (page.uploads.into_iter().map(Ok).collect(), page.next.map(Some)),
                    Err(e) => (vec![Err(e)], None),
                })
            }
        });
        pages.flat_map(stream::iter).boxed()
    }

    /// When an unfinished upload was last added to, ms by the store's clock: its newest part, or its begin.
    ///
    /// # Errors
    /// `NotFound` if it is finished by now.
    pub async fn unfinished_upload_newest_ms(&self, upload: &UnfinishedUpload) -> Result<i64> {
        let Some(unfinished) = &self.unfinished else { return Ok(upload.begun_ms) };
        let newest = self.within("list_parts", &upload.path, unfinished.newest_part_ms(upload)).await?;
        Ok(newest.map_or(upload.begun_ms, |ms| ms.max(upload.begun_ms)))
    }

    /// Aborts an unfinished upload; one that is gone is no error. Whoever still adds to it is told that it is gone.
    ///
    /// # Errors
    /// Failures of the store, after its retries.
    pub async fn abort_unfinished_upload(&self, upload: &UnfinishedUpload) -> Result<()> {
        let Some(unfinished) = &self.unfinished else { return Ok(()) };
        match self.within("upload_abort", &upload.path, unfinished.abort(upload)).await {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
    }
}
