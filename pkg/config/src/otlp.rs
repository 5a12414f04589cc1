//! The section `otlp`.

use std::collections::BTreeSet;

use scrape::config::ValidationScheme;
use serde::{Deserialize, Serialize};
use yaml::{Error, Node, is_default};

/// How metrics of OpenTelemetry become series.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// All attributes of the resource become labels. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub promote_all_resource_attributes: bool,
    /// Attributes of the resource that become labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promote_resource_attributes: Vec<String>,
    /// With `promote_all_resource_attributes`: those that do not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_resource_attributes: Vec<String>,
    /// How names are changed: `UnderscoreEscapingWithSuffixes`, `NoUTF8EscapingWithSuffixes`,
    /// `UnderscoreEscapingWithoutSuffixes` or `NoTranslation`. Default: `UnderscoreEscapingWithSuffixes`.
    #[serde(deserialize_with = "yaml::or_default")]
    pub translation_strategy: TranslationStrategy,
    /// `service.name` and its like stay in `target_info`, too. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub keep_identifying_resource_attributes: bool,
    /// Histograms with explicit buckets become native ones. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub convert_histograms_to_nhcb: bool,
    /// Name, version and attributes of the scope become labels. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub promote_scope_metadata: bool,
    /// Labels that begin with `_` get the prefix `key_`. Default: `true`.
    pub label_name_underscore_sanitization: bool,
    /// Several `_` in a row stay. Default: `true`.
    pub label_name_preserve_multiple_underscores: bool,
}

/// How names of OpenTelemetry become names of series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub enum TranslationStrategy {
    #[default]
    UnderscoreEscapingWithSuffixes,
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    NoTranslation,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            promote_all_resource_attributes: false,
            promote_resource_attributes: Vec::new(),
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

impl OtlpConfig {
    pub(crate) fn from_node(node: &Node, names: ValidationScheme) -> Result<Self, Error> {
        let mut config: Self = node.decode()?;
        let (promoted, ignored) = ("promote_resource_attributes", "ignore_resource_attributes");
        if config.promote_all_resource_attributes && !config.promote_resource_attributes.is_empty() {
            let why = "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured \
                       simultaneously";
            return Err(node.error_at(promoted, why));
        }
        if !config.promote_all_resource_attributes && !config.ignore_resource_attributes.is_empty() {
            let why =
                "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true";
            return Err(node.error_at(ignored, why));
        }
        tidy(&mut config.promote_resource_attributes, "promoted")
            .map_err(|why| node.error_at(promoted, format!("invalid 'promote_resource_attributes': {why}")))?;
        tidy(&mut config.ignore_resource_attributes, "ignored")
            .map_err(|why| node.error_at(ignored, format!("invalid 'ignore_resource_attributes': {why}")))?;
        use TranslationStrategy as T;
        let utf8 = matches!(config.translation_strategy, T::NoTranslation | T::NoUtf8EscapingWithSuffixes);
        if utf8 && names == ValidationScheme::Legacy {
            let strategy = node.get("translation_strategy").and_then(Node::text).unwrap_or_default();
            let why = format!("OTLP translation strategy {strategy:?} is not allowed when UTF8 is disabled");
            return Err(node.error_at("translation_strategy", why));
        }
        Ok(config)
    }
}

/// Trims names, and refuses those that are empty or there twice.
fn tidy(names: &mut [String], adjective: &str) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        *name = name.trim().to_owned();
        if name.is_empty() {
            return Err(format!("empty {adjective} OTel resource attribute"));
        }
        if !seen.insert(name.clone()) {
            return Err(format!("duplicated {adjective} OTel resource attribute {name:?}"));
        }
    }
    Ok(())
}
