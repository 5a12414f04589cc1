//! The section `global`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use labels::Labels;
use serde::{Deserialize, Serialize};
use yaml::{Bytes, DurationMs, Node, is_default};

use super::{DEFAULT_PROTOCOLS_NATIVE, EscapingScheme, ScrapeProtocol, ValidationScheme, check_protocols};

/// What holds for all jobs unless they say otherwise, and for the server as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GlobalConfig {
    /// See [`GlobalYaml`], as all fields.
    pub scrape_interval: DurationMs,
    /// At most `scrape_interval`.
    pub scrape_timeout: DurationMs,
    /// `None`: each job's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// How often rules are evaluated.
    pub evaluation_interval: DurationMs,
    /// How far before now rules look.
    #[serde(skip_serializing_if = "is_default")]
    pub rule_query_offset: DurationMs,
    /// Where queries are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_log_file: Option<PathBuf>,
    /// Where failed scrapes are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_failure_log_file: Option<PathBuf>,
    /// Labels of all that leaves this server; variables of the environment are in place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub external_labels: BTreeMap<String, String>,
    /// Bytes of an uncompressed answer; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub body_size_limit: Bytes,
    /// Samples of a scrape; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub sample_limit: u64,
    /// Targets of a job; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub target_limit: u64,
    /// Labels of a series; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub label_limit: u64,
    /// Bytes of a label's name; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub label_name_length_limit: u64,
    /// Bytes of a label's value; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub label_value_length_limit: u64,
    /// Dropped targets of a job that are shown; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub keep_dropped_targets: u64,
    /// Which names are valid.
    pub metric_name_validation_scheme: ValidationScheme,
    /// How names are escaped; `None` follows from the validation scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    /// Whether native histograms are taken.
    pub scrape_native_histograms: bool,
    /// Whether classic histograms become native ones with custom buckets.
    pub convert_classic_histograms_to_nhcb: bool,
    /// Whether classic histograms are taken beside native ones.
    pub always_scrape_classic_histograms: bool,
    /// Whether more is stored about each scrape.
    pub extra_scrape_metrics: bool,
}

/// Defaults that feature flags change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeatureDefaults {
    /// Protobuf is asked for first, which alone has start timestamps: `created-timestamp-zero-ingestion`, `st-storage`.
    pub protobuf_first: bool,
    /// The default of `extra_scrape_metrics`: the feature of this name.
    pub extra_scrape_metrics: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GlobalYaml {
    /// Time between two scrapes of a target. Default: `1m`.
    scrape_interval: DurationMs,
    /// Time after which a scrape fails. Default: `10s`, or `scrape_interval` where that is shorter.
    scrape_timeout: DurationMs,
    /// Formats that are asked for, the most wanted one first: `PrometheusProto`, `OpenMetricsText0.0.1`,
    /// `OpenMetricsText1.0.0`, `PrometheusText0.0.4`, `PrometheusText1.0.0`. Default: all but `PrometheusProto`, which comes
    /// first with native histograms.
    scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// Time between two evaluations of a rule group. Default: `1m`.
    evaluation_interval: DurationMs,
    /// How long before now rules are evaluated. Default: `0s`.
    rule_query_offset: DurationMs,
    /// File that queries are logged to.
    query_log_file: Option<PathBuf>,
    /// File that failed scrapes are logged to.
    scrape_failure_log_file: Option<PathBuf>,
    /// Labels that are added where data leaves this server. `$NAME` and `${NAME}` stand for variables of the environment,
    /// `$$` for `$`.
    external_labels: BTreeMap<String, String>,
    /// A scrape fails that has more bytes than this, after decompression. Default: `0`, no limit.
    body_size_limit: Bytes,
    /// A scrape fails that has more samples than this. Default: `0`, no limit.
    sample_limit: u64,
    /// The scrapes of a job fail that has more targets than this. Default: `0`, no limit.
    target_limit: u64,
    /// A scrape fails that has a sample with more labels than this. Default: `0`, no limit.
    label_limit: u64,
    /// A scrape fails that has a label whose name has more bytes than this. Default: `0`, no limit.
    label_name_length_limit: u64,
    /// A scrape fails that has a label whose value has more bytes than this. Default: `0`, no limit.
    label_value_length_limit: u64,
    /// Dropped targets of a job that are kept to be shown. Default: `0`, no limit.
    keep_dropped_targets: u64,
    /// Names that metrics and labels may have: `utf8` or `legacy`. Default: `utf8`.
    #[serde(deserialize_with = "yaml::or_default")]
    metric_name_validation_scheme: ValidationScheme,
    /// How targets are asked to write other names: `allow-utf-8`, `underscores`, `dots` or `values`. Default: `allow-utf-8`,
    /// with the scheme `legacy` `underscores`.
    #[serde(deserialize_with = "yaml::unless_empty")]
    metric_name_escaping_scheme: Option<EscapingScheme>,
    /// Whether native histograms are taken. Default: `false`.
    scrape_native_histograms: bool,
    /// Whether classic histograms become native ones with custom buckets. Default: `false`.
    convert_classic_histograms_to_nhcb: bool,
    /// Whether classic histograms are taken, too, where there is a native one. Default: `false`.
    always_scrape_classic_histograms: bool,
    /// Whether `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes` are stored. Default: `false`.
    extra_scrape_metrics: Option<bool>,
}

impl Default for GlobalConfig {
    fn default() -> Self {
        Self::of(GlobalYaml::default(), FeatureDefaults::default())
    }
}

const INTERVAL: DurationMs = DurationMs(60_000);
const TIMEOUT: DurationMs = DurationMs(10_000);

impl GlobalConfig {
    /// Reads the section. `env` gives variables of the environment for the external labels.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, yaml::Error> {
        Self::with_features(node, env, FeatureDefaults::default())
    }

    /// As [`Self::from_node`], with the defaults of feature flags.
    ///
    /// # Errors
    /// As [`Self::from_node`].
    pub fn with_features(
        node: &Node,
        env: &dyn Fn(&str) -> Option<String>,
        features: FeatureDefaults,
    ) -> Result<Self, yaml::Error> {
        let yaml: GlobalYaml = node.decode()?;
        if yaml.scrape_timeout > or(yaml.scrape_interval, INTERVAL) {
            return Err(node.error_at("scrape_timeout", "global scrape timeout greater than scrape interval"));
        }
        for name in yaml.external_labels.keys() {
            if !yaml.metric_name_validation_scheme.is_label_name(name) {
                let labels = node.get("external_labels").unwrap_or(node);
                return Err(labels.error_at(name, format!("{name:?} is not a valid label name")));
            }
        }
        if let Some(protocols) = &yaml.scrape_protocols {
            check_protocols(protocols)
                .map_err(|why| node.error_at("scrape_protocols", format!("{why} for global config")))?;
        }
        let mut global = Self::of(yaml, features);
        for value in global.external_labels.values_mut() {
            *value = expand(value, env);
        }
        Ok(global)
    }

    fn of(yaml: GlobalYaml, features: FeatureDefaults) -> Self {
        let protobuf_first = || features.protobuf_first.then(|| DEFAULT_PROTOCOLS_NATIVE.to_vec());
        let scrape_interval = or(yaml.scrape_interval, INTERVAL);
        Self {
            scrape_interval,
            scrape_timeout: or(yaml.scrape_timeout, TIMEOUT.min(scrape_interval)),
            scrape_protocols: yaml.scrape_protocols.or_else(protobuf_first),
            evaluation_interval: or(yaml.evaluation_interval, INTERVAL),
            rule_query_offset: yaml.rule_query_offset,
            query_log_file: yaml.query_log_file.filter(|path| !path.as_os_str().is_empty()),
            scrape_failure_log_file: yaml.scrape_failure_log_file.filter(|path| !path.as_os_str().is_empty()),
            external_labels: yaml.external_labels,
            body_size_limit: yaml.body_size_limit,
            sample_limit: yaml.sample_limit,
            target_limit: yaml.target_limit,
            label_limit: yaml.label_limit,
            label_name_length_limit: yaml.label_name_length_limit,
            label_value_length_limit: yaml.label_value_length_limit,
            keep_dropped_targets: yaml.keep_dropped_targets,
            metric_name_validation_scheme: yaml.metric_name_validation_scheme,
            metric_name_escaping_scheme: yaml.metric_name_escaping_scheme,
            scrape_native_histograms: yaml.scrape_native_histograms,
            convert_classic_histograms_to_nhcb: yaml.convert_classic_histograms_to_nhcb,
            always_scrape_classic_histograms: yaml.always_scrape_classic_histograms,
            extra_scrape_metrics: yaml.extra_scrape_metrics.unwrap_or(features.extra_scrape_metrics),
        }
    }

    /// Makes relative names of files count from `folder`.
    pub fn resolve_paths(&mut self, folder: &Path) {
        for path in [&mut self.query_log_file, &mut self.scrape_failure_log_file].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    /// The external labels, without those whose variable was empty.
    pub fn external_labels(&self) -> Labels {
        Labels::from_pairs(self.external_labels.iter().filter(|(_, value)| !value.is_empty()))
    }
}

pub(super) fn or(value: DurationMs, default: DurationMs) -> DurationMs {
    if value.0 == 0 { default } else { value }
}

/// `text` with `$NAME` and `${NAME}` replaced, as Go's `os.Expand` does it.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, left) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').unwrap_or(("", after)),
            None if after.starts_with('$') => after.split_at(1),
            None => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                // As in a shell, $12 is $1 and a 2.
                let end = match after.starts_with(|c: char| c.is_ascii_digit()) {
                    true => 1,
                    false => after.find(|c: char| !word(c)).unwrap_or(after.len()),
                };
                after.split_at(end)
            }
        };
        match name {
            "$" => out.push('$'),
            // A lone dollar stays, which has no name behind it.
            "" if !after.starts_with('{') => out.push('$'),
            name => out.push_str(&env(name).unwrap_or_default()),
        }
        rest = left;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "TEST" || name == "1").then(|| "TestValue".to_owned())
    }

    #[test]
    fn variables() {
        for (text, want) in [
            ("foo", "foo"),
            ("foo${TEST}bar", "fooTestValuebar"),
            ("foo$TEST", "fooTestValue"),
            ("foo$$bar", "foo$bar"),
            ("foo$TESTX!", "foo!"),
            ("a$12", "aTestValue2"),
            ("a$", "a$"),
            ("a$-b", "a$-b"),
            ("${TEST}${NONE}$$TEST", "TestValue$TEST"),
        ] {
            assert_eq!(expand(text, &env), want, "{text}");
        }
    }

    #[test]
    fn defaults_and_refusals() {
        let read = |text: &str| GlobalConfig::from_node(&yaml::parse(text).unwrap(), &env);
        assert_eq!(read("").unwrap(), GlobalConfig::default());
        let features = FeatureDefaults { protobuf_first: true, extra_scrape_metrics: true };
        let with = |text: &str| {
            let global = GlobalConfig::with_features(&yaml::parse(text).unwrap(), &env, features).unwrap();
            (global.scrape_protocols.map_or(0, |protocols| protocols.len()), global.extra_scrape_metrics)
        };
        assert_eq!(with(""), (5, true));
        assert_eq!(with("{extra_scrape_metrics: false, scrape_protocols: [PrometheusText0.0.4]}"), (1, false));
        let short = read("scrape_interval: 5s").unwrap();
        assert_eq!((short.scrape_timeout.0, short.evaluation_interval.0), (5000, 60_000));
        for (text, line, why) in [
            ("a: 1", 1, "unknown key \"a\""),
            ("scrape_interval: 1s\nscrape_timeout: 2s", 2, "timeout greater than"),
            ("metric_name_validation_scheme: legacy\nexternal_labels:\n  a: b\n  a.b: c", 4, "not a valid label name"),
            ("scrape_protocols: [PrometheusProto, PrometheusProto]", 1, "duplicated protocol"),
            ("scrape_protocols: []", 1, "cannot be empty"),
            ("\nsample_limit: -1", 2, "out of range"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.line == line && error.text.contains(why), "{text}: {error}");
        }
    }
}
