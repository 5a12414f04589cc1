//! `aion sidecar`: beside a Prometheus server, it uploads the blocks and serves the live data.
//!
//! [`flags`](command) → [`Config`] → [`Sidecar`]. [`PrometheusState`] follows the server (is it there, which external
//! labels, since when has it data); [`bucket::shipper`] brings finished blocks into the bucket; [`source`] and [`inspect`] answer
//! gRPC from Prometheus' API; [`Reloader`] expands its configuration and tells it to read it again.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod component;
mod config;
mod flags;
pub mod inspect;
mod page;
mod prometheus;
pub mod reloader;
pub mod source;

pub use component::{Sidecar, run};
pub use config::Config;
pub use flags::command;
pub use prometheus::{PrometheusError, PrometheusState};
pub use reloader::Reloader;
