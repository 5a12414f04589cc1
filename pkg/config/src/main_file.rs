//! `prometheus.yml` itself.

use std::collections::BTreeMap;
use std::path::Path;

use scrape::config::{FeatureDefaults, GlobalConfig, ScrapeConfig};
use serde::{Deserialize, Serialize};
use yaml::{Error, Node, Value, is_default};

use crate::alerting::AlertingConfig;
use crate::otlp::OtlpConfig;
use crate::remote::{RemoteReadConfig, RemoteWriteConfig};
use crate::storage::StorageConfig;
use crate::targets::SdConfigs;
use crate::tracing::TracingConfig;

/// All that the main file says, with defaults filled in. Printing it shows no secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Config {
    /// What holds for all.
    pub global: GlobalConfig,
    /// Settings of Go's runtime.
    #[serde(skip_serializing_if = "is_default")]
    pub runtime: RuntimeConfig,
    /// Where alerts go.
    #[serde(skip_serializing_if = "AlertingConfig::is_empty")]
    pub alerting: AlertingConfig,
    /// Patterns of paths of rule files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rule_files: Vec<String>,
    /// Patterns of paths of files with more `scrape_configs`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scrape_config_files: Vec<String>,
    /// The jobs of this file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scrape_configs: Vec<Job>,
    /// What may change of the storage without a restart.
    pub storage: StorageConfig,
    /// Where the server's own traces go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingConfig>,
    /// Servers that samples are sent to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_write: Vec<RemoteWriteConfig>,
    /// Servers that old samples are read from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_read: Vec<RemoteReadConfig>,
    /// How metrics of OpenTelemetry become series.
    pub otlp: OtlpConfig,
}

/// A job: where its targets are, and how they are scraped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// How its targets are scraped.
    #[serde(flatten)]
    pub scrape: ScrapeConfig,
    /// Where its targets are.
    #[serde(flatten)]
    pub discovery: SdConfigs,
}

/// The section `runtime`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// Without effect: there is no garbage collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gogc: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Lists {
    /// Paths of files with rules; parts may hold `?` and `[a-z]`, the last one `*`.
    rule_files: Vec<String>,
    /// Paths of files with more `scrape_configs`; parts may hold `?` and `[a-z]`, the last one `*`.
    scrape_config_files: Vec<String>,
}

impl Config {
    /// Reads the main file. `env` gives variables of the environment for the external labels; nothing else is read, and
    /// names of files stay as they are.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        Self::from_node(&yaml::parse(text)?, env, FeatureDefaults::default())
    }

    pub(crate) fn from_node(
        node: &Node,
        env: &dyn Fn(&str) -> Option<String>,
        features: FeatureDefaults,
    ) -> Result<Self, Error> {
        let (sections, rest) = node.clone().split(is_section)?;
        let lists: Lists = rest.decode()?;
        for (key, paths) in [("rule_files", &lists.rule_files), ("scrape_config_files", &lists.scrape_config_files)] {
            if let Some(i) = paths.iter().position(|path| !is_pattern(path)) {
                let kind = if key == "rule_files" { "rule" } else { "scrape config" };
                let nodes = rest.get(key).map(Node::list).transpose()?.unwrap_or_default();
                let why = format!("invalid {kind} file path {:?}: only the last part may hold one *", paths[i]);
                return Err(nodes.get(i).unwrap_or(&rest).error(why));
            }
        }
        let section = |key: &str| sections.get(key);
        let nothing = Node { line: 1, column: 1, value: Value::Null };
        let global = GlobalConfig::with_features(section("global").unwrap_or(&nothing), env, features)?;
        let names = global.metric_name_validation_scheme;
        Ok(Self {
            runtime: section("runtime").map_or(Ok(RuntimeConfig::default()), Node::decode)?,
            alerting: section("alerting")
                .map_or(Ok(AlertingConfig::default()), |node| AlertingConfig::from_node(node, names))?,
            rule_files: lists.rule_files,
            scrape_config_files: lists.scrape_config_files,
            scrape_configs: section("scrape_configs").map_or(Ok(Vec::new()), |node| jobs(node, &global))?,
            storage: section("storage").map_or(Ok(StorageConfig::default()), StorageConfig::from_node)?,
            tracing: section("tracing").map(TracingConfig::from_node).transpose()?,
            remote_write: named(
                section("remote_write"),
                "remote write",
                |node| RemoteWriteConfig::from_node(node, names),
                |config| &config.own.name,
            )?,
            remote_read: named(section("remote_read"), "remote read", RemoteReadConfig::from_node, |config| {
                &config.own.name
            })?,
            otlp: section("otlp").map_or(Ok(OtlpConfig::default()), |node| OtlpConfig::from_node(node, names))?,
            global,
        })
    }

    /// As `/api/v1/status/config` shows it: with defaults, without secrets.
    ///
    /// # Errors
    /// See [`yaml::print`].
    pub fn to_yaml(&self) -> Result<String, String> {
        yaml::print(self)
    }

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        self.global.resolve_paths(folder);
        self.alerting.resolve_paths(folder);
        for path in self.rule_files.iter_mut().chain(&mut self.scrape_config_files) {
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
        self.scrape_configs.iter_mut().for_each(|job| job.resolve_paths(folder));
        self.tracing.iter_mut().for_each(|tracing| tracing.resolve_paths(folder));
        self.remote_write.iter_mut().for_each(|remote| remote.resolve_paths(folder));
        self.remote_read.iter_mut().for_each(|remote| remote.resolve_paths(folder));
    }
}

fn is_section(key: &str) -> bool {
    let sections = [
        "global",
        "runtime",
        "alerting",
        "scrape_configs",
        "storage",
        "tracing",
        "remote_write",
        "remote_read",
        "otlp",
    ];
    sections.contains(&key)
}

/// A path whose last part may hold `*`.
fn is_pattern(path: &str) -> bool {
    path.split_once('*').is_none_or(|(_, after)| !after.contains('/'))
}

impl Job {
    /// Reads an entry of `scrape_configs`.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node, global: &GlobalConfig) -> Result<Self, Error> {
        if node.is_null() {
            return Err(node.error("empty or null scrape config section"));
        }
        let (sd, own) = node.clone().split(SdConfigs::has_key)?;
        let discovery = SdConfigs::from_node(&sd)?;
        let scrape = ScrapeConfig::from_node(&own, global)?;
        if scrape.relabel_configs.is_empty() {
            discovery.check_addresses(&sd)?;
        }
        Ok(Self { scrape, discovery })
    }

    /// As `/api/v1/scrape_pools/config` shows it: with defaults, without secrets.
    ///
    /// # Errors
    /// See [`yaml::print`].
    pub fn to_yaml(&self) -> Result<String, String> {
        yaml::print(self)
    }

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        self.scrape.resolve_paths(folder);
        self.discovery.resolve_paths(folder);
    }
}

/// The jobs of a list; no two of one name.
pub(crate) fn jobs(list: &Node, global: &GlobalConfig) -> Result<Vec<Job>, Error> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut lines = BTreeMap::new();
    for node in list.list()? {
        let job = Job::from_node(node, global)?;
        let name = &job.scrape.job_name;
        if let Some(line) = lines.insert(name.clone(), node.line) {
            let why = format!("found multiple scrape configs with job name {name:?}, the first one in line {line}");
            return Err(node.error_at("job_name", why));
        }
        jobs.push(job);
    }
    Ok(jobs)
}

/// The entries of a list whose names, where they have one, differ.
fn named<T>(
    list: Option<&Node>,
    kind: &str,
    read: impl Fn(&Node) -> Result<T, Error>,
    name: impl Fn(&T) -> &String,
) -> Result<Vec<T>, Error> {
    let mut out: Vec<T> = Vec::new();
    for node in list.map(Node::list).transpose()?.unwrap_or_default() {
        let one = read(node)?;
        let own = name(&one);
        if !own.is_empty() && out.iter().any(|before| name(before) == own) {
            return Err(node.error_at("name", format!("found multiple {kind} configs with job name {own:?}")));
        }
        out.push(one);
    }
    Ok(out)
}
