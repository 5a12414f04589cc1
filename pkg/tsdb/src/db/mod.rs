//! An opened data directory: the head and the blocks, read as one, and the work on them in the background.

mod admin;
mod blocks;
mod close;
mod compaction;
mod copy;
mod cut;
mod deletion;
mod disk;
mod error;
mod files;
mod lock;
mod log;
mod maintain;
mod metrics;
mod options;
mod plan;
mod read_only;
mod retention;
mod rounds;
mod save;
mod saving;
mod seams;
mod source;
mod stale;
#[cfg(test)]
mod tests;
mod tsdb;
mod view;
mod work;
mod write;

pub use admin::Admin;
pub use disk::{Disk, RealDisk, Space};
pub use error::{Error, Result};
pub(crate) use lock::DirLock;
pub use options::{DEFAULT_BLOCK_MS, Retention, TsdbDeps, TsdbOptions};
pub use read_only::ReadOnly;
pub use tsdb::Tsdb;
