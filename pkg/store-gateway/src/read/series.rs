//! From ids to series entries.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use block::series::{RawEntry, entry_len, entry_offset, parse_raw, peek_chunks};
use block::{ChunkMeta, LabelsReader};
use labels::{Labels, Matcher};
use model::TimeRange;
use parking_lot::Mutex;
use storage::PartialResponse;

use super::fetch::Fetched;
use super::index::Index;
use super::order::Relabel;
use super::projected::Projected;
use super::run::RunReader;
use crate::bucket_block::BucketBlock;
use crate::error::{BlockError, BlockResult};
use crate::limits::{Data, Request};
use crate::shared::Shared;
use crate::tombstones::Tombstones;

/// Entries decoded at a time: enough that nothing is done often, few enough that they take little memory.
pub(crate) const DECODE_SERIES: usize = 512;
/// Entries whose symbols are waited for together.
const LOOK_AHEAD: usize = 32;
/// Entries whose requests are planned at a time, at most.
pub(crate) const PLANNED_SERIES: usize = 200_000;

/// A series as the index has it, with its chunks in the time asked for.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its id in the index.
    pub(crate) id: u32,
    /// As the answer has them.
    pub(crate) labels: Labels,
    /// How many of them its entry in the index has.
    pub(crate) own: usize,
    pub(crate) chunks: Vec<WantedChunk>,
    /// Bytes of the longest of its chunks whose record the entry tells the length of; 0 = of none.
    pub(crate) chunk_bytes: u32,
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
    pub(crate) request: &'a Request,
    pub(crate) index: &'a Index<'a>,
    /// Entries are neither looked for in the cache nor kept there.
    pub(crate) is_scan: bool,
    /// Series without a chunk in this range are left out.
    pub(crate) range: TimeRange,
    pub(crate) skip_chunks: bool,
    /// Whether corrupt entries are warnings.
    pub(crate) mode: PartialResponse,
    /// Those about the series' own labels, for series whose labels tell something else than the postings.
    pub(crate) matchers: &'a [Matcher],
    /// What is done to the labels; `None` leaves them as they are in the index.
    pub(crate) relabel: Option<&'a Relabel<'a>>,
    /// Only some labels are looked at: they are not looked up otherwise.
    pub(crate) projected: Option<&'a Projected>,
    /// What is to be left out: series of which nothing in the range is left are.
    pub(crate) tombstones: Option<&'a Tombstones>,
}

/// Entries that are fetched or cached, and not decoded yet: as bytes they take a fraction of the memory.
pub(crate) struct SeriesBatch<'i> {
    pub(crate) ids: &'i [u32],
    fetched: Arc<Fetched>,
    /// All are in `fetched`, and there is no need to keep them one by one.
    is_direct: bool,
}

impl SeriesReader<'_> {
    /// How many of `ids` make one batch: no more than `max`, no more bytes than a batch may fetch, but at least one.
    pub(crate) fn batch_len(&self, ids: &[u32], max: usize) -> usize {
        let guess = self.block.series_bytes(self.shared.read.series_bytes);
        let (mut bytes, mut before) = (0, 0);
        for (n, id) in ids.iter().take(max).enumerate() {
            let start = self.offset(*id);
            let end = start.saturating_add(guess);
            bytes += end - start.max(before).min(end);
            before = end;
            if n > 0 && bytes > self.request.batch.series_bytes {
                return n;
            }
        }
        ids.len().min(max)
    }

    fn offset(&self, id: u32) -> u64 {
        entry_offset(self.index.header.index_version(), id)
    }

    /// Where the entry of `id` lies, as far as the guess.
    fn range_of(&self, id: u32) -> Range<u64> {
        let start = self.offset(id);
        let guess = self.block.series_bytes(self.shared.read.series_bytes);
        start..start.saturating_add(guess).min(self.section_end()).max(start)
    }

    /// Reads entries forward, with what is wanted after them in mind.
    pub(crate) fn runs(&self) -> RunReader<'_> {
        RunReader::new(self.index.reader(Data::Series))
    }

    /// Fetches the entries of `ids` that are not cached; `next` are those wanted after them.
    ///
    /// # Errors
    /// Limits and failures of the store.
    pub(crate) async fn fetch<'i>(
        &self,
        ids: &'i [u32],
        next: &[u32],
        runs: &mut RunReader<'_>,
    ) -> BlockResult<SeriesBatch<'i>> {
        if let Some(whole) = self.index.whole().await? {
            return Ok(SeriesBatch { ids, fetched: whole.clone(), is_direct: true });
        }
        let began = Instant::now();
        let missing = |id: &&u32| self.is_scan || !self.shared.cache.has_series(self.block.cache_id(), **id);
        let wanted: Vec<Range<u64>> = ids.iter().filter(missing).map(|id| self.range_of(*id)).collect();
        let mut fetched = Fetched::default();
        if let Some(last) = wanted.last() {
            if last.start >= runs.end() {
                let next = next.iter().filter(missing).map(|id| self.range_of(*id));
                runs.plan(wanted.iter().cloned().chain(next));
            }
            fetched = runs.take(&wanted).await?;
        }
        let tenant = &*self.request.ctx.tenant;
        self.shared.metrics.series_seconds.with(&[tenant]).observe(began.elapsed().as_secs_f64());
        Ok(SeriesBatch { ids, fetched: Arc::new(fetched), is_direct: self.is_scan })
    }

    /// Hands each chunk of the batch's entries that is in range to `see`, with where it ends if the entry tells, and the
    /// bytes of the longest of that series. Checks nothing: for planning.
    pub(crate) fn peek(&self, batch: &SeriesBatch<'_>, mut see: impl FnMut(&ChunkMeta, u32, u32)) {
        let mut chunks = Vec::new();
        for id in batch.ids {
            let mut each = |bytes: &[u8]| {
                peek_chunks(bytes, &mut chunks);
                let lengths = (0..chunks.len()).map(|at| end_of(&chunks, at).saturating_sub(chunks[at].offset()));
                let longest = lengths.max().unwrap_or(0);
                for (at, chunk) in chunks.iter().enumerate() {
                    if self.range.overlaps(TimeRange::new(chunk.min_time, chunk.max_time)) {
                        see(chunk, end_of(&chunks, at), longest);
                    }
                }
            };
            let bytes = batch.fetched.slice_from(self.offset(*id));
            match batch.is_direct || !bytes.is_empty() {
                true => each(bytes),
                false => drop(self.shared.cache.series(self.block.cache_id(), *id, each)),
            }
        }
    }

    /// Series end where the next section of the index begins.
    fn section_end(&self) -> u64 {
        self.index.header.source_toc().series_end()
    }

    /// The entries of the batch's ids in `places`, in their order; corrupt ones become `warnings`.
    ///
    /// # Errors
    /// Limits and failures of the store; corrupt data unless it is to be a warning.
    pub(crate) async fn decode(
        &self,
        batch: &SeriesBatch<'_>,
        places: Range<usize>,
        warnings: &Warnings,
    ) -> BlockResult<Vec<Entry>> {
        let ids = &batch.ids[places];
        let (cache, block) = (&self.shared.cache, self.block.cache_id());
        let none = Labels::empty();
        let constant = self.relabel.and_then(Relabel::constant).map_or(&none, |(put, _)| put);
        let put = self.projected.map_or(constant, |projected| &projected.put);
        let mut labels = LabelsReader::new(self.index.header.symbols(), put);
        let mut raws = vec![RawEntry::default(); LOOK_AHEAD.min(ids.len())];
        let mut found = Vec::with_capacity(raws.len());
        let mut entries: Vec<Option<Entry>> = Vec::with_capacity(ids.len());
        let (mut count, mut bytes) = (0u64, 0u64);
        let (mut wanted, mut again) = (Vec::new(), Vec::new());
        for ids in ids.chunks(LOOK_AHEAD) {
            found.extend(ids.iter().zip(&mut raws).map(|(id, raw)| {
                let start = self.offset(*id);
                let cached = match batch.is_direct {
                    true => None,
                    false => cache
                        .series(block, *id, |entry| parse_raw("index", start, entry, raw).map(|()| entry.len() as u64)),
                };
                match cached {
                    Some(parsed) => parsed.map_err(BlockError::from),
                    None => self.parse(batch.fetched.slice_from(start), *id, !batch.is_direct, raw),
                }
            }));
            if let Some(projected) = self.projected {
                for ((id, raw), found) in ids.iter().zip(&mut raws).zip(&mut found) {
                    let next = std::mem::replace(found, Ok(0)).and_then(|len| {
                        projected.next(raw, &mut labels)?;
                        Ok(len)
                    });
                    match next {
                        Err(e @ BlockError::Disorder(_)) => return Err(e),
                        Err(_) => projected.pass_over(*id),
                        Ok(_) => {}
                    }
                    *found = next;
                }
            }
            labels.look_ahead(&raws[..ids.len()]);
            for ((id, raw), found) in ids.iter().zip(&raws).zip(found.drain(..)) {
                match found.and_then(|len| Ok((len, self.entry(*id, raw, &mut labels, warnings)?))) {
                    Ok((len, entry)) => {
                        (count, bytes) = (count + 1, bytes + len);
                        entries.push(entry);
                    }
                    Err(e) => {
                        // Longer than guessed, or corrupt on the way: once more, with the length it tells.
                        // One that was cached and is evicted by now was not fetched: as much as is guessed, within the section.
                        let start = self.offset(*id);
                        let guess = self.shared.read.series_bytes.min(self.section_end().saturating_sub(start));
                        let len = entry_len(batch.fetched.slice_from(start)).unwrap_or(guess);
                        let inside = len > 0 && len <= self.shared.read.item_bytes_max;
                        if inside && start.saturating_add(len) <= self.section_end() {
                            wanted.push(start..start + len);
                            again.push(entries.len());
                        } else {
                            self.shared.corrupt(Data::Series);
                            warnings.add(self.block, self.mode, e)?;
                        }
                        entries.push(None);
                    }
                }
            }
        }
        if !again.is_empty() {
            let tenant = &*self.request.ctx.tenant;
            self.shared.metrics.series_refetches.with(&[tenant]).inc_by(again.len() as u64);
            if batch.is_direct {
                // Perhaps it is kept as it was read.
                self.index.forget_whole();
            }
            let fetched = self.index.reader(Data::Series).fetch(&wanted).await?;
            let mut raw = RawEntry::default();
            for at in again {
                let entry = fetched.slice_from(self.offset(ids[at]));
                let mut parsed = self.parse(entry, ids[at], true, &mut raw);
                if let (Ok(_), Some(projected)) = (&parsed, self.projected) {
                    parsed = projected.late(ids[at], &mut raw, &mut labels).and(parsed);
                }
                match parsed.and_then(|len| Ok((len, self.entry(ids[at], &raw, &mut labels, warnings)?))) {
                    Ok((len, entry)) => {
                        (count, bytes) = (count + 1, bytes + len);
                        entries[at] = entry;
                    }
                    Err(e @ BlockError::Disorder(_)) => return Err(e),
                    Err(e) => {
                        self.shared.corrupt(Data::Series);
                        warnings.add(self.block, self.mode, e)?;
                    }
                }
            }
        }
        if let Some(projected) = self.projected {
            projected.forget_gaps();
        }
        self.request.touch(Data::Series, count, bytes);
        Ok(entries.into_iter().flatten().collect())
    }

    /// Reads an entry off the bucket, and keeps it if `keep`; gives its length.
    fn parse(&self, bytes: &[u8], id: u32, keep: bool, raw: &mut RawEntry) -> BlockResult<u64> {
        parse_raw("index", self.offset(id), bytes, raw)?;
        let len = entry_len(bytes).unwrap_or(0).min(bytes.len() as u64);
        self.block.saw_series(len);
        if keep {
            self.shared.cache.put_series(self.block.cache_id(), id, &bytes[..len as usize]);
        }
        Ok(len)
    }

    /// What was read into `raw`; `None` if no chunk is in range.
    fn entry(
        &self,
        id: u32,
        raw: &RawEntry,
        reader: &mut LabelsReader<'_>,
        warnings: &Warnings,
    ) -> BlockResult<Option<Entry>> {
        if let Some(odd) = raw.chunks.iter().find(|c| c.max_time < c.min_time) {
            let offset = self.offset(id);
            let (min, max) = (odd.min_time, odd.max_time);
            return Err(BlockError::Corrupt(format!("index: offset {offset}: a chunk from {min} to {max}")));
        }
        let inside = |c: &ChunkMeta| self.range.overlaps(TimeRange::new(c.min_time, c.max_time));
        let mut in_range = raw.chunks.iter().filter(|c| inside(c)).count();
        if in_range == 0 {
            return Ok(None);
        }
        let (put, mut replica) = match self.relabel.and_then(Relabel::constant) {
            Some((put, replica)) => (Some(put), replica),
            None => (None, 0),
        };
        let read = match self.projected {
            Some(projected) => Ok(projected.read(id, raw, reader)?),
            None => reader.read(&raw.labels)?,
        };
        let (mut labels, own) = match read {
            Ok(labels) => {
                let count = reader.count(&labels);
                (labels, count)
            }
            Err(_) => match self.put_right(reader, &raw.labels, put, warnings)? {
                Some(labels) => {
                    let count = labels.len();
                    (labels, count)
                }
                None => return Ok(None),
            },
        };
        let own = own.saturating_sub(put.map_or(0, Labels::len));
        // The tombstones is about own labels, which may be taken away below.
        let deleted = self.tombstones.map(|tombstones| tombstones.deleted(&labels)).unwrap_or_default();
        let left = |c: &ChunkMeta| {
            let wanted = TimeRange::new(c.min_time.max(self.range.min), c.max_time.min(self.range.max));
            inside(c) && !self.tombstones.is_some_and(|tombstones| tombstones.takes(&deleted, wanted))
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
            return Ok(Some(Entry { id, labels, own, chunks: Vec::new(), chunk_bytes: 0, replica, deleted }));
        }
        let (mut chunks, mut chunk_bytes) = (Vec::with_capacity(in_range), 0);
        for (at, meta) in raw.chunks.iter().enumerate() {
            let end = end_of(&raw.chunks, at);
            chunk_bytes = chunk_bytes.max(end.saturating_sub(meta.offset()));
            if left(meta) {
                chunks.push(WantedChunk { meta: *meta, end });
            }
        }
        if chunks.windows(2).any(|c| c[1].meta.min_time <= c[0].meta.max_time) {
            warnings.note(Repair::Chunks);
            chunks.sort_by_key(|c| (c.meta.min_time, c.meta.max_time));
        }
        Ok(Some(Entry { id, labels, own, chunks, chunk_bytes, replica, deleted }))
    }

    /// Labels that are out of order, or of which one stands twice: sorted, the first of each name. `None` if a matcher
    /// refuses what is left: the postings lead to such a series by each of its values.
    fn put_right(
        &self,
        reader: &mut LabelsReader<'_>,
        raw: &[(u32, u32)],
        put: Option<&Labels>,
        warnings: &Warnings,
    ) -> BlockResult<Option<Labels>> {
        let mut pairs = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            pairs.push((reader.text(*name)?, reader.text(*value)?));
        }
        pairs.sort_by_key(|(name, _)| *name);
        let count = pairs.len();
        pairs.dedup_by_key(|(name, _)| *name);
        let is_twice = pairs.len() < count;
        warnings.note(if is_twice { Repair::LabelTwice } else { Repair::Labels });
        let own = Labels::from_pairs(pairs);
        if is_twice && !self.matchers.iter().all(|m| m.matches(own.value(m.name()))) {
            return Ok(None);
        }
        Ok(Some(put.map_or_else(|| own.clone(), |put| own.overlay(put))))
    }
}

/// Where the record of the chunk at `at` ends at the latest; 0 = not known. A series' chunks are written one after the other.
fn end_of(chunks: &[ChunkMeta], at: usize) -> u32 {
    let meta = &chunks[at];
    let next = chunks.get(at + 1).filter(|n| n.segment() == meta.segment() && n.offset() > meta.offset());
    next.map_or(0, |n| n.offset())
}

/// What was put right while it was read: nothing of it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Repair {
    /// Series stand in another order than their labels.
    Series,
    /// The labels of a series are out of order.
    Labels,
    /// A series has a label twice.
    LabelTwice,
    /// Chunks of a series are out of order or overlap.
    Chunks,
    /// A postings list is out of order.
    Postings,
}

impl Repair {
    fn text(self) -> &'static str {
        match self {
            Self::Series => "series are out of order",
            Self::Labels => "labels of series are out of order",
            Self::LabelTwice => "series have a label twice, the first value is taken",
            Self::Chunks => "chunks of series are out of order or overlap",
            Self::Postings => "postings are out of order",
        }
    }
}

/// What is missing of a block, bounded in number, and what was put right.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    texts: Vec<String>,
    more: usize,
    repairs: BTreeSet<Repair>,
}

impl Warnings {
    /// Texts told of one block and request; the others are counted.
    const MAX: usize = 4;

    /// Notes `error`.
    ///
    /// # Errors
    /// `error`, unless parts may be missing.
    pub(crate) fn add(&self, block: &BucketBlock, mode: PartialResponse, error: BlockError) -> BlockResult<()> {
        let corrupt = matches!(error, BlockError::Corrupt(_));
        if mode == PartialResponse::Abort || !corrupt {
            return Err(error);
        }
        let noted = &mut *self.0.lock();
        if noted.texts.len() >= Self::MAX {
            noted.more += 1;
            return Ok(());
        }
        let text = error.or_warning(mode, block.name()).map_err(BlockError::Fatal)?;
        tracing::warn!(block = %block.id, err = text, "part of a block is corrupt");
        noted.texts.push(text);
        Ok(())
    }

    /// Notes that something was put right.
    pub(crate) fn note(&self, repair: Repair) {
        self.0.lock().repairs.insert(repair);
    }

    /// The texts, at the end of the block. What was put right is told where parts may be missing: where they must not, a
    /// warning would be taken for a part that is.
    pub(crate) fn take(&self, block: &BucketBlock, mode: PartialResponse) -> Vec<String> {
        let Noted { mut texts, more, mut repairs } = std::mem::take(&mut *self.0.lock());
        if more > 0 {
            texts.push(format!("{}: {more} more parts are corrupt", block.name()));
        }
        if block.has_odd_postings() {
            repairs.insert(Repair::Postings);
        }
        if mode == PartialResponse::Warn && !repairs.is_empty() {
            let what: Vec<_> = repairs.into_iter().map(Repair::text).collect();
            texts.push(format!(
                "{}: {}: put right while it was read, nothing is missing; `aion compact` writes it in order when it merges \
                 the block",
                block.name(),
                what.join(", ")
            ));
        }
        texts
    }
}
