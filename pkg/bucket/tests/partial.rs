//! Cleaning a partial upload while it goes on: each step of the one meets each step of the other.

mod common;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bucket::Error;
use bucket::listing::list_block;
use bucket::partial::{self, CLEANUP_DELAY_MS, CLEANUP_MARK_STALE_MS, Cleanup};
use bucket::upload::{UploadOptions, Uploaded, upload_block};
use bytes::Bytes;
use common::*;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use model::{Clock, SystemClock};
use objstore::decorate::Hook;
use objstore::{Bucket, ConditionalCreate, Op};
use parking_lot::Mutex;
use service::Failpoints;

const AGE_MS: i64 = 48 * 3_600_000;

/// Runs something else before the n-th operation, from 0.
struct Interrupt {
    seen: AtomicU64,
    at: u64,
    other: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before {}", self.at)
    }
}

impl Interrupt {
    fn new(at: u64, other: BoxFuture<'static, ()>) -> Self {
        Self { seen: AtomicU64::new(0), at, other: Mutex::new(Some(other)) }
    }
}

#[derive(Debug)]
struct Handle(Arc<Interrupt>);

impl Hook for Handle {
    type Guard = ();

    fn before<'a>(&'a self, _: Op, _: &'a str) -> BoxFuture<'a, object_store::Result<()>> {
        async move {
            if self.0.seen.fetch_add(1, Ordering::Relaxed) == self.0.at {
                let other = self.0.other.lock().take();
                if let Some(other) = other {
                    other.await;
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn body(
        &self,
        _: &(),
        body: BoxStream<'static, object_store::Result<Bytes>>,
    ) -> BoxStream<'static, object_store::Result<Bytes>> {
        body
    }

    fn after(&self, _: (), _: Op, _: &str, _: u64, _: Option<&object_store::Error>) -> Option<object_store::Error> {
        None
    }
}

fn options() -> UploadOptions {
    UploadOptions { conditional: ConditionalCreate::Honoured, ..UploadOptions::default() }
}

/// A visit, so long after now.
async fn visit(bucket: &Bucket, after_ms: i64) -> Result<Cleanup, Error> {
    let failpoints = Failpoints::none();
    let now_ms = SystemClock.now_ms() + after_ms;
    let options = partial::Options { now_ms, age_ms: AGE_MS, failpoints: &failpoints };
    partial::clean_up::<Error>(bucket, id(1), &options, &|| async { Ok(()) }.boxed()).await
}

/// An upload of which the first file came.
async fn abandoned(bucket: &Bucket) {
    bucket.put(&format!("{}/chunks/000001", id(1)), bytes(3000)).await.unwrap();
}

/// What a test needs of times: files from long ago, everything else from now. Memory has no times to set, so the bucket is
/// a directory.
struct Place {
    dir: tempfile::TempDir,
    bucket: Bucket,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let yaml = format!("type: FILESYSTEM\nconfig: {{directory: {:?}}}\n", dir.path().join("bucket"));
        let config = objstore::Config::parse(&yaml, &|_| None).unwrap();
        let bucket = config.open(&objstore::OpenOptions::default()).unwrap();
        Self { dir, bucket }
    }

    /// Makes all files of the block older.
    fn age(&self, by_ms: i64) {
        let mut dirs = vec![self.dir.path().join("bucket").join(id(1).to_string())];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let file = std::fs::File::options().append(true).open(&path).unwrap();
                let modified = file.metadata().unwrap().modified().unwrap();
                file.set_modified(modified - std::time::Duration::from_millis(by_ms as u64)).unwrap();
            }
        }
    }

    /// An upload abandoned long ago, marked a while ago.
    async fn marked() -> Self {
        let place = Self::new();
        abandoned(&place.bucket).await;
        place.age(AGE_MS);
        assert_eq!(visit(&place.bucket, 0).await.unwrap(), Cleanup::Marked);
        assert_eq!(visit(&place.bucket, 0).await.unwrap(), Cleanup::Waiting);
        place.age(CLEANUP_DELAY_MS);
        place
    }

    /// Visits and uploads until both have nothing left to do; then the block is there, whole, without marks.
    async fn settle(&self, what: &str) {
        let local = write_block(self.dir.path(), id(1));
        for _ in 0..10 {
            let _ = visit(&self.bucket, 0).await.unwrap();
            self.age(CLEANUP_DELAY_MS);
            if upload_block(&self.bucket, &local, meta(id(1)), &options()).await.is_ok() {
                break;
            }
        }
        let _ = visit(&self.bucket, 0).await.unwrap();
        let there = list_block(&self.bucket, id(1)).await.unwrap();
        let paths: Vec<&str> = there.objects.keys().map(String::as_str).collect();
        assert_eq!(paths, ["chunks/000001", "chunks/000002", "index", "meta.json"], "{what}");
        assert_no_ghosts(&self.bucket).await;
    }
}

#[tokio::test]
async fn marked_then_deleted() {
    let place = Place::marked().await;
    let local = write_block(place.dir.path(), id(1));
    let refused = upload_block(&place.bucket, &local, meta(id(1)), &options()).await.unwrap_err();
    assert!(matches!(refused, Error::CleanedUp { .. }) && refused.is_transient(), "{refused}");
    assert_eq!(visit(&place.bucket, 0).await.unwrap(), Cleanup::Removed);
    assert!(list_block(&place.bucket, id(1)).await.unwrap().objects.is_empty());
    let uploaded = upload_block(&place.bucket, &local, meta(id(1)), &options()).await.unwrap();
    assert!(matches!(uploaded, Uploaded::Now(_)));
    // nobody cleans any more
    let place = Place::marked().await;
    place.age(CLEANUP_MARK_STALE_MS);
    upload_block(&place.bucket, &local, meta(id(1)), &options()).await.unwrap();
    place.settle("a forgotten mark").await;
    // an uploader that knows no mark writes all again, also right before a deletion
    let place = Place::marked().await;
    abandoned(&place.bucket).await;
    assert_eq!(visit(&place.bucket, 0).await.unwrap(), Cleanup::Kept);
    assert_eq!(list_block(&place.bucket, id(1)).await.unwrap().objects.len(), 1);
}

/// The uploader comes back in the middle of the deletion, as a whole.
#[tokio::test]
async fn an_upload_before_each_step_of_the_deletion() {
    let mut operations = 0;
    for at in 0.. {
        let place = Place::marked().await;
        let local = write_block(place.dir.path(), id(1));
        let bucket = place.bucket.clone();
        let other = async move {
            // refused, or done: whether it is told
            let _ = upload_block(&bucket, &local, meta(id(1)), &options()).await;
        };
        let interrupt = Arc::new(Interrupt::new(at, other.boxed()));
        let cleaner = place.bucket.decorated(Handle(interrupt.clone()));
        visit(&cleaner, 0).await.unwrap();
        let is_over = interrupt.other.lock().is_some();
        place.settle(&format!("before operation {at}")).await;
        if is_over {
            operations = at;
            break;
        }
    }
    assert!(operations >= 7, "{operations}");
}

/// The deletion takes place in the middle of an upload that had looked before the mark was written, and stood still.
#[tokio::test]
async fn a_deletion_before_each_step_of_an_upload() {
    let mut operations = 0;
    for visits in 1..=2 {
        for at in 0.. {
            let place = Arc::new(Place::new());
            abandoned(&place.bucket).await;
            place.age(AGE_MS);
            let local = write_block(place.dir.path(), id(1));
            let (of_other, marked) = (place.clone(), Arc::new(AtomicI64::new(0)));
            let noted = marked.clone();
            let other = async move {
                // whatever it wrote before it stood still is as old
                of_other.age(AGE_MS);
                for _ in 0..visits {
                    if visit(&of_other.bucket, 0).await.unwrap() == Cleanup::Marked {
                        noted.fetch_add(1, Ordering::Relaxed);
                    }
                    of_other.age(CLEANUP_DELAY_MS);
                }
            };
            let interrupt = Arc::new(Interrupt::new(at, other.boxed()));
            let bucket = place.bucket.decorated(Handle(interrupt.clone()));
            let outcome = upload_block(&bucket, &local, meta(id(1)), &options()).await;
            let is_over = interrupt.other.lock().is_some();
            // whoever is told that it is done may forget it: then it must be there without any further help
            if outcome.is_ok() {
                assert_no_ghosts(&place.bucket).await;
                assert!(list_block(&place.bucket, id(1)).await.unwrap().meta().is_some(), "before operation {at}");
                let _ = visit(&place.bucket, 0).await.unwrap();
                assert_eq!(list_block(&place.bucket, id(1)).await.unwrap().objects.len(), 4, "before operation {at}");
            }
            place
                .settle(&format!("{visits} visits before operation {at}, marked {}", marked.load(Ordering::Relaxed)))
                .await;
            if is_over {
                operations = at;
                break;
            }
        }
    }
    assert!(operations >= 7, "{operations}");
}
