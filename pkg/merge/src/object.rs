//! One object of the output, written front to back straight into the bucket.

use bytes::Bytes;
use objstore::{Bucket, PartsWriter};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::wait::Wait;

/// How objects are uploaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) bytes: u64,
    pub(crate) in_flight: usize,
    /// Whether to compute SHA-256.
    pub(crate) hash: bool,
}

/// What was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<String>,
}

/// An object being written, and the CRC of the section being written.
pub(crate) struct ObjectWriter {
    wait: Wait,
    writer: PartsWriter,
    parts: Parts,
    buffer: Vec<u8>,
    /// Bytes before the buffer.
    before: u64,
    crc: u32,
    sha: Option<Sha256>,
}

impl ObjectWriter {
    pub(crate) fn create(bucket: &Bucket, wait: &Wait, path: &str, parts: Parts) -> Result<Self> {
        Ok(Self {
            wait: wait.clone(),
            writer: bucket.put_parts_writer_of(path, parts.bytes, parts.in_flight)?,
            parts,
            buffer: Vec::new(),
            before: 0,
            crc: 0,
            sha: parts.hash.then(Sha256::new),
        })
    }

    /// Bytes so far.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.before + self.buffer.len() as u64
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        let part = self.parts.bytes as usize;
        while self.buffer.len() + bytes.len() >= part {
            let (head, tail) = bytes.split_at(part - self.buffer.len());
            self.buffer.extend_from_slice(head);
            self.send()?;
            bytes = tail;
        }
        if self.buffer.capacity() == 0 {
            // Small objects stay small; what grows to a part gets one allocation.
            self.buffer.reserve(if self.before > 0 { part } else { 64 << 10 });
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.before += bytes.len() as u64;
        if let Some(sha) = &mut self.sha {
            sha.update(&bytes);
        }
        self.wait.on(self.writer.write(bytes))
    }

    /// Appends bytes that the section's checksum covers.
    #[inline]
    pub(crate) fn put_checked(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.put(bytes)
    }

    /// Begins a section `be32 len | body | be32 crc`.
    pub(crate) fn begin(&mut self, len: u32) -> Result<()> {
        self.crc = 0;
        self.put(&len.to_be_bytes())
    }

    /// Ends it.
    pub(crate) fn end(&mut self) -> Result<()> {
        let crc = self.crc;
        self.put(&crc.to_be_bytes())
    }

    /// Zeros up to the next multiple of `to`, at most 16.
    pub(crate) fn pad(&mut self, to: u64) -> Result<()> {
        let len = self.at().next_multiple_of(to) - self.at();
        self.put(&[0; 16][..len as usize])
    }

    /// Completes the object.
    pub(crate) fn finish(mut self) -> Result<Uploaded> {
        self.send()?;
        let sha256 = self.sha.map(|sha| sha.finalize().iter().map(|b| format!("{b:02x}")).collect());
        let bytes = self.wait.on(self.writer.finish())?;
        Ok(Uploaded { bytes, sha256 })
    }

    /// Gives the object up.
    pub(crate) fn abort(self) {
        // Also when the job was cancelled, and without an answer that matters.
        self.wait.runtime.block_on(self.writer.abort());
    }
}
