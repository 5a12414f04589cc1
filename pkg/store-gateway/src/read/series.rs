//! From ids to series entries.

use std::ops::Range;
use std::time::Instant;

use block::series::{RawEntry, entry_len, entry_offset, parse_raw, resolve};
use block::{ChunkMeta, IndexHeader};
use bytes::Bytes;
use labels::Labels;
use model::TimeRange;
use parking_lot::Mutex;
use storage::PartialResponse;

use super::fetch::ObjectReader;
use crate::bucket_block::BucketBlock;
use crate::error::{BlockError, BlockResult};
use crate::gateway::Shared;
use crate::limits::{Data, Request};

/// A series as the index has it: its own labels, and its chunks in the time asked for.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<WantedChunk>,
    /// As in [`storage::Chunk`].
    pub(crate) replica: u64,
}

impl Entry {
    /// About the memory it takes.
    pub(crate) fn size_bytes(&self) -> u64 {
        (size_of::<Self>() + self.labels.size_bytes() + self.chunks.len() * size_of::<WantedChunk>()) as u64
    }
}

/// A chunk and where its record ends at the latest, if the entry tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedChunk {
    pub(crate) meta: ChunkMeta,
    /// Offset in the segment; 0 = not known.
    pub(crate) end: u32,
}

/// Which entries, and what of them.
pub(crate) struct SeriesReader<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) block: &'a BucketBlock,
    pub(crate) header: &'a IndexHeader,
    pub(crate) request: &'a Request,
    /// Series without a chunk in this range are left out.
    pub(crate) range: TimeRange,
    /// Labels only.
    pub(crate) skip_chunks: bool,
    /// Whether damaged entries are warnings.
    pub(crate) mode: PartialResponse,
}

impl SeriesReader<'_> {
    /// How many of `ids` make one batch: no more than `max`, no more bytes than a batch may fetch.
    pub(crate) fn batch_len(&self, ids: &[u32], max: usize) -> usize {
        let read = &self.shared.read;
        let guess = self.block.series_bytes(read.series_bytes);
        let (mut bytes, mut end) = (0u64, None::<u64>);
        for (n, id) in ids.iter().take(max).enumerate() {
            let start = entry_offset(self.header.index_version(), *id);
            let next = start.saturating_add(guess);
            bytes += match end {
                // Within reach of the range before: the gap is fetched too.
                Some(end) if start <= end.saturating_add(read.fetch.gap_bytes) => next.saturating_sub(end),
                _ => guess,
            };
            end = Some(next);
            if bytes > self.request.batch_bytes && n > 0 {
                return n;
            }
        }
        ids.len().min(max)
    }

    /// The entries of `ids`, in their order; damaged ones become `warnings`.
    ///
    /// # Errors
    /// Limits and failures of the store; damage unless it is to be a warning.
    pub(crate) async fn read(&self, ids: &[u32], warnings: &Warnings) -> BlockResult<Vec<Entry>> {
        let began = Instant::now();
        let version = self.header.index_version();
        let toc = self.header.source_toc();
        // Series end where the next section of the index begins.
        let section_end =
            if toc.label_indices > toc.series { toc.label_indices.min(toc.postings) } else { toc.postings };
        let guess = self.block.series_bytes(self.shared.read.series_bytes);
        let mut raws: Vec<Option<Bytes>> = ids.iter().map(|id| self.shared.cache.series(self.block.id, *id)).collect();
        let path = self.block.index_path();
        let reader = ObjectReader {
            bucket: &self.shared.bucket,
            path: &path,
            data: Data::Series,
            options: &self.shared.read.fetch,
            request: self.request,
            cache: None,
        };
        let mut wanted: Vec<Range<u64>> = Vec::new();
        for (id, raw) in ids.iter().zip(&raws) {
            let start = entry_offset(version, *id);
            if raw.is_none() {
                wanted.push(start..start.saturating_add(guess).min(section_end).max(start));
            }
        }
        let mut entries: Vec<Option<Entry>> = ids.iter().map(|_| None).collect();
        let mut scratch = RawEntry::default();
        for (at, raw) in raws.iter().enumerate().filter_map(|(at, raw)| Some((at, raw.as_ref()?))) {
            let start = entry_offset(version, ids[at]);
            self.request.touch(Data::Series, 1, raw.len() as u64);
            entries[at] = self.entry(start, raw, &mut scratch)?;
        }
        let mut missing: Vec<usize> = (0..ids.len()).filter(|at| raws[*at].is_none()).collect();
        raws.clear();
        for last in [false, true] {
            if missing.is_empty() {
                break;
            }
            let fetched = reader.fetch(&wanted).await?;
            let mut again = Vec::new();
            wanted.clear();
            for at in missing {
                let start = entry_offset(version, ids[at]);
                let bytes = fetched.from(start);
                match self.entry(start, &bytes, &mut scratch) {
                    Ok(entry) => {
                        let len = entry_len(&bytes).unwrap_or(0).min(bytes.len() as u64);
                        self.request.touch(Data::Series, 1, len);
                        self.shared.cache.put_series(self.block.id, ids[at], &bytes[..len as usize]);
                        entries[at] = entry;
                    }
                    Err(e) => {
                        // Longer than guessed, or damaged on the way: once more, with the length it tells.
                        let len = entry_len(&bytes).unwrap_or(guess);
                        let inside = len <= self.shared.read.item_bytes_max && start.saturating_add(len) <= section_end;
                        if last || !inside {
                            self.shared.damaged(Data::Series);
                            warnings.add(self.block, self.mode, e)?;
                        } else {
                            wanted.push(start..start + len);
                            again.push(at);
                        }
                    }
                }
            }
            let tenant = &*self.request.ctx.tenant;
            self.shared.metrics.series_refetches.with(&[tenant]).inc_by(again.len() as u64);
            missing = again;
        }
        let tenant = &*self.request.ctx.tenant;
        self.shared.metrics.series_seconds.with(&[tenant]).observe(began.elapsed().as_secs_f64());
        Ok(entries.into_iter().flatten().collect())
    }

    /// `None` if no chunk is in range.
    fn entry(&self, offset: u64, bytes: &[u8], raw: &mut RawEntry) -> BlockResult<Option<Entry>> {
        parse_raw("index", offset, bytes, raw)?;
        let inside = |c: &ChunkMeta| self.range.overlaps(TimeRange::new(c.min_time, c.max_time));
        if !raw.chunks.iter().any(inside) {
            return Ok(None);
        }
        let labels = resolve("index", offset, raw, self.header.symbols())?;
        if self.skip_chunks {
            return Ok(Some(Entry { labels, chunks: Vec::new(), replica: 0 }));
        }
        let next = raw.chunks.iter().skip(1).map(Some).chain([None]);
        let chunks = raw.chunks.iter().zip(next).filter(|(c, _)| inside(c));
        let chunks = chunks.map(|(meta, next)| WantedChunk {
            meta: *meta,
            // A series' chunks are written one after the other.
            end: next.filter(|n| n.segment() == meta.segment() && n.offset() > meta.offset()).map_or(0, |n| n.offset()),
        });
        Ok(Some(Entry { labels, chunks: chunks.collect(), replica: 0 }))
    }
}

/// What is missing of a block, bounded in number.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<(Vec<String>, usize)>);

impl Warnings {
    /// Texts told of one block and request; the others are counted.
    const MAX: usize = 4;

    /// Notes `error`.
    ///
    /// # Errors
    /// `error`, unless parts may be missing.
    pub(crate) fn add(&self, block: &BucketBlock, mode: PartialResponse, error: BlockError) -> BlockResult<()> {
        let damaged = matches!(error, BlockError::Damaged(_));
        if mode == PartialResponse::Abort || !damaged {
            return Err(error);
        }
        let (texts, more) = &mut *self.0.lock();
        if texts.len() >= Self::MAX {
            *more += 1;
            return Ok(());
        }
        let text = error.or_warning(mode, block.name()).map_err(BlockError::Fatal)?;
        tracing::warn!(block = %block.id, err = text, "part of a block is damaged");
        texts.push(text);
        Ok(())
    }

    /// The texts, at the end of the block.
    pub(crate) fn take(&self, block: &BucketBlock) -> Vec<String> {
        let (mut texts, more) = std::mem::take(&mut *self.0.lock());
        if more > 0 {
            texts.push(format!("{}: {more} more parts are damaged", block.name()));
        }
        texts
    }
}
