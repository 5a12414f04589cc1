//! Memory for ranges that are read, used again from read to read. Large buffers that are freed and allocated for each read
//! cost page faults each time, and each thread that reads keeps some of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Smaller buffers are the allocator's business.
const POOLED_BYTES_MIN: usize = 16 << 10;
/// Capacities are multiples of this, so that buffers fit more than one length.
const STEP_BYTES: usize = 64 << 10;

/// Buffers that are not in use, up to a number of bytes. Cheap to clone; clones share.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    idle: Mutex<Idle>,
    idle_bytes_max: usize,
}

#[derive(Default)]
struct Idle {
    /// Buffers that nobody uses, by capacity.
    buffers: BTreeMap<usize, Vec<Vec<u8>>>,
    bytes: usize,
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("idle_bytes", &self.idle_bytes()).finish_non_exhaustive()
    }
}

impl BufferPool {
    /// A pool that keeps at most `idle_bytes_max` of unused memory.
    pub fn new(idle_bytes_max: usize) -> Self {
        Self { shared: Arc::new(Shared { idle: Mutex::default(), idle_bytes_max }) }
    }

    /// An empty buffer with room for `len` bytes, and at most as much again.
    pub fn take(&self, len: usize) -> PooledBuffer {
        let idle = (len >= POOLED_BYTES_MIN).then(|| self.shared.idle.lock().take(len)).flatten();
        let capacity = if len >= POOLED_BYTES_MIN { len.next_multiple_of(STEP_BYTES) } else { len };
        let bytes = idle.unwrap_or_else(|| Vec::with_capacity(capacity));
        PooledBuffer { bytes, pool: Some(self.shared.clone()) }
    }

    /// Bytes of buffers that nobody uses.
    pub fn idle_bytes(&self) -> usize {
        self.shared.idle.lock().bytes
    }
}

impl Idle {
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let (&capacity, list) = self.buffers.range_mut(len..=len.saturating_mul(2)).next()?;
        let buffer = list.pop();
        if list.is_empty() {
            self.buffers.remove(&capacity);
        }
        self.bytes -= buffer.as_ref().map_or(0, |_| capacity);
        buffer
    }

    fn put(&mut self, mut buffer: Vec<u8>, bytes_max: usize) {
        let capacity = buffer.capacity();
        if capacity < POOLED_BYTES_MIN || capacity > bytes_max {
            return;
        }
        // The smallest make way: they are the cheapest to allocate again.
        while self.bytes + capacity > bytes_max {
            let Some(mut entry) = self.buffers.first_entry() else { return };
            let size = *entry.key();
            entry.get_mut().pop();
            if entry.get().is_empty() {
                entry.remove();
            }
            self.bytes -= size;
        }
        buffer.clear();
        self.bytes += capacity;
        self.buffers.entry(capacity).or_default().push(buffer);
    }
}

/// A buffer that goes back to its pool when the last [`Bytes`] made of it is dropped.
pub struct PooledBuffer {
    bytes: Vec<u8>,
    pool: Option<Arc<Shared>>,
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuffer").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl PooledBuffer {
    /// The buffer, to be filled.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The bytes that were filled in; the memory returns to the pool when they are dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.idle.lock().put(std::mem::take(&mut self.bytes), pool.idle_bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &BufferPool, len: usize) -> Bytes {
        let mut buffer = pool.take(len);
        buffer.bytes_mut().resize(len, 7);
        buffer.freeze()
    }

    #[test]
    fn memory_comes_back() {
        let pool = BufferPool::new(1 << 20);
        let body = filled(&pool, 100_000);
        let (at, slice) = (body.as_ptr(), body.slice(5..10));
        drop(body);
        assert_eq!(pool.idle_bytes(), 0, "a slice still holds it");
        drop(slice);
        assert_eq!(pool.idle_bytes(), 131_072);
        let again = filled(&pool, 120_000);
        assert_eq!((again.as_ptr(), again.len(), pool.idle_bytes()), (at, 120_000, 0));
    }

    #[test]
    fn only_what_fits_is_used_and_kept() {
        let pool = BufferPool::new(200_000);
        drop((filled(&pool, 100_000), filled(&pool, 65_536)));
        assert_eq!(pool.idle_bytes(), 196_608);
        // Not twice as large a buffer for it, and nothing above the limit is kept.
        drop(filled(&pool, 20_000));
        assert_eq!(pool.idle_bytes(), 196_608);
        // Small ones are not kept.
        drop(filled(&pool, 100));
        assert_eq!(pool.idle_bytes(), 196_608);
        assert_eq!(filled(&pool, 60_000).len(), 60_000);
    }
}
