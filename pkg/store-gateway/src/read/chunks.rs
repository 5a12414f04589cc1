//! From chunk references to chunks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use block::chunk_reader;
use bytes::Bytes;
use chunkenc::{Encoding, aggr};
use futures::future::try_join_all;
use storage::{AggrChunk, Aggregate, Aggregates, Chunk, EncodedChunk, PartialResponse, Reservation};

use super::fetch::ObjectReader;
use super::run::RunReader;
use super::series::{Entry, SeriesBatch, SeriesReader, WantedChunk, Warnings};
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

/// Reads the segments of one block forward.
#[derive(Default)]
pub(crate) struct ChunkRuns<'a>(BTreeMap<u32, RunReader<'a>>);

/// One chunk to read: for which series, in which place.
struct Want {
    series: usize,
    place: usize,
    chunk: WantedChunk,
    range: Range<u64>,
}

impl<'a> ChunkLoader<'a> {
    /// How many of `entries` make one batch: no more chunk bytes than a batch may hold, no more series than a batch may
    /// hold, but at least one. `None` if all of them do not fill one.
    pub(crate) fn full_batch(&self, entries: &[Entry]) -> Option<usize> {
        let batch = self.request.batch;
        let default = self.block.chunk_bytes(self.shared.read.chunk_bytes);
        let mut bytes = 0;
        for (n, entry) in entries.iter().enumerate() {
            let guess = guess(entry.chunk_bytes, default);
            for chunk in &entry.chunks {
                let range = range_of(*chunk, guess, None);
                bytes += range.end - range.start;
            }
            if n > 0 && bytes > batch.chunk_bytes {
                return Some(n);
            }
            if n + 1 >= batch.series {
                return Some(n + 1);
            }
        }
        None
    }

    /// Plans the requests for the chunks of `batch`, and begins the first of them, before their entries are decoded.
    pub(crate) fn plan(&self, reader: &SeriesReader<'_>, batch: &SeriesBatch<'_>, runs: &mut ChunkRuns<'a>) {
        let default = self.block.chunk_bytes(self.shared.read.chunk_bytes);
        let mut planned: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
        reader.peek(batch, |meta, end, longest| {
            let chunk = WantedChunk { meta: *meta, end };
            let range = range_of(chunk, guess(longest, default), self.block.segment_bytes(meta.segment()));
            let ranges = planned.entry(meta.segment()).or_default();
            match ranges.last_mut() {
                Some(last) if last.start <= range.start && range.start <= last.end => {
                    last.end = last.end.max(range.end)
                }
                _ => ranges.push(range),
            }
        });
        for (segment, ranges) in planned {
            self.run(segment, runs).plan(ranges);
        }
    }

    fn run<'r>(&self, segment: u32, runs: &'r mut ChunkRuns<'a>) -> &'r mut RunReader<'a> {
        runs.0.entry(segment).or_insert_with(|| RunReader::new(self.object(segment)))
    }

    /// The segment as an object.
    fn object(&self, segment: u32) -> ObjectReader<'a> {
        let (file, size) = self.block.segment(segment);
        let name = || format!("{}/{file}", self.block.cache_id()).into();
        ObjectReader {
            bucket: &self.shared.pooled,
            path: format!("{}/{file}", self.block.id).into(),
            size,
            data: Data::Chunks,
            options: &self.shared.read.fetch,
            request: self.request,
            cache: self.shared.chunk_cache.as_ref().map(|cache| (cache, name())),
        }
    }

    /// The chunks of each of `entries`, and the memory they take. Corrupt ones become `warnings`.
    ///
    /// # Errors
    /// Limits and failures of the store; corrupt data unless it is to be a warning.
    pub(crate) async fn read(
        &self,
        entries: &[Entry],
        runs: &mut ChunkRuns<'a>,
        warnings: &Warnings,
    ) -> BlockResult<(Vec<Vec<Chunk>>, Vec<Reservation>)> {
        let began = Instant::now();
        let count: u64 = entries.iter().map(|e| e.chunks.len() as u64).sum();
        self.request.touch_chunks(count)?;
        let default = self.block.chunk_bytes(self.shared.read.chunk_bytes);
        let mut segments: BTreeMap<u32, Vec<Want>> = BTreeMap::new();
        for (series, entry) in entries.iter().enumerate() {
            let guess = guess(entry.chunk_bytes, default);
            for (place, chunk) in entry.chunks.iter().enumerate() {
                let size = self.block.segment_bytes(chunk.meta.segment());
                let range = range_of(*chunk, guess, size);
                segments.entry(chunk.meta.segment()).or_default().push(Want { series, place, chunk: *chunk, range });
            }
        }
        let mut read: Vec<(usize, usize, Chunk)> = Vec::with_capacity(count as usize);
        let mut held = Vec::new();
        let last = segments.last_key_value().map_or(0, |(segment, _)| *segment);
        let mut reading = Vec::with_capacity(segments.len());
        for (segment, wants) in segments {
            let run = runs.0.remove(&segment).unwrap_or_else(|| RunReader::new(self.object(segment)));
            reading.push(self.segment(segment, wants, run));
        }
        for segment in try_join_all(reading).await? {
            match read.is_empty() {
                true => read = segment.chunks,
                false => read.extend(segment.chunks),
            }
            held.extend(segment.held);
            for error in segment.errors {
                self.shared.corrupt(Data::Chunks);
                warnings.add(self.block, self.mode, error)?;
            }
            // Those before have been read to their ends.
            if segment.number >= last || segment.run.end() > 0 {
                runs.0.insert(segment.number, segment.run);
            }
        }
        let tenant = &*self.request.ctx.tenant;
        self.shared.metrics.chunks_seconds.with(&[tenant]).observe(began.elapsed().as_secs_f64());
        // As they lie in the segment, which is nearly always their order.
        if !read.is_sorted_by_key(|(series, place, _)| (*series, *place)) {
            read.sort_by_key(|(series, place, _)| (*series, *place));
        }
        let mut chunks: Vec<Vec<Chunk>> = entries.iter().map(|e| Vec::with_capacity(e.chunks.len())).collect();
        read.into_iter().for_each(|(series, _, chunk)| chunks[series].push(chunk));
        Ok((chunks, held))
    }

    async fn segment(&self, number: u32, mut wants: Vec<Want>, run: RunReader<'a>) -> BlockResult<SegmentRead<'a>> {
        let (file, size) = self.block.segment(number);
        let mut out = SegmentRead { number, run, chunks: Vec::new(), errors: Vec::new(), held: Vec::new() };
        if !wants.is_sorted_by_key(|w| w.range.start) {
            wants.sort_by_key(|w| w.range.start);
        }
        // A record ends where the next one wanted begins, at the latest.
        for at in 1..wants.len() {
            let next = wants[at].range.start;
            let before = &mut wants[at - 1].range;
            if next > before.start {
                before.end = before.end.min(next);
            }
        }
        let (mut count, mut bytes_read) = (0, 0);
        let none = Bytes::new();
        for last in [false, true] {
            if wants.is_empty() {
                break;
            }
            let ranges: Vec<Range<u64>> = wants.iter().map(|w| w.range.clone()).collect();
            let fetched = match last {
                // Not from the cache: what it holds did not do.
                true => {
                    let object = self.object(number);
                    if let Some((cache, name)) = &object.cache {
                        ranges.iter().for_each(|r| cache.forget(name, r));
                    }
                    ObjectReader { cache: None, ..object }.fetch(&ranges).await?
                }
                false => out.run.take(&ranges).await?,
            };
            let mut again = Vec::new();
            for mut want in wants {
                let start = want.range.start;
                let (part, skip) = fetched.part_at(start).unwrap_or((&none, 0));
                let bytes = &part[skip..];
                match chunk_reader::record(&file, start, bytes) {
                    Ok((encoding, data, len)) => {
                        let data = part.slice(skip + data.start..skip + data.end);
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
                        let len = chunk_reader::record_len(bytes).unwrap_or(guess).max(1);
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

struct SegmentRead<'a> {
    number: u32,
    run: RunReader<'a>,
    chunks: Vec<(usize, usize, Chunk)>,
    errors: Vec<BlockError>,
    held: Vec<Reservation>,
}

/// A guess for the chunks of a series whose lengths its entry does not tell: they are much like the `longest` of the others.
fn guess(longest: u32, default: u64) -> u64 {
    match u64::from(longest) {
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
