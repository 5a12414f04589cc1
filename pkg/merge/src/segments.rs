//! The output's chunk segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::BlockId;
use block::chunk_reader::{SEGMENT_HEADER_LEN, SEGMENT_MAGIC};
use objstore::Bucket;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::input::Segments;
use crate::object::{ObjectWriter, Parts, Uploaded};
use crate::series::{OutChunk, OutSeries};
use crate::wait::Wait;

/// The segments of one output block, shared by the threads: numbers without gaps, whoever takes them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// 1-based numbers given out.
    next: u32,
    /// Numbers of a killed run that were not finished.
    free: Vec<u32>,
}

impl Ledger {
    /// Goes on after these finished segments.
    pub(crate) fn resume(finished: &BTreeMap<u32, Uploaded>) -> Self {
        let next = finished.last_key_value().map_or(0, |(n, _)| *n);
        let free = (1..=next).rev().filter(|n| !finished.contains_key(n)).collect();
        Self { state: Mutex::new(State { next, free }) }
    }

    fn take(&self) -> u32 {
        let mut state = self.state.lock();
        match state.free.pop() {
            Some(number) => number,
            None => {
                state.next += 1;
                state.next
            }
        }
    }
}

/// One thread's way into the segments.
pub(crate) struct SegmentWriter {
    bucket: Bucket,
    wait: Wait,
    block: BlockId,
    parts: Parts,
    bytes_max: u64,
    ledger: Arc<Ledger>,
    open: Option<(u32, ObjectWriter)>,
    done: Vec<(u32, Uploaded)>,
}

impl SegmentWriter {
    pub(crate) fn new(
        bucket: &Bucket,
        wait: &Wait,
        block: BlockId,
        parts: Parts,
        bytes_max: u64,
        ledger: Arc<Ledger>,
    ) -> Self {
        // Offsets have 32 bits.
        let bytes_max = bytes_max.clamp(64, u64::from(u32::MAX));
        Self {
            bucket: bucket.clone(),
            wait: wait.clone(),
            block,
            parts,
            bytes_max,
            ledger,
            open: None,
            done: Vec::new(),
        }
    }

    /// Whether `bytes` more would go beyond the segment.
    pub(crate) fn is_full_for(&self, bytes: u64) -> bool {
        let header = SEGMENT_HEADER_LEN as u64;
        self.open.as_ref().is_some_and(|(_, out)| out.at() > header && out.at() + bytes > self.bytes_max)
    }

    /// Appends the records of a series; calls `each` with the reference of each of its chunks, in their order.
    pub(crate) fn append_all(&mut self, series: &OutSeries, mut each: impl FnMut(&OutChunk, u64)) -> Result<()> {
        let fits = SEGMENT_HEADER_LEN as u64 + series.bytes() <= self.bytes_max;
        let mut chunks = series.chunks.iter();
        for piece in series.pieces() {
            let mut left = piece;
            // Mostly the whole piece at once.
            if fits && !self.is_full_for(piece.len() as u64) {
                let mut reference = self.append(piece)?;
                while !left.is_empty()
                    && let Some(chunk) = chunks.next()
                {
                    left = &left[chunk.len as usize..];
                    each(chunk, reference);
                    reference += chunk.len;
                }
                continue;
            }
            while !left.is_empty()
                && let Some(chunk) = chunks.next()
            {
                let (record, rest) = left.split_at(chunk.len as usize);
                left = rest;
                each(chunk, self.append(record)?);
            }
        }
        Ok(())
    }

    /// Appends a whole record, or several, and gives the first one's reference.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<u64> {
        let len = record.len() as u64;
        if len + SEGMENT_HEADER_LEN as u64 > u64::from(u32::MAX) {
            return Err(Error::Refused(format!("chunk of {len} bytes exceeds a segment")));
        }
        if self.is_full_for(len)
            && let Some((number, out)) = self.open.take()
        {
            self.done.push((number, out.finish()?));
        }
        if self.open.is_none() {
            self.begin()?;
        }
        let Some((number, out)) = &mut self.open else {
            return Err(Error::Refused("no segment is open".to_owned()));
        };
        let reference = u64::from(*number - 1) << 32 | out.at();
        out.put(record)?;
        Ok(reference)
    }

    fn begin(&mut self) -> Result<()> {
        let number = self.ledger.take();
        let path = format!("{}/{}", self.block, Segments::file(number - 1));
        let mut out = ObjectWriter::create(&self.bucket, &self.wait, &path, self.parts.clone())?;
        let mut head = [0; SEGMENT_HEADER_LEN];
        head[..4].copy_from_slice(&SEGMENT_MAGIC.to_be_bytes());
        head[4] = 1;
        out.put(&head)?;
        self.open = Some((number, out));
        Ok(())
    }

    /// Completes the open segment, if there is one; gives all that were completed since the last call.
    pub(crate) fn close(&mut self) -> Result<Vec<(u32, Uploaded)>> {
        if let Some((number, out)) = self.open.take() {
            self.done.push((number, out.finish()?));
        }
        Ok(std::mem::take(&mut self.done))
    }

    /// Gives the open segment up.
    pub(crate) fn abort(&mut self) {
        if let Some((_, out)) = self.open.take() {
            out.abort();
        }
    }
}
