//! `aion demo`: a whole system in one process, on one command: a bucket on disk with some days of history (two clusters
//! of two HA replicas each), the replicas themselves, which go on with it, a store gateway, a compactor, a querier, and,
//! where a `prometheus` is on PATH, a live Prometheus with a sidecar. The parts are started with the very command lines an
//! operator would write, and the demo prints them.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod component;
mod flags;
mod fleet;
mod history;
mod live;
mod prometheus;

pub use component::run;
pub use flags::command;
pub use history::{History, backfill};
