//! What every bucket must do, whatever it is made of. A failed expectation panics: this is for tests.

use std::path::Path;

use bytes::Bytes;
use futures::TryStreamExt;

use crate::bucket::{Bucket, Created};
use crate::error::ErrorKind;

/// Runs everything below the directory `dir` and leaves nothing there. `local` is a directory for files to upload;
/// `conditional` = conditional creates are honoured.
///
/// # Panics
/// With what did not hold.
pub async fn run(bucket: &Bucket, dir: &str, local: &Path, conditional: bool) {
    put_get(bucket, dir).await;
    ranges(bucket, dir).await;
    listing(bucket, dir).await;
    files(bucket, dir, local).await;
    if conditional {
        create_race(bucket, dir).await;
    }
    unfinished(bucket, dir).await;
    let left: Vec<_> = bucket.list_recursive(dir).try_collect().await.expect("list");
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Uploads that were begun are seen until they are finished or aborted, where the store keeps their parts.
async fn unfinished(bucket: &Bucket, dir: &str) {
    let found = async || {
        let all: Vec<_> = bucket.unfinished_uploads().try_collect().await.expect("unfinished uploads");
        all.into_iter().filter(|u| u.path.starts_with(&format!("{dir}/"))).collect::<Vec<_>>()
    };
    assert_eq!(found().await, []);
    let mut writers = Vec::new();
    for name in ["one", "other"] {
        let mut writer = bucket.put_parts_writer_of(&format!("{dir}/unfinished/{name}"), 5 << 20, 1).expect("writer");
        writer.write(vec![7; (11 << 20) + 1]).await.expect("two parts");
        writers.push(writer);
    }
    let (Some(other), Some(one)) = (writers.pop(), writers.pop()) else { return };
    if bucket.unfinished.is_none() {
        assert_eq!(found().await, []);
        one.abort().await;
    } else {
        let uploads = found().await;
        let names: Vec<&str> = uploads.iter().map(|u| u.path.as_str()).collect();
        assert_eq!(names, [format!("{dir}/unfinished/one"), format!("{dir}/unfinished/other")]);
        for upload in &uploads {
            assert!(upload.begun_ms > 1_500_000_000_000, "{upload:?}");
            assert!(bucket.unfinished_upload_newest_ms(upload).await.expect("newest part") >= upload.begun_ms);
        }
        bucket.abort_unfinished_upload(&uploads[0]).await.expect("abort");
        bucket.abort_unfinished_upload(&uploads[0]).await.expect("abort again");
        let gone = bucket.unfinished_upload_newest_ms(&uploads[0]).await.expect_err("gone");
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        let left: Vec<_> = found().await.into_iter().map(|u| (u.path, u.id)).collect();
        assert_eq!(left, [(uploads[1].path.clone(), uploads[1].id.clone())]);
        assert!(one.finish().await.is_err(), "whoever goes on with an aborted upload is told");
    }
    assert_eq!(other.finish().await.expect("finish"), (11 << 20) + 1);
    assert_eq!(found().await, []);
    bucket.delete(&format!("{dir}/unfinished/other")).await.expect("delete");
}

async fn put_get(bucket: &Bucket, dir: &str) {
    let path = format!("{dir}/a/meta.json");
    assert_eq!(bucket.get(&path).await.expect_err("absent").kind(), ErrorKind::NotFound);
    assert_eq!(bucket.head(&path).await.expect_err("absent").kind(), ErrorKind::NotFound);
    assert!(!bucket.exists(&path).await.expect("exists"));
    bucket.put(&path, "one").await.expect("put");
    bucket.put(&path, "three").await.expect("put over");
    let (body, object) = bucket.get_with_meta(&path).await.expect("get");
    assert_eq!((&body[..], object.size), (&b"three"[..], 5));
    let head = bucket.head(&path).await.expect("head");
    assert_eq!((head.path.as_str(), head.size), (path.as_str(), 5));
    assert!(head.last_modified_ms > 1_500_000_000_000, "{head:?}");
    assert!(bucket.exists(&path).await.expect("exists"));
    bucket.put(&path, Bytes::new()).await.expect("put empty");
    assert!(bucket.get(&path).await.expect("get empty").is_empty());
    bucket.delete(&path).await.expect("delete");
    bucket.delete(&path).await.expect("delete again");
    assert!(!bucket.exists(&path).await.expect("exists"));
}

async fn ranges(bucket: &Bucket, dir: &str) {
    let path = format!("{dir}/range");
    let body: Bytes = (0..1000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>().into();
    bucket.put(&path, body.clone()).await.expect("put");
    for bucket in [bucket, &bucket.reading_here()] {
        for range in [0..1, 0..4000, 3999..4000, 17..1234] {
            let got = bucket.get_range(&path, range.clone()).await.expect("range");
            assert_eq!(got, body.slice(range.start as usize..range.end as usize), "{range:?}");
        }
        assert!(bucket.get_range(&path, 5..5).await.expect("empty range").is_empty());
        let past = bucket.get_range(&path, 3990..4010).await.expect_err("past the end");
        assert_eq!(past.kind(), ErrorKind::ShortBody);
        let (tail, size) = bucket.get_range_clamped(&path, 3990..4010).await.expect("clamped");
        assert_eq!((tail, size), (body.slice(3990..), 4000));
        assert!(bucket.get_range_clamped(&path, 4000..4010).await.is_err(), "wholly past the end");
        for absent in ["no/such", dir] {
            let error = bucket.get_range(absent, 0..1).await.expect_err("absent");
            assert_eq!(error.kind(), ErrorKind::NotFound, "{absent}");
        }
    }
    for range in [0..1, 17..1234, 3990..4010] {
        let mut got = bucket.stream_range(&path, range.clone()).await.expect("body");
        let mut bytes = Vec::new();
        assert_eq!((got.object_bytes(), got.at()), (4000, range.start));
        while let Some(piece) = got.next().await.expect("piece") {
            bytes.extend_from_slice(&piece);
            assert_eq!(got.at(), range.start + bytes.len() as u64);
        }
        assert_eq!(bytes, body[range.start as usize..range.end.min(4000) as usize], "{range:?}");
    }
    assert!(bucket.stream_range(&path, 4000..4010).await.is_err(), "wholly past the end");
    let many = [10..20, 3000..3010, 0..5, 15..30];
    let got = bucket.get_ranges(&path, &many).await.expect("ranges");
    for (range, bytes) in many.iter().zip(got) {
        assert_eq!(bytes, body.slice(range.start as usize..range.end as usize), "{range:?}");
    }
    bucket.delete(&path).await.expect("delete");
}

async fn listing(bucket: &Bucket, dir: &str) {
    let names = ["x/1", "x/2/3", "x/2/4", "xy/1", "z"];
    for name in names {
        bucket.put(&format!("{dir}/l/{name}"), name).await.expect("put");
    }
    let list = async |prefix: String| {
        let all: Vec<_> = bucket.list_recursive(&prefix).try_collect().await.expect("list");
        let mut paths: Vec<_> = all.into_iter().map(|o| (o.path, o.size)).collect();
        paths.sort();
        paths
    };
    let want = |names: &[&str]| names.iter().map(|n| (format!("{dir}/l/{n}"), n.len() as u64)).collect::<Vec<_>>();
    assert_eq!(list(format!("{dir}/l")).await, want(&names));
    // A prefix is a directory: xy is not below x.
    assert_eq!(list(format!("{dir}/l/x")).await, want(&names[..3]));
    assert_eq!(list(format!("{dir}/l/none")).await, want(&[]));
    assert_eq!(bucket.list_dirs(&format!("{dir}/l")).await.expect("dirs"), ["x", "xy"]);
    assert_eq!(bucket.list_dirs(&format!("{dir}/l/x/")).await.expect("dirs"), ["2"]);
    assert!(bucket.list_dirs(&format!("{dir}/none")).await.expect("dirs").is_empty());
    for name in names {
        bucket.delete(&format!("{dir}/l/{name}")).await.expect("delete");
    }
}

/// Sizes around the part size, where a last part may be forgotten (thanos-io/thanos#2128).
async fn files(bucket: &Bucket, dir: &str, local: &Path) {
    const PART: u64 = 5 << 20;
    let mut settings = bucket.settings().clone();
    settings.part_bytes = PART;
    settings.multipart_above_bytes = PART;
    let bucket = bucket.with_settings(settings);
    let local = local.join("file");
    for size in [0, 1, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1] {
        let body: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        std::fs::write(&local, &body).expect("local file");
        let path = format!("{dir}/file");
        assert_eq!(bucket.put_file(&path, &local).await.expect("put_file"), size);
        assert!(bucket.get(&path).await.expect("get") == body, "file of {size} bytes differs");
        // The same in pieces that do not fit the parts.
        let mut writer = bucket.put_parts_writer(&path).expect("writer");
        for piece in body.chunks(3 << 20) {
            writer.write(piece.to_vec()).await.expect("write");
        }
        assert_eq!(writer.finish().await.expect("finish"), size);
        assert!(bucket.get(&path).await.expect("get") == body, "parts of {size} bytes differ");
    }
    // Given up, what stood there before stays.
    let path = format!("{dir}/file");
    let mut writer = bucket.put_parts_writer(&path).expect("writer");
    writer.write(vec![1; 2 * PART as usize]).await.expect("write");
    writer.abort().await;
    assert_eq!(bucket.head(&path).await.expect("head").size, 2 * PART + 1);
    let _ = std::fs::remove_file(&local);
    bucket.delete(&format!("{dir}/file")).await.expect("delete");
}

async fn create_race(bucket: &Bucket, dir: &str) {
    let path = format!("{dir}/lock");
    assert_eq!(bucket.put_if_absent(&path, "a").await.expect("create"), Created::Created);
    assert_eq!(bucket.put_if_absent(&path, "b").await.expect("create"), Created::AlreadyExists);
    assert_eq!(bucket.put_if_absent(&path, "a").await.expect("create"), Created::Created, "its own object");
    assert_eq!(&bucket.get(&path).await.expect("get")[..], b"a");
    for round in 0..5 {
        bucket.delete(&path).await.expect("delete");
        let racers = (0..8).map(|n| {
            let path = path.clone();
            async move { bucket.put_if_absent(&path, format!("racer {n}")).await.expect("create") }
        });
        let won = futures::future::join_all(racers).await.into_iter().filter(|c| *c == Created::Created).count();
        assert_eq!(won, 1, "round {round}");
    }
    bucket.delete(&path).await.expect("delete");
}
