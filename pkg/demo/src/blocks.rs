//! Blocks of invented samples: those that a replica's sidecar would have uploaded, and those that a compactor would have
//! made of them.

use std::path::{Path, PathBuf};

use block::meta::{Downsample, ThanosMeta};
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions};
use chunkenc::{Encoding, TimedChunk, encode_xor};
use downsample::Downsampler;
use labels::Labels;
use model::Resolution;

use crate::fleet::{Invented, fleet};
use crate::lanes::{Lane, deduplicated};
use crate::story::Story;

/// Samples per chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A time range, half-open, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub from: i64,
    pub to: i64,
}

/// Blocks that are written together.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// The raw block of one replica.
    Replica { lane: Lane, span: Span, always_ms: i64 },
    /// A cluster's block at each resolution, replicas merged.
    Compacted { cluster: &'static str, span: Span },
}

/// A block in its folder.
#[derive(Debug)]
pub(crate) struct Written {
    pub dir: PathBuf,
    pub meta: BlockMeta,
}

impl Job {
    /// Writes the blocks into `scratch`. Takes long.
    pub fn write(&self, scratch: &Path, story: &Story) -> Result<Vec<Written>, Error> {
        match self {
            Self::Replica { lane, span, always_ms } => {
                let times = lane.scrapes(span.from, span.to, *always_ms, story);
                let labels = lane.external();
                let id = block_id(&[lane.cluster, lane.replica], *span, Resolution::Raw);
                let meta = meta(id, *span, &labels, "sidecar", if span.to - span.from > 2 * 3_600_000 { 2 } else { 1 });
                replica(scratch, meta, &fleet(lane.cluster, story, &(span.from..span.to)), &times)
            }
            Self::Compacted { cluster, span } => {
                let times = deduplicated(cluster, span.from, span.to, story);
                compacted(scratch, cluster, *span, &fleet(cluster, story, &(span.from..span.to)), &times)
            }
        }
    }
}

fn replica(scratch: &Path, meta: BlockMeta, fleet: &[Invented], times: &[i64]) -> Result<Vec<Written>, Error> {
    if times.is_empty() {
        return Ok(Vec::new());
    }
    let mut writer = Writer::create(scratch, meta)?;
    for series in fleet {
        writer.add(&series.labels, &chunks(series, times)?)?;
    }
    Ok(vec![writer.finish()?])
}

fn compacted(
    scratch: &Path,
    cluster: &str,
    span: Span,
    fleet: &[Invented],
    times: &[i64],
) -> Result<Vec<Written>, Error> {
    let raw_id = block_id(&[cluster], span, Resolution::Raw);
    let writer = |resolution: Resolution| {
        let id = block_id(&[cluster], span, resolution);
        let mut meta = meta(id, span, &[("cluster", cluster)], "compactor", 4);
        meta.compaction.sources = vec![raw_id];
        if let Some(thanos) = &mut meta.thanos {
            thanos.downsample = Downsample { resolution: resolution.ms() };
        }
        Writer::create(scratch, meta)
    };
    let mut writers = [writer(Resolution::Raw)?, writer(Resolution::FiveMinutes)?, writer(Resolution::OneHour)?];
    let [five_ms, hour_ms] = Resolution::DOWNSAMPLED.map(Resolution::ms);
    let mut downsampler = Downsampler::new();
    let (mut five, mut hour) = (Vec::new(), Vec::new());
    for series in fleet {
        let raw = chunks(series, times)?;
        five.clear();
        hour.clear();
        downsampler.raw(&raw, five_ms, &mut five)?;
        downsampler.aggregates(&five, five_ms, hour_ms, &mut hour)?;
        for (writer, chunks) in writers.iter_mut().zip([&raw, &five, &hour]) {
            writer.add(&series.labels, chunks)?;
        }
    }
    writers.into_iter().map(Writer::finish).collect()
}

/// A block that is being written.
struct Writer {
    dir: PathBuf,
    meta: BlockMeta,
    blocks: BlockWriter,
}

impl Writer {
    fn create(scratch: &Path, meta: BlockMeta) -> Result<Self, Error> {
        let options = BlockWriterOptions { tombstones: false, ..BlockWriterOptions::default() };
        let blocks = BlockWriter::create(scratch, meta.ulid, options)?;
        Ok(Self { dir: scratch.join(meta.ulid.to_string()), meta, blocks })
    }

    fn add(&mut self, labels: &Labels, chunks: &[TimedChunk]) -> Result<(), Error> {
        if !chunks.is_empty() {
            self.blocks.add_series(labels, chunks)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Written, Error> {
        Ok(Written { dir: self.dir, meta: self.blocks.finish(self.meta)? })
    }
}

fn meta(id: BlockId, span: Span, labels: &[(&str, &str)], source: &str, level: u32) -> BlockMeta {
    let mut meta = BlockMeta { ulid: id, min_time: span.from, max_time: span.to, version: 1, ..BlockMeta::default() };
    meta.compaction.level = level;
    meta.compaction.sources = vec![id];
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    meta.thanos = Some(ThanosMeta { version: 1, labels, source: source.to_owned(), ..ThanosMeta::default() });
    meta
}

/// The same for the same block, so that it is not written twice.
fn block_id(labels: &[&str], span: Span, resolution: Resolution) -> BlockId {
    let text = format!("{}/{}/{}/{}", labels.join("/"), span.from, span.to, resolution.ms());
    let random =
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u128, |h, b| (h ^ u128::from(b)).wrapping_mul(0x0100_0000_01b3));
    BlockId::new(span.to as u64, random)
}

/// The samples of a series that scrapes at `times` find.
pub(crate) fn chunks(series: &Invented, times: &[i64]) -> Result<Vec<TimedChunk>, Error> {
    let found: Vec<i64> = times.iter().copied().filter(|t| series.is_scraped(*t)).collect();
    let mut values = series.values();
    let chunk = |part: &[i64]| {
        let samples = part.iter().map(|t| (*t, values.at(*t)));
        let data = encode_xor(samples)?.into();
        Ok(TimedChunk { min_time: part[0], max_time: part[part.len() - 1], encoding: Encoding::Xor, data })
    };
    found.chunks(CHUNK_SAMPLES).map(chunk).collect()
}
