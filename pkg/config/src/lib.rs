//! The configuration of a Prometheus server: `prometheus.yml` with the files that it names.
//!
//! [`load`] reads it for running, [`check`] to be looked at. Each key of Prometheus is read and checked as Prometheus does
//! it; what is read and not in force yet is told in [`Loaded::warnings`].

mod alerting;
mod files;
mod headers;
mod load;
mod main_file;
mod notifying;
mod otlp;
mod remote;
mod rules;
mod storage;
mod targets;
mod tracing;
mod warnings;

pub use alerting::{AlertingConfig, AlertmanagerConfig};
pub use discovery::glob;
pub use files::checksum;
pub use load::{ConfigError, LoadOptions, Loaded, check, load};
pub use main_file::{Config, Job, RuntimeConfig};
pub use otlp::{OtlpConfig, TranslationStrategy};
pub use remote::{
    AzureAd, GoogleIam, MetadataConfig, QueueConfig, RemoteReadConfig, RemoteReadYaml, RemoteWriteConfig,
    RemoteWriteYaml, SigV4, parse_remote_write,
};
pub use storage::{ExemplarsConfig, FloatEncoding, RetentionConfig, StorageConfig, TsdbConfig};
pub use targets::{Discoverers, DiscoveryLimits, ProviderConfig, SdConfigs};
pub use tracing::TracingConfig;
pub use warnings::Warning;
