//! `aion query`: PromQL over many StoreAPI endpoints, live and historical, with HA replicas deduplicated.
//!
//! [`flags`] → [`Config`] → [`Querier`]. An [`endpoints::EndpointSet`] knows who is out there and what each has;
//! [`fanout::FanOut`] asks those that matter and merges their streams; [`source`] adds deduplication per request; the
//! engine (`promql`) and the HTTP API (`api`) sit on top. The same fan-out is served over gRPC, so queriers stack.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod at_store;
mod chosen_sets;
mod component;
mod config;
mod distributed;
pub mod endpoints;
pub mod fanout;
mod flags;
mod inspect;
pub mod parts;
mod source;
mod strays;
mod tenant_file;

pub use component::{Querier, run};
pub use config::Config;
pub use flags::command;
