//! The Prometheus HTTP API v1, with Thanos' parameters, over an engine and a source of series.

mod state;

pub use state::{ApiOptions, ApiState, QuerySource, SourceOptions, StoreStatus, StoresAnswer};
