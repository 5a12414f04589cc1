//! The local time series database in Prometheus' data directory: a head in memory with its write-ahead log, blocks of 2 h
//! and longer, their compaction and retention.

pub mod agent;
pub mod db;
pub mod head;
pub mod journal;
pub mod mapped;
pub mod open_chunks;
pub mod replay;
pub mod snapshot;
