//! Prometheus' write-ahead log: segments, pages and fragments, the records inside, checkpoints. Bytes only: what the
//! records mean is the head's business.
//!
//! A log is a directory of segment files `00000000`, `00000001` …, made of pages of 32 KiB, in which records lie in
//! fragments with a checksum each. [`Writer`] appends records, [`Reader`] gives them back, [`record`] encodes and decodes
//! them in columns, [`checkpoint`] replaces old segments by what is still needed of them. The same framing holds the log of
//! out-of-order samples (WBL) and snapshots of the head's chunks.
//!
//! Where Prometheus stops at the first corrupt byte and deletes what follows, [`Reader`] tells the corruption and goes on at
//! the next record that is whole.
//!
//! Format: <https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/wal.md>; where that page and the code
//! differ, it is as the code does.

pub mod checkpoint;
mod compression;
mod disk;
mod follower;
mod page;
mod reader;
pub mod record;
mod scanner;
mod segments;
mod tail;
mod writer;

pub use compression::{Compression, RECORD_BYTES_MAX, Unpacker};
pub use disk::{Disk, LocalDisk, SegmentFile};
pub use follower::Follower;
pub use page::{Corruption, PAGE_BYTES, Position};
pub use reader::{Entry, Packed, Reader};
pub use segments::{Segment, list as list_segments, remove_below, segment_name, size_bytes};
pub use tail::Torn;
pub use writer::{Error, Options, Unsynced, Writer};
