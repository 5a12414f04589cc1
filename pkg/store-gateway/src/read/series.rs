//! From ids to series entries.

use std::ops::Range;
use std::time::Instant;

use block::series::{RawEntry, entry_len, entry_offset, parse_raw};
use block::{ChunkMeta, IndexHeader, Symbols};
use labels::{Labels, SortedBuilder};
use model::TimeRange;
use parking_lot::Mutex;
use storage::PartialResponse;

use super::fetch::{Fetched, Joiner, ObjectReader};
use super::order::Relabel;
use crate::bucket_block::BucketBlock;
use crate::error::{BlockError, BlockResult};
use crate::gateway::Shared;
use crate::limits::{Data, Request};
use crate::mask::Mask;

/// A series as the index has it, with its chunks in the time asked for.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its id in the index.
    pub(crate) id: u32,
    /// As the answer has them.
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<WantedChunk>,
    /// Bytes of the longest of its chunks whose record the entry tells the length of; 0 = of none.
    pub(crate) chunk_bytes: u32,
    /// As in [`storage::Chunk`].
    pub(crate) replica: u64,
    /// Times that are to be left out of its chunks.
    pub(crate) deleted: Vec<TimeRange>,
}

impl Entry {
    /// About the memory it takes.
    pub(crate) fn size_bytes(&self) -> u64 {
        let lists = self.chunks.len() * size_of::<WantedChunk>() + self.deleted.len() * size_of::<TimeRange>();
        (size_of::<Self>() + self.labels.size_bytes() + lists) as u64
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
    /// What is done to the labels; `None` leaves them as they are in the index.
    pub(crate) relabel: Option<&'a Relabel<'a>>,
    /// What is to be left out: series of which nothing in the range is left are.
    pub(crate) mask: Option<&'a Mask>,
}

/// Entries that are fetched or cached, and not decoded yet: as bytes they take a fraction of the memory.
pub(crate) struct SeriesBatch<'i> {
    pub(crate) ids: &'i [u32],
    fetched: Fetched,
}

impl SeriesReader<'_> {
    /// How many of `ids` make one batch: no more than `max`, no more bytes than a batch may fetch, but at least one.
    pub(crate) fn batch_len(&self, ids: &[u32], max: usize) -> usize {
        let read = &self.shared.read;
        let guess = self.block.series_bytes(read.series_bytes);
        let mut joiner = Joiner::new(read.fetch.join);
        for (n, id) in ids.iter().take(max).enumerate() {
            let start = entry_offset(self.header.index_version(), *id);
            joiner.push(start..start.saturating_add(guess));
            if n > 0 && joiner.bytes() > self.request.batch.series_bytes {
                return n;
            }
        }
        ids.len().min(max)
    }

    /// Fetches the entries of `ids` that are not cached, in one round.
    ///
    /// # Errors
    /// Limits and failures of the store.
    pub(crate) async fn fetch<'i>(&self, ids: &'i [u32]) -> BlockResult<SeriesBatch<'i>> {
        let began = Instant::now();
        let version = self.header.index_version();
        let (guess, section_end) = (self.block.series_bytes(self.shared.read.series_bytes), self.section_end());
        let missing = ids.iter().filter(|id| !self.shared.cache.has_series(self.block.id, **id));
        let wanted: Vec<Range<u64>> = missing
            .map(|id| {
                let start = entry_offset(version, *id);
                start..start.saturating_add(guess).min(section_end).max(start)
            })
            .collect();
        let fetched = if wanted.is_empty() { Fetched::default() } else { self.get(&wanted).await? };
        let tenant = &*self.request.ctx.tenant;
        self.shared.metrics.series_seconds.with(&[tenant]).observe(began.elapsed().as_secs_f64());
        Ok(SeriesBatch { ids, fetched })
    }

    async fn get(&self, wanted: &[Range<u64>]) -> BlockResult<Fetched> {
        let path = self.block.index_path();
        let reader = ObjectReader {
            bucket: &self.shared.bucket,
            path: &path,
            data: Data::Series,
            options: &self.shared.read.fetch,
            request: self.request,
            cache: None,
        };
        reader.fetch(wanted).await
    }

    /// Series end where the next section of the index begins.
    fn section_end(&self) -> u64 {
        let toc = self.header.source_toc();
        if toc.label_indices > toc.series { toc.label_indices.min(toc.postings) } else { toc.postings }
    }

    /// The entries of the batch's ids in `places`, in their order; damaged ones become `warnings`.
    ///
    /// # Errors
    /// Limits and failures of the store; damage unless it is to be a warning.
    pub(crate) async fn decode(
        &self,
        batch: &SeriesBatch<'_>,
        places: Range<usize>,
        warnings: &Warnings,
    ) -> BlockResult<Vec<Entry>> {
        let ids = &batch.ids[places];
        let version = self.header.index_version();
        let (cache, block) = (&self.shared.cache, self.block.id);
        let symbols = Recent::new(self.header.symbols());
        let mut scratch = Scratch { raw: RawEntry::default(), labels: SortedBuilder::new(), symbols };
        let mut entries: Vec<Option<Entry>> = Vec::with_capacity(ids.len());
        let (mut count, mut bytes) = (0u64, 0u64);
        let (mut wanted, mut again) = (Vec::new(), Vec::new());
        for (at, id) in ids.iter().enumerate() {
            let start = entry_offset(version, *id);
            let cached = cache.series(block, *id, |entry| {
                parse_raw("index", start, entry, &mut scratch.raw).map(|()| entry.len() as u64)
            });
            let found = match cached {
                Some(parsed) => parsed.map_err(BlockError::from),
                None => self.parse(start, batch.fetched.slice_from(start), *id, &mut scratch.raw),
            };
            match found.and_then(|len| Ok((len, self.entry(*id, &mut scratch)?))) {
                Ok((len, entry)) => {
                    (count, bytes) = (count + 1, bytes + len);
                    entries.push(entry);
                }
                Err(e) => {
                    // Longer than guessed, or damaged on the way: once more, with the length it tells.
                    let len = entry_len(batch.fetched.slice_from(start)).unwrap_or(self.shared.read.series_bytes);
                    let inside = len <= self.shared.read.item_bytes_max;
                    if inside && start.saturating_add(len) <= self.section_end() {
                        wanted.push(start..start + len);
                        again.push(at);
                    } else {
                        self.shared.damaged(Data::Series);
                        warnings.add(self.block, self.mode, e)?;
                    }
                    entries.push(None);
                }
            }
        }
        if !again.is_empty() {
            let tenant = &*self.request.ctx.tenant;
            self.shared.metrics.series_refetches.with(&[tenant]).inc_by(again.len() as u64);
            let fetched = self.get(&wanted).await?;
            for at in again {
                let start = entry_offset(version, ids[at]);
                let parsed = self.parse(start, fetched.slice_from(start), ids[at], &mut scratch.raw);
                match parsed.and_then(|len| Ok((len, self.entry(ids[at], &mut scratch)?))) {
                    Ok((len, entry)) => {
                        (count, bytes) = (count + 1, bytes + len);
                        entries[at] = entry;
                    }
                    Err(e) => {
                        self.shared.damaged(Data::Series);
                        warnings.add(self.block, self.mode, e)?;
                    }
                }
            }
        }
        self.request.touch(Data::Series, count, bytes);
        Ok(entries.into_iter().flatten().collect())
    }

    /// The entries of `ids`, fetched and decoded.
    ///
    /// # Errors
    /// As [`Self::fetch`] and [`Self::decode`].
    pub(crate) async fn read(&self, ids: &[u32], warnings: &Warnings) -> BlockResult<Vec<Entry>> {
        let batch = self.fetch(ids).await?;
        self.decode(&batch, 0..ids.len(), warnings).await
    }

    /// Reads and keeps an entry off the bucket; gives its length.
    fn parse(&self, offset: u64, bytes: &[u8], id: u32, raw: &mut RawEntry) -> BlockResult<u64> {
        parse_raw("index", offset, bytes, raw)?;
        let len = entry_len(bytes).unwrap_or(0).min(bytes.len() as u64);
        self.block.saw_series(len);
        self.shared.cache.put_series(self.block.id, id, &bytes[..len as usize]);
        Ok(len)
    }

    /// What was read into `scratch`; `None` if no chunk is in range.
    fn entry(&self, id: u32, scratch: &mut Scratch<'_>) -> BlockResult<Option<Entry>> {
        let Scratch { raw, labels, symbols } = scratch;
        let inside = |c: &ChunkMeta| self.range.overlaps(TimeRange::new(c.min_time, c.max_time));
        let mut in_range = raw.chunks.iter().filter(|c| inside(c)).count();
        if in_range == 0 {
            return Ok(None);
        }
        let disorder = |e: labels::LabelsError| {
            let offset = entry_offset(self.header.index_version(), id);
            BlockError::Damaged(format!("index: offset {offset}: {e}"))
        };
        labels.clear();
        let (mut put, mut replica) = (None, 0);
        if let Some(relabel) = self.relabel {
            (put, replica) = relabel.constant().map_or((None, 0), |(put, replica)| (Some(put.iter()), replica));
        }
        let mut put = put.into_iter().flatten();
        let mut next_put = put.next();
        for (name, value) in &raw.labels {
            let (name, value) = (symbols.get(*name)?, symbols.get(*value)?);
            while let Some((other, its)) = next_put.filter(|(other, _)| *other < name) {
                labels.push(other, its).map_err(disorder)?;
                next_put = put.next();
            }
            labels.push(name, value).map_err(disorder)?;
        }
        for (name, value) in next_put.into_iter().chain(put) {
            labels.push(name, value).map_err(disorder)?;
        }
        let mut labels = labels.finish();
        // The mask is about own labels, which may be taken away below.
        let deleted = self.mask.map(|mask| mask.deleted(&labels)).unwrap_or_default();
        let left = |c: &ChunkMeta| {
            let wanted = TimeRange::new(c.min_time.max(self.range.min), c.max_time.min(self.range.max));
            inside(c) && !self.mask.is_some_and(|mask| mask.takes(&deleted, wanted))
        };
        if !deleted.is_empty() {
            in_range = raw.chunks.iter().filter(|c| left(c)).count();
            if in_range == 0 {
                return Ok(None);
            }
        }
        if let Some(relabel) = self.relabel.filter(|r| r.constant().is_none()) {
            (labels, replica) = relabel.apply(&labels);
        }
        if self.skip_chunks {
            return Ok(Some(Entry { id, labels, chunks: Vec::new(), chunk_bytes: 0, replica, deleted }));
        }
        let (mut chunks, mut chunk_bytes) = (Vec::with_capacity(in_range), 0);
        for (at, meta) in raw.chunks.iter().enumerate() {
            // A series' chunks are written one after the other.
            let next = raw.chunks.get(at + 1).filter(|n| n.segment() == meta.segment() && n.offset() > meta.offset());
            let end = next.map_or(0, |n| n.offset());
            chunk_bytes = chunk_bytes.max(end.saturating_sub(meta.offset()));
            if left(meta) {
                chunks.push(WantedChunk { meta: *meta, end });
            }
        }
        Ok(Some(Entry { id, labels, chunks, chunk_bytes, replica, deleted }))
    }
}

/// Memory that is used again from entry to entry.
struct Scratch<'h> {
    raw: RawEntry,
    labels: SortedBuilder,
    symbols: Recent<'h>,
}

/// Symbols looked up lately, each in the place that the end of its reference gives it. Neighbours in an index share most
/// of their labels, and finding a symbol's text takes a walk through some before it.
struct Recent<'h> {
    symbols: &'h Symbols,
    texts: Vec<Option<(u32, &'h str)>>,
}

impl<'h> Recent<'h> {
    /// A power of two.
    const PLACES: usize = 512;

    fn new(symbols: &'h Symbols) -> Self {
        Self { symbols, texts: vec![None; Self::PLACES] }
    }

    #[inline]
    fn get(&mut self, reference: u32) -> block::Result<&'h str> {
        let place = reference as usize % Self::PLACES;
        match self.texts[place] {
            Some((of, text)) if of == reference => Ok(text),
            _ => {
                let text = self.symbols.get(reference)?;
                self.texts[place] = Some((reference, text));
                Ok(text)
            }
        }
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
