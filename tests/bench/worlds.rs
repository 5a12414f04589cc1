//! Data sets that are written straight into blocks: one block of very many series, and months with their downsampled blocks.

use std::path::Path;

use anyhow::ensure;
use block::meta::ThanosMeta;
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions};
use chunkenc::{Encoding, TimedChunk, encode_xor};
use labels::Labels;
use tests::aion::binary;

/// Midnight, ms since the epoch.
const START_MS: i64 = 1_699_920_000_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Between two samples, ms.
const TICK_MS: i64 = 60_000;
/// Samples of a chunk.
const CHUNK: i64 = 120;
/// Days of the months.
pub const DAYS: i64 = 30;
/// Days of one of their blocks: enough for both resolutions.
const BLOCK_DAYS: i64 = 10;

/// Seven milliseconds off the grid of evaluations, so that no sample lies on an edge.
fn off_grid(ms: i64) -> f64 {
    ms as f64 / 1000.0 + 0.007
}

/// When queries of [`wide`] end, s.
pub fn wide_end_s() -> f64 {
    off_grid(START_MS + HOUR_MS + 2 * TICK_MS)
}

/// When queries of [`months`] end, s.
pub fn months_end_s() -> f64 {
    off_grid(START_MS + DAYS * DAY_MS - 2 * TICK_MS)
}

/// Writes one block of `count` series with two samples each into `dir`, a bucket in a folder. Nothing is done where it is.
///
/// # Errors
/// The disk is full.
pub fn wide(dir: &Path, count: usize) -> anyhow::Result<()> {
    let done = dir.join("done");
    if done.exists() {
        return Ok(());
    }
    afresh(dir)?;
    let series = |n: usize| {
        let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let instance = format!("10.{}.{}.{}:9100", n % 10, n / 10 % 250, n / 2500 % 4);
        let pod = format!("worker-{:08x}-{:05x}", mixed >> 32, n & 0xf_ffff);
        let zone = format!("zone-{}", n % 5);
        let labels = [("__name__", "wide"), ("instance", &instance), ("job", "worker"), ("pod", &pod), ("zone", &zone)];
        (Labels::from_pairs(labels), n)
    };
    let mut all: Vec<(Labels, usize)> = (0..count).map(series).collect();
    all.sort();
    let range = (START_MS, START_MS + 2 * HOUR_MS);
    let mut writer = writer(dir, range)?;
    for (labels, n) in &all {
        let first = START_MS + HOUR_MS + (*n % 1000) as i64;
        let samples = [(first, (*n % 100_000) as f64), (first + TICK_MS, (*n % 99_991) as f64)];
        writer.add_series(labels, &[chunk(&samples)?])?;
    }
    writer.finish(meta(range))?;
    std::fs::write(done, "")?;
    Ok(())
}

/// Writes 30 days of 200 series at 60 s into `dir`, a bucket in a folder, and downsamples them. Nothing is done where they are.
///
/// # Errors
/// The disk is full, downsampling fails.
pub fn months(dir: &Path) -> anyhow::Result<()> {
    let done = dir.join("done");
    if done.exists() {
        return Ok(());
    }
    afresh(dir)?;
    let mut all: Vec<(Labels, usize)> = (0..200)
        .map(|n| {
            let name = if n % 2 == 0 { "requests_total" } else { "queue_length" };
            let (pod, job) = (format!("pod-{:03}", n / 2), format!("job-{}", n / 2 % 5));
            (Labels::from_pairs([("__name__", name), ("job", &job), ("pod", &pod)]), n)
        })
        .collect();
    all.sort();
    let mut values: Vec<(f64, u64)> = (0..200).map(|n| (0.0, n + 1)).collect();
    for block in 0..DAYS / BLOCK_DAYS {
        let from = START_MS + block * BLOCK_DAYS * DAY_MS;
        let range = (from, from + BLOCK_DAYS * DAY_MS);
        let mut writer = writer(dir, range)?;
        for (labels, n) in &all {
            let ticks: Vec<i64> = (range.0 / TICK_MS..range.1 / TICK_MS).collect();
            let mut chunks = Vec::new();
            for part in ticks.chunks(CHUNK as usize) {
                let sample = |tick: &i64| (tick * TICK_MS + *n as i64, next(&mut values[*n], n % 2 == 0));
                chunks.push(chunk(&part.iter().map(sample).collect::<Vec<_>>())?);
            }
            writer.add_series(labels, &chunks)?;
        }
        writer.finish(meta(range))?;
    }
    let config = format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", dir.display().to_string());
    let log = dir.with_extension("log");
    let status = std::process::Command::new(binary())
        .args(["tools", "bucket", "downsample", "--single-run"])
        .args([format!("--objstore.config={config}"), format!("--data-dir={}", dir.with_extension("work").display())])
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .status()?;
    ensure!(status.success(), "blocks could not be downsampled: {}", log.display());
    std::fs::write(done, "")?;
    Ok(())
}

/// The next value of a counter, or of a walk over whole numbers.
fn next((value, seed): &mut (f64, u64), is_counter: bool) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let random = (*seed >> 33) as f64 / (1u64 << 31) as f64;
    *value = match is_counter {
        true => *value + (random * 60.0).floor(),
        false => (*value + (random * 21.0).floor() - 10.0).max(0.0),
    };
    *value
}

fn chunk(samples: &[(i64, f64)]) -> anyhow::Result<TimedChunk> {
    let data = encode_xor(samples.iter().copied())?.into();
    let times = samples.first().zip(samples.last()).map_or((0, 0), |(first, last)| (first.0, last.0));
    Ok(TimedChunk { min_time: times.0, max_time: times.1, encoding: Encoding::Xor, data })
}

fn afresh(dir: &Path) -> anyhow::Result<()> {
    // what a broken run has left
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    Ok(())
}

fn id((from, to): (i64, i64)) -> BlockId {
    BlockId::new(to as u64, from as u128)
}

fn writer(dir: &Path, range: (i64, i64)) -> anyhow::Result<BlockWriter> {
    let options = BlockWriterOptions { tombstones: false, ..BlockWriterOptions::default() };
    Ok(BlockWriter::create(dir, id(range), options)?)
}

fn meta(range: (i64, i64)) -> BlockMeta {
    let external = [("prometheus", "bench"), ("replica", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut thanos = ThanosMeta { version: 1, labels: external.into(), source: "sidecar".into(), ..Default::default() };
    thanos.set_upload_time_ms(range.1);
    let (ulid, thanos) = (id(range), Some(thanos));
    BlockMeta { ulid, min_time: range.0, max_time: range.1, version: 1, thanos, ..BlockMeta::default() }
}
