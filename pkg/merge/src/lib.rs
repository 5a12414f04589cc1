//! Blocks of a bucket into a new block of the bucket, streaming: merged, repaired, deduplicated, deleted from,
//! downsampled.
//!
//! Chunks come by sequential ranged reads and go by multipart upload; on disk lie the inputs' indexes and what the new
//! index is made from, never chunks. Memory follows a budget, not the size of the blocks. What to merge is decided
//! elsewhere: this crate is told the inputs and gives back the new block's meta, which its caller makes visible.

mod job;

pub use job::{Counts, Deletion, Downsampling, Finished, Input, Job, Options, Output, Progress, Repairs, Vertical};
