//! Discoverers made of their configurations.

use std::sync::Arc;
use std::time::Duration;

use discovery::config::{ConsulConfig, DnsConfig, FileConfig, HttpConfig, StaticConfig};
use discovery::consul::{ConsulDiscoverer, ConsulLimits, ConsulMetrics, HttpConsul};
use discovery::file::{FileDiscoverer, FileMetrics};
use discovery::http::HttpLookup;
use discovery::records::{DnsLookup, SystemRecords};
use discovery::{Discoverer, FixedDiscoverer, RefreshDiscoverer, RefreshMetrics};
use discovery_kubernetes::{Clusters, Surroundings};
use telemetry::{Counter, Metrics};

use super::ProviderConfig;

/// Files are read at least this often: they are small, and nobody waits minutes for a target that was written to one.
const FILES_READ_EVERY: Duration = Duration::from_secs(5);

/// What discoverers may take.
#[derive(Debug, Clone, Copy)]
pub struct DiscoveryLimits {
    /// Bytes of an answer of an HTTP server or of Consul.
    pub body_bytes_max: usize,
    /// Requests to a Consul.
    pub consul: ConsulLimits,
}

impl Default for DiscoveryLimits {
    fn default() -> Self {
        Self { body_bytes_max: 256 << 20, consul: ConsulLimits::default() }
    }
}

/// Makes discoverers, which count in the same metrics.
#[derive(Debug)]
pub struct Discoverers {
    limits: DiscoveryLimits,
    refresh: RefreshMetrics,
    files: FileMetrics,
    http_failures: Counter,
    dns_lookups: Counter,
    dns_failures: Counter,
    consul: ConsulMetrics,
    clusters: Clusters,
}

impl Discoverers {
    /// Registers the metrics of all mechanisms. `surroundings` are what discovery in Kubernetes needs.
    pub fn new(metrics: &Metrics, limits: DiscoveryLimits, surroundings: Surroundings) -> Self {
        let counter = |name, help| metrics.counter(name, help);
        Self {
            limits,
            refresh: RefreshMetrics::new(metrics),
            files: FileMetrics::new(metrics),
            http_failures: counter(
                "prometheus_sd_http_failures_total",
                "Lists of targets that an HTTP server did not give.",
            ),
            dns_lookups: counter("prometheus_sd_dns_lookups_total", "DNS names that were looked up."),
            dns_failures: counter("prometheus_sd_dns_lookup_failures_total", "DNS names that no server answered for."),
            consul: ConsulMetrics::new(metrics),
            clusters: Clusters::new(surroundings, metrics),
        }
    }

    /// A discoverer; `set` is the first of the sets that it is for.
    ///
    /// # Errors
    /// What is missing to run it, such as a file with a certificate.
    pub fn build(&self, set: &str, config: &ProviderConfig) -> Result<Box<dyn Discoverer>, String> {
        match config {
            ProviderConfig::Static(lists) => Ok(fixed(lists)),
            ProviderConfig::File(config) => Ok(self.file(config)),
            ProviderConfig::Http(config) => self.http(set, config),
            ProviderConfig::Dns(config) => self.dns(set, config),
            ProviderConfig::Consul(config) => self.consul(config),
            ProviderConfig::Kubernetes(config) => Ok(Box::new(self.clusters.discoverer(config)?)),
        }
    }

    fn file(&self, config: &FileConfig) -> Box<dyn Discoverer> {
        let every = config.refresh_interval.std().min(FILES_READ_EVERY);
        Box::new(FileDiscoverer::new(config.files.clone(), every, self.files.clone()))
    }

    fn http(&self, set: &str, config: &HttpConfig) -> Result<Box<dyn Discoverer>, String> {
        let lookup = HttpLookup::new(config, self.limits.body_bytes_max, self.http_failures.clone())?;
        let every = config.refresh_interval.std();
        Ok(Box::new(RefreshDiscoverer::new(Box::new(lookup), every, &self.refresh, "http", set)))
    }

    fn dns(&self, set: &str, config: &DnsConfig) -> Result<Box<dyn Discoverer>, String> {
        let records = Arc::new(SystemRecords::new()?);
        let lookup = DnsLookup::new(records, config.clone(), self.dns_lookups.clone(), self.dns_failures.clone());
        let every = config.refresh_interval.std();
        Ok(Box::new(RefreshDiscoverer::new(Box::new(lookup), every, &self.refresh, "dns", set)))
    }

    fn consul(&self, config: &ConsulConfig) -> Result<Box<dyn Discoverer>, String> {
        let api = Arc::new(HttpConsul::new(config, self.limits.body_bytes_max, self.consul.clone())?);
        Ok(Box::new(ConsulDiscoverer::new(api, config.own.clone(), self.limits.consul)))
    }
}

fn fixed(lists: &[StaticConfig]) -> Box<dyn Discoverer> {
    Box::new(FixedDiscoverer::new(lists.iter().enumerate().map(|(i, list)| list.group(i)).collect()))
}
