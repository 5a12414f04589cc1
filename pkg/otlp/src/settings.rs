//! How metrics become series.

use std::collections::BTreeSet;

/// How names of OpenTelemetry become names of series; the words are those of `otlp.translation_strategy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in the configuration")]
pub enum Strategy {
    #[default]
    UnderscoreEscapingWithSuffixes,
    NoUtf8EscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    NoTranslation,
}

impl Strategy {
    /// Whether characters that names could not have before UTF-8 was allowed become underscores.
    pub fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    /// Whether unit and type are added to the names of metrics.
    pub fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// What becomes of data points that hold the difference to the point before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeltaMode {
    /// They are rejected.
    #[default]
    Reject,
    /// They are summed up in memory (`otlp-deltatocumulative`).
    ToCumulative,
    /// They are stored as they are, their type unknown (`otlp-native-delta-ingestion`).
    Native,
}

/// The section `otlp` of the configuration, and what flags say of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How names are changed.
    pub strategy: Strategy,
    /// All attributes of the resource but [`Settings::resource_attributes`] become labels of its series; else only these.
    pub promote_all_resource_attributes: bool,
    /// Attributes of the resource that become labels, or with the switch before it those that do not.
    pub resource_attributes: BTreeSet<String>,
    /// `service.name` and its like are labels of `target_info`, too.
    pub keep_identifying_resource_attributes: bool,
    /// Histograms with explicit buckets become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Name, version, schema and attributes of the scope become labels.
    pub promote_scope_metadata: bool,
    /// Labels that begin with one underscore get the prefix `key`.
    pub label_name_underscore_sanitization: bool,
    /// Several underscores in a row stay in names of labels.
    pub label_name_preserve_multiple_underscores: bool,
    /// Labels `__type__` and `__unit__`.
    pub type_and_unit_labels: bool,
    /// What becomes of deltas.
    pub delta: DeltaMode,
    /// Half of this is the distance of the samples of `target_info`, ms; the look-back of queries.
    pub lookback_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            promote_all_resource_attributes: false,
            resource_attributes: BTreeSet::new(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
            type_and_unit_labels: false,
            delta: DeltaMode::Reject,
            lookback_ms: 5 * 60 * 1000,
        }
    }
}

impl Settings {
    /// Whether this attribute of a resource becomes a label of its series.
    pub(crate) fn promotes(&self, attribute: &str) -> bool {
        self.resource_attributes.contains(attribute) != self.promote_all_resource_attributes
    }
}
