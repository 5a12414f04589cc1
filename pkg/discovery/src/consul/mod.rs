//! Services of a Consul catalog: `consul_sd_configs`.

mod api;
mod discoverer;
mod target;

pub use api::{ConsulApi, ConsulMetrics, HttpConsul, Indexed, Services};
pub use discoverer::{ConsulDiscoverer, ConsulLimits};
pub use target::{Check, Instance, Node, Service};
