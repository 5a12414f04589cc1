//! Memory for the parts of an upload, used again from part to part.
//!
//! In large pages where the system gives them: a folder's parts go to the disk from where they are, and each page is held
//! and let go for that.

use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, MmapMut};
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Parts that are not in use. Cheap to clone; clones share.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartPool {
    idle: Arc<Mutex<Vec<MmapMut>>>,
}

impl PartPool {
    /// An empty part with room for `room` bytes; in large pages, if it is new, where it `will_fill`.
    pub(crate) fn take(&self, room: usize, will_fill: bool) -> Result<Part> {
        let fits = |memory: &MmapMut| memory.len() == room;
        let idle = {
            let mut idle = self.idle.lock();
            idle.iter().position(fits).map(|at| idle.swap_remove(at))
        };
        let memory = match idle {
            Some(memory) => memory,
            None => {
                let failed = |source| Error::Local { action: "get memory for", path: "a part".to_owned(), source };
                let memory = MmapMut::map_anon(room).map_err(failed)?;
                // A large page is cleared whole, so that few bytes are better off without. It is advice: pages may be small.
                if will_fill {
                    _ = memory.advise(Advice::HugePage);
                }
                memory
            }
        };
        Ok(Part { memory: Some(memory), len: 0, pool: self.clone() })
    }
}

/// A part that is filled from front to back, and goes back to its pool when the last [`Bytes`] made of it is dropped.
#[derive(Default)]
pub(crate) struct Part {
    /// Taken when it is dropped; none = no room.
    memory: Option<MmapMut>,
    len: usize,
    pool: PartPool,
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many more bytes fit.
    pub(crate) fn room(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.len()) - self.len
    }

    /// Appends as many of `bytes` as there is room for; gives how many.
    #[inline]
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        let Some(memory) = &mut self.memory else { return 0 };
        let free = &mut memory[self.len..];
        let len = bytes.len().min(free.len());
        free[..len].copy_from_slice(&bytes[..len]);
        self.len += len;
        len
    }

    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[..self.len])
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.pool.idle.lock().extend(self.memory.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back() {
        let pool = PartPool::default();
        let mut part = pool.take(5, true).unwrap();
        assert_eq!((part.fill(b"abc"), part.fill(b"defg"), part.fill(b"h"), part.room()), (3, 2, 0, 0));
        let bytes = part.freeze();
        let slice = bytes.slice(1..);
        drop(bytes);
        assert_eq!((&slice[..], pool.idle.lock().len()), (&b"bcde"[..], 0));
        drop(slice);
        assert_eq!(pool.idle.lock().len(), 1);
        // Only what fits is used again, and it is empty.
        assert!(pool.take(6, false).unwrap().freeze().is_empty());
        assert_eq!(pool.idle.lock().len(), 2);
        assert_eq!(pool.take(5, true).unwrap().len(), 0);
        assert_eq!(pool.idle.lock().len(), 2);
    }
}
