//! The seams. Reading: [`SeriesSource`] is what a block, a bucket, a live Prometheus, a remote StoreAPI, a fan-out over
//! many of them and a test's memory have in common. Series cross it label-sorted, in batches, with *encoded* chunks.
//! Writing: [`append`], in columns, a transaction at a time. What an endpoint tells of itself: [`Inspect`].
//!
//! Partial success is a value: warnings travel beside the data. This crate knows no gRPC, no files, no bucket.

mod ahead;
pub mod append;
mod budget;
mod chunk;
pub mod conformance;
mod context;
mod error;
mod external;
mod hints;
mod inspect;
mod memory;
mod merge;
mod operate;
mod origin;
mod origins;
mod projection;
mod select;
mod source;

pub use ahead::{Ahead, AheadSender, STILL_AFTER, ahead, read_ahead, read_ahead_blocking};
pub use budget::{Budget, Reservation};
pub use chunk::{AggrChunk, Aggregate, Aggregates, Chunk, ChunkData, EncodedChunk, Series, replica_id};
pub use context::Ctx;
pub use error::Error;
pub use external::{Narrowed, Sorter, WithExternalLabels, narrow};
pub use hints::{HintSink, Hints, ItemStats, ReadStats};
pub use inspect::{
    ActiveTarget, AlertInstance, AlertRule, AlertState, ExemplarsQuery, ExemplarsSource, Inspect, MetadataByMetric,
    MetadataQuery, MetadataSource, Rule, RuleGroup, RuleKind, RulesQuery, RulesSource, StatisticsByTenant,
    StatisticsQuery, StatisticsSource, TargetHealth, TargetState, Targets, TargetsQuery, TargetsSource, TsdbStatistics,
};
pub use memory::MemorySource;
pub use merge::{merge_sorted_names, merge_streams};
pub use operate::{
    RelabelRule, RelabelStep, ReplayProgress, ScrapeView, TargetMetadata, TargetMetadataQuery, TsdbAdmin, TsdbView,
};
pub use origin::{Origin, SourceRead};
pub use origins::noted;
pub use projection::{PLACE, Place, Projection, is_projected};
pub use select::{LabelQuery, PartialResponse, Select, Shard};
pub use source::{Answer, SeriesEvent, SeriesSource, SeriesStream, SourceInfo, collect_series};

/// What seam functions return.
pub type Result<T> = std::result::Result<T, Error>;
