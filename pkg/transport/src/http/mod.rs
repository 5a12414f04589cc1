//! HTTP: the routes every component has, the web configuration file, request metrics, clients from YAML.

pub mod answers;
mod clean;
mod client;
mod common;
mod metrics;
pub mod pages;
mod profile;
mod rate_limit;
mod web_config;

pub use client::{ClientConfig, GetAnswer, GetError, HttpClient, RepeatedGet, TlsConfig, read_answer, send_again};
pub use common::{Probe, common_routes, compression};
pub use metrics::HttpMetrics;
pub use pages::Prefixes;
pub use web_config::{WebConfig, WebGuard};
