//! Targets in Kubernetes clusters: the configuration of `kubernetes_sd_configs`.

mod config;
mod selector;

pub use config::{AttachMetadata, KubernetesSdConfig, Namespaces, Role, Selector};
