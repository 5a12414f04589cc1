//! Blocks of a real Prometheus, brought into an S3 server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use block::{BlockId, BlockMeta};
use bucket::shipper::{Pass, Shipped, Shipper, ShipperOptions, Skipped, Verify};
use labels::Labels;
use model::FakeClock;
use objstore::{Bucket, Config, OpenOptions};
use service::Failpoints;
use telemetry::Metrics;
use testkit::prometheus::{backfill, block_dirs, have_prometheus};
use testkit::s3::{Fault, FaultKind, Operation, Server};

const START_S: i64 = 1_700_000_000 / 7200 * 7200;

fn open(server: &Server) -> Bucket {
    Config::parse(&server.config_yaml(), &|_| None).unwrap().open(&OpenOptions::default()).unwrap()
}

fn options(dir: &Path) -> ShipperOptions {
    ShipperOptions { clock: Arc::new(FakeClock::at(1_795_223_720_120)), ..ShipperOptions::new(dir) }
}

fn shipper(bucket: &Bucket, options: ShipperOptions) -> Shipper {
    Shipper::new(bucket.clone(), options, || Labels::from_pairs([("cluster", "eu"), ("replica", "a")]), &Metrics::new())
}

/// Checks that the server holds exactly the blocks `ids` of `dir`, whole.
fn check_bucket(server: &Server, dir: &Path, ids: &[String]) {
    let mut want = Vec::new();
    for id in ids {
        let meta = server.backend().object(Server::BUCKET, &format!("{id}/meta.json")).expect(id);
        let meta = BlockMeta::parse("meta.json", &meta).unwrap();
        let local = BlockMeta::parse("m", &std::fs::read(dir.join(id).join("meta.json")).unwrap()).unwrap();
        assert_eq!(
            (meta.ulid, meta.min_time, meta.max_time, &meta.stats),
            (local.ulid, local.min_time, local.max_time, &local.stats)
        );
        assert_eq!(meta.compaction, local.compaction);
        let thanos = meta.thanos.unwrap();
        assert_eq!(
            thanos.labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(),
            ["cluster=eu", "replica=a"]
        );
        assert_eq!((thanos.source.as_str(), thanos.version), ("sidecar", 1));
        assert_eq!(thanos.upload_time, "2026-11-21T01:15:20.12Z");
        for file in &thanos.files {
            want.push(format!("{id}/{}", file.rel_path));
            if file.rel_path != "meta.json" {
                let bytes = std::fs::read(dir.join(id).join(&file.rel_path)).unwrap();
                assert_eq!(file.size_bytes, bytes.len() as u64);
                let stored = server.backend().object(Server::BUCKET, &format!("{id}/{}", file.rel_path)).unwrap();
                assert!(stored == bytes, "{id}/{}", file.rel_path);
            }
        }
    }
    want.sort();
    let mut keys = server.backend().keys(Server::BUCKET);
    keys.sort();
    assert_eq!(keys, want);
}

fn listed(dir: &Path) -> Vec<String> {
    Shipped::read(&dir.join("thanos.shipper.json")).unwrap().0.iter().map(BlockId::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ships_everything_once() {
    if !have_prometheus("ships_everything_once") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    backfill(dir.path(), START_S, 6, 5);
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    let ids = block_dirs(dir.path());
    assert_eq!(ids.len(), 3);
    let server = Server::start().await;
    let bucket = open(&server);
    let ship = shipper(&bucket, ShipperOptions { verify: Verify::Full, hash: true, ..options(dir.path()) });
    let pass = ship.pass().await.unwrap();
    assert_eq!((pass.uploaded.len(), pass.failed.len()), (3, 0), "{pass:?}");
    check_bucket(&server, dir.path(), &ids);
    assert_eq!(listed(dir.path()), ids);
    assert!(!dir.path().join("thanos/upload").exists() || block_dirs(&dir.path().join("thanos/upload")).is_empty());
    // again: nothing to do, nothing asked
    let requests = server.requests(Operation::Put) + server.requests(Operation::Head) + server.requests(Operation::Get);
    let skipped = Skipped { listed: 3, ..Default::default() };
    assert_eq!(ship.pass().await.unwrap(), Pass { skipped, ..Default::default() });
    let after = server.requests(Operation::Put) + server.requests(Operation::Head) + server.requests(Operation::Get);
    assert_eq!(after, requests);
    // the list is lost: the bucket knows
    std::fs::remove_file(dir.path().join("thanos.shipper.json")).unwrap();
    let pass = ship.pass().await.unwrap();
    assert_eq!((pass.uploaded.len(), pass.found.len()), (0, 3));
    // a block that prometheus deletes leaves the list, and stays in the bucket
    std::fs::remove_dir_all(dir.path().join(&ids[0])).unwrap();
    ship.pass().await.unwrap();
    assert_eq!(listed(dir.path()), ids[1..]);
    assert!(server.backend().object(Server::BUCKET, &format!("{}/meta.json", ids[0])).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_block_does_not_stop_the_others() {
    if !have_prometheus("a_bad_block_does_not_stop_the_others") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    backfill(dir.path(), START_S, 10, 3);
    let ids = block_dirs(dir.path());
    let (cut, flipped, meta, good) = (&ids[0], &ids[1], &ids[2], &ids[3..]);
    let chunk = dir.path().join(cut).join("chunks/000001");
    let bytes = std::fs::read(&chunk).unwrap();
    std::fs::write(&chunk, &bytes[..bytes.len() - 5]).unwrap();
    let index = dir.path().join(flipped).join("index");
    let mut broken = std::fs::read(&index).unwrap();
    let at = broken.len() - 10;
    broken[at] ^= 1;
    std::fs::write(&index, &broken).unwrap();
    std::fs::write(dir.path().join(meta).join("meta.json"), "{").unwrap();

    let server = Server::start().await;
    let bucket = open(&server);
    let ship = shipper(&bucket, options(dir.path()));
    for _ in 0..2 {
        let pass = ship.pass().await.unwrap();
        let mut failed: Vec<_> = pass.failed.iter().map(|(id, _)| id.clone()).collect();
        failed.sort();
        assert_eq!(failed, ids[..3], "{pass:?}");
        assert!(block_dirs(&dir.path().join("thanos/upload")).is_empty(), "links are gone");
        check_bucket(&server, dir.path(), good);
    }
    // mended, it goes the next time
    std::fs::write(&chunk, &bytes).unwrap();
    let pass = ship.pass().await.unwrap();
    assert_eq!(pass.uploaded.iter().map(BlockId::to_string).collect::<Vec<_>>(), ids[..1]);
    assert_eq!(listed(dir.path()).len(), good.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn r2753_newer_blocks_wait_for_older_ones() {
    if !have_prometheus("r2753_newer_blocks_wait_for_older_ones") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    backfill(dir.path(), START_S, 6, 2);
    let ids = block_dirs(dir.path());
    let server = Server::start().await;
    let bucket = open(&server);
    server.fault(Fault::next(u64::MAX, Operation::Put, &ids[0], FaultKind::Status(403)));
    let ship = shipper(&bucket, ShipperOptions { hold_back_passes: 2, ..options(dir.path()) });
    for _ in 0..2 {
        let pass = ship.pass().await.unwrap();
        assert_eq!((pass.uploaded.len(), pass.failed.len(), pass.waiting), (0, 1, 2), "{pass:?}");
    }
    let pass = ship.pass().await.unwrap();
    assert_eq!((pass.uploaded.len(), pass.failed.len(), pass.waiting), (2, 1, 0), "not for ever: {pass:?}");
    server.clear_faults();
    ship.pass().await.unwrap();
    check_bucket(&server, dir.path(), &ids);
    // nor at all, if told so
    let other = Server::start().await;
    other.fault(Fault::next(u64::MAX, Operation::Put, &ids[0], FaultKind::Status(403)));
    std::fs::remove_file(dir.path().join("thanos.shipper.json")).unwrap();
    let ship = shipper(&open(&other), ShipperOptions { allow_out_of_order: true, ..options(dir.path()) });
    assert_eq!(ship.pass().await.unwrap().uploaded.len(), 2);
}

/// Every place at which the process may end, with a run of the child for each; see [`child`].
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step() {
    if !have_prometheus("killed_at_every_step") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    backfill(dir.path(), START_S, 4, 3);
    let ids = block_dirs(dir.path());
    let places = [
        "shipper.after_link",
        "upload.after_chunk",
        "upload.after_index",
        "upload.before_meta",
        "upload.after_meta",
        "shipper.before_list",
        "shipper.before_list_rename",
        "shipper.after_list",
    ];
    for place in places {
        let server = Server::start().await;
        let _ = std::fs::remove_file(dir.path().join("thanos.shipper.json"));
        let run = |failpoint: &str| {
            let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
            command
                .args(["--exact", "child", "--ignored", "--nocapture"])
                .env("AION_TEST_CHILD_DIR", dir.path())
                .env("AION_TEST_CHILD_BUCKET", server.config_yaml())
                .env("AION_FAILPOINT", failpoint)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            command.status()
        };
        let died = run(place).await.unwrap();
        assert!(!died.success(), "{place} was not hit");
        // whatever was left: a block that shows a meta.json is whole
        for id in &ids {
            let keys = server.backend().keys(Server::BUCKET);
            if keys.contains(&format!("{id}/meta.json")) {
                assert!(
                    keys.contains(&format!("{id}/index")) && keys.contains(&format!("{id}/chunks/000001")),
                    "{place}"
                );
            }
        }
        let puts = server.requests(Operation::Put);
        let there = server.backend().keys(Server::BUCKET).len() as u64;
        assert!(run("").await.unwrap().success(), "{place}: the next start");
        check_bucket(&server, dir.path(), &ids);
        assert_eq!(listed(dir.path()), ids, "{place}");
        // three objects a block; none that was there is sent again
        assert_eq!(server.requests(Operation::Put) - puts, 3 * ids.len() as u64 - there, "{place}");
    }
}

/// Not a test: the process that `killed_at_every_step` lets end.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by killed_at_every_step"]
async fn child() {
    let env = |name: &str| std::env::var(name).ok();
    let (Some(dir), Some(yaml)) = (env("AION_TEST_CHILD_DIR"), env("AION_TEST_CHILD_BUCKET")) else { return };
    let bucket = Config::parse(&yaml, &env).unwrap().open(&OpenOptions::default()).unwrap();
    let options = ShipperOptions { failpoints: Failpoints::from_env(&env), ..options(Path::new(&dir)) };
    let pass = shipper(&bucket, options).pass().await.unwrap();
    assert!(pass.failed.is_empty(), "{pass:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_blocks() {
    if !have_prometheus("compacted_blocks") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    backfill(dir.path(), START_S, 4, 2);
    let ids = block_dirs(dir.path());
    let path = dir.path().join(&ids[0]).join("meta.json");
    let mut meta = BlockMeta::parse("m", &std::fs::read(&path).unwrap()).unwrap();
    meta.compaction.level = 2;
    std::fs::write(&path, meta.to_json()).unwrap();
    let server = Server::start().await;
    let bucket = open(&server);
    assert_eq!(shipper(&bucket, options(dir.path())).pass().await.unwrap().uploaded.len(), 1);
    // another block of these labels over the same time
    let other = BlockId::new(1, 1);
    let mut there = meta.clone();
    there.ulid = other;
    there.thanos = Some(block::ThanosMeta {
        labels: [("cluster", "eu"), ("replica", "a")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        ..Default::default()
    });
    bucket.put(&format!("{other}/meta.json"), there.to_json()).await.unwrap();
    let ship = shipper(&bucket, ShipperOptions { upload_compacted: true, ..options(dir.path()) });
    let pass = ship.pass().await.unwrap();
    assert!(pass.failed.len() == 1 && pass.failed[0].1.contains("overlaps block"), "{pass:?}");
    bucket.delete(&format!("{other}/meta.json")).await.unwrap();
    assert_eq!(ship.pass().await.unwrap().uploaded.len(), 1);
    check_bucket(&server, dir.path(), &ids);
}

/// A hook that ends the pass at its n-th step, for every n: the next pass always completes.
#[tokio::test(flavor = "multi_thread")]
async fn cut_at_the_nth_step() {
    if !have_prometheus("cut_at_the_nth_step") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    backfill(dir.path(), START_S, 4, 2);
    let ids = block_dirs(dir.path());
    for n in 0.. {
        let server = Server::start().await;
        let bucket = open(&server);
        let _ = std::fs::remove_file(dir.path().join("thanos.shipper.json"));
        let left = Arc::new(AtomicU64::new(n));
        let hook = move |_: &str| left.fetch_sub(1, Ordering::SeqCst) == 0;
        let cut = shipper(&bucket, ShipperOptions { failpoints: Failpoints::hook(hook), ..options(dir.path()) });
        let whole = cut.pass().await.is_ok();
        let pass = shipper(&bucket, options(dir.path())).pass().await.unwrap();
        assert!(pass.failed.is_empty(), "{pass:?}");
        check_bucket(&server, dir.path(), &ids);
        assert_eq!(listed(dir.path()), ids);
        if whole {
            assert!(n > 10, "{n} steps");
            break;
        }
    }
}
