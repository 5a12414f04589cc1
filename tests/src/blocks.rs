//! A bucket of many small blocks whose every sample is a function of series and tick, and what the bucket must hold
//! whatever compactors do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use block::meta::ThanosMeta;
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, LocalBlock};
use chunkenc::{
    Column, Encoding, HistogramAppender, HistogramColumn, ResetFlag, TimedChunk, decode_floats, decode_histograms,
    encode_xor,
};
use histogram::{Histogram, ResetHint, Span};
use labels::Labels;

/// An hour, ms.
const HOUR_MS: i64 = 3_600_000;
/// Range of the blocks, ms.
pub const BLOCK_MS: i64 = 2 * HOUR_MS;
/// Between two ticks, ms.
pub const TICK_MS: i64 = 60_000;
/// The start of a two-week window, ms since the epoch: the most that one block spans.
pub const START_MS: i64 = 1_406 * 14 * 24 * HOUR_MS;
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Which blocks to write.
#[derive(Debug, Clone)]
pub struct World {
    /// One group each, after replicas are merged.
    pub clusters: Vec<&'static str>,
    /// Label and offset of its scrapes, ms.
    pub replicas: Vec<(&'static str, i64)>,
    /// Blocks of each replica, two hours each.
    pub blocks: usize,
}

/// What a sample is, bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A float's bits.
    Float(u64),
    /// A native histogram: count, sum, buckets; all by their bits.
    Histogram(u64, u64, Vec<u64>),
}

/// Samples by series (external labels but the replica's included), then time.
pub type Samples = BTreeMap<Labels, BTreeMap<i64, Value>>;

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Rises, with resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// There for half an hour, gone for half an hour, with stale markers.
    Intermittent,
    /// In every third block only.
    Seldom,
    /// A native histogram that counts.
    Native,
}

const SERIES: [(&str, &str, Kind); 8] = [
    ("requests_total", "/", Kind::Counter),
    ("requests_total", "/cart", Kind::Counter),
    ("temperature", "Zürich", Kind::Gauge),
    ("temperature", "東京", Kind::Gauge),
    ("job_running", "1", Kind::Intermittent),
    ("job_running", "2", Kind::Intermittent),
    ("backup_bytes", "nightly", Kind::Seldom),
    ("latency_seconds", "/", Kind::Native),
];

impl World {
    /// Writes the blocks into `dir`, a FILESYSTEM bucket, and gives all samples.
    ///
    /// # Errors
    /// Disk.
    pub fn write(&self, dir: &Path) -> anyhow::Result<Samples> {
        let mut samples = Samples::new();
        for cluster in &self.clusters {
            for (replica, offset_ms) in &self.replicas {
                for at in 0..self.blocks {
                    self.write_block(dir, cluster, replica, *offset_ms, at, &mut samples)?;
                }
            }
        }
        Ok(samples)
    }

    fn write_block(
        &self,
        dir: &Path,
        cluster: &str,
        replica: &str,
        offset_ms: i64,
        at: usize,
        samples: &mut Samples,
    ) -> anyhow::Result<()> {
        let (min_time, max_time) = (START_MS + at as i64 * BLOCK_MS, START_MS + (at as i64 + 1) * BLOCK_MS);
        let name = format!("{cluster}/{replica}/{at}");
        let random = name.bytes().fold(7_u128, |h, b| h.wrapping_mul(0x0100_0000_01b3) ^ u128::from(b));
        let id = BlockId::new(max_time as u64, random);
        let options = BlockWriterOptions { tombstones: false, ..BlockWriterOptions::default() };
        let mut writer = BlockWriter::create(dir, id, options)?;
        let mut series: Vec<_> = SERIES
            .iter()
            .map(|(name, path, kind)| (Labels::from_pairs([("__name__", *name), ("path", *path)]), *kind))
            .collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        for (labels, kind) in series {
            // an hour of each day without the first replica
            let down = |t: i64| replica == self.replicas[0].0 && t.rem_euclid(24 * HOUR_MS) / HOUR_MS == 9;
            let ticks = (min_time / TICK_MS..max_time / TICK_MS).filter(|t| !down(t * TICK_MS));
            let times = ticks.map(|t| (t, t * TICK_MS + offset_ms)).filter(|(_, t)| (min_time..max_time).contains(t));
            let chunks = chunks(kind, cluster, at, times)?;
            if chunks.is_empty() {
                continue;
            }
            writer.add_series(&labels, &chunks)?;
            let key = labels.overlay(&Labels::from_pairs([("cluster", cluster)]));
            let into = samples.entry(key).or_default();
            for chunk in &chunks {
                read(chunk.encoding, &chunk.data, |t, v| {
                    into.insert(t, v);
                    Ok(())
                })?;
            }
        }
        let mut meta = BlockMeta { ulid: id, min_time, max_time, version: 1, ..BlockMeta::default() };
        let external = [("cluster", cluster), ("replica", replica)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut thanos =
            ThanosMeta { version: 1, labels: external.into(), source: "sidecar".into(), ..Default::default() };
        thanos.set_upload_time_ms(max_time + 60_000);
        meta.thanos = Some(thanos);
        writer.finish(meta)?;
        Ok(())
    }
}

fn chunks(
    kind: Kind,
    cluster: &str,
    block: usize,
    times: impl Iterator<Item = (i64, i64)>,
) -> anyhow::Result<Vec<TimedChunk>> {
    let base = cluster.len() as i64;
    if let Kind::Native = kind {
        let mut appender = HistogramAppender::new(ResetFlag::Unknown);
        let (mut first, mut last) = (None, 0);
        for (tick, time) in times {
            let n = (tick % 700) as u64 + 3;
            let histogram = Histogram {
                reset_hint: ResetHint::Unknown,
                schema: 1,
                zero_threshold: 0.001,
                zero_count: n,
                count: 4 * n,
                sum: n as f64 * 1.5,
                positive_spans: vec![Span { offset: 0, length: 2 }],
                positive_deltas: vec![n as i64, n as i64],
                ..Default::default()
            };
            match appender.append(time, &histogram)? {
                chunkenc::Appended::InPlace | chunkenc::Appended::Widened => {}
                // a reset: what is left of the block is not needed
                _ => break,
            }
            (first, last) = (first.or(Some(time)), time);
        }
        let Some(min_time) = first else { return Ok(Vec::new()) };
        let data = appender.to_vec().into();
        return Ok(vec![TimedChunk { min_time, max_time: last, encoding: Encoding::Histogram, data }]);
    }
    let value = |tick: i64| match kind {
        Kind::Counter => Some(((tick % 997) * (3 + base)) as f64),
        Kind::Gauge => Some(((tick * 37 + base) % 101) as f64 / 4.0 - 7.0),
        Kind::Intermittent => match tick % 60 {
            0..30 => Some((tick / 60) as f64),
            30 => Some(STALE),
            _ => None,
        },
        Kind::Seldom => (block.is_multiple_of(3)).then_some(tick as f64 * 1e3),
        Kind::Native => None,
    };
    let samples: Vec<(i64, f64)> = times.filter_map(|(tick, time)| Some((time, value(tick)?))).collect();
    samples
        .chunks(120)
        .map(|part| {
            let data = encode_xor(part.iter().copied())?.into();
            Ok(TimedChunk { min_time: part[0].0, max_time: part[part.len() - 1].0, encoding: Encoding::Xor, data })
        })
        .collect()
}

fn read(encoding: Encoding, data: &[u8], mut sink: impl FnMut(i64, Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if encoding.is_float() {
        let mut column = Column::new();
        decode_floats(encoding, data, &mut column)?;
        return column.iter().try_for_each(|(t, v)| sink(t, Value::Float(v.to_bits())));
    }
    let mut column = HistogramColumn::default();
    decode_histograms(encoding, data, &mut column)?;
    for (t, h) in column.times.iter().zip(&column.values) {
        let buckets = h.positive_buckets.iter().chain(&h.negative_buckets).filter(|b| **b != 0.0);
        let buckets = std::iter::once(h.zero_count.to_bits()).chain(buckets.map(|b| b.to_bits())).collect();
        sink(*t, Value::Histogram(h.count.to_bits(), h.sum.to_bits(), buckets))?;
    }
    Ok(())
}

/// A block as found in the bucket.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its meta.
    pub meta: BlockMeta,
    /// Where.
    pub dir: PathBuf,
    /// Whether it is marked for deletion.
    pub marked: bool,
}

/// The blocks of the bucket that have a `meta.json`. All the files that it names must be there, of the right size.
///
/// # Errors
/// They are not.
pub fn visible(bucket: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(bucket)? {
        let dir = entry?.path();
        let json = match std::fs::read(dir.join("meta.json")) {
            Ok(json) => json,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => continue,
            Err(e) => return Err(e.into()),
        };
        let meta = BlockMeta::parse(&dir.display().to_string(), &json)?;
        for file in meta.thanos.iter().flat_map(|t| &t.files).filter(|f| f.rel_path != "meta.json") {
            let path = dir.join(&file.rel_path);
            let size = std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
            ensure!(size == file.size_bytes, "{}: {size} bytes of {}", path.display(), file.size_bytes);
        }
        let marked = dir.join("deletion-mark.json").exists();
        found.push(Found { meta, dir, marked });
    }
    found.sort_by_key(|f| (f.meta.resolution_ms(), f.meta.min_time, f.meta.ulid));
    Ok(found)
}

/// All raw samples of `blocks`, replicas together.
///
/// # Errors
/// A block cannot be read, a series has a time twice within one block, or two values at one time.
pub fn samples(blocks: &[Found]) -> anyhow::Result<Samples> {
    let mut out = Samples::new();
    for found in blocks.iter().filter(|f| f.meta.resolution_ms() == 0) {
        let block = LocalBlock::open(&found.dir)?;
        let mut external = Labels::from_pairs(found.meta.thanos.iter().flat_map(|t| &t.labels));
        external = external.without(&["replica"]);
        for id in block.index().all_postings()? {
            let entry = block.index().series(id)?;
            let key = entry.labels.overlay(&external);
            let into = out.entry(key.clone()).or_default();
            let mut last = i64::MIN;
            for meta in &entry.chunks {
                let (encoding, data) = block.chunks().chunk(*meta)?;
                read(encoding, &data, |t, v| {
                    ensure!(t > last, "{}: {key} has {t} after {last}", found.meta.ulid);
                    ensure!((meta.min_time..=meta.max_time).contains(&t), "{key}: {t} lies outside of its chunk");
                    last = t;
                    let before = into.insert(t, v.clone());
                    ensure!(before.is_none_or(|b| b == v), "{key} has two values at {t}");
                    Ok(())
                })?;
            }
        }
    }
    Ok(out)
}

/// What is in `wanted` and not in `got`, or the other way round, in short.
pub fn difference(wanted: &Samples, got: &Samples) -> Option<String> {
    let keys: BTreeSet<_> = wanted.keys().chain(got.keys()).collect();
    for key in keys {
        let empty = BTreeMap::new();
        let (w, g) = (wanted.get(key).unwrap_or(&empty), got.get(key).unwrap_or(&empty));
        let lost: Vec<_> = w.iter().filter(|(t, v)| g.get(t) != Some(v)).map(|(t, _)| *t).collect();
        let invented: Vec<_> = g.iter().filter(|(t, v)| w.get(t) != Some(v)).map(|(t, _)| *t).collect();
        if let (Some(first), _) | (None, Some(first)) = (lost.first(), invented.first()) {
            let (l, i) = (lost.len(), invented.len());
            return Some(format!("{key}: {l} samples lost, {i} invented, the first at {first}"));
        }
    }
    None
}

/// Pairs of unmarked blocks of one group whose ranges overlap.
pub fn overlaps(blocks: &[Found]) -> Vec<(BlockId, BlockId)> {
    let live: Vec<_> = blocks.iter().filter(|f| !f.marked).map(|f| &f.meta).collect();
    let mut out = Vec::new();
    for (i, a) in live.iter().enumerate() {
        for b in &live[i + 1..] {
            if a.group_key() == b.group_key() && a.min_time < b.max_time && b.min_time < a.max_time {
                out.push((a.ulid, b.ulid));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let world = World { clusters: vec!["eu"], replicas: vec![("a", 123), ("b", 20_456)], blocks: 6 };
        let wanted = world.write(dir.path()).unwrap();
        let found = visible(dir.path()).unwrap();
        assert_eq!(found.len(), 12);
        assert_eq!(difference(&wanted, &samples(&found).unwrap()), None);
        assert!(overlaps(&found).is_empty(), "replicas are groups of their own");
        assert!(wanted.len() == SERIES.len() && wanted.values().all(|s| !s.is_empty()));
        // and the comparison sees what is missing
        let some = samples(&found[1..]).unwrap();
        assert!(difference(&wanted, &some).unwrap().contains("samples lost"));
        assert!(difference(&some, &wanted).unwrap().contains("invented"));
    }
}
