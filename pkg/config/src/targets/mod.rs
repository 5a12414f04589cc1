//! How a configuration says where targets are: `static_configs` and all `…_sd_configs`.

mod discoverers;
mod provider;

pub use discoverers::{Discoverers, DiscoveryLimits};
pub use provider::ProviderConfig;

use std::path::Path;

use discovery::config::{
    ConsulConfig, DnsConfig, FileConfig, HttpConfig, Other, StaticConfig, is_other, read_other, serialize_others,
};
use discovery_kubernetes::KubernetesSdConfig;
use serde::Serialize;
use yaml::{Error, Node};

/// All that a job or a set of Alertmanagers says about where its targets are. Printing it shows no secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the sections")]
pub struct SdConfigs {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_configs: Vec<StaticConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub file_sd_configs: Vec<FileConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_sd_configs: Vec<HttpConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_sd_configs: Vec<DnsConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consul_sd_configs: Vec<ConsulConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kubernetes_sd_configs: Vec<KubernetesSdConfig>,
    /// Mechanisms that are not built.
    #[serde(flatten, serialize_with = "serialize_others")]
    pub others: Vec<Other>,
}

/// The mechanisms that are built.
pub const BUILT: [&str; 6] = ["static", "file", "http", "dns", "consul", "kubernetes"];

impl SdConfigs {
    /// Whether a key says where targets are.
    pub fn has_key(key: &str) -> bool {
        let built = |name: &str| key.strip_suffix("_sd_configs") == Some(name) && name != "static";
        key == "static_configs" || BUILT.iter().any(|name| built(name)) || is_other(key)
    }

    /// Reads the keys that [`Self::has_key`] knows.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(keys: &Node) -> Result<Self, Error> {
        let mut configs = Self::default();
        for (key, node) in keys.entries() {
            match key.text.as_str() {
                "static_configs" => configs.static_configs = read(&key.text, node, StaticConfig::from_node)?,
                "file_sd_configs" => configs.file_sd_configs = read(&key.text, node, FileConfig::from_node)?,
                "http_sd_configs" => configs.http_sd_configs = read(&key.text, node, HttpConfig::from_node)?,
                "dns_sd_configs" => configs.dns_sd_configs = read(&key.text, node, DnsConfig::from_node)?,
                "consul_sd_configs" => configs.consul_sd_configs = read(&key.text, node, ConsulConfig::from_node)?,
                "kubernetes_sd_configs" => {
                    configs.kubernetes_sd_configs =
                        read(&key.text, node, |node| KubernetesSdConfig::from_section(node.clone()))?;
                }
                _ => configs.others.push(read_other(key, node)?),
            }
        }
        Ok(configs)
    }

    /// Makes relative names of files count from `folder`.
    pub fn resolve_paths(&mut self, folder: &Path) {
        for config in &mut self.file_sd_configs {
            config.files.iter_mut().for_each(|file| *file = folder.join(&*file).to_string_lossy().into_owned());
        }
        let http = self.http_sd_configs.iter_mut().map(|config| &mut config.http);
        let consul = self.consul_sd_configs.iter_mut().map(|config| &mut config.http);
        http.chain(consul).for_each(|client| client.resolve_paths(folder));
        self.kubernetes_sd_configs.iter_mut().for_each(|config| config.resolve_paths(folder));
    }

    /// The mechanisms that this asks for and that are not built, with the lines of their keys.
    pub fn unsupported(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.others.iter().filter(|other| !other.sections.is_empty()).map(|other| (other.mechanism, other.line))
    }

    /// What is to be run, a provider for each section; all static lists are one.
    pub fn providers(&self) -> Vec<ProviderConfig> {
        let mut out: Vec<ProviderConfig> = Vec::new();
        out.extend(self.file_sd_configs.iter().cloned().map(ProviderConfig::File));
        out.extend(self.http_sd_configs.iter().cloned().map(Box::new).map(ProviderConfig::Http));
        out.extend(self.dns_sd_configs.iter().cloned().map(ProviderConfig::Dns));
        out.extend(self.consul_sd_configs.iter().cloned().map(Box::new).map(ProviderConfig::Consul));
        out.extend(self.kubernetes_sd_configs.iter().cloned().map(Box::new).map(ProviderConfig::Kubernetes));
        // A job without any has an empty list, so that its set is known.
        if !self.static_configs.is_empty() || out.is_empty() {
            out.push(ProviderConfig::Static(self.static_configs.clone()));
        }
        out
    }

    /// Checks that no target of a static list is a URL.
    ///
    /// # Errors
    /// The first that is one, with its place in `keys`, which this was read from.
    pub fn check_addresses(&self, keys: &Node) -> Result<(), Error> {
        let lists = keys.get("static_configs").map(Node::list).transpose()?.unwrap_or_default();
        for list in lists {
            let targets = list.get("targets").map(Node::list).transpose()?.unwrap_or_default();
            if let Some(target) = targets.iter().find(|target| target.text().is_some_and(|text| text.contains('/'))) {
                let text = target.text().unwrap_or_default();
                return Err(target.error(format!("{text:?} is not a valid hostname")));
            }
        }
        Ok(())
    }
}

fn read<T>(key: &str, node: &Node, one: impl Fn(&Node) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    let check = |section: &Node| {
        if section.is_null() { Err(section.error(format!("empty or null section in {key}"))) } else { one(section) }
    };
    node.list()?.iter().map(check).collect()
}
