//! How the memory of a job is shared out between reading and writing.

use objstore::Bucket;

use crate::fetch::Windows;
use crate::job::Limits;
use crate::object::Parts;
use crate::part::PartPool;

/// Stores take 10 000 parts of an object.
const PARTS_MAX: u64 = 9_000;
/// Stores refuse smaller parts.
const PART_BYTES_MIN: u64 = 5 << 20;

/// Sizes of reads and writes that fit into the memory of a job.
pub(crate) struct Buffers {
    limits: Limits,
    is_local: bool,
    multipart: bool,
    part_bytes: u64,
    pool: PartPool,
}

impl Buffers {
    pub(crate) fn new(limits: &Limits, bucket: &Bucket) -> Self {
        let settings = bucket.settings();
        Self {
            limits: limits.clone(),
            is_local: settings.is_local,
            multipart: settings.multipart,
            part_bytes: settings.part_bytes,
            pool: PartPool::default(),
        }
    }

    /// Half of the memory is for reading: each thread has, for each input, a window in use and some read ahead.
    ///
    /// Windows are so small that they are still in the processor's cache when they are decoded.
    pub(crate) fn windows(&self, inputs: usize, shards: usize) -> Windows {
        let share = self.limits.memory_bytes / 2 / (inputs * shards).max(1) as u64;
        if self.is_local {
            return Windows { max: (share / 2).clamp(64 << 10, 256 << 10), ahead: 0 };
        }
        let max = (share / 6).clamp(256 << 10, 1 << 20);
        Windows { max, ahead: (share / max).saturating_sub(2).clamp(1, 4) as usize }
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        match self.multipart {
            true => self.limits.segment_bytes,
            // Each segment is held in memory.
            false => self.limits.segment_bytes.min((self.limits.memory_bytes / 4).max(1 << 20)),
        }
    }

    /// The other half is for writing: each thread has two parts in flight, one waiting and one being filled.
    pub(crate) fn parts(&self, shards: usize, object_bytes: u64) -> Parts {
        let share = self.limits.memory_bytes / 2 / shards as u64;
        let usual = self.part_bytes;
        let least = PART_BYTES_MIN.min(usual).max(object_bytes / PARTS_MAX);
        let bytes = (share / 4).clamp(least, usual.min(8 << 20).max(least));
        Parts {
            bytes,
            in_flight: if bytes * 4 <= share { 2 } else { 1 },
            hash: self.limits.hash,
            pool: self.pool.clone(),
        }
    }
}
