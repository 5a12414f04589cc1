//! One file of a block, read front to back through windows; the next one comes while this one is worked on.

use block::BlockId;
use bytes::Bytes;
use objstore::Bucket;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::input::read;
use crate::wait::Wait;

/// Bytes of one ranged read.
const WINDOW: u64 = 1 << 20;

/// Reads a range of a file.
pub(super) struct Remote {
    bucket: Bucket,
    wait: Wait,
    block: BlockId,
    file: String,
    end: u64,
    start: u64,
    buffer: Bytes,
    ahead: Option<Ahead>,
    crc: u32,
}

struct Ahead {
    start: u64,
    task: JoinHandle<Result<Bytes>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Remote {
    pub(super) fn new(bucket: &Bucket, wait: &Wait, block: BlockId, file: &str, end: u64) -> Self {
        Self {
            bucket: bucket.clone(),
            wait: wait.clone(),
            block,
            file: file.to_owned(),
            end,
            start: 0,
            buffer: Bytes::new(),
            ahead: None,
            crc: 0,
        }
    }

    pub(super) fn corrupt(&self, at: u64, what: impl std::fmt::Display) -> Error {
        Error::input(self.block, &*self.file, format!("offset {at}: {what}"))
    }

    /// The bytes from `at`: at least `want` of them, or up to the range's end; perhaps more.
    pub(super) fn get(&mut self, at: u64, want: u64) -> Result<Bytes> {
        let need = want.min(self.end.saturating_sub(at));
        let mut end = self.start + self.buffer.len() as u64;
        if at < self.start || at > end {
            (self.start, self.buffer, end) = (at, Bytes::new(), at);
        }
        if at + need <= end {
            return Ok(self.buffer.slice((at - self.start) as usize..));
        }
        let mut joined = self.buffer[(at - self.start) as usize..].to_vec();
        while (joined.len() as u64) < need {
            let next = self.fetch(at + joined.len() as u64)?;
            if joined.is_empty() && next.len() as u64 >= need {
                (self.start, self.buffer) = (at, next);
                return Ok(self.buffer.clone());
            }
            joined.extend_from_slice(&next);
        }
        (self.start, self.buffer) = (at, joined.into());
        Ok(self.buffer.clone())
    }

    /// Exactly `len` bytes from `at`.
    pub(super) fn exact(&mut self, at: u64, len: u64) -> Result<Bytes> {
        let bytes = self.get(at, len)?;
        match usize::try_from(len) {
            Ok(len) if len <= bytes.len() => Ok(bytes.slice(..len)),
            _ => Err(self.corrupt(at, format!("{len} bytes wanted, {} left", bytes.len()))),
        }
    }

    fn fetch(&mut self, start: u64) -> Result<Bytes> {
        let mut ahead = match self.ahead.take() {
            Some(ahead) if ahead.start == start => ahead,
            _ => self.launch(start),
        };
        let next = start + WINDOW;
        if next < self.end {
            self.ahead = Some(self.launch(next));
        }
        let task = &mut ahead.task;
        self.wait.on(async { task.await.unwrap_or(Err(Error::Cancelled)) })
    }

    fn launch(&self, start: u64) -> Ahead {
        let (bucket, block, file) = (self.bucket.clone(), self.block, self.file.clone());
        let range = start..(start + WINDOW).min(self.end);
        let task = self.wait.runtime.spawn(async move { read(&bucket, block, &file, range).await });
        Ahead { start, task }
    }

    /// Takes bytes into the section's checksum.
    pub(super) fn checked(&mut self, bytes: &[u8]) {
        self.crc = encoding::crc32c_append(self.crc, bytes);
    }

    pub(super) fn uvarint(&mut self, at: &mut u64) -> Result<u64> {
        let bytes = self.get(*at, 10)?;
        let Some((value, len)) = crate::symbols::uvarint(&bytes) else {
            return Err(self.corrupt(*at, "number cut short"));
        };
        self.crc = encoding::crc32c_append(self.crc, &bytes[..len]);
        *at += len as u64;
        Ok(value)
    }

    pub(super) fn be32(&mut self, at: &mut u64) -> Result<u32> {
        let bytes = self.exact(*at, 4)?;
        self.crc = encoding::crc32c_append(self.crc, &bytes);
        *at += 4;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A text with its length before it.
    pub(super) fn text(&mut self, at: &mut u64, max: u64) -> Result<Bytes> {
        let begin = *at;
        let len = self.uvarint(at)?;
        if len > max || len > self.end.saturating_sub(*at) {
            return Err(self.corrupt(begin, format!("text of {len} bytes")));
        }
        let bytes = self.exact(*at, len)?;
        self.crc = encoding::crc32c_append(self.crc, &bytes);
        *at += len;
        Ok(bytes)
    }

    /// Begins a section at `at`: its end, without the checksum.
    pub(super) fn begin_section(&mut self, at: &mut u64) -> Result<u64> {
        let begin = *at;
        let len = u64::from(self.be32(at)?);
        self.crc = 0;
        match *at + len + 4 <= self.end {
            true => Ok(*at + len),
            false => Err(self.corrupt(begin, format!("section of {len} bytes does not fit"))),
        }
    }

    /// Ends it: everything in it was read, and the checksum is right.
    pub(super) fn end_section(&mut self, at: u64, end: u64, what: &str) -> Result<()> {
        if at != end {
            return Err(self.corrupt(at, format!("{what} ends {} bytes off", at.abs_diff(end))));
        }
        let (computed, mut at) = (self.crc, at);
        let stored = self.be32(&mut at)?;
        match computed == stored {
            true => Ok(()),
            false => Err(self.corrupt(end, format!("{what}: checksum is {computed:08x}, stored is {stored:08x}"))),
        }
    }
}
