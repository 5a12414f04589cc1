//! What the head needs of others: a log, and a place for full chunks.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use chunkenc::TimedChunk;
use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;
use storage::EncodedChunk;

/// Encoded records in the order of the log, in one buffer.
#[derive(Debug, Clone, Default)]
pub struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    /// Adds the record that `write` appends; none if it appends nothing.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > begin {
            self.ends.push(self.bytes.len());
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(begin, end)| self.bytes.get(begin..*end))
    }
}

/// What one commit has for the logs. Either may be empty.
#[derive(Debug, Default)]
pub struct LogBatch {
    /// For the write-ahead log.
    pub wal: Records,
    /// For the log of late samples.
    pub wbl: Records,
}

/// Why a batch is not in the log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct JournalError {
    pub message: String,
    /// Nothing of the batch is in the log, so that it may be written again.
    pub nothing_written: bool,
}

/// A write-ahead log. Batches are logged in the order of the calls.
pub trait Journal: fmt::Debug + Send + Sync {
    /// Logs a batch; ready when it is where a restart finds it.
    fn log(&self, batch: LogBatch) -> BoxFuture<'static, Result<(), JournalError>>;
}

/// A head without a log: what is in memory is lost with the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn log(&self, _: LogBatch) -> BoxFuture<'static, Result<(), JournalError>> {
        Box::pin(ready(Ok(())))
    }
}

/// Where full chunks are written to (`chunks_head`).
pub trait ChunkSink: fmt::Debug + Send + Sync {
    /// Writes a chunk of the series with this number in the log, and tells where it is, for [`ChunkStore::read`].
    ///
    /// # Errors
    /// Those of the disk. Nothing was written then, or what was is never read.
    fn write(&self, series_ref: u64, chunk: &TimedChunk, out_of_order: bool) -> io::Result<u64>;
}

/// Where full chunks are read from.
pub trait ChunkStore: fmt::Debug + Send + Sync {
    /// The chunk at a place that [`ChunkSink::write`] told.
    ///
    /// # Errors
    /// [`storage::Error::Corrupt`] when it does not hold together, naming the file.
    fn read(&self, mapped_ref: u64) -> storage::Result<EncodedChunk>;

    /// The number of its series in the log, as it was when the chunk was written.
    ///
    /// # Errors
    /// As those of [`ChunkStore::read`].
    fn number(&self, mapped_ref: u64) -> storage::Result<u64>;
}

/// Full chunks in memory: for tests, and for heads that write none.
#[derive(Debug, Default)]
pub struct MemoryChunks {
    chunks: Mutex<BTreeMap<u64, (u64, TimedChunk, bool)>>,
    next: AtomicU64,
}

impl MemoryChunks {
    /// All chunks, in the order of their writing: reference, number of the series, chunk, whether it is of late samples.
    pub fn written(&self) -> Vec<(u64, u64, TimedChunk, bool)> {
        let chunks = self.chunks.lock();
        chunks.iter().map(|(reference, (series, chunk, late))| (*reference, *series, chunk.clone(), *late)).collect()
    }
}

impl ChunkSink for MemoryChunks {
    fn write(&self, series_ref: u64, chunk: &TimedChunk, out_of_order: bool) -> io::Result<u64> {
        let reference = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.chunks.lock().insert(reference, (series_ref, chunk.clone(), out_of_order));
        Ok(reference)
    }
}

impl ChunkStore for MemoryChunks {
    fn read(&self, mapped_ref: u64) -> storage::Result<EncodedChunk> {
        let chunks = self.chunks.lock();
        let found = chunks.get(&mapped_ref);
        let found = found.map(|(_, chunk, _)| EncodedChunk { encoding: chunk.encoding, data: chunk.data.clone() });
        found.ok_or_else(|| storage::Error::Corrupt(format!("no chunk {mapped_ref} in memory")))
    }

    fn number(&self, mapped_ref: u64) -> storage::Result<u64> {
        let found = self.chunks.lock().get(&mapped_ref).map(|(number, ..)| *number);
        found.ok_or_else(|| storage::Error::Corrupt(format!("no chunk {mapped_ref} in memory")))
    }
}
