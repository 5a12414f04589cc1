//! The Prometheus HTTP API v1, with Thanos' parameters, over an evaluator and a source of series.
//!
//! [`router`] serves it. An [`Evaluate`](promql::Evaluate) answers queries, a [`QuerySource`](promql::QuerySource) says where
//! the series of label requests come from, an [`Inspect`](storage::Inspect) knows rules, targets and metadata. Answers are written straight into bytes and streamed;
//! what was written is dropped.

mod active;
pub mod envelope;
mod error;
mod explain;
pub mod federate;
pub mod json;
mod ledger;
mod multipart;
mod notifications;
mod openapi;
mod params;
mod request;
mod router;
mod routes;
mod search;
mod server;
mod shared;
mod snappy;
mod state;
mod stats;
mod summary;
mod tenant;
mod values;

pub use envelope::matrix_json;
pub use error::ApiError;
pub use notifications::{Notification, Notifications, Subscription};
pub use router::router;
pub use server::{Alertmanagers, ConfigLoad, ConfigView, ServerParts};
pub use state::{ApiOptions, ApiState, StoreStatus, StoresAnswer};
