//! What a host does, under the names of Prometheus' node exporter: CPU, memory, load, disks, file systems, network and
//! the kernel's own figures, read from `/proc` and `/sys` when a page is asked for. Names, labels, units and what is left
//! out are those of node_exporter 1.x, so its dashboards and alerts work on it; `tests/beside_node_exporter.rs` holds it
//! against a real one and lists what it has more.
//!
//! [`Host::collect`] gives the page, [`routes`] serves it as `/metrics`.
//!
//! - Reading is bounded. A file that is missing or odd costs its own collector, which
//!   `node_scrape_collector_success{collector="…"} 0` says.
//! - A mount that hangs (a network file system without its server) is given up after a time, has
//!   `node_filesystem_device_error` 1, and is left alone until it answers.
//! - Elsewhere than on Linux the page is empty.

mod cpu;
mod disks;
mod files;
mod filesystems;
mod host;
mod identity;
mod interfaces;
mod kernel;
mod memory;
mod page;
mod protocols;
mod sensors;
mod serve;
mod statfs;

pub use files::Roots;
pub use host::{Host, Options};
pub use serve::routes;
