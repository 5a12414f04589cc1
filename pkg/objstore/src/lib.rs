//! The bucket: bytes under names in an object store, configured as Thanos configures it.
//!
//! [`Config::parse`] reads Thanos' YAML, [`Config::open`] makes a [`Bucket`]: a cheap clone over `object_store` with
//! the prefix, limits, metrics and checks already around it. Decorators are [`decorate::Hook`]s, one file each.
//!
//! Retries: one HTTP request is retried by `object_store` itself (5xx, 429, 408, broken connections; exponential with
//! jitter, bounded in number and time), since only it can re-sign a request and go on in the middle of a body. On top of
//! that [`Bucket`] repeats reads that came short and puts a deadline over each operation.
//!
//! This crate does not know what a block is.

mod bucket;
mod config;
mod error;
mod http;
mod local;
mod page;
mod parts;
mod pool;
mod probe;
mod unfinished;

pub mod conformance;
pub mod decorate;
pub mod faults;
pub mod latency;
pub mod limit;
pub mod metrics;
pub mod traced;

pub use bucket::{Bucket, Created, Object, RangeBody, Settings};
pub use config::{Config, ConfigError, OpenOptions, Provider, aws_environment};
pub use decorate::Op;
pub use error::{Error, ErrorKind, Result};
pub use parts::PartsWriter;
pub use pool::{BufferPool, PooledBuffer};
pub use probe::ConditionalCreate;
pub use unfinished::{Unfinished, UnfinishedMarker, UnfinishedPage, UnfinishedUpload};
