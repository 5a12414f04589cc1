//! Blocks of a bucket into a new block of the bucket, streaming: merged, repaired, deduplicated, deleted from,
//! downsampled.
//!
//! Chunks come by sequential ranged reads and go by multipart upload; on disk lie the inputs' indexes and what the new
//! index is made from, never chunks. Memory follows a budget, not the size of the blocks. What to merge is decided
//! elsewhere: this crate gets the inputs and returns the new block's meta, which its caller makes visible.

mod bits;
mod buffers;
mod checkpoint;
mod count;
mod cursor;
mod deletion;
mod entries;
mod error;
mod fetch;
mod index;
mod input;
mod job;
mod leftovers;
mod local;
mod object;
mod outputs;
mod part;
mod plan;
mod postings;
mod recode;
mod relabel_pass;
mod run;
mod segments;
mod series;
mod shard;
mod sort;
mod spool;
mod survey;
mod symbols;
mod verify;
mod wait;

pub use error::{Error, Result};
pub use job::{
    Counts, Deletion, Downsampling, Finished, INDEX_BYTES_MAX, Input, Job, Limits, Options, Output, Progress, Repairs,
    Vertical,
};
pub use run::run;
pub use verify::{BlockReport, Depth, Problem, verify_block, verify_files};
