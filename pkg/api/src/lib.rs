//! The Prometheus HTTP API v1, with Thanos' parameters, over an evaluator and a source of series.
//!
//! [`router`] serves it. An [`Evaluate`](promql::Evaluate) answers queries, a [`QuerySource`](promql::QuerySource) says where
//! the series of label requests come from, an [`Inspect`](storage::Inspect) knows rules, targets and metadata. Answers are written straight into bytes and streamed;
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
pub use state::{ApiOptions, ApiState, StoreStatus, StoresAnswer};
