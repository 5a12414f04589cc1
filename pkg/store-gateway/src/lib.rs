//! The store gateway: the blocks of a bucket as a StoreAPI endpoint.
//!
//! [`Syncer`] keeps the set of blocks in step with the bucket. [`StoreGateway`] answers from them: for each label set the
//! blocks of the right resolution ([`BlockSet`]), each read by ranges — postings, then series entries, then chunks, one
//! round of requests each — and merged. All checksums are checked; a corrupt or vanished block becomes a warning that
//! names it. Bytes are counted before they are fetched, against the request's budget and the process'.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod block_set;
mod blocks_api;
mod bucket_block;
mod cache_config;
mod chunk_cache;
mod clock_cache;
mod component;
mod config;
mod disk_cache;
mod error;
mod flags;
mod gateway;
mod header;
mod header_file;
mod index_body;
mod index_cache;
mod limits;
mod loaded;
mod metrics;
mod read;
mod shared;
mod sync;
mod tombstones;
mod turn;
mod unread;

pub use block_set::{BlockSet, Spans};
pub use bucket_block::BucketBlock;
pub use chunk_cache::{ChunkCache, ChunkCacheOptions};
pub use component::{Store, run};
pub use config::Config;
pub use flags::command;
pub use gateway::StoreGateway;
pub use header::HeaderOptions;
pub use index_cache::{IndexCache, IndexCacheOptions};
pub use limits::Limits;
pub use read::PaceOptions;
pub use sync::{Seen, Syncer};
pub use unread::Unread;
