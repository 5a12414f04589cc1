//! The section `alerting`.

use std::path::Path;
use std::sync::Arc;

use relabel::Rule;
use scrape::config::ValidationScheme;
use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{DurationMs, Error, Node};

use crate::remote::SigV4;
use crate::rules::check_rules;
use crate::targets::SdConfigs;

/// Where alerts go.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AlertingConfig {
    /// Rules for the labels of alerts.
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    pub alert_relabel_configs: Arc<[Rule]>,
    /// Sets of Alertmanagers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// A set of Alertmanagers, and how they are spoken to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertmanagerConfig {
    /// Where they are.
    #[serde(flatten)]
    pub discovery: SdConfigs,
    /// How they are spoken to.
    #[serde(flatten)]
    pub http: ClientConfig,
    /// Signs requests for AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<SigV4>,
    /// `http` or `https`.
    pub scheme: String,
    /// Path before the API's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    /// Time for a request.
    pub timeout: DurationMs,
    /// Always `v2`.
    pub api_version: ApiVersion,
    /// Rules for the labels of Alertmanagers.
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    pub relabel_configs: Arc<[Rule]>,
    /// Rules for the labels of alerts that go to this set.
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    pub alert_relabel_configs: Arc<[Rule]>,
}

/// Version of Alertmanager's API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiVersion {
    /// The only one that Alertmanagers still have.
    #[default]
    V2,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AlertingYaml {
    /// Rules for the labels of alerts.
    alert_relabel_configs: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AlertmanagerYaml {
    /// Signs requests for AWS.
    sigv4: Option<SigV4>,
    /// `http` or `https`. Default: `http`.
    scheme: String,
    /// Path before the API's own.
    path_prefix: String,
    /// Time for a request. Default: `10s`.
    timeout: DurationMs,
    /// Version of Alertmanager's API, only `v2`. Default: `v2`.
    api_version: ApiVersion,
    /// Rules for the labels of Alertmanagers.
    relabel_configs: Vec<Rule>,
    /// Rules for the labels of alerts that go to this set.
    alert_relabel_configs: Vec<Rule>,
}

impl Default for AlertmanagerYaml {
    fn default() -> Self {
        Self {
            sigv4: None,
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            timeout: DurationMs(10_000),
            api_version: ApiVersion::V2,
            relabel_configs: Vec::new(),
            alert_relabel_configs: Vec::new(),
        }
    }
}

impl AlertingConfig {
    pub(crate) fn from_node(node: &Node, names: ValidationScheme) -> Result<Self, Error> {
        let (sets, own) = node.clone().split(|key| key == "alertmanagers")?;
        let yaml: AlertingYaml = own.decode()?;
        check_rules(node, "alert_relabel_configs", &yaml.alert_relabel_configs, names)?;
        let sets = sets.get("alertmanagers").map(Node::list).transpose()?.unwrap_or_default();
        let alertmanagers =
            sets.iter().map(|set| AlertmanagerConfig::from_node(set, names)).collect::<Result<_, _>>()?;
        Ok(Self { alert_relabel_configs: yaml.alert_relabel_configs.into(), alertmanagers })
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        for set in &mut self.alertmanagers {
            set.discovery.resolve_paths(folder);
            set.http.resolve_paths(folder);
        }
    }
}

impl AlertmanagerConfig {
    fn from_node(node: &Node, names: ValidationScheme) -> Result<Self, Error> {
        let (sd, rest) = node.clone().split(SdConfigs::has_key)?;
        let (http, own) = rest.split(ClientConfig::has_key)?;
        let discovery = SdConfigs::from_node(&sd)?;
        let yaml: AlertmanagerYaml = own.decode()?;
        let http = ClientConfig::from_section(&http)?;
        if http.has_credentials() && yaml.sigv4.is_some() {
            let why = "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured";
            return Err(node.error_at("sigv4", why));
        }
        if yaml.relabel_configs.is_empty() {
            discovery.check_addresses(&sd)?;
        }
        check_rules(node, "relabel_configs", &yaml.relabel_configs, names)?;
        check_rules(node, "alert_relabel_configs", &yaml.alert_relabel_configs, names)?;
        Ok(Self {
            discovery,
            http,
            sigv4: yaml.sigv4,
            scheme: yaml.scheme,
            path_prefix: yaml.path_prefix,
            timeout: yaml.timeout,
            api_version: yaml.api_version,
            relabel_configs: yaml.relabel_configs.into(),
            alert_relabel_configs: yaml.alert_relabel_configs.into(),
        })
    }
}
