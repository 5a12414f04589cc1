//! PromQL over gRPC, both ends: Thanos' Query service (`thanos.Query`) over any [`promql::Evaluate`], and any endpoint that
//! serves it as one. Queriers stack by it, and rulers evaluate where the data is. Beside it, what stands before an evaluator:
//! a [`Queue`] that is fair to tenants, and [`distribute`], which splits a query among several.
//!
//! Wire messages do not leave this crate. Semantics follow Thanos 0.43.

mod client;
mod distribute;
pub mod evaluator;
mod frame;
mod histogram;
mod line;
mod queue;
mod reading;
mod received;
mod server;
mod status;
mod tenants;

pub use client::QueryClient;
pub use distribute::{Distributed, PART_LABEL, distribute};
pub use queue::{Queue, QueueOptions};
pub use reading::Reading;
pub use server::QueryServer;
pub use tenants::{TenantLimits, Tenants};
