//! One object of the output, written front to back straight into the bucket.

use objstore::{Bucket, PartsWriter};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::part::{Part, PartPool};
use crate::wait::Wait;

/// How objects are uploaded.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) bytes: u64,
    pub(crate) in_flight: usize,
    /// Whether to compute SHA-256.
    pub(crate) hash: bool,
    /// Where parts take their memory from.
    pub(crate) pool: PartPool,
}

/// Size and hash of an object that was uploaded.
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
    part: Part,
    /// Bytes of the parts that were sent.
    before: u64,
    crc: u32,
    sha: Option<Sha256>,
}

impl ObjectWriter {
    pub(crate) fn create(bucket: &Bucket, wait: &Wait, path: &str, parts: Parts) -> Result<Self> {
        Ok(Self {
            wait: wait.clone(),
            writer: bucket.put_parts_writer_of(path, parts.bytes, parts.in_flight)?,
            part: parts.pool.take(parts.bytes as usize, false)?,
            before: 0,
            crc: 0,
            sha: parts.hash.then(Sha256::new),
            parts,
        })
    }

    /// Bytes of the object written so far.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.before + self.part.len() as u64
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        loop {
            let taken = self.part.fill(bytes);
            if self.part.room() > 0 {
                return Ok(());
            }
            bytes = &bytes[taken..];
            // What fills one part mostly fills another.
            let next = self.parts.pool.take(self.parts.bytes as usize, true)?;
            self.send(next)?;
        }
    }

    fn send(&mut self, next: Part) -> Result<()> {
        let bytes = std::mem::replace(&mut self.part, next).freeze();
        self.before += bytes.len() as u64;
        if let Some(sha) = &mut self.sha {
            sha.update(&bytes);
        }
        self.wait.on(self.writer.write(bytes))
    }

    /// Appends bytes that the section's checksum covers.
    #[inline]
    pub(crate) fn put_checked(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc = encoding::crc32c_append(self.crc, bytes);
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
        self.send(Part::default())?;
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
