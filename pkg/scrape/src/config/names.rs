//! Words of the configuration: protocols, and how names are checked and escaped.

use serde::{Deserialize, Serialize};

/// A format that a target may answer in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub enum ScrapeProtocol {
    /// Delimited protobuf, the only one with native histograms.
    PrometheusProto,
    /// `text/plain;version=0.0.4`.
    #[serde(rename = "PrometheusText0.0.4")]
    PrometheusText0_0_4,
    /// `text/plain;version=1.0.0`, with quoted names.
    #[serde(rename = "PrometheusText1.0.0")]
    PrometheusText1_0_0,
    /// `application/openmetrics-text;version=0.0.1`.
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetricsText0_0_1,
    /// `application/openmetrics-text;version=1.0.0`.
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetricsText1_0_0,
}

impl ScrapeProtocol {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }

    /// The media type with its parameters, as the `Accept` header has it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }
}

/// Which names metrics and labels may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationScheme {
    /// Any UTF-8.
    #[default]
    Utf8,
    /// Letters, digits and `_`; in metrics also `:`.
    Legacy,
}

impl ValidationScheme {
    /// Whether a label may have this name.
    pub fn is_label_name(self, name: &str) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => {
                name.chars().all(word) && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
            }
        }
    }
}

/// How a target is asked to write names that are not [`ValidationScheme::Legacy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EscapingScheme {
    /// As they are.
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// Other characters become `_`.
    Underscores,
    /// Dots become `_dot_`, other characters `__`.
    Dots,
    /// Other characters become their code points, behind a prefix `U__`.
    Values,
}

impl EscapingScheme {
    /// The value of the parameter `escaping` in the `Accept` header.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// What a scheme of names asks for when nothing is said.
    pub fn of(scheme: ValidationScheme) -> Self {
        match scheme {
            ValidationScheme::Utf8 => Self::AllowUtf8,
            ValidationScheme::Legacy => Self::Underscores,
        }
    }
}
