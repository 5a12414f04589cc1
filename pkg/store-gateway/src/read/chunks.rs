//! From chunk references to chunks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use block::chunk_reader;
use bytes::Bytes;
use chunkenc::{Encoding, aggr};
use futures::future::try_join_all;
use storage::{AggrChunk, Aggregate, Aggregates, Chunk, EncodedChunk, PartialResponse, Reservation};

use super::fetch::{Joiner, ObjectReader};
use super::series::{Entry, WantedChunk, Warnings};
use crate::bucket_block::{BucketBlock, GUESS_BYTES_MIN};
use crate::error::{BlockError, BlockResult};
use crate::limits::{Data, Request};
use crate::shared::Shared;

/// Reads chunks of one block.
pub(crate) struct ChunkLoader<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) block: &'a BucketBlock,
    pub(crate) request: &'a Request,
    pub(crate) aggregates: Aggregates,
    pub(crate) mode: PartialResponse,
}

/// One chunk to read: for which series, in which place.
struct Want {
    series: usize,
    place: usize,
    chunk: WantedChunk,
    range: Range<u64>,
}

/// Chunks by series and place; `None` where one is corrupt.
type Slots = Vec<Vec<Option<Chunk>>>;

impl ChunkLoader<'_> {
    /// How many of `entries` make one batch: no more chunk bytes than a batch may fetch, no more series than a batch may
    /// hold, but at least one. `None` if all of them do not fill one.
    pub(crate) fn full_batch(&self, entries: &[Entry]) -> Option<usize> {
        let batch = self.request.batch;
        let default = self.block.chunk_bytes(self.shared.read.chunk_bytes);
        let mut joiner = Joiner::new(self.shared.read.fetch.join);
        let (mut segment, mut before) = (None, 0);
        for (n, entry) in entries.iter().enumerate() {
            let guess = guess(entry, default);
            for chunk in &entry.chunks {
                if segment.replace(chunk.meta.segment()).is_some_and(|s| s != chunk.meta.segment()) {
                    before += std::mem::replace(&mut joiner, Joiner::new(self.shared.read.fetch.join)).bytes();
                }
                joiner.push(range_of(*chunk, guess, None));
            }
            if n > 0 && before + joiner.bytes() > batch.chunk_bytes {
                return Some(n);
            }
            if n + 1 >= batch.series {
                return Some(n + 1);
            }
        }
        None
    }

    /// The chunks of each of `entries`, and the memory they take. Corrupt ones become `warnings`.
    ///
    /// # Errors
    /// Limits and failures of the store; corrupt data unless it is to be a warning.
    pub(crate) async fn read(
        &self,
        entries: &[Entry],
        warnings: &Warnings,
    ) -> BlockResult<(Vec<Vec<Chunk>>, Vec<Reservation>)> {
        let began = Instant::now();
        let count: u64 = entries.iter().map(|e| e.chunks.len() as u64).sum();
        self.request.touch_chunks(count)?;
        let default = self.block.chunk_bytes(self.shared.read.chunk_bytes);
        let mut segments: BTreeMap<u32, Vec<Want>> = BTreeMap::new();
        for (series, entry) in entries.iter().enumerate() {
            let guess = guess(entry, default);
            for (place, chunk) in entry.chunks.iter().enumerate() {
                let size = self.block.segment_bytes(chunk.meta.segment());
                let range = range_of(*chunk, guess, size);
                segments.entry(chunk.meta.segment()).or_default().push(Want { series, place, chunk: *chunk, range });
            }
        }
        let mut slots: Slots = entries.iter().map(|e| e.chunks.iter().map(|_| None).collect()).collect();
        let mut held = Vec::new();
        let read = try_join_all(segments.into_iter().map(|(segment, wants)| self.segment(segment, wants))).await?;
        for segment in read {
            for (series, place, chunk) in segment.chunks {
                slots[series][place] = Some(chunk);
            }
            held.extend(segment.held);
            for error in segment.errors {
                self.shared.corrupt(Data::Chunks);
                warnings.add(self.block, self.mode, error)?;
            }
        }
        let tenant = &*self.request.ctx.tenant;
        self.shared.metrics.chunks_seconds.with(&[tenant]).observe(began.elapsed().as_secs_f64());
        Ok((slots.into_iter().map(|chunks| chunks.into_iter().flatten().collect()).collect(), held))
    }

    async fn segment(&self, segment: u32, mut wants: Vec<Want>) -> BlockResult<SegmentRead> {
        let (file, size) = self.block.segment(segment);
        let path = format!("{}/{file}", self.block.id);
        let name = format!("{}/{file}", self.block.cache_id());
        let reader = ObjectReader {
            bucket: &self.shared.bucket,
            path: &path,
            size,
            data: Data::Chunks,
            options: &self.shared.read.fetch,
            request: self.request,
            cache: self.shared.chunk_cache.as_ref().map(|cache| (cache, name.as_str())),
        };
        let mut out = SegmentRead::default();
        wants.sort_by_key(|w| w.range.start);
        // A record ends where the next one wanted begins, at the latest.
        for at in 1..wants.len() {
            let next = wants[at].range.start;
            let before = &mut wants[at - 1].range;
            if next > before.start {
                before.end = before.end.min(next);
            }
        }
        let (mut count, mut bytes_read) = (0, 0);
        for last in [false, true] {
            if wants.is_empty() {
                break;
            }
            let ranges: Vec<Range<u64>> = wants.iter().map(|w| w.range.clone()).collect();
            let fetched = match last {
                // Not from the cache: what it holds did not do.
                true => {
                    if let Some(cache) = &self.shared.chunk_cache {
                        ranges.iter().for_each(|r| cache.forget(&name, r));
                    }
                    ObjectReader { cache: None, ..reader.clone() }.fetch(&ranges).await?
                }
                false => reader.fetch(&ranges).await?,
            };
            let mut again = Vec::new();
            for mut want in wants {
                let start = want.range.start;
                let bytes = fetched.from(start);
                match chunk_reader::parse(&file, start, &bytes) {
                    Ok((encoding, data, len)) => {
                        self.block.saw_chunk(len as u64);
                        (count, bytes_read) = (count + 1, bytes_read + len as u64);
                        match self.chunk(&file, want.chunk, encoding, data) {
                            Ok(chunk) => out.chunks.push((want.series, want.place, chunk)),
                            Err(e) => out.errors.push(e),
                        }
                    }
                    Err(e) => {
                        // Longer than guessed, or corrupt on the way: once more, with the length it tells.
                        let guess = want.range.end - start;
                        let len = chunk_reader::record_len(&bytes).unwrap_or(guess).max(1);
                        let end = start.saturating_add(len);
                        let inside = len <= self.shared.read.item_bytes_max && size.is_none_or(|s| end <= s);
                        if last || !inside {
                            out.errors.push(e.into());
                        } else {
                            want.range = start..end;
                            again.push(want);
                        }
                    }
                }
            }
            out.held.extend(fetched.into_held());
            if !last && !again.is_empty() {
                let tenant = &*self.request.ctx.tenant;
                self.shared.metrics.chunk_refetches.with(&[tenant]).inc_by(again.len() as u64);
            }
            wants = again;
        }
        self.request.touch(Data::Chunks, count, bytes_read);
        Ok(out)
    }

    fn chunk(&self, file: &str, wanted: WantedChunk, encoding: Encoding, data: Bytes) -> BlockResult<Chunk> {
        let meta = wanted.meta;
        if encoding != Encoding::Aggregates {
            return Ok(Chunk::raw(meta.min_time, meta.max_time, encoding, data));
        }
        let corrupt = |what: String| BlockError::Corrupt(format!("{file}: offset {}: {what}", meta.offset()));
        if self.block.meta.resolution_ms() == 0 {
            return Err(corrupt("a downsampled chunk, in a block of raw data by its meta.json".to_owned()));
        }
        let mut parts = AggrChunk::default();
        let decoded = aggr::decode(&data).map_err(|e| corrupt(e.to_string()))?;
        for (aggregate, part) in Aggregate::ALL.into_iter().zip(decoded) {
            if !self.aggregates.is_empty() && !self.aggregates.has(aggregate) {
                continue;
            }
            match part {
                Some((encoding, data)) => parts.parts[aggregate as usize] = Some(EncodedChunk { encoding, data }),
                None if self.aggregates.is_empty() => {}
                None => {
                    return Err(corrupt(format!(
                        "the downsampled chunk has no {aggregate:?} (native histograms have none)"
                    )));
                }
            }
        }
        Ok(Chunk::aggr(meta.min_time, meta.max_time, parts))
    }
}

#[derive(Default)]
struct SegmentRead {
    chunks: Vec<(usize, usize, Chunk)>,
    errors: Vec<BlockError>,
    held: Vec<Reservation>,
}

/// A guess for the chunks of `entry` whose lengths it does not tell: they are much like its others.
fn guess(entry: &Entry, default: u64) -> u64 {
    match u64::from(entry.chunk_bytes) {
        0 => default,
        known => (known + known / 4).max(GUESS_BYTES_MIN.min(default)),
    }
}

/// Where a chunk's record lies: to its known end, or as far as the guess.
fn range_of(chunk: WantedChunk, guess: u64, size: Option<u64>) -> Range<u64> {
    let start = u64::from(chunk.meta.offset());
    let end = match u64::from(chunk.end) {
        // Chunks of a series lie side by side; if these do not, what is between them is not wanted.
        end if end > start && end - start <= guess.saturating_mul(4).max(64 << 10) => end,
        _ => start.saturating_add(guess),
    };
    start..size.map_or(end, |s| end.min(s)).max(start + 1)
}
