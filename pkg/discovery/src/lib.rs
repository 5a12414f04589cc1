//! Finds out what there is to ask or to scrape: fixed lists, files, DNS.
//!
//! A [`Discoverer`] knows one or more *sources* (a file's group, a DNS name) and sends the state of each whenever it
//! changes. A [`Manager`] runs many discoverers and merges their sources into [`Snapshot`]s. The meaning of sources and
//! groups is that of Prometheus' `discovery.Manager`: a group replaces the one of the same source, an empty one removes it.
//!
//! The parts that keep state can be used without a task, too: [`file::Files`] and [`dns::Names`].

pub mod config;
pub mod consul;
pub mod dns;
pub mod file;
mod fixed;
mod glob;
pub mod http;
mod manager;
pub mod records;
mod refresh;
mod update;

pub use fixed::FixedDiscoverer;
pub use glob::glob;
pub use manager::{Build, Manager, ManagerHandle, ManagerOptions, Snapshot, TargetSet};
pub use refresh::{Lookup, RefreshDiscoverer, RefreshMetrics};
pub use update::{Changes, Discoverer, Update, Updates};
