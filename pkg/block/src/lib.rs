//! One TSDB block, as Prometheus and Thanos write it: reading, writing, and the pieces of its index for readers that
//! have only byte ranges of it.
//!
//! Every CRC is checked on every read. Formats: `docs/formats/blocks.md`.

mod error;
mod id;
pub mod meta;

pub use error::{Error, Result};
pub use id::{BlockId, BlockIdError};
pub use meta::{BlockMeta, ThanosMeta};
