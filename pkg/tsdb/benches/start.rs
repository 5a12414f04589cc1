//! What a start costs after a kill: CPU, wall time and peak memory until the log is replayed.
//!
//! `cargo bench -p tsdb --bench start` writes data directories and starts on copies of them, each in a process of its own.
//! `-- make DIR SERIES MINUTES` only writes one, for other programs to start on; `-- start DIR` only starts, on `DIR` itself.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::FakeClock;
use storage::Ctx;
use storage::append::{AppendOptions, Appendable, Floats, SeriesRef};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tsdb::db::{Tsdb, TsdbDeps, TsdbOptions};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The begin of a chunk range, ms.
const START: i64 = 1_700_006_400_000;
const INTERVAL_MS: i64 = 15_000;
/// Series of a target, and targets of a transaction.
const TARGET: usize = 200;
const TARGETS: usize = 10;
const STARTS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match args.as_slice() {
        ["make", dir, series, minutes] => make(Path::new(dir), number(series), number(minutes) as i64),
        ["start", dir] => start(Path::new(dir)),
        // Under `cargo test --benches` only that it runs.
        ["--test"] => measure(400, 2),
        _ => {
            [(20_000, 60), (20_000, 120), (48_000, 114)].iter().for_each(|(series, minutes)| measure(*series, *minutes))
        }
    }
}

async fn open(dir: &Path) -> Arc<Tsdb> {
    let clock = Arc::new(FakeClock::at(START + 24 * 3_600_000));
    let mut options = TsdbOptions::default();
    options.retention.time_ms = 0;
    let deps = TsdbDeps::new(clock, Metrics::new(), Arc::new(|| 7));
    Tsdb::open(dir, options, deps).await.expect("opened")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("runtime")
}

/// Ends at once, so that nothing is done that a kill would not let be done.
fn start(dir: &Path) {
    let begin = Instant::now();
    runtime().block_on(async {
        let tsdb = open(dir).await;
        tsdb.replayed().await;
        let wall_ms = begin.elapsed().as_secs_f64() * 1e3;
        println!("{:.3} {wall_ms:.0} {:.1} {}", cpu_s(), peak_mib(), tsdb.head().series());
        std::process::exit(0);
    });
}

fn measure(series: usize, minutes: usize) {
    let root = tempfile::tempdir().expect("directory");
    let (made, copy) = (root.path().join("made"), root.path().join("copy"));
    let me = std::env::current_exe().expect("path");
    let made_by = Command::new(&me).arg("make").arg(&made).args([series.to_string(), minutes.to_string()]).status();
    assert!(made_by.expect("child").success(), "{series} series");
    for _ in 0..STARTS {
        copy_dir(&made, &copy);
        let output = Command::new(&me).arg("start").arg(&copy).output().expect("child");
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<&str> = printed.split_whitespace().collect();
        assert_eq!(numbers[3], series.to_string(), "{printed}");
        println!("{series} series × {minutes} min: {} s CPU, {} ms, {} MiB", numbers[0], numbers[1], numbers[2]);
        std::fs::remove_dir_all(&copy).expect("removed");
    }
}

/// Writes so many minutes of so many series, as remote write does it, and leaves the directory as after a kill.
fn make(dir: &Path, series: usize, minutes: i64) {
    runtime().block_on(async {
        let tsdb = open(dir).await;
        tsdb.replayed().await;
        let running = tokio::spawn(tsdb.run(CancellationToken::new()));
        let mut all: Vec<Vec<SeriesRef>> = Vec::new();
        for tick in 0..minutes * 60_000 / INTERVAL_MS {
            for (group, first) in (0..series).step_by(TARGET * TARGETS).enumerate() {
                let mut appender = tsdb.appender(&Ctx::background(), AppendOptions::default());
                if tick == 0 {
                    let texts: Vec<_> = (first..series.min(first + TARGET * TARGETS)).map(labels_of).collect();
                    let sets: Vec<Vec<(&str, &str)>> =
                        texts.iter().map(|pairs| pairs.iter().map(|(n, v)| (*n, v.as_str())).collect()).collect();
                    let sets: Vec<&[(&str, &str)]> = sets.iter().map(Vec::as_slice).collect();
                    let found = appender.resolve(&sets).expect("resolved");
                    all.push(found.into_iter().map(|found| found.expect("a series")).collect());
                }
                let refs = &all[group];
                let at = |n: usize| START + tick * INTERVAL_MS + (n / TARGET * 7_919) as i64 % INTERVAL_MS;
                let times_ms: Vec<i64> = (first..first + refs.len()).map(at).collect();
                let values: Vec<f64> = (first..first + refs.len()).map(|n| value_of(n, tick)).collect();
                let rows = Floats { series: refs, times_ms: &times_ms, values: &values, starts_ms: &[] };
                assert_eq!(appender.floats(rows).expect("rows"), []);
                appender.commit().await.expect("committed");
            }
        }
        // Full chunks go to disk each second.
        tokio::time::sleep(Duration::from_secs(3)).await;
        running.abort();
        println!("{:.1} MiB at most", peak_mib());
        std::process::exit(0);
    });
}

fn labels_of(n: usize) -> [(&'static str, String); 8] {
    let (target, of_target) = (n / TARGET, n % TARGET);
    [
        ("__name__", format!("http_request_{}_total", of_target / 8)),
        ("cluster", "eu-1".to_owned()),
        ("code", ["200", "204", "400", "500"][of_target % 4].to_owned()),
        ("handler", format!("/api/v1/{}", of_target % 8)),
        ("instance", format!("10.0.{}.{}:8080", target / 256, target % 256)),
        ("job", format!("service-{}", target % 12)),
        ("namespace", format!("ns-{}", target % 5)),
        ("pod", format!("service-{}-{:08x}", target % 12, target.wrapping_mul(0x9e37_79b9) as u32)),
    ]
}

/// Counters, gauges, sums with all digits, and constants.
fn value_of(n: usize, tick: i64) -> f64 {
    let random = |tick: i64| {
        let x = (n as u64 * 1_000_003 + tick as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40
    };
    let step = (n % 97 + 1) as i64;
    match n % 20 {
        0..12 => (random(0) as i64 + tick * step + (random(tick) as i64 % step)) as f64,
        12..16 => ((random(0) as i64 % 100_000 + tick * step + (random(tick) as i64 % step)) as f64) / 100.0,
        16 | 17 => (random(tick / 3) % 300) as f64,
        18 => tick as f64 * 1.7 + random(tick) as f64 / 7.0,
        _ => 1.0,
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("directory");
    for entry in std::fs::read_dir(from).expect("directory") {
        let entry = entry.expect("entry");
        match entry.file_type().expect("type").is_dir() {
            true => copy_dir(&entry.path(), &to.join(entry.file_name())),
            false => _ = std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied"),
        }
    }
}

/// User and system time of this process.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
