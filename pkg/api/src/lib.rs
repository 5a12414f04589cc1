//! The Prometheus HTTP API v1, with Thanos' parameters, over an engine and a source of series.
//!
//! [`router`] serves it. The engine evaluates, a [`QuerySource`] says where the series of a request come from, an
//! [`Inspect`](storage::Inspect) knows rules, targets and metadata. Answers are written straight into bytes and streamed;
//! what was written is dropped.

mod active;
mod error;
mod explain;
mod json;
mod metadata;
mod objects;
mod params;
mod query;
mod request;
mod respond;
mod router;
mod rules;
mod series;
mod snappy;
mod state;
mod stats;
mod status;
mod summary;
mod targets;
mod tenant;
mod tsdb;
mod values;

pub use respond::matrix_json;
pub use router::router;
pub use state::{ApiOptions, ApiState, QuerySource, SourceOptions, StoreStatus, StoresAnswer};
