//! One input's chunks, read ahead in order.
//!
//! Windows of the segments are fetched by tasks while the merge works on the one before. The first window at a new
//! place is small and later ones double, so that reading along costs few requests and jumping about costs few bytes.
//!
//! Files of this machine are read by the merge itself, window by window: the bytes are in the cache of the processor that
//! works on them, and nobody has to be woken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use block::chunk_reader::{SEGMENT_HEADER_LEN, check_segment_header, record_len};
use block::{BlockId, ChunkMeta};
use bytes::Bytes;
use chunkenc::Encoding;
use objstore::Bucket;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::input::{Segments, read};
use crate::symbols::uvarint;
use crate::wait::Wait;

/// The first window at a new place, bytes.
const FIRST_WINDOW: u64 = 64 << 10;

/// Sizes of reads, bytes, and how many are read ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// Bytes of a window at most.
    pub(crate) max: u64,
    /// Windows fetched beside the one in use; 0 = the merge reads them itself.
    pub(crate) ahead: usize,
}

/// A chunk's record as segments have it: `uvarint len | encoding | data | crc`; its checksum has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) bytes: Bytes,
    /// Where the encoding byte is.
    head: usize,
    pub(crate) encoding: Encoding,
}

impl Record {
    pub(crate) fn data(&self) -> Bytes {
        self.bytes.slice(self.head + 1..self.bytes.len() - 4)
    }

    /// How many samples, by the chunk's header.
    pub(crate) fn num_samples(&self) -> std::result::Result<usize, chunkenc::Error> {
        let data = &self.bytes[self.head + 1..self.bytes.len() - 4];
        match self.encoding {
            Encoding::Aggregates => {
                chunkenc::TimedChunk { min_time: 0, max_time: 0, encoding: self.encoding, data: self.data() }
                    .num_samples()
            }
            encoding => chunkenc::num_samples(encoding, data),
        }
    }
}

/// What is known of a record whose checksum has been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// Bytes of the whole record.
    pub(crate) len: u32,
    pub(crate) encoding: Encoding,
    pub(crate) samples: u64,
}

/// Part of a segment in memory.
struct Piece {
    segment: u32,
    start: u64,
    bytes: Bytes,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn holds(&self, segment: u32, offset: u64) -> bool {
        self.segment == segment && (self.start..self.end()).contains(&offset)
    }
}

/// Part of a segment that is being fetched.
struct Flying {
    segment: u32,
    start: u64,
    end: u64,
    task: JoinHandle<Result<Bytes>>,
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The chunks of one block, best asked for in ascending order of their references.
pub(crate) struct ChunkStream {
    bucket: Bucket,
    wait: Wait,
    segments: Arc<Segments>,
    windows: Windows,
    window: u64,
    /// Nothing is fetched ahead from here on: another thread's part.
    until: Option<u64>,
    current: Option<Piece>,
    flying: VecDeque<Flying>,
    done: Arc<AtomicU64>,
}

impl ChunkStream {
    pub(crate) fn new(
        bucket: &Bucket,
        wait: &Wait,
        segments: Arc<Segments>,
        windows: Windows,
        until: Option<u64>,
        done: Arc<AtomicU64>,
    ) -> Self {
        Self {
            bucket: if windows.ahead == 0 { bucket.reading_here() } else { bucket.clone() },
            wait: wait.clone(),
            segments,
            windows,
            window: FIRST_WINDOW.min(windows.max),
            until,
            current: None,
            flying: VecDeque::new(),
            done,
        }
    }

    fn block(&self) -> BlockId {
        self.segments.block
    }

    fn corrupt(&self, segment: u32, offset: u64, what: impl std::fmt::Display) -> Error {
        Error::input(self.block(), Segments::file(segment), format!("offset {offset}: {what}"))
    }

    /// Reads as many of `chunks` as lie one behind the other, at least the first one; appends to `heads` for each.
    /// Gives their records as they stand in the file.
    pub(crate) fn run(&mut self, chunks: &[ChunkMeta], heads: &mut Vec<Head>) -> Result<Bytes> {
        let Some(first) = chunks.first() else { return Ok(Bytes::new()) };
        let (segment, offset) = (first.segment(), u64::from(first.offset()));
        if offset >= SEGMENT_HEADER_LEN as u64
            && self.segments.sizes.get(segment as usize).is_some_and(|size| offset < *size)
        {
            self.go_to(segment, offset)?;
            if let Some(piece) = &self.current {
                let start = (offset - piece.start) as usize;
                let mut end = start;
                for chunk in chunks {
                    // A reference that does not follow on the one before is for the next call.
                    if chunk.reference != first.reference + (end - start) as u64 {
                        break;
                    }
                    let Some(head) = checked_head(&piece.bytes, end) else { break };
                    end += head.len as usize;
                    heads.push(head);
                }
                if end > start {
                    return Ok(piece.bytes.slice(start..end));
                }
            }
        }
        // What goes on in another window, and what is wrong.
        let record = self.chunk(*first)?;
        let samples = record.num_samples().map_err(|e| self.corrupt(segment, offset, e))? as u64;
        heads.push(Head { len: record.bytes.len() as u32, encoding: record.encoding, samples });
        Ok(record.bytes)
    }

    /// Reads the chunk that `meta` points to.
    pub(crate) fn chunk(&mut self, meta: ChunkMeta) -> Result<Record> {
        let (segment, offset) = (meta.segment(), u64::from(meta.offset()));
        let size = self.segments.sizes.get(segment as usize).copied();
        let Some(size) = size.filter(|size| (SEGMENT_HEADER_LEN as u64..*size).contains(&offset)) else {
            let what = match size {
                Some(size) => format!("the index points there, the file has {size} bytes"),
                None => format!("the index points there, there are {} segments", self.segments.sizes.len()),
            };
            return Err(self.corrupt(segment, offset, what));
        };
        self.go_to(segment, offset)?;
        let bytes = self.record(segment, offset, size)?;
        let range = offset..offset + bytes.len() as u64;
        match self.check(segment, offset, bytes) {
            Ok(record) => Ok(record),
            // Perhaps it was the way here that changed a bit.
            Err(_) => {
                let again = self.wait.on(read(&self.bucket, self.block(), &Segments::file(segment), range))?;
                self.check(segment, offset, again)
            }
        }
    }

    fn check(&self, segment: u32, offset: u64, bytes: Bytes) -> Result<Record> {
        let head = bytes.iter().position(|b| *b < 0x80).map_or(0, |at| at + 1);
        let Some((body, stored)) = bytes[head..].split_last_chunk::<4>().filter(|(body, _)| !body.is_empty()) else {
            return Err(self.corrupt(segment, offset, "chunk without encoding"));
        };
        let (computed, stored) = (encoding::crc32c(body), u32::from_be_bytes(*stored));
        if computed != stored {
            let what = format!("chunk: checksum of {} bytes is {computed:08x}, stored is {stored:08x}", body.len());
            return Err(self.corrupt(segment, offset, what));
        }
        let Some(encoding) = Encoding::from_byte(body[0]) else {
            return Err(self.corrupt(segment, offset, format!("chunk encoding {} is not supported", body[0])));
        };
        Ok(Record { bytes, head, encoding })
    }

    /// The whole record at `offset`, which lies in the current piece.
    fn record(&mut self, segment: u32, offset: u64, size: u64) -> Result<Bytes> {
        let Some(piece) = &self.current else { return Err(self.corrupt(segment, offset, "not read")) };
        let at = (offset - piece.start) as usize;
        let rest = &piece.bytes[at..];
        if let Some(len) = record_len(rest).and_then(|len| usize::try_from(len).ok())
            && len <= rest.len()
        {
            return Ok(piece.bytes.slice(at..at + len));
        }
        // It goes on in the next piece.
        let (mut part, mut at) = (rest.to_vec(), piece.end());
        loop {
            let want = match record_len(&part) {
                Some(len) if len > size - offset => {
                    let left = size - offset;
                    return Err(self.corrupt(segment, offset, format!("chunk of {len} bytes, {left} are left")));
                }
                Some(len) if len == part.len() as u64 => return Ok(part.into()),
                Some(len) => len - part.len() as u64,
                None if part.len() >= 10 => return Err(self.corrupt(segment, offset, "chunk without length")),
                None => 1,
            };
            if at >= size {
                return Err(self.corrupt(segment, offset, "chunk is cut off at the file's end"));
            }
            if !self.current.as_ref().is_some_and(|piece| piece.holds(segment, at)) {
                self.advance(segment, at, want)?;
            }
            let Some(piece) = &self.current else { return Err(self.corrupt(segment, offset, "not read")) };
            let from = &piece.bytes[(at - piece.start) as usize..];
            let take = from.len().min(usize::try_from(want).unwrap_or(usize::MAX));
            part.extend_from_slice(&from[..take]);
            at += take as u64;
        }
    }

    /// Makes the piece that holds `offset` the current one.
    fn go_to(&mut self, segment: u32, offset: u64) -> Result<()> {
        if self.current.as_ref().is_some_and(|piece| piece.holds(segment, offset)) {
            return Ok(());
        }
        let ahead = |f: &Flying| f.segment == segment && (f.start..f.end).contains(&offset);
        if let Some(at) = self.flying.iter().position(ahead) {
            self.flying.drain(..at);
            return self.land();
        }
        if self.current.as_ref().is_some_and(|p| p.segment == segment && p.end() == offset) {
            return self.advance(segment, offset, 0);
        }
        // Elsewhere: a new stream of small reads. The first bytes of a segment are read along to check its header.
        self.flying.clear();
        self.window = FIRST_WINDOW.min(self.windows.max);
        let start = if offset < self.window / 2 { 0 } else { offset };
        if self.windows.ahead == 0 {
            return self.read_here(segment, start, 0);
        }
        self.launch(segment, start, 0);
        self.land()
    }

    /// The piece that begins at `start`, right behind the current one; at least `want` bytes of it.
    fn advance(&mut self, segment: u32, start: u64, want: u64) -> Result<()> {
        if self.windows.ahead == 0 {
            self.window = (self.window * 2).min(self.windows.max);
            return self.read_here(segment, start, want);
        }
        if !self.flying.front().is_some_and(|f| f.segment == segment && f.start == start) {
            self.flying.clear();
            self.launch(segment, start, want);
        }
        let first = self.flying.front().map(|f| (f.segment, f.end));
        // Reading along: the next windows begin to come before this one is there.
        if let Some((segment, end)) = first {
            self.read_ahead(segment, end);
        }
        self.land()
    }

    fn land(&mut self) -> Result<()> {
        let Some(mut flying) = self.flying.pop_front() else { return Ok(()) };
        let (segment, start, end) = (flying.segment, flying.start, flying.end);
        let task = &mut flying.task;
        let bytes = self.wait.on(async {
            match task.await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::Cancelled),
            }
        })?;
        self.take(segment, start, bytes)?;
        if !self.flying.is_empty() {
            let (segment, end) = self.flying.back().map_or((segment, end), |f| (f.segment, f.end));
            self.read_ahead(segment, end);
        }
        Ok(())
    }

    /// Makes what was read the current piece.
    fn take(&mut self, segment: u32, start: u64, bytes: Bytes) -> Result<()> {
        if start == 0 {
            let file = Segments::file(segment);
            check_segment_header(&file, &bytes).map_err(|e| Error::of_input(self.block(), e))?;
        }
        self.done.fetch_add(bytes.len() as u64, Relaxed);
        self.current = Some(Piece { segment, start, bytes });
        Ok(())
    }

    /// Reads the piece that begins at `start`, at least `want` bytes of it.
    fn read_here(&mut self, segment: u32, start: u64, want: u64) -> Result<()> {
        // Its memory is for the next one.
        self.current = None;
        let range = start..self.end_of(segment, start, want);
        let bytes = self.wait.on(read(&self.bucket, self.block(), &Segments::file(segment), range))?;
        self.take(segment, start, bytes)
    }

    /// Where a window ends that begins at `start` and has at least `want` bytes.
    fn end_of(&self, segment: u32, start: u64, want: u64) -> u64 {
        let size = self.segments.sizes.get(segment as usize).copied().unwrap_or(0);
        (start + self.window.max(want)).min(size)
    }

    /// Fills up what is fetched ahead, from `end` of `segment` on.
    fn read_ahead(&mut self, mut segment: u32, mut end: u64) {
        while self.flying.len() < self.windows.ahead.max(1) + 1 {
            let size = self.segments.sizes.get(segment as usize).copied().unwrap_or(0);
            if end >= size {
                (segment, end) = (segment.saturating_add(1), 0);
                if segment as usize >= self.segments.sizes.len() {
                    return;
                }
            }
            if self.until.is_some_and(|until| u64::from(segment) << 32 | end >= until) {
                return;
            }
            self.window = (self.window * 2).min(self.windows.max);
            let start = end;
            end = self.launch(segment, start, 0);
        }
    }

    /// Begins to fetch; gives the end of the range.
    fn launch(&mut self, segment: u32, start: u64, want: u64) -> u64 {
        let end = self.end_of(segment, start, want);
        let (bucket, block) = (self.bucket.clone(), self.block());
        let task =
            self.wait.runtime.spawn(async move { read(&bucket, block, &Segments::file(segment), start..end).await });
        self.flying.push_back(Flying { segment, start, end, task });
        end
    }
}

/// The record at `at`, if it is there whole and nothing is wrong with it.
#[inline]
fn checked_head(piece: &Bytes, at: usize) -> Option<Head> {
    let bytes = &piece[at..];
    let (len, head) = uvarint(bytes)?;
    let len = head + usize::try_from(len).ok().filter(|len| *len < bytes.len())? + 5;
    let (body, stored) = bytes.get(head..len)?.split_last_chunk::<4>()?;
    if encoding::crc32c(body) != u32::from_be_bytes(*stored) {
        return None;
    }
    let encoding = Encoding::from_byte(*body.first()?)?;
    let samples = match encoding {
        Encoding::Aggregates => {
            let data = piece.slice_ref(&body[1..]);
            chunkenc::TimedChunk { min_time: 0, max_time: 0, encoding, data }.num_samples()
        }
        _ => chunkenc::num_samples(encoding, &body[1..]),
    };
    Some(Head { len: u32::try_from(len).ok()?, encoding, samples: samples.ok()? as u64 })
}
