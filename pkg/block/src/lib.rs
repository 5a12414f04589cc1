//! One TSDB block, as Prometheus and Thanos write it: reading, writing, and the pieces of its index for readers that
//! have only byte ranges of it.
//!
//! Every CRC is checked on every read. Formats: `docs/formats/blocks.md`.

pub mod chunk_reader;
mod chunk_writer;
mod cut;
mod error;
pub mod expand;
mod id;
pub mod index_header;
mod index_reader;
mod index_writer;
mod keys;
mod labels_reader;
mod local;
mod map;
pub mod meta;
pub mod postings;
mod postings_table;
pub mod series;
pub mod survey;
mod symbols;
pub mod toc;
mod tombstones;
mod writer;

pub use chunk_reader::ChunkReader;
pub use chunk_writer::{ChunkWriter, MAX_SEGMENT_BYTES};
pub use cut::delete_from;
pub use error::{Error, Result};
pub use id::{BlockId, BlockIdError};
pub use index_header::{INDEX_HEADER_FILE, IndexHeader, IndexParts};
pub use index_reader::IndexReader;
pub use index_writer::{IndexSummary, IndexWriter};
pub use labels_reader::LabelsReader;
pub use local::LocalBlock;
pub use map::{MappedFile, map_file};
pub use meta::{BlockMeta, META_FILE, ThanosMeta};
pub use postings_table::PostingsTable;
pub use series::{ChunkMeta, SeriesEntry};
pub use symbols::Symbols;
pub use toc::Toc;
pub use tombstones::{TOMBSTONES_FILE, Tombstones};
pub use writer::{BlockWriter, BlockWriterOptions};
