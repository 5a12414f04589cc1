//! Writing a whole block: under a temporary name, to disk, then renamed. A reader sees all of it or nothing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use chunkenc::TimedChunk;
use labels::Labels;

use crate::chunk_writer::{ChunkWriter, MAX_SEGMENT_BYTES, sync_dir};
use crate::index_writer::IndexWriter;
use crate::meta::BlockStats;
use crate::{BlockId, BlockMeta, ChunkMeta, Error, META_FILE, Result, TOMBSTONES_FILE, Tombstones};

/// What Prometheus clears away at its start if a writer died.
const TMP_SUFFIX: &str = ".tmp-for-creation";

/// Limits of a writer.
#[derive(Debug, Clone)]
pub struct BlockWriterOptions {
    /// Bytes of the largest chunk segment file.
    pub max_segment_bytes: u64,
    /// Postings held in memory at a time while the index is written, 8 bytes each.
    pub postings_in_memory: usize,
    /// Whether to write an (empty) tombstones file, as Prometheus wants and Thanos does not.
    pub tombstones: bool,
}

impl Default for BlockWriterOptions {
    fn default() -> Self {
        Self { max_segment_bytes: MAX_SEGMENT_BYTES, postings_in_memory: 16 << 20, tombstones: true }
    }
}

/// Writes one block. Dropped unfinished, it removes what it wrote. All calls block on the disk.
#[derive(Debug)]
pub struct BlockWriter {
    id: BlockId,
    dir: PathBuf,
    tmp: PathBuf,
    options: BlockWriterOptions,
    parts: Option<(ChunkWriter, IndexWriter)>,
    stats: BlockStats,
    chunk_max_bytes: u64,
    /// First and last sample of all.
    times: Option<(i64, i64)>,
    metas: Vec<ChunkMeta>,
}

impl BlockWriter {
    /// Begins block `id` inside `parent`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the block is there already, [`Error::Io`].
    pub fn create(parent: &Path, id: BlockId, options: BlockWriterOptions) -> Result<Self> {
        let dir = parent.join(id.to_string());
        if dir.exists() {
            return Err(Error::Invalid(format!("block {} is there already", dir.display())));
        }
        let tmp = parent.join(format!("{id}{TMP_SUFFIX}"));
        if tmp.exists() {
            std::fs::remove_dir_all(&tmp).map_err(Error::io("remove", &tmp))?;
        }
        std::fs::create_dir_all(&tmp).map_err(Error::io("create", &tmp))?;
        let chunks = ChunkWriter::create(&tmp.join("chunks"), options.max_segment_bytes)?;
        let index = IndexWriter::create(&tmp.join("index.spool"))?;
        Ok(Self {
            id,
            dir,
            tmp,
            options,
            parts: Some((chunks, index)),
            stats: BlockStats::default(),
            chunk_max_bytes: 0,
            times: None,
            metas: Vec::new(),
        })
    }

    /// Adds a series. Series come in strictly ascending label order, chunks by time without overlap.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the order is broken or a chunk has no sample count, [`Error::Io`].
    pub fn add_series(&mut self, labels: &Labels, chunks: &[TimedChunk]) -> Result<()> {
        let Some((chunk_writer, index)) = &mut self.parts else {
            return Err(Error::Invalid(format!("block {} is finished", self.id)));
        };
        self.metas.clear();
        for chunk in chunks {
            let samples = chunk.num_samples().map_err(|e| Error::Invalid(format!("series {labels}: {e}")))? as u64;
            self.stats.num_samples += samples;
            if chunk.encoding.is_float() {
                self.stats.num_float_samples += samples;
            } else if chunk.encoding.is_histogram() {
                self.stats.num_histogram_samples += samples;
            }
            let reference = chunk_writer.write(chunk.encoding, &chunk.data)?;
            self.chunk_max_bytes = self.chunk_max_bytes.max(chunk.data.len() as u64 + 10);
            let (min_time, max_time) = (chunk.min_time, chunk.max_time);
            let (first, last) = self.times.unwrap_or((min_time, max_time));
            self.times = Some((first.min(min_time), last.max(max_time)));
            self.metas.push(ChunkMeta { min_time, max_time, reference });
        }
        index.add(labels, &self.metas)?;
        self.stats.num_series += 1;
        self.stats.num_chunks += chunks.len() as u64;
        Ok(())
    }

    /// Finishes the block: fills id, version and stats (and `index_stats` and `segment_files` of a `thanos` section)
    /// into `meta`, writes the rest, brings all to disk and renames. Without a time range in `meta` (both 0) that of
    /// the samples is taken.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a chunk lies outside `meta`'s range, [`Error::Io`].
    pub fn finish(mut self, mut meta: BlockMeta) -> Result<BlockMeta> {
        let Some((chunks, index)) = self.parts.take() else {
            return Err(Error::Invalid(format!("block {} is finished", self.id)));
        };
        if let Some((first, last)) = self.times {
            if (meta.min_time, meta.max_time) == (0, 0) {
                (meta.min_time, meta.max_time) = (first, last.saturating_add(1));
            }
            if first < meta.min_time || last >= meta.max_time {
                return Err(Error::Invalid(format!(
                    "block {}: samples from {first} to {last}, range [{}, {})",
                    self.id, meta.min_time, meta.max_time
                )));
            }
        }
        let segments = chunks.finish()?;
        let summary = index.finish(&self.tmp.join("index"), self.options.postings_in_memory)?;
        meta.ulid = self.id;
        meta.version = 1;
        meta.stats = self.stats.clone();
        if meta.compaction.sources.is_empty() && meta.compaction.level <= 1 {
            meta.compaction.level = 1;
            meta.compaction.sources = vec![self.id];
        }
        if let Some(thanos) = &mut meta.thanos {
            thanos.index_stats.series_max_size = summary.series_max_bytes;
            thanos.index_stats.chunk_max_size = self.chunk_max_bytes;
            thanos.segment_files = (1..=segments).map(|n| format!("{n:06}")).collect();
        }
        if self.options.tombstones {
            write_file(&self.tmp.join(TOMBSTONES_FILE), &Tombstones::default().to_bytes())?;
        }
        write_file(&self.tmp.join(META_FILE), &meta.to_json())?;
        sync_dir(&self.tmp)?;
        std::fs::rename(&self.tmp, &self.dir).map_err(Error::io("rename", &self.tmp))?;
        if let Some(parent) = self.dir.parent() {
            sync_dir(parent)?;
        }
        Ok(meta)
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        self.parts = None;
        if self.tmp.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.tmp)
        {
            tracing::warn!(path = %self.tmp.display(), %error, "cannot remove an unfinished block");
        }
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(Error::io("create", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))
}
