//! `aion rule`: rules and alerts over any queriers, in place of Thanos' ruler.
//!
//! [`flags`](command) → [`Config`] → the component. `rules` evaluates; [`queriers::Queriers`] asks queriers by HTTP or gRPC,
//! one after the other until one answers. What is recorded goes into a TSDB of its own, which serves the StoreAPI and whose
//! blocks are uploaded, or by remote write to other storages. Alerts go to Alertmanagers through `notifier`.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod addresses;
mod alerts;
mod clients;
mod component;
mod config;
mod flags;
mod grpc_query;
mod http_query;
mod labelled;
mod metrics;
mod queriers;
mod recorded;
mod rule_files;

pub use component::{Ruler, run};
pub use config::Config;
pub use flags::command;
