//! Checking a block's files before they are uploaded.

use std::path::Path;

use block::{BlockMeta, ChunkReader, IndexReader};

/// How much of a block is checked before it is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// The index' table of contents, symbols and postings table, the headers of the segments, and the last series'
    /// chunks. This finds a file that is cut or belongs to another block.
    #[default]
    Index,
    /// Every series and every chunk, with the number of samples: the whole block is read.
    Full,
}

/// A block whose files are corrupt or cannot be read; says what is wrong.
#[derive(Debug)]
pub(super) struct CorruptBlock(pub(super) String);

/// Checks the files of the block in `dir` against its meta and their own checksums.
pub(super) fn verify(dir: &Path, meta: &BlockMeta, how: Verify) -> Result<(), CorruptBlock> {
    check(dir, meta, how).map_err(CorruptBlock)
}

fn check(dir: &Path, meta: &BlockMeta, how: Verify) -> Result<(), String> {
    let text = |e: block::Error| e.to_string();
    let index = IndexReader::open_file(&dir.join("index")).map_err(text)?;
    let segments = ChunkReader::open_dir(&dir.join("chunks")).map_err(text)?;
    let ids = index.all_postings().map_err(text)?;
    if meta.stats.num_series != 0 && meta.stats.num_series != ids.len() as u64 {
        return Err(format!("index has {} series, meta.json says {}", ids.len(), meta.stats.num_series));
    }
    let checked = match how {
        Verify::Full => &ids[..],
        // Chunks are written in the order of series: those of the last series lie at the end of the last segment.
        Verify::Index => &ids[ids.len().saturating_sub(1)..],
    };
    let (mut chunks, mut samples) = (0u64, 0u64);
    for id in checked {
        for chunk in index.series(*id).map_err(text)?.chunks {
            let (encoding, data) = segments.chunk(chunk).map_err(text)?;
            samples += chunkenc::num_samples(encoding, &data).map_err(|e| e.to_string())? as u64;
            chunks += 1;
        }
    }
    let differs = |ours: u64, theirs: u64| how == Verify::Full && theirs != 0 && ours != theirs;
    if differs(chunks, meta.stats.num_chunks) || differs(samples, meta.stats.num_samples) {
        return Err(format!(
            "block has {chunks} chunks with {samples} samples, meta.json says {} with {}",
            meta.stats.num_chunks, meta.stats.num_samples
        ));
    }
    Ok(())
}
