//! Targets in Kubernetes clusters: `kubernetes_sd_configs`.
//!
//! [`Clusters`] is made once for a program. It gives each configuration a [`KubernetesDiscoverer`]. All that want the same
//! objects of the same cluster share one watch of them, however many jobs there are. Objects are kept as small as targets need
//! them, and each change of one makes those targets again that were made with it, no others.
//!
//! A watch that fails takes no targets away. It shows as a source of its own with the reason, until it works again.

mod access;
mod cluster;
mod clusters;
mod config;
mod discoverer;
mod limits;
mod metrics;
mod objects;
mod selector;
mod server;
mod store;
mod targets;
mod view;
mod watch;

pub use cluster::Cluster;
pub use clusters::{Clusters, SERVICE_ACCOUNT, Surroundings};
pub use config::{AttachMetadata, KubernetesSdConfig, Namespaces, Role, Selector};
pub use discoverer::KubernetesDiscoverer;
pub use limits::Limits;
pub use server::{Answer, ApiServer};
