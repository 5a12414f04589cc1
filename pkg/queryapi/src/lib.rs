//! PromQL over gRPC, both ends: Thanos' Query service (`thanos.Query`) over any [`promql::Evaluate`], and any endpoint that
//! serves it as one. Queriers stack by it, and rulers evaluate where the data is.
//!
//! Wire messages do not leave this crate. Semantics follow Thanos 0.43.

mod client;
mod frame;
mod received;
mod server;
mod status;

pub use client::QueryClient;
pub use server::QueryServer;
