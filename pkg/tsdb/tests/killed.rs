//! A process that is killed at each place where that could hurt; the next one finds every sample that was acknowledged.

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::*;
use labels::Matcher;
use model::{FakeClock, TimeRange};
use service::Failpoints;
use storage::{Ctx, TsdbAdmin};
use tsdb::db::{Admin, Tsdb, TsdbOptions};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const START: i64 = 1_699_980_000_000 - 1_699_980_000_000 % (18 * HOUR);
/// The directory in which the child works.
const DIR: &str = "TSDB_TEST_KILLED_DIR";
const SIGABRT: i32 = 6;
const ACKNOWLEDGED: &str = "acknowledged";

fn late_options() -> TsdbOptions {
    let mut options = options();
    options.head.out_of_order_window_ms = 24 * HOUR;
    // Several segments, so that there are checkpoints.
    options.journal.wal.segment_bytes = 64 << 10;
    options
}

/// What the child does, hour by hour; what it may rely on is in the file of acknowledged samples.
async fn work(dir: &Path, failpoints: Failpoints) {
    let clock = Arc::new(FakeClock::at(START));
    let mut deps = deps(&clock);
    deps.failpoints = failpoints;
    // Ids differ from process to process.
    let process = u128::from(std::process::id());
    let count = std::sync::atomic::AtomicU64::new(0);
    deps.random =
        Arc::new(move || process << 32 | u128::from(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
    let tsdb = Tsdb::open(&dir.join("data"), late_options(), deps).await.unwrap();
    tsdb.replayed().await;
    let mut file = OpenOptions::new().append(true).create(true).open(dir.join(ACKNOWLEDGED)).unwrap();
    let mut write = async |name: &str, samples: &[(i64, f64)]| {
        let refused = append(&*tsdb, &[("__name__", name), ("a", "b")], samples).await;
        assert!(refused.is_empty(), "{refused:?}");
        let lines: String = samples.iter().map(|(t, v)| format!("{name} {t} {}\n", v.to_bits())).collect();
        file.write_all(lines.as_bytes()).unwrap();
    };
    for hour in 0..14 {
        let begin = START + hour * HOUR;
        clock.set(begin + HOUR);
        for n in 0..20 {
            let all: Vec<_> = (0..60).map(|m| (begin + m * MINUTE + n, (hour * m * n) as f64)).collect();
            write(&format!("in_order_{n}"), &all).await;
        }
        let late: Vec<_> = (0..50).map(|m| (begin - 2 * HOUR + m * MINUTE + 7, m as f64)).collect();
        write("late", &late).await;
        tsdb.maintain().await.unwrap();
        if hour == 9 {
            let admin = Admin(tsdb.clone());
            let gone = vec![vec![Matcher::equal("__name__", "in_order_3")]];
            admin.delete_series(&Ctx::background(), gone, TimeRange::new(START, START + HOUR)).await.unwrap();
            admin.clean_tombstones(&Ctx::background()).await.unwrap();
            admin.snapshot(&Ctx::background(), false).await.unwrap();
        }
    }
    tsdb.close().await.unwrap();
}

/// Whether it was aborted, as it is at a failpoint.
fn is_aborted(dir: &Path, failpoint: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--include-ignored", "--nocapture"])
        .env(DIR, dir)
        .env("AION_FAILPOINT", failpoint)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().signal() == Some(SIGABRT)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "works for the others, in a process of its own"]
async fn the_child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    work(Path::new(&dir), Failpoints::from_env(&|name| std::env::var(name).ok())).await;
}

fn acknowledged(dir: &Path) -> Data {
    let text = std::fs::read_to_string(dir.join(ACKNOWLEDGED)).unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let mut next = || fields.next().unwrap().to_owned();
        let (name, time, bits) = (next(), next(), next());
        ((format!("__name__=\"{name}\",a=\"b\""), time.parse().unwrap()), vec![bits.parse().unwrap()])
    };
    // The last line may be half.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_sample_is_lost() {
    let names = Arc::new(parking_lot::Mutex::new(Vec::<String>::new()));
    let seen = names.clone();
    let dir = tempfile::tempdir().unwrap();
    let note = Failpoints::hook(move |name| {
        let mut seen = seen.lock();
        if !seen.iter().any(|n| n == name) {
            seen.push(name.to_owned());
        }
        false
    });
    work(dir.path(), note).await;
    let names = std::mem::take(&mut *names.lock());
    assert!(names.len() >= 8, "{names:?}");
    let deleted = |(labels, t): &(String, i64)| labels.contains("in_order_3\"") && *t <= START + HOUR;
    for name in names {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_aborted(dir.path(), &name), "{name}: it was not killed");
        let want = acknowledged(dir.path());
        let least = if name == "tsdb.replay.begin" { 0 } else { 20 * 60 };
        assert!(want.len() >= least, "{name}: only {} samples were acknowledged", want.len());
        let clock = Arc::new(FakeClock::at(START + 20 * HOUR));
        for round in 0..2 {
            let tsdb = Tsdb::open(&dir.path().join("data"), late_options(), deps(&clock)).await.unwrap();
            tsdb.replayed().await;
            let got = data(&*tsdb).await;
            let lost: Vec<_> =
                want.iter().filter(|(key, value)| got.get(*key) != Some(value) && !deleted(key)).take(3).collect();
            assert!(lost.is_empty(), "{name}, start {round}: lost {lost:?}");
            assert!(got.len() <= want.len() + 60, "{name}: samples that nobody wrote");
            tsdb.maintain().await.unwrap();
            tsdb.close().await.unwrap();
        }
    }
}
