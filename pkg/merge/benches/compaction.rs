//! Three blocks of 2 h into one of 6 h: samples per CPU second, bytes per second, peak memory, requests; beside a
//! Prometheus that compacts the same blocks, where one is installed.
//!
//! `cargo bench -p merge --bench compaction`. Every merge is a process of its own, so that its peak is its own. Parts of
//! it: series as an argument (`-- 20000,200000`), `COMPACTION_ROWS` with some of `merge1`, `merge2`, `downsample1`,
//! `replicas1`, `s3`, `copy` and `prometheus` (`merge1,prometheus`), and how often each is run, `COMPACTION_RUNS`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use block::meta::BlockFile;
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, ThanosMeta};
use chunkenc::{Encoding, TimedChunk, encode_xor};
use futures::TryStreamExt;
use labels::Labels;
use merge::{Downsampling, Input, Job, Limits, Options, Progress, Vertical};
use objstore::{Bucket, Config, OpenOptions};
use service::Failpoints;
use tokio_util::sync::CancellationToken;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A multiple of 6 h.
const START: i64 = 1_700_006_400_000;
const HOURS_2: i64 = 7_200_000;
const SAMPLES: usize = 480;
/// Before each run. A virtual machine may give freed memory back to its host within two seconds, and pays when it needs
/// it again; so all begin alike.
const PAUSE: Duration = Duration::from_secs(3);
/// Different series; more are copies under other labels.
const PATTERNS: usize = 509;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.first().map(String::as_str) {
        Some("merge") => child(&args[1..]),
        Some("copy") => copy_child(Path::new(&args[1]), Path::new(&args[2])),
        Some("generate") => _ = generate(Path::new(&args[1]), args[2].parse().expect("series")),
        // Under `cargo test --benches` only that it runs.
        Some("--test") => orchestrate(&[200], false),
        Some(sizes) => orchestrate(&sizes.split(',').map(|s| s.parse().expect("series")).collect::<Vec<_>>(), true),
        None => orchestrate(&[20_000, 200_000], true),
    }
}

/// One line of the table.
struct Row {
    what: String,
    samples: u64,
    bytes: u64,
    user_s: f64,
    system_s: f64,
    wall_s: f64,
    peak_mib: f64,
    requests: u64,
}

impl Row {
    /// What a child printed.
    fn of(printed: &[u8], what: &str, series: usize, bytes: u64) -> Self {
        let text = String::from_utf8_lossy(printed);
        let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("number")).collect();
        Self {
            what: what.to_owned(),
            samples: (series * SAMPLES * 3) as u64,
            bytes,
            user_s: numbers[0],
            system_s: numbers[1],
            wall_s: numbers[2],
            peak_mib: numbers[3],
            requests: numbers[4] as u64,
        }
    }

    fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

fn orchestrate(sizes: &[usize], whole: bool) {
    let dir = tempfile::tempdir().expect("directory");
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let mut rows = Vec::new();
    let only = std::env::var("COMPACTION_ROWS").ok();
    let wanted = |row: &str| only.as_ref().is_none_or(|only| only.split(',').any(|o| o == row));
    for size in sizes {
        let root = dir.path().join(format!("{size}"));
        let bucket = root.join("bucket");
        let bytes = generate(&bucket, *size);
        let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
        let mut jobs = vec![("merge", 1), ("merge", 2), ("downsample", 1), ("replicas", 1)];
        if !whole {
            jobs.truncate(2);
        }
        jobs.retain(|(kind, shards)| wanted(&format!("{kind}{shards}")));
        let server = (whole && *size <= 50_000 && wanted("s3")).then(|| {
            let server = runtime.block_on(testkit::s3::Server::start());
            runtime.block_on(copy(&yaml, &server.config_yaml()));
            server
        });
        // One after the other, and again: other work on the machine then falls on all alike.
        let mut best: Vec<Row> = Vec::new();
        let runs = std::env::var("COMPACTION_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(3).max(1);
        for _ in 0..runs {
            let mut rows = Vec::new();
            for (kind, shards) in &jobs {
                let what = format!("aion, {kind}, {size} series, {shards} thread(s), folder");
                rows.push(measure(&what, &yaml, &root, kind, *shards, *size, bytes));
            }
            if let Some(server) = &server {
                let what = format!("aion, merge, {size} series, 1 thread(s), S3 over loopback");
                rows.push(measure(&what, &server.config_yaml(), &root, "merge", 1, *size, bytes));
            }
            if whole && wanted("copy") {
                rows.push(measure_copy(&bucket, &root, *size, bytes));
            }
            if whole && wanted("prometheus") {
                rows.extend(prometheus(&bucket, &root, *size, bytes));
            }
            for row in rows {
                match best.iter_mut().find(|b| b.what == row.what) {
                    Some(best) if row.cpu_s() < best.cpu_s() => *best = row,
                    Some(_) => {}
                    None => best.push(row),
                }
            }
        }
        rows.extend(best);
        std::fs::remove_dir_all(&root).expect("remove");
    }
    println!("| | user s | system s | M samples per CPU s | MB/s per core | wall s | peak MiB | requests |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        println!(
            "| {} | {:.2} | {:.2} | {:.1} | {:.0} | {:.2} | {:.0} | {} |",
            row.what,
            row.user_s,
            row.system_s,
            row.samples as f64 / 1e6 / row.cpu_s(),
            row.bytes as f64 / 1e6 / row.cpu_s(),
            row.wall_s,
            row.peak_mib,
            row.requests
        );
    }
}

/// Writes three blocks; gives the bytes of their chunks.
fn generate(dir: &Path, series: usize) -> u64 {
    std::fs::create_dir_all(dir).expect("create");
    let mut bytes = 0;
    // A fourth one, small: Prometheus leaves the newest alone.
    for b in 0..4i64 {
        let start = START + b * HOURS_2;
        let id = BlockId::new(start as u64, b as u128);
        let patterns: Vec<Vec<TimedChunk>> = (0..PATTERNS).map(|p| pattern(start, p)).collect();
        let options = BlockWriterOptions::default();
        let mut writer = BlockWriter::create(dir, id, options).expect("block");
        let count = if b == 3 { 10 } else { series };
        for s in 0..count {
            let chunks = &patterns[s % PATTERNS];
            writer.add_series(&labels_of(s), chunks).expect("series");
            if b < 3 {
                bytes += chunks.iter().map(|c| c.data.len() as u64 + 6).sum::<u64>();
            }
        }
        let thanos = ThanosMeta { version: 1, ..ThanosMeta::default() };
        let mut meta = BlockMeta { thanos: Some(thanos), ..BlockMeta::default() };
        (meta.min_time, meta.max_time) = (start, start + HOURS_2);
        meta.compaction.level = 1;
        writer.finish(meta).expect("finish");
    }
    bytes
}

/// Twelve labels, in the order that the index wants.
fn labels_of(s: usize) -> Labels {
    let (metric, target) = (s % 200, s / 200);
    // The target's number leads, so that the order is that of the numbers.
    Labels::from_pairs([
        ("__name__", format!("metric_{target:06}_requests_total")),
        ("cluster", "eu-west-1".to_owned()),
        ("code", format!("{}", 200 + metric / 40)),
        ("container", "server".to_owned()),
        ("endpoint", "http-metrics".to_owned()),
        ("handler", format!("/api/v1/path/{metric:04}")),
        ("instance", format!("10.0.{}.{}:9090", target / 250, target % 250)),
        ("job", format!("job-{}", target % 7)),
        ("le", format!("0.{:03}", metric % 40)),
        ("namespace", format!("namespace-{}", target % 13)),
        ("pod", format!("server-{target:06}-abcde")),
        ("zzz", format!("{metric:04}")),
    ])
}

/// 2 h at 15 s: counters, gauges with decimals, constants, noise.
fn pattern(start: i64, p: usize) -> Vec<TimedChunk> {
    let mut seed = p as u64 * 0x9E37_79B9_7F4A_7C15 + start as u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut counter = (random() * 1e6).floor();
    let samples: Vec<(i64, f64)> = (0..SAMPLES)
        .map(|i| {
            let jitter = if random() < 0.1 { (random() * 8.0) as i64 - 4 } else { 0 };
            let value = match p % 5 {
                0 | 1 => {
                    counter += (random() * 20.0).floor();
                    counter
                }
                2 => (random() * 1e4).round() / 100.0,
                3 => 1.0,
                _ => random() * 1e3,
            };
            (start + 100 + i as i64 * 15_000 + jitter, value)
        })
        .collect();
    let chunk = |part: &[(i64, f64)]| TimedChunk {
        min_time: part[0].0,
        max_time: part[part.len() - 1].0,
        encoding: Encoding::Xor,
        data: encode_xor(part.iter().copied()).expect("chunk").into(),
    };
    samples.chunks(120).map(chunk).collect()
}

fn open(yaml: &str) -> Bucket {
    let config = Config::parse(yaml, &|_| None).expect("config");
    config.open(&OpenOptions::default()).expect("bucket")
}

async fn copy(from: &str, to: &str) {
    let (from, to) = (open(from), open(to));
    let objects: Vec<_> = from.list_recursive("").try_collect().await.expect("list");
    for object in objects {
        to.put(&object.path, from.get(&object.path).await.expect("get")).await.expect("put");
    }
}

fn measure(what: &str, yaml: &str, root: &Path, kind: &str, shards: usize, series: usize, bytes: u64) -> Row {
    let config = root.join("bucket.yaml");
    std::fs::write(&config, yaml).expect("write");
    std::thread::sleep(PAUSE);
    let me = std::env::current_exe().expect("path");
    let output = Command::new(me)
        .args(["merge", config.to_str().expect("path"), root.to_str().expect("path"), kind, &shards.to_string()])
        // As the program sets it.
        .env("MIMALLOC_PURGE_DELAY", "100")
        .stderr(Stdio::inherit())
        .output()
        .expect("child");
    assert!(output.status.success(), "{what}");
    let times = if kind == "replicas" { 2 } else { 1 };
    let row = Row::of(&output.stdout, what, series * times, bytes * times as u64);
    eprintln!(
        "{what}: {:.2} s user, {:.2} s system, {:.2} s, {:.0} MiB, {} MB",
        row.user_s,
        row.system_s,
        row.wall_s,
        row.peak_mib,
        bytes / 1_000_000
    );
    row
}

/// `merge CONFIG DIR KIND SHARDS`: prints user, system and wall seconds, peak MiB, requests.
fn child(args: &[String]) {
    let yaml = std::fs::read_to_string(&args[0]).expect("config");
    let (dir, kind) = (PathBuf::from(&args[1]).join("work"), args[2].as_str());
    let shards = args[3].parse().expect("shards");
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let bucket = open(&yaml);
    runtime.block_on(async {
        let mut metas: Vec<Arc<BlockMeta>> = Vec::new();
        for name in bucket.list_dirs("").await.expect("list") {
            let json = bucket.get(&format!("{name}/meta.json")).await.expect("meta");
            let meta = BlockMeta::parse("meta.json", &json).expect("meta");
            if meta.min_time < START + 3 * HOURS_2 {
                metas.push(Arc::new(meta));
            }
        }
        let mut meta = (*metas[0]).clone();
        (meta.ulid, meta.max_time) = (BlockId::new(START as u64 + 1_000_000_000, 7), START + 3 * HOURS_2);
        meta.thanos.get_or_insert_default().files = Vec::<BlockFile>::new();
        let mut inputs: Vec<Input> = metas.iter().map(|m| Input { meta: m.clone(), replica: 1 }).collect();
        let mut vertical = Vertical::Merge;
        if kind == "replicas" {
            // The same blocks again, as if from another replica; equal chunks would fall together, so follow one.
            inputs.extend(metas.iter().map(|m| Input { meta: m.clone(), replica: 2 }));
            vertical = Vertical::Penalty;
        }
        let downsampling = (kind == "downsample").then_some(Downsampling { from_ms: 0, to_ms: 300_000 });
        let id = meta.ulid;
        let job = Job { inputs, meta, vertical, deletions: vec![], tombstones: true, relabel: vec![], downsampling };
        let options = Options {
            dir,
            limits: Limits { shards, ..Limits::default() },
            next_id: Arc::new(BlockId::default),
            failpoints: Failpoints::none(),
        };
        let (begin, cpu) = (Instant::now(), cpu_s("self"));
        let outcome = merge::run(&bucket, &job, &options, &Progress::default(), &CancellationToken::new()).await;
        let finished = outcome.expect("merge");
        let (wall, (user, system)) = (begin.elapsed().as_secs_f64(), cpu_s("self"));
        let (user, system) = (user - cpu.0, system - cpu.1);
        println!("{user} {system} {wall} {} {}", peak_mib("self"), finished.counts.requests);
        let left: Vec<_> = bucket.list_recursive(&id.to_string()).try_collect().await.expect("list");
        for object in left {
            bucket.delete(&object.path).await.expect("delete");
        }
    });
}

/// What no merge can do without where files are read and written: the bytes of the three blocks' chunks through one
/// buffer into one file, and nothing done with them. Prints as `merge` does.
fn copy_child(bucket: &Path, to: &Path) {
    use std::io::{Read, Write};
    let (begin, cpu) = (Instant::now(), cpu_s("self"));
    let mut out = std::fs::File::create(to).expect("create");
    let mut buffer = vec![0; 512 << 10];
    let mut blocks: Vec<PathBuf> = std::fs::read_dir(bucket).expect("list").flatten().map(|e| e.path()).collect();
    blocks.sort_unstable();
    for block in &blocks[..3] {
        for segment in std::fs::read_dir(block.join("chunks")).expect("list").flatten() {
            let mut file = std::fs::File::open(segment.path()).expect("open");
            loop {
                match file.read(&mut buffer).expect("read") {
                    0 => break,
                    len => out.write_all(&buffer[..len]).expect("write"),
                }
            }
        }
    }
    drop(out);
    let (user, system) = cpu_s("self");
    let wall = begin.elapsed().as_secs_f64();
    println!("{} {} {wall} {} 0", user - cpu.0, system - cpu.1, peak_mib("self"));
    std::fs::remove_file(to).expect("remove");
}

fn measure_copy(bucket: &Path, root: &Path, series: usize, bytes: u64) -> Row {
    std::thread::sleep(PAUSE);
    let me = std::env::current_exe().expect("path");
    let output = Command::new(me).arg("copy").args([bucket, &root.join("copy")]).output().expect("child");
    Row::of(&output.stdout, &format!("a bare copy of the same bytes, {series} series"), series, bytes)
}

/// User and system time of a process.
fn cpu_s(process: &str) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) / 100.0, ticks(12) / 100.0)
}

fn peak_mib(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The same blocks in the data directory of an installed Prometheus, which compacts them a minute after its start.
fn prometheus(bucket: &Path, root: &Path, series: usize, bytes: u64) -> Option<Row> {
    let version = Command::new("prometheus").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&version.stdout).split_whitespace().nth(2).unwrap_or_default().to_owned();
    let data = root.join("data");
    _ = std::fs::remove_dir_all(&data);
    copy_dir(bucket, &data);
    let config = root.join("prometheus.yml");
    std::fs::write(&config, "global: {scrape_interval: 1h}\n").ok()?;
    let log = root.join("prometheus.log");
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .args(["--web.listen-address=127.0.0.1:0", "--storage.tsdb.retention.time=100y"])
        .args(["--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=6h"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).ok()?)
        .spawn()
        .ok()?;
    let mut child = Ended(child);
    let pid = child.0.id().to_string();
    let deadline = Instant::now() + Duration::from_secs(300);
    let line = |text: &str, what: &str| text.lines().find(|l| l.contains(what)).map(str::to_owned);
    let mut before = cpu_s(&pid);
    loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let ended = child.0.try_wait().ok().flatten().is_some();
        if ended || Instant::now() > deadline {
            eprintln!("prometheus did not compact: {text}");
            return None;
        }
        let work = std::fs::read_dir(&data)
            .ok()?
            .flatten()
            .any(|e| e.file_name().to_string_lossy().contains(".tmp-for-creation"));
        if let Some(found) = line(&text, "compact blocks") {
            let took =
                found.split("duration=").nth(1).unwrap_or_default().split_whitespace().next().unwrap_or_default();
            let (user, system) = cpu_s(&pid);
            let row = Row {
                what: format!("Prometheus {version}, {series} series, disk"),
                samples: (series * SAMPLES * 3) as u64,
                bytes,
                user_s: user - before.0,
                system_s: system - before.1,
                wall_s: go_seconds(took),
                peak_mib: peak_mib(&pid),
                requests: 0,
            };
            eprintln!("{}: {:.2} s CPU, {:.2} s, {:.0} MiB", row.what, row.cpu_s(), row.wall_s, row.peak_mib);
            return Some(row);
        }
        if !work {
            before = cpu_s(&pid);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `1.52s`, `950ms`, `1m2.5s`.
fn go_seconds(text: &str) -> f64 {
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().map_or(0.0, |ms: f64| ms / 1000.0);
    }
    let text = text.trim_end_matches('s');
    match text.split_once('m') {
        Some((m, s)) => m.parse().unwrap_or(0.0) * 60.0 + s.parse().unwrap_or(0.0),
        None => text.parse().unwrap_or(0.0),
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("create");
    for entry in std::fs::read_dir(from).expect("list").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("type").is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => _ = std::fs::copy(entry.path(), target).expect("copy"),
        }
    }
}
