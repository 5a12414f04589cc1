//! One series: the chunks of all inputs into the chunks of the output.

use block::{BlockId, ChunkMeta};
use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk};
use dedup::Method;
use dedup::rewrite::{LaneChunk, SeriesMerger};
use downsample::Downsampler;
use encoding::put_uvarint;
use model::TimeRange;

use crate::error::{Error, Result};
use crate::fetch::{Head, Record};
use crate::job::{Counts, Downsampling, Repairs, Vertical};
use crate::recode::recode;

/// One input's share of a series.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Position of the input in the job.
    pub(crate) input: usize,
    pub(crate) chunks: Vec<ChunkMeta>,
    /// Ranges of time whose samples are left out.
    pub(crate) deleted: Vec<TimeRange>,
}

/// What does not change from series to series.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) vertical: Vertical,
    pub(crate) downsampling: Option<Downsampling>,
    /// Of each input: its range, replica and resolution.
    pub(crate) inputs: Vec<InputRules>,
}

/// What matters of an input here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputRules {
    pub(crate) block: BlockId,
    /// Time range of the block, ms, both ends included.
    pub(crate) range: TimeRange,
    pub(crate) replica: u64,
    pub(crate) resolution_ms: i64,
}

/// A chunk of the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutChunk {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) encoding: Encoding,
    pub(crate) samples: u64,
    /// Bytes of its record: length, encoding, data and checksum.
    pub(crate) len: u64,
}

/// The chunks of a series for the output, in order of time.
#[derive(Debug, Default)]
pub(crate) struct OutSeries {
    pub(crate) chunks: Vec<OutChunk>,
    /// Their records, as they were read, several in a piece; empty where they were encoded again.
    shared: Vec<Bytes>,
    /// Their records where they were encoded again.
    own: Vec<u8>,
}

impl OutSeries {
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.shared.clear();
        self.own.clear();
        // One large series must not keep its memory.
        if self.own.capacity() > OWN_BYTES_KEPT {
            self.own = Vec::new();
        }
    }

    /// Bytes of the records of all chunks.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|c| c.len).sum()
    }

    /// The records, in the order of the chunks; each is within one piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.shared.iter().map(|piece| &piece[..]).chain((!self.own.is_empty()).then_some(&self.own[..]))
    }
}

/// Memory of a series' records that is kept for the next one.
const OWN_BYTES_KEPT: usize = 1 << 20;

/// Reads chunks of an input; asked in the order of the index.
pub(crate) trait Fetch {
    /// [`crate::fetch::ChunkStream::chunk`].
    fn chunk(&mut self, input: usize, chunk: ChunkMeta) -> Result<Record>;
    /// [`crate::fetch::ChunkStream::run`].
    fn run(&mut self, input: usize, chunks: &[ChunkMeta], heads: &mut Vec<Head>) -> Result<Bytes>;
}

/// Puts series together; keeps memory from one to the next.
pub(crate) struct SeriesMaker {
    rules: Rules,
    merger: SeriesMerger,
    downsampler: Downsampler,
    order: Vec<(i64, i64, usize, usize)>,
    fetched: Vec<Vec<Record>>,
    heads: Vec<Head>,
    merged: Vec<TimedChunk>,
    downsampled: Vec<TimedChunk>,
}

impl SeriesMaker {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            merger: SeriesMerger::default(),
            downsampler: Downsampler::new(),
            order: Vec::new(),
            fetched: Vec::new(),
            heads: Vec::new(),
            merged: Vec::new(),
            downsampled: Vec::new(),
        }
    }

    fn corrupt(&self, input: usize, chunk: &ChunkMeta, what: impl std::fmt::Display) -> Error {
        let file = crate::input::Segments::file(chunk.segment());
        Error::input(self.rules.inputs[input].block, file, format!("offset {}: {what}", chunk.offset()))
    }

    /// Puts the series' chunks into `out`, which is empty.
    pub(crate) fn make(
        &mut self,
        shares: &[Share],
        fetch: &mut impl Fetch,
        out: &mut OutSeries,
        repairs: &mut Repairs,
        counts: &mut Counts,
    ) -> Result<()> {
        let as_they_are = self.rules.downsampling.is_none() && self.are_of_one_lane(shares);
        if as_they_are && self.is_sequence(shares) {
            for share in shares {
                let mut left = &share.chunks[..];
                while !left.is_empty() {
                    left = &left[self.copy_run(share.input, left, fetch, out, counts)?..];
                }
            }
            return Ok(());
        }
        if as_they_are && self.is_plain(shares) {
            return self.copy(shares, fetch, out, counts);
        }
        self.fetched.resize_with(shares.len().max(self.fetched.len()), Vec::new);
        for (records, share) in self.fetched.iter_mut().zip(shares) {
            records.clear();
            for chunk in &share.chunks {
                records.push(fetch.chunk(share.input, *chunk)?);
            }
        }
        self.work(shares, out, repairs, counts)?;
        // Records hold whole windows.
        self.fetched.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    /// Whether no replica is to be followed after another: what one saw last and the next first may be the same scrape.
    fn are_of_one_lane(&self, shares: &[Share]) -> bool {
        let replica = |share: &Share| self.rules.inputs[share.input].replica;
        self.rules.vertical == Vertical::Merge || shares.windows(2).all(|pair| replica(&pair[0]) == replica(&pair[1]))
    }

    /// Whether all chunks can be copied one after the other: as it is mostly, where blocks follow each other.
    fn is_sequence(&self, shares: &[Share]) -> bool {
        let mut before = None;
        shares.iter().all(|share| {
            let range = self.rules.inputs[share.input].range;
            share.deleted.is_empty()
                && share.chunks.iter().all(|c| {
                    let follows = before.replace(c.max_time).is_none_or(|before| before < c.min_time);
                    follows && range.min <= c.min_time && c.min_time <= c.max_time && c.max_time <= range.max
                })
        })
    }

    /// Copies the first of `chunks` and those that lie behind it one by one; gives how many.
    fn copy_run(
        &mut self,
        input: usize,
        chunks: &[ChunkMeta],
        fetch: &mut impl Fetch,
        out: &mut OutSeries,
        counts: &mut Counts,
    ) -> Result<usize> {
        self.heads.clear();
        out.shared.push(fetch.run(input, chunks, &mut self.heads)?);
        for (head, chunk) in self.heads.iter().zip(chunks) {
            let Head { len, encoding, samples } = *head;
            let (min_time, max_time) = (chunk.min_time, chunk.max_time);
            out.chunks.push(OutChunk { min_time, max_time, encoding, samples, len: u64::from(len) });
        }
        counts.chunks_copied += self.heads.len() as u64;
        Ok(self.heads.len())
    }

    /// Copies all chunks in `order`, as many at a time as lie one behind the other.
    fn copy(
        &mut self,
        shares: &[Share],
        fetch: &mut impl Fetch,
        out: &mut OutSeries,
        counts: &mut Counts,
    ) -> Result<()> {
        let mut done = 0;
        while let Some((_, _, s, at)) = self.order.get(done).copied() {
            let share = &shares[s];
            // Of one input, chunks in order of time are in the order of the index.
            let own = self.order[done..].iter().take_while(|next| next.2 == s).count();
            done += self.copy_run(share.input, &share.chunks[at..at + own], fetch, out, counts)?;
        }
        Ok(())
    }

    /// Whether all chunks can be copied; then `order` is theirs.
    fn is_plain(&mut self, shares: &[Share]) -> bool {
        self.order.clear();
        for (s, share) in shares.iter().enumerate() {
            let range = self.rules.inputs[share.input].range;
            for (at, c) in share.chunks.iter().enumerate() {
                let inside = range.min <= c.min_time && c.min_time <= c.max_time && c.max_time <= range.max;
                let time = TimeRange::new(c.min_time, c.max_time);
                if !inside || share.deleted.iter().any(|d| d.overlaps(time)) {
                    return false;
                }
                self.order.push((c.min_time, c.max_time, s, at));
            }
        }
        for share in shares {
            if share.chunks.windows(2).any(|p| p[0].max_time >= p[1].min_time) {
                return false;
            }
        }
        self.order.sort_unstable();
        self.order.windows(2).all(|p| p[0].1 < p[1].0)
    }

    fn work(
        &mut self,
        shares: &[Share],
        out: &mut OutSeries,
        repairs: &mut Repairs,
        counts: &mut Counts,
    ) -> Result<()> {
        let mut lanes = Vec::new();
        for (s, share) in shares.iter().enumerate() {
            self.clean(s, share, &mut lanes, repairs, counts)?;
        }
        // What comes through the merge untouched can be copied still.
        let mut before: Vec<usize> = lanes.iter().map(|l| l.chunk.data.as_ptr() as usize).collect();
        before.sort_unstable();
        self.merged.clear();
        let some_input = shares.first().map_or(0, |s| s.input);
        let of_series = |e: &dyn std::fmt::Display| {
            let blocks: Vec<String> = shares.iter().map(|s| self.rules.inputs[s.input].block.to_string()).collect();
            Error::input(self.rules.inputs[some_input].block, "chunks", format!("{e} (merging {})", blocks.join(", ")))
        };
        let method = match self.rules.vertical {
            Vertical::Merge => Method::Chain,
            Vertical::Penalty => Method::Penalty,
        };
        let merged = self.merger.merge(lanes, method, &mut self.merged).map_err(|e| of_series(&e))?;
        repairs.samples_out_of_order += merged.samples_out_of_order;
        let mut done = &self.merged;
        if let Some(Downsampling { from_ms, to_ms }) = self.rules.downsampling {
            self.downsampled.clear();
            let result = match from_ms {
                0 => self.downsampler.raw(&self.merged, to_ms, &mut self.downsampled),
                _ => self.downsampler.aggregates(&self.merged, from_ms, to_ms, &mut self.downsampled),
            };
            result.map_err(|e| of_series(&e))?;
            done = &self.downsampled;
        }
        for chunk in done {
            let samples = chunk.num_samples().map_err(|e| of_series(&e))? as u64;
            if samples == 0 {
                continue;
            }
            match before.binary_search(&(chunk.data.as_ptr() as usize)).is_ok() {
                true => counts.chunks_copied += 1,
                false => counts.chunks_rewritten += 1,
            }
            out.chunks.push(OutChunk {
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                encoding: chunk.encoding,
                samples,
                len: put_record(&mut out.own, chunk),
            });
        }
        Ok(())
    }

    /// One input's chunks in order, without doubles, inside the block's range, without what is deleted.
    fn clean(
        &self,
        at: usize,
        share: &Share,
        lanes: &mut Vec<LaneChunk>,
        repairs: &mut Repairs,
        counts: &mut Counts,
    ) -> Result<()> {
        let rules = self.rules.inputs[share.input];
        let records = &self.fetched[at];
        let mut sorted: Vec<(&ChunkMeta, &Record)> = share.chunks.iter().zip(records).collect();
        repairs.chunks_out_of_order += sorted.windows(2).filter(|p| p[1].0.min_time < p[0].0.min_time).count() as u64;
        sorted.sort_by_key(|(c, _)| (c.min_time, c.max_time));
        let all = sorted.len();
        sorted.dedup_by(|b, a| (a.0.min_time, a.0.max_time) == (b.0.min_time, b.0.max_time) && a.1.bytes == b.1.bytes);
        repairs.chunks_twice += (all - sorted.len()) as u64;
        let mut kept = Vec::new();
        for (meta, record) in sorted {
            if meta.min_time > meta.max_time {
                let what = format!("chunk from {} to {} ms", meta.min_time, meta.max_time);
                return Err(self.corrupt(share.input, meta, what));
            }
            let chunk = TimedChunk {
                min_time: meta.min_time,
                max_time: meta.max_time,
                encoding: record.encoding,
                data: record.data(),
            };
            let time = TimeRange::new(meta.min_time, meta.max_time);
            let count = |chunk: &TimedChunk| chunk.num_samples().map_err(|e| self.corrupt(share.input, meta, e));
            if !time.overlaps(rules.range) {
                repairs.samples_outside += count(&chunk)? as u64;
                continue;
            }
            if share.deleted.iter().any(|d| d.min <= time.min && time.max <= d.max) {
                counts.samples_deleted += count(&chunk)? as u64;
                continue;
            }
            kept.clear();
            kept.push(chunk);
            if time.min < rules.range.min || time.max > rules.range.max {
                let inside = |_: i64, t: i64| rules.range.contains(t);
                let dropped = self.cut(share.input, meta, rules.resolution_ms, &inside, &mut kept, repairs)?;
                repairs.samples_outside += dropped;
            }
            let deleted: Vec<TimeRange> = share.deleted.iter().copied().filter(|d| d.overlaps(time)).collect();
            if !deleted.is_empty() {
                let stays = |from: i64, to: i64| !deleted.iter().any(|d| d.overlaps(TimeRange::new(from, to)));
                let dropped = self.cut(share.input, meta, rules.resolution_ms, &stays, &mut kept, repairs)?;
                counts.samples_deleted += dropped;
            }
            let order = share.input as u32;
            lanes.extend(kept.drain(..).map(|chunk| LaneChunk { replica: rules.replica, order, chunk }));
        }
        Ok(())
    }

    fn cut(
        &self,
        input: usize,
        meta: &ChunkMeta,
        resolution_ms: i64,
        keep: &dyn Fn(i64, i64) -> bool,
        chunks: &mut Vec<TimedChunk>,
        repairs: &mut Repairs,
    ) -> Result<u64> {
        let mut dropped = 0;
        for chunk in std::mem::take(chunks) {
            let recoded = recode(&chunk, resolution_ms, keep, chunks).map_err(|e| self.corrupt(input, meta, e))?;
            dropped += recoded.dropped;
            repairs.samples_out_of_order += recoded.out_of_order;
        }
        Ok(dropped)
    }
}

/// Appends `uvarint len | encoding | data | crc`; gives its length.
fn put_record(out: &mut Vec<u8>, chunk: &TimedChunk) -> u64 {
    let begin = out.len();
    put_uvarint(out, chunk.data.len() as u64);
    let start = out.len();
    out.push(chunk.encoding as u8);
    out.extend_from_slice(&chunk.data);
    let crc = encoding::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    (out.len() - begin) as u64
}
