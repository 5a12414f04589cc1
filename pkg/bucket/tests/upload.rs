//! Uploads, deletions and downloads, interrupted everywhere.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use block::BlockMeta;
use bucket::Error;
use bucket::delete::delete_block;
use bucket::download::download_block;
use bucket::marks::{self, DeletionMark, Marked};
use bucket::upload::{UploadOptions, Uploaded, upload_block};
use common::*;
use model::FakeClock;
use objstore::faults::{Effect, Fault, Faults};
use objstore::{Bucket, ConditionalCreate, ErrorKind, Op};
use service::Failpoints;
use testkit::s3::{self, FaultKind, Operation, Server};

fn options() -> UploadOptions {
    UploadOptions { clock: Arc::new(FakeClock::at(1_700_000_100_000)), ..Default::default() }
}

async fn list(bucket: &Bucket) -> Vec<String> {
    let blocks = bucket::listing::list_blocks(bucket).await.unwrap();
    blocks.iter().flat_map(|(id, b)| b.objects.keys().map(move |path| format!("{id}/{path}"))).collect()
}

#[tokio::test]
async fn upload_and_download() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::in_memory();
    let local = write_block(dir.path(), id(1));
    let Uploaded::Now(uploaded) = upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap() else {
        panic!("not new")
    };
    let thanos = uploaded.thanos.clone().unwrap();
    assert_eq!(thanos.segment_files, ["000001", "000002"]);
    let files: Vec<_> = thanos.files.iter().map(|f| (f.rel_path.as_str(), f.size_bytes)).collect();
    assert_eq!(files, [("chunks/000001", 3000), ("chunks/000002", 500), ("index", 1234), ("meta.json", 0)]);
    assert!(thanos.files[0].hash.as_ref().is_some_and(|h| h.hash_func == "SHA256" && h.value.len() == 64));
    assert_eq!(thanos.upload_time, "2023-11-14T22:15:00Z");
    assert_eq!(list(&bucket).await.len(), 4, "{:?}", list(&bucket).await);

    let to = dir.path().join("down");
    assert_eq!(download_block(&bucket, id(1), &to).await.unwrap(), *uploaded);
    for (name, len) in CHUNKS.into_iter().chain([("index", INDEX_BYTES)]) {
        assert_eq!(std::fs::read(to.join(name)).unwrap(), bytes(len), "{name}");
    }
    // a file that is corrupt on disk is fetched again, others are kept
    std::fs::write(to.join("index"), bytes(INDEX_BYTES - 1)).unwrap();
    download_block(&bucket, id(1), &to).await.unwrap();
    assert_eq!(std::fs::read(to.join("index")).unwrap(), bytes(INDEX_BYTES));
    // bytes in the bucket that are not those uploaded are never accepted
    let mut other = bytes(INDEX_BYTES);
    other[600] ^= 1;
    bucket.put(&format!("{}/index", id(1)), other).await.unwrap();
    let again = dir.path().join("again");
    let error = download_block(&bucket, id(1), &again).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(!again.join("meta.json").exists());
}

#[tokio::test]
async fn refuses_blocks_without_labels() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::in_memory();
    let local = write_block(dir.path(), id(1));
    let mut plain = meta(id(1));
    plain.thanos = None;
    let mut empty = meta(id(1));
    empty.thanos.as_mut().unwrap().labels.clear();
    for meta in [plain.clone(), empty] {
        let error = upload_block(&bucket, &local, meta, &options()).await.unwrap_err();
        assert!(error.to_string().contains("no external labels"), "{error}");
    }
    assert!(list(&bucket).await.is_empty());
    let allowed = UploadOptions { allow_no_labels: true, ..options() };
    upload_block(&bucket, &local, plain, &allowed).await.unwrap();
}

/// A quiescent bucket is not written to.
#[tokio::test]
async fn hist_13_second_upload_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let bucket = open(&server);
    let local = write_block(dir.path(), id(1));
    upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap();
    let puts = server.requests(Operation::Put);
    assert_eq!(upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap(), Uploaded::Already);
    assert_eq!(server.requests(Operation::Put), puts);
    // another block under the same name is no "already"
    let mut other = meta(id(1));
    other.max_time += 1;
    assert!(matches!(upload_block(&bucket, &local, other, &options()).await, Err(Error::Corrupt { .. })));
}

/// Stopped at each step, the block is either absent or whole, and the next try completes it without sending again what
/// is there.
#[tokio::test]
async fn upload_stopped_at_each_step() {
    let points = ["upload.after_chunk", "upload.after_index", "upload.before_meta", "upload.after_meta"];
    for point in points {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start().await;
        let bucket = open(&server);
        let local = write_block(dir.path(), id(1));
        let stopped = UploadOptions { failpoints: Failpoints::hook(move |name| name == point), ..options() };
        let error = upload_block(&bucket, &local, meta(id(1)), &stopped).await.unwrap_err();
        assert!(matches!(error, Error::Failpoint(_)), "{error}");
        assert_no_ghosts(&bucket).await;
        assert_eq!(bucket.exists(&format!("{}/meta.json", id(1))).await.unwrap(), point == "upload.after_meta");
        let outcome = upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap();
        assert_eq!(outcome == Uploaded::Already, point == "upload.after_meta");
        assert_eq!(server.requests(Operation::Put), 4, "{point}");
        assert_no_ghosts(&bucket).await;
    }
}

/// The store fails for good at the n-th request, whichever: no `meta.json` without its files, and later all is well.
#[tokio::test]
async fn hist_6_outage_at_each_operation() {
    for n in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let inner = Bucket::in_memory();
        let bucket = inner.decorated(faults.clone());
        let local = write_block(dir.path(), id(1));
        let effect = Effect::Fail(ErrorKind::Unavailable);
        let fault = Fault { name: "outage", op: None, path_contains: String::new(), skip: n, times: u64::MAX, effect };
        faults.add(fault);
        let outcome = upload_block(&bucket, &local, meta(id(1)), &options()).await;
        assert_no_ghosts(&inner).await;
        if outcome.is_ok() {
            assert!(n > 8, "only {n} requests");
            return;
        }
        upload_block(&inner, &local, meta(id(1)), &options()).await.unwrap();
        assert_eq!(list(&inner).await.len(), 4);
        assert_no_ghosts(&inner).await;
    }
    panic!("more than 40 requests for four files");
}

/// A file that is in the bucket with too few bytes is found before `meta.json` is written.
#[tokio::test]
async fn r6328_short_object_found_before_meta() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::in_memory();
    let local = write_block(dir.path(), id(1));
    let behind = bucket.clone();
    // after the last chunk was sent, somebody shortens the first
    let shorten = Failpoints::hook(move |name| {
        if name == "upload.after_index" {
            futures::executor::block_on(behind.put(&format!("{}/chunks/000001", id(1)), "short")).unwrap();
        }
        false
    });
    let stopped = UploadOptions { failpoints: shorten, ..options() };
    let error = upload_block(&bucket, &local, meta(id(1)), &stopped).await.unwrap_err();
    assert!(error.to_string().contains("chunks/000001 has 5 bytes in the bucket, 3000 here"), "{error}");
    assert!(!bucket.exists(&format!("{}/meta.json", id(1))).await.unwrap());
    // the next try mends it
    upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap();
    assert_no_ghosts(&bucket).await;
}

/// `meta.json` was written and its answer lost: the block is valid, and nothing is cleaned up.
#[tokio::test]
async fn hist_5_r3626_ambiguous_meta_put() {
    for conditional in [ConditionalCreate::Honoured, ConditionalCreate::Ignored] {
        for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
            let dir = tempfile::tempdir().unwrap();
            let faults = Faults::new();
            let bucket = Bucket::in_memory().decorated(faults.clone());
            let local = write_block(dir.path(), id(1));
            faults.once("lost", Op::Upload, "meta.json", Effect::FailAfter(kind));
            let options = UploadOptions { conditional, ..options() };
            let outcome = upload_block(&bucket, &local, meta(id(1)), &options).await.unwrap();
            assert!(matches!(outcome, Uploaded::Now(_)));
            assert_eq!(faults.hits("lost"), 1);
            assert_no_ghosts(&bucket).await;
            // not written: an error, and the files stay for the next try
            let faults = Faults::new();
            let inner = Bucket::in_memory();
            faults.once("not done", Op::Upload, "meta.json", Effect::Fail(kind));
            let error = upload_block(&inner.decorated(faults), &local, meta(id(1)), &options).await.unwrap_err();
            assert!(error.is_transient(), "{error}");
            assert_eq!(list(&inner).await.len(), 3);
        }
    }
}

/// The same on the wire: 500 after the store did it.
#[tokio::test]
async fn r3626_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let bucket = open(&server);
    let local = write_block(dir.path(), id(1));
    server.fault(s3::Fault::next(u64::MAX, Operation::Put, "meta.json", FaultKind::StatusAfter(500)));
    let options = UploadOptions { conditional: ConditionalCreate::Honoured, ..options() };
    assert!(matches!(upload_block(&bucket, &local, meta(id(1)), &options).await, Ok(Uploaded::Now(_))));
    assert_no_ghosts(&bucket).await;
}

/// Two uploaders of one block: both end well, one `meta.json`.
/// A `meta.json` that is stored by half makes no block: it is sent again, and the upload fails if that does not help. A
/// later upload writes it again.
#[tokio::test]
async fn a_meta_stored_by_half() {
    for conditional in [ConditionalCreate::Ignored, ConditionalCreate::Honoured] {
        let options = UploadOptions { conditional, ..options() };
        for kept in [0, 1, 200, 600] {
            let dir = tempfile::tempdir().unwrap();
            let (inner, faults) = (Bucket::in_memory(), Faults::new());
            let bucket = inner.decorated(faults.clone());
            let local = write_block(dir.path(), id(1));
            let path = format!("{}/meta.json", id(1));
            faults.once("half", Op::Upload, &path, Effect::StoredShort(kept));
            let uploaded = upload_block(&bucket, &local, meta(id(1)), &options).await.unwrap();
            let Uploaded::Now(uploaded) = uploaded else { panic!("not new") };
            assert_eq!((faults.hits("half"), inner.get(&path).await.unwrap()), (1, uploaded.to_json().into()));
            // and if each is
            inner.delete(&path).await.unwrap();
            faults.always("each", Some(Op::Upload), &path, Effect::StoredShort(kept));
            let error = upload_block(&bucket, &local, meta(id(1)), &options).await.unwrap_err();
            assert!(matches!(&error, Error::Corrupt { what, .. } if what.contains("is not what was sent")), "{error}");
            assert_eq!(inner.get(&path).await.unwrap().len(), kept);
            // resumed
            faults.clear();
            let again = upload_block(&bucket, &local, meta(id(1)), &options).await.unwrap();
            assert!(matches!(again, Uploaded::Now(_)), "{again:?}");
            assert_eq!(inner.get(&path).await.unwrap(), uploaded.to_json());
            assert_no_ghosts(&inner).await;
            let known = upload_block(&bucket, &local, meta(id(1)), &options).await.unwrap();
            assert_eq!(known, Uploaded::Already);
        }
    }
    // a meta of a later program is not written over
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::in_memory();
    let later = BlockMeta { version: 2, ..meta(id(1)) }.to_json();
    bucket.put(&format!("{}/meta.json", id(1)), later.clone()).await.unwrap();
    let local = write_block(dir.path(), id(1));
    assert!(upload_block(&bucket, &local, meta(id(1)), &options()).await.is_err());
    assert_eq!(bucket.get(&format!("{}/meta.json", id(1))).await.unwrap(), later);
}

#[tokio::test]
async fn two_uploaders() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::in_memory();
    let local = write_block(dir.path(), id(1));
    let at = |ms| UploadOptions {
        conditional: ConditionalCreate::Honoured,
        clock: Arc::new(FakeClock::at(ms)),
        ..options()
    };
    let (a, b) = (at(1_700_000_000_000), at(1_700_000_001_000));
    let one = upload_block(&bucket, &local, meta(id(1)), &a);
    let two = upload_block(&bucket, &local, meta(id(1)), &b);
    let (one, two) = futures::future::join(one, two).await;
    let new = [one.unwrap(), two.unwrap()].iter().filter(|u| matches!(u, Uploaded::Now(_))).count();
    assert_eq!(new, 1);
    assert_no_ghosts(&bucket).await;
}

/// Stopped after each deleted object, no reader sees a block with missing files; the mark is the last to go.
#[tokio::test]
async fn hist_3_hist_4_deletion_stopped_at_each_step() {
    for stop_at in 0..7 {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::in_memory();
        let local = write_block(dir.path(), id(1));
        upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap();
        let clock = FakeClock::at(1_700_000_000_999);
        assert_eq!(marks::mark_for_deletion(&bucket, id(1), "why", &clock).await.unwrap(), Marked::Now);
        let hits = Arc::new(AtomicU64::new(0));
        let counting = hits.clone();
        let stop = Failpoints::hook(move |_| counting.fetch_add(1, Ordering::SeqCst) == stop_at);
        let outcome = delete_block(&bucket, id(1), &stop).await;
        assert_no_ghosts(&bucket).await;
        let left = list(&bucket).await;
        if outcome.is_ok() {
            assert_eq!((left.len(), stop_at), (0, 5), "{left:?}");
            return;
        }
        let mark = format!("{}/deletion-mark.json", id(1));
        assert!(left.contains(&mark), "{left:?}");
        // taken up again
        delete_block(&bucket, id(1), &Failpoints::none()).await.unwrap();
        assert!(list(&bucket).await.is_empty());
    }
    panic!("never done");
}

/// A block that another shard has deleted is not marked again: the mark alone would come back as a block.
#[tokio::test]
async fn hist_11_r8410_no_mark_for_a_deleted_block() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::in_memory();
    let clock = FakeClock::at(1_700_000_000_999);
    let local = write_block(dir.path(), id(1));
    upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap();
    delete_block(&bucket, id(1), &Failpoints::none()).await.unwrap();
    assert_eq!(marks::mark_for_deletion(&bucket, id(1), "", &clock).await.unwrap(), Marked::Gone);
    assert!(list(&bucket).await.is_empty());
    // deleting what is gone, or only half there, is harmless
    delete_block(&bucket, id(1), &Failpoints::none()).await.unwrap();
}

#[tokio::test]
async fn marks_as_thanos_writes_them() {
    let bucket = Bucket::in_memory();
    bucket.put(&format!("{}/meta.json", id(1)), "{}").await.unwrap();
    let clock = FakeClock::at(1_700_000_000_999);
    assert_eq!(
        marks::mark_for_deletion(&bucket, id(1), "source of compacted block", &clock).await.unwrap(),
        Marked::Now
    );
    let path = format!("{}/deletion-mark.json", id(1));
    let text = String::from_utf8(bucket.get(&path).await.unwrap().to_vec()).unwrap();
    let want =
        format!(r#"{{"id":"{}","version":1,"details":"source of compacted block","deletion_time":1700000000}}"#, id(1));
    assert_eq!(text, want);
    // the first mark's time holds
    clock.advance(1_000_000);
    assert_eq!(marks::mark_for_deletion(&bucket, id(1), "again", &clock).await.unwrap(), Marked::Already);
    let mark = marks::read::<DeletionMark>(&bucket, id(1)).await.unwrap().unwrap();
    assert_eq!((mark.deletion_time, mark.details.as_str()), (1_700_000_000, "source of compacted block"));
    // corrupt: absent; of another version: an error
    bucket.put(&path, "{\"id\":").await.unwrap();
    assert_eq!(marks::read::<DeletionMark>(&bucket, id(1)).await.unwrap(), None);
    bucket.put(&path, want.replace("\"version\":1", "\"version\":2")).await.unwrap();
    assert!(marks::read::<DeletionMark>(&bucket, id(1)).await.is_err());
    marks::remove::<DeletionMark>(&bucket, id(1)).await.unwrap();
    assert_eq!(marks::read::<DeletionMark>(&bucket, id(1)).await.unwrap(), None);
}

/// A download whose bodies end early comes to the right bytes or to an error.
#[tokio::test]
async fn hist_8_truncated_downloads() {
    for len in [0, 1, 617, 1230, 1233] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start().await;
        let bucket = open(&server);
        let local = write_block(dir.path(), id(1));
        upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap();
        server.fault(s3::Fault::next(1, Operation::Get, "/index", FaultKind::Short(len)));
        let to = dir.path().join("once");
        download_block(&bucket, id(1), &to).await.unwrap();
        assert_eq!(std::fs::read(to.join("index")).unwrap(), bytes(INDEX_BYTES));
        server.clear_faults();
        server.fault(s3::Fault::next(u64::MAX, Operation::Get, "/index", FaultKind::Short(len)));
        let to = dir.path().join("always");
        assert!(download_block(&bucket, id(1), &to).await.is_err());
        assert!(!to.join("index").exists() && !to.join("meta.json").exists());
        server.clear_faults();
        server.fault(s3::Fault::next(1, Operation::Get, "/index", FaultKind::Flip(len)));
        let to = dir.path().join("flipped");
        assert!(matches!(download_block(&bucket, id(1), &to).await, Err(Error::Corrupt { .. })));
    }
}

/// The child of the test below; does nothing in an ordinary run.
#[tokio::test]
async fn killed_child() {
    let Ok(dir) = std::env::var("AION_TEST_KILLED_DIR") else { return };
    let dir = std::path::Path::new(&dir);
    let bucket = filesystem(dir);
    let local = write_block(&dir.join("local"), id(1));
    let failpoints = Failpoints::from_env(&|name| std::env::var(name).ok());
    let options = UploadOptions { failpoints: failpoints.clone(), ..options() };
    upload_block(&bucket, &local, meta(id(1)), &options).await.unwrap();
    delete_block(&bucket, id(1), &failpoints).await.unwrap();
}

fn filesystem(dir: &std::path::Path) -> Bucket {
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.join("bucket").display());
    objstore::Config::parse(&yaml, &|_| None).unwrap().open(&objstore::OpenOptions::default()).unwrap()
}

/// A real process, dead at once at each named place: the bucket is sound, and the work can be taken up again.
#[tokio::test]
async fn process_killed_at_each_failpoint() {
    for (point, whole) in [
        ("upload.after_chunk", false),
        ("upload.after_index", false),
        ("upload.before_meta", false),
        ("upload.after_meta", true),
        ("delete.after_meta", false),
        ("delete.after_object", false),
        ("delete.before_mark", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_child", "--nocapture"])
            .env("AION_TEST_KILLED_DIR", dir.path())
            .env("AION_FAILPOINT", point)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.code().is_none(), "{point}: ended by itself, {status}");
        let bucket = filesystem(dir.path());
        assert_no_ghosts(&bucket).await;
        assert_eq!(bucket.exists(&format!("{}/meta.json", id(1))).await.unwrap(), whole, "{point}");
        let local = dir.path().join("local").join(id(1).to_string());
        upload_block(&bucket, &local, meta(id(1)), &options()).await.unwrap();
        assert_no_ghosts(&bucket).await;
        delete_block(&bucket, id(1), &Failpoints::none()).await.unwrap();
        assert!(list(&bucket).await.is_empty());
    }
}
