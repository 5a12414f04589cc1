//! Back-filling: the days before now, as the blocks that sidecars would have uploaded, and those of the hours since.

use std::ops::Range;
use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions};
use bucket::upload::{UploadOptions, Uploaded, upload_block};
use chunkenc::{Encoding, encode_xor};
use objstore::Bucket;

use crate::fleet::{Invented, fleet};

const SCRAPE_MS: i64 = 30_000;
const HOUR_MS: i64 = 3_600_000;
/// What a Prometheus writes at a time.
pub(crate) const BLOCK_MS: i64 = 2 * HOUR_MS;
/// Blocks of the last day are two hours long, older ones eight, as after a compaction.
const RECENT_MS: i64 = 24 * HOUR_MS;
/// Samples per chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;

/// The clusters, each with two HA replicas.
const CLUSTERS: [&str; 2] = ["eu-1", "us-1"];
/// Replica, its scrape offset in ms, and the hours of each day of history in which it scrapes nothing.
const REPLICAS: [(&str, i64, Range<i64>); 2] =
    [("a", 123, 3 * HOUR_MS..3 * HOUR_MS + 1_200_000), ("b", 7_456, 15 * HOUR_MS..16 * HOUR_MS)];

/// One replica of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub cluster: &'static str,
    replica: &'static str,
    offset_ms: i64,
    down: Range<i64>,
}

pub(crate) fn lanes() -> impl Iterator<Item = Lane> {
    CLUSTERS
        .into_iter()
        .flat_map(|cluster| REPLICAS.map(|(replica, offset_ms, down)| Lane { cluster, replica, offset_ms, down }))
}

impl Lane {
    pub fn external(&self) -> [(&'static str, &'static str); 2] {
        [("cluster", self.cluster), ("replica", self.replica)]
    }

    /// When it scrapes in `from..to`. From `always_ms` on it has no gaps.
    pub fn scrapes(&self, from: i64, to: i64, always_ms: i64) -> Vec<i64> {
        let up = |t: &i64| *t >= always_ms || !self.down.contains(&t.rem_euclid(24 * HOUR_MS));
        let ticks = ((from - SCRAPE_MS).div_euclid(SCRAPE_MS) * SCRAPE_MS..to).step_by(SCRAPE_MS as usize);
        ticks.map(|t| t + self.offset_ms).filter(|t| (from..to).contains(t) && up(t)).collect()
    }
}

#[derive(Debug, Clone)]
pub struct History {
    /// How far back, days.
    pub days: u32,
    /// Where history ends, ms since the epoch.
    pub end_ms: i64,
    /// A folder for blocks before they are uploaded.
    pub scratch: PathBuf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub blocks: usize,
    pub samples: u64,
}

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Fills `bucket` with history. Blocks have fixed names, so that what is there from an earlier run is not written twice.
pub async fn backfill(bucket: &Bucket, history: &History) -> Result<Written, Error> {
    let (ranges, scratch) = (ranges(history), &history.scratch);
    let lanes = lanes().map(|lane| backfill_lane(bucket, scratch, lane, &ranges, history.end_ms));
    let written = futures::future::try_join_all(lanes).await?;
    Ok(written.iter().fold(Written::default(), |sum, lane| Written {
        blocks: sum.blocks + lane.blocks,
        samples: sum.samples + lane.samples,
    }))
}

/// Uploads what all replicas scraped in `from..to`, which are bounds of blocks; there are no gaps from `always_ms` on.
pub(crate) async fn upload_since(
    bucket: &Bucket,
    scratch: &Path,
    from: i64,
    to: i64,
    always_ms: i64,
) -> Result<(), Error> {
    let ranges: Vec<_> = (from..to).step_by(BLOCK_MS as usize).map(|at| (at, at + BLOCK_MS)).collect();
    for lane in lanes() {
        backfill_lane(bucket, scratch, lane, &ranges, always_ms).await?;
    }
    Ok(())
}

/// Writes and uploads the blocks of one replica.
async fn backfill_lane(
    bucket: &Bucket,
    scratch: &Path,
    lane: Lane,
    ranges: &[(i64, i64)],
    always_ms: i64,
) -> Result<Written, Error> {
    let mut written = Written::default();
    for (from, to) in ranges.iter().copied() {
        let (scratch, lane) = (scratch.to_owned(), lane.clone());
        let task = move || write_block(&scratch, &lane, from, to, always_ms);
        let Some((dir, meta)) = tokio::task::spawn_blocking(task).await?? else { continue };
        written.blocks += 1;
        written.samples += meta.stats.num_samples;
        match upload_block(bucket, &dir, meta, &UploadOptions::default()).await? {
            Uploaded::Now(_) | Uploaded::Already => {}
        }
        tokio::fs::remove_dir_all(&dir).await?;
    }
    Ok(written)
}

/// The blocks' time ranges, half-open, aligned as Prometheus aligns them; the last one ends at `end_ms`.
fn ranges(history: &History) -> Vec<(i64, i64)> {
    let start = history.end_ms - i64::from(history.days) * 24 * HOUR_MS;
    let mut at = start.div_euclid(8 * HOUR_MS) * 8 * HOUR_MS;
    let mut out = Vec::new();
    while at < history.end_ms {
        let length = if at + 8 * HOUR_MS <= history.end_ms - RECENT_MS { 8 * HOUR_MS } else { BLOCK_MS };
        out.push((at, (at + length).min(history.end_ms)));
        at += length;
    }
    out
}

fn block_id(cluster: &str, replica: &str, from: i64, to: i64) -> BlockId {
    let text = format!("{cluster}/{replica}/{from}/{to}");
    let random =
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u128, |h, b| (h ^ u128::from(b)).wrapping_mul(0x0100_0000_01b3));
    BlockId::new(to as u64, random)
}

fn write_block(
    scratch: &Path,
    lane: &Lane,
    from: i64,
    to: i64,
    always_ms: i64,
) -> Result<Option<(PathBuf, BlockMeta)>, Error> {
    let id = block_id(lane.cluster, lane.replica, from, to);
    let times = lane.scrapes(from, to, always_ms);
    if times.is_empty() {
        return Ok(None);
    }
    let options = BlockWriterOptions { tombstones: false, ..BlockWriterOptions::default() };
    let mut writer = BlockWriter::create(scratch, id, options)?;
    for series in fleet(lane.cluster) {
        writer.add_series(&series.labels, &chunks(&series, &times)?)?;
    }
    let mut meta = BlockMeta { ulid: id, min_time: from, max_time: to, version: 1, ..BlockMeta::default() };
    meta.compaction.level = if to - from > BLOCK_MS { 2 } else { 1 };
    meta.compaction.sources = vec![id];
    let labels = lane.external().map(|(n, v)| (n.to_owned(), v.to_owned()));
    meta.thanos = Some(block::meta::ThanosMeta {
        version: 1,
        labels: labels.into_iter().collect(),
        source: "sidecar".to_owned(),
        ..Default::default()
    });
    let meta = writer.finish(meta)?;
    Ok(Some((scratch.join(id.to_string()), meta)))
}

/// The samples of a series at `times`.
pub(crate) fn chunks(series: &Invented, times: &[i64]) -> Result<Vec<chunkenc::TimedChunk>, Error> {
    times
        .chunks(CHUNK_SAMPLES)
        .map(|part| {
            let samples = part.iter().map(|t| (*t, series.value(*t as f64 / 1000.0)));
            let data = encode_xor(samples)?.into();
            Ok(chunkenc::TimedChunk {
                min_time: part[0],
                max_time: part[part.len() - 1],
                encoding: Encoding::Xor,
                data,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_aligned_and_without_gaps() {
        let history = History { days: 3, end_ms: 1_795_223_720_123, scratch: PathBuf::new() };
        let ranges = ranges(&history);
        assert!(ranges.windows(2).all(|w| w[0].1 == w[1].0));
        assert!(ranges.iter().all(|(from, _)| from % (2 * HOUR_MS) == 0));
        assert_eq!(ranges.last().unwrap().1, history.end_ms);
        assert!(history.end_ms - ranges[0].0 >= 3 * 24 * HOUR_MS);
    }

    #[tokio::test]
    async fn a_second_run_writes_nothing_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let bucket = Bucket::in_memory();
        let history = History { days: 0, end_ms: 1_795_223_720_123, scratch: scratch.path().to_owned() };
        let first = backfill(&bucket, &history).await.unwrap();
        let dirs = bucket.list_dirs("").await.unwrap();
        assert_eq!(first.blocks, dirs.len());
        assert_eq!(backfill(&bucket, &history).await.unwrap(), first);
        assert_eq!(bucket.list_dirs("").await.unwrap(), dirs);
    }
}
