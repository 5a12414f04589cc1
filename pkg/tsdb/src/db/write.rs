//! A block from the series of the head, streaming.

use block::{BlockMeta, BlockWriter, BlockWriterOptions};
use chunkenc::TimedChunk;
use labels::Labels;
use model::TimeRange;

use super::blocks::Blocks;
use super::error::Result;
use std::path::Path;

/// Postings held in memory while an index is written: 8 bytes each.
const POSTINGS_MAX: usize = 4 << 20;

impl Blocks {
    /// Writes `series`, in label order and inside of `range`, as a block below `parent`. Memory does not grow with the
    /// series. `None` without samples: no block is made then. Blocks on the disk.
    pub(crate) fn write(
        &self,
        parent: &Path,
        range: TimeRange,
        hints: &[&str],
        series: impl Iterator<Item = Result<(Labels, Vec<TimedChunk>)>>,
    ) -> Result<Option<BlockMeta>> {
        let begin = tokio::time::Instant::now();
        self.metrics.populating_block.set(1.0);
        let written = self.try_write(parent, range, hints, series);
        self.metrics.populating_block.set(0.0);
        self.metrics.compactions.inc();
        self.metrics.compaction_seconds.observe(begin.elapsed().as_secs_f64());
        if let Ok(Some(meta)) = &written {
            let (series, samples) = (meta.stats.num_series, meta.stats.num_samples);
            tracing::info!(block = %meta.ulid, from = meta.min_time, to = meta.max_time, series, samples, "wrote block");
        }
        written
    }

    fn try_write(
        &self,
        parent: &Path,
        range: TimeRange,
        hints: &[&str],
        series: impl Iterator<Item = Result<(Labels, Vec<TimedChunk>)>>,
    ) -> Result<Option<BlockMeta>> {
        let options = BlockWriterOptions {
            max_segment_bytes: self.options.segment_bytes,
            postings_in_memory: POSTINGS_MAX,
            tombstones: true,
        };
        let mut writer: Option<BlockWriter> = None;
        for next in series {
            let (labels, chunks) = next?;
            if chunks.is_empty() {
                continue;
            }
            self.metrics.observe_chunks(&chunks);
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(BlockWriter::create(parent, self.deps.block_id(), options.clone())?),
            };
            writer.add_series(&labels, &chunks)?;
        }
        let Some(writer) = writer else { return Ok(None) };
        let mut meta = BlockMeta { min_time: range.min, max_time: range.max.saturating_add(1), ..BlockMeta::default() };
        meta.compaction.level = 1;
        meta.compaction.hints = hints.iter().map(|h| (*h).to_owned()).collect();
        self.deps.failpoints.hit("tsdb.cut.before_rename")?;
        let meta = writer.finish(meta)?;
        self.deps.failpoints.hit("tsdb.cut.after_rename")?;
        Ok(Some(meta))
    }
}
