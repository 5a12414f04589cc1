//! One thing to run.

use discovery::config::{ConsulConfig, DnsConfig, FileConfig, HttpConfig, StaticConfig};
use discovery_kubernetes::KubernetesSdConfig;

/// The configuration of one discoverer. Equal configurations find the same targets, so that one discoverer serves all jobs
/// that have them.
#[derive(Debug, Clone, PartialEq)]
pub enum ProviderConfig {
    /// Fixed lists.
    Static(Vec<StaticConfig>),
    /// Files.
    File(FileConfig),
    /// A list that an HTTP server gives.
    Http(Box<HttpConfig>),
    /// Records of DNS names.
    Dns(DnsConfig),
    /// Services of a Consul catalog.
    Consul(Box<ConsulConfig>),
    /// Objects of a Kubernetes cluster.
    Kubernetes(Box<KubernetesSdConfig>),
}

impl ProviderConfig {
    /// The mechanism's name, as in metrics.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Static(_) => "static",
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Consul(_) => "consul",
            Self::Kubernetes(_) => "kubernetes",
        }
    }
}
