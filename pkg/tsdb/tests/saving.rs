//! A database that saves its open chunks while it is written to, and is killed.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use model::FakeClock;
use service::Failpoints;
use storage::TsdbView;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;
use tsdb::db::{Tsdb, TsdbDeps, TsdbOptions};

const HOUR: i64 = 3_600_000;
/// A multiple of 2 h.
const START: i64 = 1_700_006_400_000;
const WAIT: Duration = Duration::from_secs(60);

fn saving_options() -> TsdbOptions {
    let mut options = options();
    options.map_interval = Duration::from_millis(5);
    options.unsaved_bytes = 6_000;
    options.journal.wal.segment_bytes = 256 << 10;
    options
}

async fn open_with(dir: &Path, options: TsdbOptions, deps: TsdbDeps) -> Arc<Tsdb> {
    let tsdb = Tsdb::open(dir, options, deps).await.unwrap();
    tsdb.replayed().await;
    tsdb
}

/// `minutes` samples of each of 50 series, one every 10 s.
async fn write(tsdb: &Tsdb, from: i64, minutes: i64) {
    for part in 0..minutes {
        for n in 0..50i64 {
            let rows: Vec<_> =
                (0..6).map(|i| (from + part * 60_000 + i * 10_000, ((part + i) * n) as f64 * 0.1)).collect();
            assert_eq!(append(tsdb, &[("__name__", "a"), ("n", &n.to_string())], &rows).await, []);
        }
        // As a server, which has other things to do.
        tokio::task::yield_now().await;
    }
}

fn is_there(dir: &Path) -> bool {
    dir.join("wal/open_chunks").exists()
}

/// Whenever it is killed, all that was written is there: under this database and under Prometheus, by turns.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_any_moment_has_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START + 2 * HOUR));
    let tsdb = open_with(dir.path(), saving_options(), deps(&clock)).await;
    let running = CancellationToken::new();
    let work = tokio::spawn(tsdb.run(running.clone()));
    for round in 0..6i64 {
        write(&tsdb, START + round * 20 * 60_000, 20).await;
        let right = data(&*tsdb).await;
        if round == 0 {
            wait_for("open chunks to be saved", WAIT, async || is_there(dir.path())).await;
        }
        let killed = tempfile::tempdir().unwrap();
        // What is replaced meanwhile may be missing.
        copy_files(dir.path(), killed.path());
        for start in 0..2 {
            let again = open_with(killed.path(), saving_options(), deps(&clock)).await;
            assert_same(&data(&*again).await, &right, &format!("round {round}, start {start}"));
            again.close().await.unwrap();
        }
        if round == 4 && testkit::prometheus::have_prometheus("a_copy_of_any_moment_has_it_all") {
            let real = Prometheus::start(killed.path(), &[]);
            assert_same(&real.data(), &right, "read by Prometheus");
            let rows: Vec<_> = (0..10).map(|i| (START + 2 * HOUR + i * 10_000, 3.0)).collect();
            real.write(&[("__name__", "a"), ("n", "3")], &rows);
            real.write(&[("__name__", "theirs"), ("n", "3")], &rows);
            let right = real.data();
            real.stop();
            assert!(is_there(killed.path()), "Prometheus passes it over");
            let again = open_with(killed.path(), saving_options(), deps(&clock)).await;
            assert_same(&data(&*again).await, &right, "after Prometheus");
            again.close().await.unwrap();
        }
    }
    running.cancel();
    work.await.unwrap();
    tsdb.close().await.unwrap();
}

/// Blocks are cut and the log is shortened, by what was saved before as well.
#[tokio::test(flavor = "multi_thread")]
async fn across_blocks_and_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START));
    let tsdb = open_with(dir.path(), saving_options(), deps(&clock)).await;
    let running = CancellationToken::new();
    let work = tokio::spawn(tsdb.run(running.clone()));
    for hour in 0..8i64 {
        clock.set(START + (hour + 1) * HOUR);
        write(&tsdb, START + hour * HOUR, 60).await;
        tsdb.maintain().await.unwrap();
        let right = data(&*tsdb).await;
        let killed = tempfile::tempdir().unwrap();
        copy_files(dir.path(), killed.path());
        let again = open_with(killed.path(), saving_options(), deps(&clock)).await;
        assert_same(&data(&*again).await, &right, &format!("hour {hour}"));
        again.close().await.unwrap();
    }
    assert!(!tsdb.blocks().is_empty());
    running.cancel();
    work.await.unwrap();
    tsdb.close().await.unwrap();
}

/// What cannot be finished leaves what was saved before.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START + 2 * HOUR));
    let fails = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut deps_failing = deps(&clock);
    let count = fails.clone();
    deps_failing.failpoints = Failpoints::hook(move |name| {
        name == "tsdb.saving.before_rename" && count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0
    });
    let tsdb = open_with(dir.path(), saving_options(), deps_failing).await;
    let running = CancellationToken::new();
    let work = tokio::spawn(tsdb.run(running.clone()));
    write(&tsdb, START, 60).await;
    wait_for("open chunks to be saved", WAIT, async || is_there(dir.path())).await;
    write(&tsdb, START + HOUR, 30).await;
    wait_for("a failure", WAIT, async || fails.load(std::sync::atomic::Ordering::Relaxed) > 1).await;
    let right = data(&*tsdb).await;
    running.cancel();
    work.await.unwrap();
    assert!(!dir.path().join("wal/open_chunks.tmp").exists());
    tsdb.close().await.unwrap();
    drop(tsdb);
    let again = open_with(dir.path(), saving_options(), deps(&clock)).await;
    assert_same(&data(&*again).await, &right, "after a failure");
    again.close().await.unwrap();
}

/// Segment and offset up to where open chunks are saved.
fn saved_up_to(dir: &Path) -> (u64, u64) {
    let bytes = std::fs::read(dir.join("wal/open_chunks")).unwrap();
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    // Behind the magic, and length and checksum of the first frame.
    (number(16), number(24))
}

/// A stop in good order leaves nothing of the log to replay; one that is cut short costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_are_saved_at_the_end() {
    for is_killed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(START + 2 * HOUR));
        let mut first = deps(&clock);
        first.failpoints = Failpoints::hook(move |name| is_killed && name == "tsdb.saving.before_rename");
        let tsdb = open_with(dir.path(), saving_options(), first).await;
        write(&tsdb, START, 30).await;
        let right = data(&*tsdb).await;
        tsdb.close().await.unwrap();
        drop(tsdb);
        assert_eq!(is_there(dir.path()), !is_killed);
        if !is_killed {
            let last = wal::list_segments(&dir.path().join("wal")).unwrap().pop().unwrap();
            let bytes = std::fs::metadata(&last.path).unwrap().len();
            assert_eq!(saved_up_to(dir.path()), (last.number, bytes));
        }
        let again = open_with(dir.path(), saving_options(), deps(&clock)).await;
        assert_same(&data(&*again).await, &right, &format!("killed: {is_killed}"));
        // What goes on is saved with what was there.
        write(&again, START + HOUR, 5).await;
        let right = data(&*again).await;
        again.close().await.unwrap();
        drop(again);
        assert!(is_there(dir.path()));
        let again = open_with(dir.path(), saving_options(), deps(&clock)).await;
        assert_same(&data(&*again).await, &right, "after two stops");
        again.close().await.unwrap();
    }
}

/// The newest open chunks before the rest, then the log, then chunks: each later than what refers to it.
fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("wal")).unwrap();
    if is_there(from) {
        std::fs::copy(from.join("wal/open_chunks"), to.join("wal/open_chunks")).unwrap();
    }
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if name == "wal" {
            for entry in std::fs::read_dir(entry.path()).unwrap().flatten() {
                let target = target.join(entry.file_name());
                match entry.file_type().unwrap().is_dir() {
                    true => copy_dir(&entry.path(), &target),
                    false if entry.file_name().to_string_lossy().starts_with("open") => {}
                    false => _ = std::fs::copy(entry.path(), target).unwrap(),
                }
            }
        } else if entry.file_type().unwrap().is_dir() && name != "chunks_head" {
            copy_dir(&entry.path(), &target);
        }
    }
    copy_dir(&from.join("chunks_head"), &to.join("chunks_head"));
}
