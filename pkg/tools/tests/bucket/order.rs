//! Commands that change the bucket: mark, cleanup, replicate, upload-blocks.

use std::time::{Duration, SystemTime};

use testkit::s3::{Fault, FaultKind, Operation, Server};

use crate::place::{BLOCKS, NOW_MS, Place, golden, id, keys};

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn marks_are_put_and_taken_away() {
    for place in Place::filled().await {
        for (marker, json) in [
            (
                "deletion-mark.json",
                r#"{"id":"01M7XNJ90W1DWS89T9WNHA09R1","version":1,"details":"old","deletion_time":1795300000}"#,
            ),
            (
                "no-compact-mark.json",
                r#"{"id":"01M7XNJ90W1DWS89T9WNHA09R1","version":1,"details":"old","no_compact_time":1795300000,"reason":"manual"}"#,
            ),
            (
                "no-downsample-mark.json",
                r#"{"id":"01M7XNJ90W1DWS89T9WNHA09R1","version":1,"details":"old","no_downsample_time":1795300000,"reason":"manual"}"#,
            ),
        ] {
            let path = format!("{}/{marker}", BLOCKS[0]);
            let (id, marker) = (format!("--id={}", BLOCKS[0]), format!("--marker={marker}"));
            let (code, text) = place.run(&["mark", &id, &marker, "--details=old"]).await;
            assert_eq!((code, text.contains("written")), (0, true), "{text}");
            assert_eq!(place.bucket.get(&path).await.unwrap(), json);
            let (code, text) = place.run(&["mark", &id, &marker, "--details=other"]).await;
            assert_eq!((code, text.contains("already")), (0, true), "{text}");
            assert_eq!(place.bucket.get(&path).await.unwrap(), json);
            assert_eq!(place.run(&["mark", &id, &marker, "--remove"]).await.0, 0);
            assert!(!place.bucket.exists(&path).await.unwrap());
            let (code, text) = place.run(&["mark", &id, &marker, "--remove"]).await;
            assert_eq!((code, text.contains("has no")), (0, true), "{text}");
        }
        let none = "--id=01M7XNEDBRHMVA77T71GPE1DE6";
        let (code, text) = place.run(&["mark", none, "--marker=deletion-mark.json", "--details=x"]).await;
        assert!(code == 1 && text.contains("there is no such block"), "{text}");
    }
}

#[tokio::test]
async fn cleanup_deletes_what_was_marked_long_ago() {
    for place in Place::filled().await {
        place.mark(0).await;
        place.clock.advance(48 * HOUR_MS);
        assert_eq!(place.run(&["cleanup", "--no-dry-run"]).await, (0, String::new()));
        place.clock.advance(1000);
        place.mark(1).await;
        let before = place.keys().await;
        let (code, text) = place.run(&["cleanup"]).await;
        assert_eq!((code, text.lines().count()), (0, 1), "{text}");
        let line = format!("{}: would be deleted: marked for deletion at 2026-11-21T", BLOCKS[0]);
        assert!(text.starts_with(&line) && text.ends_with("(test)\n"), "{text}");
        assert_eq!(place.keys().await, before);
        // another shard's
        let us = "--selector.relabel-config=[{action: keep, source_labels: [cluster], regex: us}]";
        assert_eq!(place.run(&["cleanup", "--no-dry-run", us]).await, (0, String::new()));
        assert_eq!(place.run(&["cleanup", "--no-dry-run"]).await.0, 0);
        let left = place.keys().await;
        assert!(!left.iter().any(|key| key.starts_with(BLOCKS[0])), "{left:?}");
        assert_eq!(left.len(), before.len() - 4);
        // a shorter delay is obeyed
        place.clock.advance(1000);
        assert_eq!(place.run(&["cleanup", "--no-dry-run", "--delete-delay=0s"]).await.0, 0);
        assert!(!place.keys().await.iter().any(|key| key.starts_with(BLOCKS[1])));
    }
}

#[tokio::test]
async fn cleanup_takes_partial_uploads_by_the_age_of_their_newest_object() {
    let place = Place::s3().await;
    let server = place.server.as_ref().unwrap();
    let at = |ms: i64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms as u64);
    let insert = |key: String, age_ms: i64| server.backend().insert(Server::BUCKET, &key, "x", at(NOW_MS - age_ms));
    // an old block whose upload is under way, one that was left, one that somebody marked
    insert(format!("{}/chunks/000001", BLOCKS[0]), 100 * HOUR_MS);
    insert(format!("{}/index", BLOCKS[0]), HOUR_MS);
    insert(format!("{}/chunks/000001", BLOCKS[1]), 49 * HOUR_MS);
    insert(format!("{}/chunks/000002", BLOCKS[1]), 48 * HOUR_MS);
    insert("other/object".to_owned(), 900 * HOUR_MS);
    let before = place.keys().await;
    let (code, text) = place.run(&["cleanup", "--no-dry-run"]).await;
    assert!(code == 0 && text.starts_with(&format!("{}: noted: partial upload, last written", BLOCKS[1])), "{text}");
    let mark = format!("{}/aion-cleanup-mark.json", BLOCKS[1]);
    assert_eq!(place.keys().await.into_iter().filter(|key| *key != mark).collect::<Vec<_>>(), before);
    insert(mark.clone(), HOUR_MS - 1);
    let (code, text) = place.run(&["cleanup", "--no-dry-run"]).await;
    assert!(code == 0 && text.contains("noted less than an hour ago"), "{text}");
    insert(mark, HOUR_MS);
    let (code, text) = place.run(&["cleanup", "--no-dry-run"]).await;
    assert!(code == 0 && text.contains(&format!("{}: deleted: partial upload, last written", BLOCKS[1])), "{text}");
    let left = [format!("{}/chunks/000001", BLOCKS[0]), format!("{}/index", BLOCKS[0]), "other/object".to_owned()];
    assert_eq!(place.keys().await, left);
    assert_eq!(place.run(&["cleanup", "--no-dry-run", "--consistency-delay=90h"]).await, (0, String::new()));
}

#[tokio::test]
async fn cleanup_aborts_multipart_uploads_that_were_abandoned() {
    let place = Place::s3().await;
    let server = place.server.as_ref().unwrap();
    let at = |age_h: i64| SystemTime::UNIX_EPOCH + Duration::from_millis((NOW_MS - age_h * HOUR_MS) as u64);
    let key = |n: usize| format!("{}/chunks/000001", BLOCKS[n]);
    let begin = |key: &str, begun_h: i64, added_h: i64| {
        server.backend().insert_upload(Server::BUCKET, key, at(begun_h), "part", at(added_h));
    };
    begin(&key(0), 60, 48);
    begin(&key(1), 60, 47);
    begin("other/chunks/000001", 900, 900);
    let (code, text) = place.run(&["cleanup"]).await;
    assert!(code == 0 && text.starts_with(&format!("{}: upload would be aborted: begun at 2026", key(0))), "{text}");
    assert_eq!(server.backend().upload_keys().len(), 3);
    let (code, text) = place.run(&["cleanup", "--no-dry-run"]).await;
    assert!(code == 0 && text.contains(&format!("{}: upload aborted: begun at 2026", key(0))), "{text}");
    assert!(text.contains(&format!("{}: upload left alone", key(1))), "{text}");
    assert_eq!(server.backend().upload_keys(), [key(1), "other/chunks/000001".to_owned()]);
}

#[tokio::test]
async fn a_failing_store_fails_the_command() {
    let place = Place::s3().await;
    place.add(0).await;
    place.mark(0).await;
    place.clock.advance(100 * HOUR_MS);
    let server = place.server.as_ref().unwrap();
    server.fault(Fault::next(100, Operation::Delete, "index", FaultKind::Status(403)));
    let (code, text) = place.run(&["cleanup", "--no-dry-run"]).await;
    assert_eq!((code, text.as_str()), (1, ""));
    server.clear_faults();
    let (code, text) = place.run(&["cleanup", "--no-dry-run"]).await;
    assert!(code == 0 && text.contains("deleted"), "{text}");
    assert!(place.keys().await.is_empty());
}

#[tokio::test]
async fn replicate_copies_blocks_once_and_whole() {
    for (from, to) in [(Place::directory(), Place::s3().await), (Place::s3().await, Place::directory())] {
        for n in 0..3 {
            from.add(n).await;
        }
        from.mark(2).await;
        let target = format!("--objstore-to.config={}", to.config);
        let args = ["replicate", "--single-run", "--ignore-marked-for-deletion", &target];
        let (code, text) = from.run(&args).await;
        assert_eq!((code, text.lines().count()), (0, 2), "{text}");
        assert!(text.starts_with(&format!("{}: replicated, 3 objects, ", BLOCKS[0])), "{text}");
        let copied: Vec<_> = from.keys().await.into_iter().filter(|key| !key.starts_with(BLOCKS[2])).collect();
        assert_eq!(to.keys().await, copied);
        for key in &copied {
            assert_eq!(from.bucket.get(key).await.unwrap(), to.bucket.get(key).await.unwrap(), "{key}");
        }
        // a second run has nothing to do; one after an interrupted copy completes it
        assert_eq!(from.run(&args).await, (0, String::new()));
        to.bucket.delete(&format!("{}/meta.json", BLOCKS[0])).await.unwrap();
        to.bucket.put(&format!("{}/index", BLOCKS[0]), "cut").await.unwrap();
        let (code, text) = from.run(&args).await;
        assert!(code == 0 && text.starts_with(&format!("{}: replicated, 2 objects, ", BLOCKS[0])), "{text}");
        assert_eq!(to.keys().await, copied);
        // by id, marked or not
        let args = ["replicate", &target, "--id", BLOCKS[2], "--id=01M7XNEDBRHMVA77T71GPE1DE6"];
        let (code, text) = from.run(&args).await;
        assert!(code == 1 && text.contains("01M7XNEDBRHMVA77T71GPE1DE6: there is no such block"), "{text}");
        assert!(to.bucket.exists(&format!("{}/meta.json", BLOCKS[2])).await.unwrap());
    }
}

#[tokio::test]
async fn replicate_never_makes_a_damaged_block_visible() {
    for (path, at) in [("chunks/000001", 40), ("index", 200)] {
        let (from, to) = (Place::directory(), Place::directory());
        for n in 0..3 {
            from.add(n).await;
        }
        let key = format!("{}/{path}", BLOCKS[0]);
        let mut bytes = from.bucket.get(&key).await.unwrap().to_vec();
        bytes[at] ^= 1;
        from.bucket.put(&key, bytes).await.unwrap();
        let target = format!("--objstore-to.config={}", to.config);
        let (code, text) = from.run(&["replicate", "--single-run", &target]).await;
        assert_eq!(code, 1);
        let line = text.lines().next().unwrap();
        assert!(line.starts_with(&format!("{}: not replicated: ", BLOCKS[0])) && line.contains(path), "{text}");
        let there = keys(&to.bucket).await;
        assert!(!there.contains(&format!("{}/meta.json", BLOCKS[0])), "{there:?}");
        // the others went all the same
        assert_eq!(text.matches(": replicated, ").count(), 2, "{text}");
    }
}

#[tokio::test]
async fn replicate_refuses_another_block_of_the_same_name() {
    let (from, to) = (Place::directory(), Place::directory());
    from.add(0).await;
    to.add(0).await;
    let path = format!("{}/meta.json", BLOCKS[0]);
    let json = String::from_utf8(to.bucket.get(&path).await.unwrap().to_vec()).unwrap();
    let other = json.replace("\"level\": 1", "\"level\": 2");
    to.bucket.put(&path, other.clone()).await.unwrap();
    let (code, text) = from.run(&["replicate", "--single-run", &format!("--objstore-to.config={}", to.config)]).await;
    assert!(code == 1 && text.contains("another block of this name"), "{text}");
    assert_eq!(to.bucket.get(&path).await.unwrap(), other);
}

#[tokio::test]
async fn blocks_of_a_directory_are_uploaded() {
    for place in Place::all().await {
        let local = place.dir.path().join("local");
        for block in BLOCKS {
            std::fs::create_dir_all(local.join(block).join("chunks")).unwrap();
            for file in ["meta.json", "index", "chunks/000001", "tombstones"] {
                std::fs::copy(golden().join(block).join(file), local.join(block).join(file)).unwrap();
            }
        }
        std::fs::write(local.join(BLOCKS[2]).join("index"), "damaged").unwrap();
        let path = format!("--path={}", local.display());
        let args = ["upload-blocks", &path, "--label=cluster=\"eu\"", "--label=replica=`a`"];
        let (code, text) = place.run(&args).await;
        assert_eq!(code, 1);
        assert!(text.contains(&format!("{}: uploaded\n{}: uploaded\n", BLOCKS[0], BLOCKS[1])), "{text}");
        assert!(text.contains(&format!("{}: not uploaded: ", BLOCKS[2])), "{text}");
        std::fs::copy(golden().join(BLOCKS[2]).join("index"), local.join(BLOCKS[2]).join("index")).unwrap();
        let listed = format!("in the bucket already, as {} says\n", local.join("thanos.shipper.json").display());
        let printed = format!("{}: uploaded\n2 blocks are {listed}", BLOCKS[2]);
        assert_eq!(place.run(&args).await, (0, printed));
        assert_eq!(place.run(&args).await, (0, format!("3 blocks are {listed}")));
        assert_eq!(place.keys().await.len(), 9);
        let json = place.bucket.get(&format!("{}/meta.json", id(0))).await.unwrap();
        let meta = block::BlockMeta::parse("meta.json", &json).unwrap();
        let thanos = meta.thanos.unwrap();
        assert_eq!((thanos.source.as_str(), thanos.labels["replica"].as_str()), ("bucket.upload", "a"));
        let (code, wide) = place.run(&["ls", "-owide"]).await;
        assert_eq!((code, wide.matches("Source: bucket.upload").count()), (0, 3));
    }
}

#[tokio::test]
async fn an_upload_says_why_it_has_nothing_to_do() {
    let place = Place::directory();
    let local = place.dir.path().join("local");
    std::fs::create_dir(&local).unwrap();
    let path = format!("--path={}", local.display());
    let args = ["upload-blocks", &path, "--label=cluster=\"eu\""];
    let nothing = format!("{}: there are no blocks, nothing is uploaded\n", local.display());
    assert_eq!(place.run(&args).await, (0, nothing));
    // one that was compacted, one without samples
    for (n, old, new) in [(0, "\"level\": 1", "\"level\": 2"), (1, "\"numSamples\": ", "\"numSamples\": 0, \"x\": ")] {
        let dir = local.join(BLOCKS[n]);
        std::fs::create_dir_all(dir.join("chunks")).unwrap();
        for file in ["index", "chunks/000001"] {
            std::fs::copy(golden().join(BLOCKS[n]).join(file), dir.join(file)).unwrap();
        }
        let json = std::fs::read_to_string(golden().join(BLOCKS[n]).join("meta.json")).unwrap();
        assert!(json.contains(old), "{json}");
        std::fs::write(dir.join("meta.json"), json.replace(old, new)).unwrap();
    }
    let (compacted, empty) = (
        "1 block is not uploaded: compacted, give --shipper.upload-compacted\n",
        "1 block is not uploaded: no samples\n",
    );
    assert_eq!(place.run(&args).await, (0, format!("{compacted}{empty}")));
    let args = [&args[..], &["--shipper.upload-compacted"]].concat();
    assert_eq!(place.run(&args).await, (0, format!("{}: uploaded\n{empty}", BLOCKS[0])));
}

#[tokio::test]
async fn nothing_is_made_in_the_place_of_a_bucket_that_is_absent() {
    let target = Place::directory();
    let to = format!("--objstore-to.config={}", target.config);
    let backup = format!("--objstore-backup.config={}", target.config);
    let tmp = target.dir.path().join("tmp");
    let (tmp_dir, data_dir) = (format!("--tmp.dir={}", tmp.display()), format!("--data-dir={}", tmp.display()));
    let id = format!("--id={}", BLOCKS[0]);
    for args in [
        &["ls"][..],
        &["ls", "-o", "json"],
        &["inspect"],
        &["verify"],
        &["verify", "--depth=full", "--repair", &backup, &tmp_dir],
        &["mark", &id, "--marker=deletion-mark.json", "--details=x"],
        &["mark", &id, "--marker=deletion-mark.json", "--remove"],
        &["rewrite", &id, "--rewrite.to-delete-config=[{matchers: a}]", &tmp_dir],
        &["rewrite", "--no-dry-run", &id, "--rewrite.to-delete-config=[{matchers: a}]", &tmp_dir],
        &["retention"],
        &["retention", "--no-dry-run"],
        &["downsample", "--single-run", &data_dir],
        &["cleanup"],
        &["cleanup", "--no-dry-run"],
        &["replicate", "--single-run", &to],
        &["replicate", &id, &to],
    ] {
        let place = Place::directory();
        let (code, text) = place.run(args).await;
        let bucket = place.dir.path().join("bucket");
        assert!(!bucket.exists() && !target.dir.path().join("bucket").exists(), "{args:?}");
        assert!(code == 1 && text.contains(bucket.to_str().unwrap()), "{args:?}: {code} {text}");
    }
}
