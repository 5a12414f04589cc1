//! An entry of `scrape_configs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use relabel::Rule;
use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{Bytes, DurationMs, Node, is_default};

use super::global::or;
use super::{
    DEFAULT_PROTOCOLS, DEFAULT_PROTOCOLS_NATIVE, EscapingScheme, GlobalConfig, ScrapeProtocol, ValidationScheme,
    check_protocols,
};

/// How the targets of one job are scraped. All that is inherited is filled in. Printing it shows no secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScrapeConfig {
    /// The job's name, unique in a configuration.
    pub job_name: String,
    /// Whether labels of the target win over the server's.
    #[serde(skip_serializing_if = "is_default")]
    pub honor_labels: bool,
    /// Whether timestamps of the target count.
    pub honor_timestamps: bool,
    /// Whether series with timestamps of their own get staleness markers.
    pub track_timestamps_staleness: bool,
    /// Parameters of the URL.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Vec<String>>,
    /// Time between two scrapes.
    pub scrape_interval: DurationMs,
    /// At most `scrape_interval`.
    pub scrape_timeout: DurationMs,
    /// What the `Accept` header asks for, the most wanted first. Not empty.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// How an answer is read whose `Content-Type` says nothing usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Whether native histograms are taken.
    pub scrape_native_histograms: bool,
    /// Whether classic histograms are taken beside native ones.
    pub always_scrape_classic_histograms: bool,
    /// Whether classic histograms become native ones with custom buckets.
    pub convert_classic_histograms_to_nhcb: bool,
    /// Where failed scrapes are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_failure_log_file: Option<PathBuf>,
    /// Path of the URL.
    pub metrics_path: String,
    /// `http` or `https`; relabelling may set another one.
    pub scheme: String,
    /// Whether answers may be compressed.
    pub enable_compression: bool,
    /// Bytes of an uncompressed answer; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub body_size_limit: Bytes,
    /// Samples of a scrape; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub sample_limit: u64,
    /// Targets of the job; 0 = no limit.
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
    /// Buckets of a native histogram, which loses resolution above it; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub native_histogram_bucket_limit: u64,
    /// Smallest growth from a bucket to the next, a native histogram loses resolution below it; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub native_histogram_min_bucket_factor: f64,
    /// Dropped targets that are shown; 0 = no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub keep_dropped_targets: u64,
    /// Which names are valid.
    pub metric_name_validation_scheme: ValidationScheme,
    /// How targets are asked to write other names.
    pub metric_name_escaping_scheme: EscapingScheme,
    /// Whether more is stored about each scrape.
    pub extra_scrape_metrics: bool,
    /// How targets are spoken to.
    #[serde(flatten)]
    pub http: ClientConfig,
    /// Rules for targets.
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    pub relabel_configs: Arc<[Rule]>,
    /// Rules for samples.
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    pub metric_relabel_configs: Arc<[Rule]>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct JobYaml {
    /// Name of the job, and the value of the label `job`. Required.
    job_name: String,
    /// Labels of the target win over those of the server; else they are renamed to `exported_…`. Default: `false`.
    honor_labels: bool,
    /// Timestamps of the target count. Default: `true`.
    honor_timestamps: bool,
    /// Series with timestamps of the target get staleness markers, too. Default: `false`.
    track_timestamps_staleness: bool,
    /// Parameters of the URL, each a list of values.
    params: BTreeMap<String, Vec<String>>,
    /// Time between two scrapes of a target. Default: the global one.
    scrape_interval: DurationMs,
    /// Time after which a scrape fails; at most `scrape_interval`. Default: the global one.
    scrape_timeout: DurationMs,
    /// Formats that are asked for, the most wanted one first. Default: the global ones.
    scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// Format of answers whose `Content-Type` is missing or unknown. Default: such a scrape fails.
    #[serde(deserialize_with = "yaml::unless_empty")]
    fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Whether native histograms are taken. Default: the global value.
    scrape_native_histograms: Option<bool>,
    /// Whether classic histograms are taken, too, where there is a native one. Default: the global value.
    always_scrape_classic_histograms: Option<bool>,
    /// Whether classic histograms become native ones with custom buckets. Default: the global value.
    convert_classic_histograms_to_nhcb: Option<bool>,
    /// File that failed scrapes are logged to. Default: the global one.
    scrape_failure_log_file: Option<PathBuf>,
    /// Path of the URL. Default: `/metrics`.
    metrics_path: String,
    /// `http` or `https`. Default: `http`.
    scheme: String,
    /// Whether answers may be compressed. Default: `true`.
    enable_compression: bool,
    /// A scrape fails that has more bytes than this, after decompression. Default: the global limit.
    body_size_limit: Bytes,
    /// A scrape fails that has more samples than this. Default: the global limit.
    sample_limit: u64,
    /// All scrapes fail where there are more targets than this. Default: the global limit.
    target_limit: u64,
    /// A scrape fails that has a sample with more labels than this. Default: the global limit.
    label_limit: u64,
    /// A scrape fails that has a label whose name has more bytes than this. Default: the global limit.
    label_name_length_limit: u64,
    /// A scrape fails that has a label whose value has more bytes than this. Default: the global limit.
    label_value_length_limit: u64,
    /// A native histogram with more buckets loses resolution until it fits. Default: `0`, no limit.
    native_histogram_bucket_limit: u64,
    /// A native histogram whose buckets grow by a smaller factor loses resolution. Default: `0`, no limit.
    native_histogram_min_bucket_factor: f64,
    /// Dropped targets that are kept to be shown. Default: the global limit.
    keep_dropped_targets: u64,
    /// Names that metrics and labels may have: `utf8` or `legacy`. Default: the global scheme.
    #[serde(deserialize_with = "yaml::unless_empty")]
    metric_name_validation_scheme: Option<ValidationScheme>,
    /// How the target is asked to write other names: `allow-utf-8`, `underscores`, `dots` or `values`. Default: the global
    /// scheme, or what follows from `metric_name_validation_scheme` where that is set here.
    #[serde(deserialize_with = "yaml::unless_empty")]
    metric_name_escaping_scheme: Option<EscapingScheme>,
    /// Whether `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes` are stored. Default: the global
    /// value.
    extra_scrape_metrics: Option<bool>,
    /// Rules for the labels of targets.
    relabel_configs: Vec<Rule>,
    /// Rules for the labels of samples.
    metric_relabel_configs: Vec<Rule>,
}

impl Default for JobYaml {
    fn default() -> Self {
        Self {
            job_name: String::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            params: BTreeMap::new(),
            scrape_interval: DurationMs(0),
            scrape_timeout: DurationMs(0),
            scrape_protocols: None,
            fallback_scrape_protocol: None,
            scrape_native_histograms: None,
            always_scrape_classic_histograms: None,
            convert_classic_histograms_to_nhcb: None,
            scrape_failure_log_file: None,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            enable_compression: true,
            body_size_limit: Bytes(0),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: 0.0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: None,
            metric_name_escaping_scheme: None,
            extra_scrape_metrics: None,
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
        }
    }
}

impl ScrapeConfig {
    /// Reads an entry without the keys that discover targets.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node, global: &GlobalConfig) -> Result<Self, yaml::Error> {
        if node.is_null() {
            return Err(node.error("empty or null scrape config section"));
        }
        let (http, own) = node.clone().split(ClientConfig::has_key)?;
        let http = ClientConfig::from_section(&http)?;
        let yaml: JobYaml = own.decode()?;
        let validation = yaml.metric_name_validation_scheme;
        let config = yaml.inherit(http, global);
        config.check(node)?;
        config.check_names(node, validation.is_some())?;
        Ok(config)
    }

    fn check(&self, node: &Node) -> Result<(), yaml::Error> {
        let job = &self.job_name;
        if job.is_empty() {
            return Err(node.error_at("job_name", "job_name is empty"));
        }
        if self.scrape_timeout > self.scrape_interval {
            let why = format!("scrape timeout greater than scrape interval for scrape config with job name {job:?}");
            return Err(node.error_at("scrape_timeout", why));
        }
        check_protocols(&self.scrape_protocols)
            .map_err(|why| node.error_at("scrape_protocols", format!("{why} for scrape config with job name {job:?}")))
    }

    fn check_names(&self, node: &Node, own: bool) -> Result<(), yaml::Error> {
        let legacy = self.metric_name_validation_scheme == ValidationScheme::Legacy;
        if legacy && self.metric_name_escaping_scheme == EscapingScheme::AllowUtf8 {
            let key = if own { "metric_name_validation_scheme" } else { "metric_name_escaping_scheme" };
            return Err(node.error_at(key, "utf8 metric names requested but validation scheme is not set to UTF8"));
        }
        if legacy {
            for (key, rules) in
                [("relabel_configs", &self.relabel_configs), ("metric_relabel_configs", &self.metric_relabel_configs)]
            {
                check_legacy(node, key, rules)?;
            }
        }
        Ok(())
    }

    /// Makes relative names of files count from `folder`.
    pub fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
        if let Some(path) = &mut self.scrape_failure_log_file {
            *path = folder.join(&*path);
        }
    }
}

/// Checks the names that the rules at `key` write, under the scheme `legacy`.
fn check_legacy(node: &Node, key: &str, rules: &[Rule]) -> Result<(), yaml::Error> {
    let nodes = node.get(key).map(Node::list).transpose()?.unwrap_or_default();
    for (rule, node) in rules.iter().zip(nodes) {
        rule.check_legacy_names().map_err(|why| node.error(why))?;
    }
    Ok(())
}

impl JobYaml {
    fn inherit(self, http: ClientConfig, global: &GlobalConfig) -> ScrapeConfig {
        let limit = |own: u64, inherited: u64| if own == 0 { inherited } else { own };
        let scrape_interval = or(self.scrape_interval, global.scrape_interval);
        let native = self.scrape_native_histograms.unwrap_or(global.scrape_native_histograms);
        let protocols = self.scrape_protocols.or_else(|| global.scrape_protocols.clone());
        let default_protocols = || if native { DEFAULT_PROTOCOLS_NATIVE.to_vec() } else { DEFAULT_PROTOCOLS.to_vec() };
        let validation = self.metric_name_validation_scheme.unwrap_or(global.metric_name_validation_scheme);
        let escaping = match self.metric_name_validation_scheme {
            Some(own) => EscapingScheme::of(own),
            None => global.metric_name_escaping_scheme.unwrap_or(EscapingScheme::of(validation)),
        };
        let log_file = self.scrape_failure_log_file.filter(|path| !path.as_os_str().is_empty());
        ScrapeConfig {
            job_name: self.job_name,
            honor_labels: self.honor_labels,
            honor_timestamps: self.honor_timestamps,
            track_timestamps_staleness: self.track_timestamps_staleness,
            params: self.params,
            scrape_interval,
            scrape_timeout: or(self.scrape_timeout, global.scrape_timeout.min(scrape_interval)),
            scrape_protocols: protocols.unwrap_or_else(default_protocols),
            fallback_scrape_protocol: self.fallback_scrape_protocol,
            scrape_native_histograms: native,
            always_scrape_classic_histograms: self
                .always_scrape_classic_histograms
                .unwrap_or(global.always_scrape_classic_histograms),
            convert_classic_histograms_to_nhcb: self
                .convert_classic_histograms_to_nhcb
                .unwrap_or(global.convert_classic_histograms_to_nhcb),
            scrape_failure_log_file: log_file.or_else(|| global.scrape_failure_log_file.clone()),
            metrics_path: self.metrics_path,
            scheme: self.scheme,
            enable_compression: self.enable_compression,
            body_size_limit: Bytes(limit(self.body_size_limit.0, global.body_size_limit.0)),
            sample_limit: limit(self.sample_limit, global.sample_limit),
            target_limit: limit(self.target_limit, global.target_limit),
            label_limit: limit(self.label_limit, global.label_limit),
            label_name_length_limit: limit(self.label_name_length_limit, global.label_name_length_limit),
            label_value_length_limit: limit(self.label_value_length_limit, global.label_value_length_limit),
            native_histogram_bucket_limit: self.native_histogram_bucket_limit,
            native_histogram_min_bucket_factor: self.native_histogram_min_bucket_factor,
            keep_dropped_targets: limit(self.keep_dropped_targets, global.keep_dropped_targets),
            metric_name_validation_scheme: validation,
            metric_name_escaping_scheme: self.metric_name_escaping_scheme.unwrap_or(escaping),
            extra_scrape_metrics: self.extra_scrape_metrics.unwrap_or(global.extra_scrape_metrics),
            http,
            relabel_configs: self.relabel_configs.into(),
            metric_relabel_configs: self.metric_relabel_configs.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, global: &str) -> Result<ScrapeConfig, yaml::Error> {
        let global = GlobalConfig::from_node(&yaml::parse(global).unwrap(), &|_| None).unwrap();
        ScrapeConfig::from_node(&yaml::parse(text).unwrap(), &global)
    }

    #[test]
    fn what_is_inherited() {
        let global = "{scrape_interval: 5s, sample_limit: 7, label_limit: 8, scrape_native_histograms: true}";
        let job = read("{job_name: 0123, sample_limit: 9, bearer_token: x}", global).unwrap();
        assert_eq!((job.job_name.as_str(), job.scrape_interval.0, job.scrape_timeout.0), ("0123", 5000, 5000));
        assert_eq!((job.sample_limit, job.label_limit), (9, 8));
        assert_eq!(job.scrape_protocols, DEFAULT_PROTOCOLS_NATIVE);
        let plain = read("{job_name: a, scrape_native_histograms: false}", global).unwrap();
        assert_eq!(plain.scrape_protocols, DEFAULT_PROTOCOLS);
        let names = |text: &str, global: &str| {
            let job = read(text, global).unwrap();
            (job.metric_name_validation_scheme, job.metric_name_escaping_scheme)
        };
        use {EscapingScheme as E, ValidationScheme as V};
        let legacy = "{metric_name_validation_scheme: legacy, metric_name_escaping_scheme: dots}";
        assert_eq!(names("job_name: a", ""), (V::Utf8, E::AllowUtf8));
        assert_eq!(names("job_name: a", legacy), (V::Legacy, E::Dots));
        // What is empty is not set.
        let empty = "{job_name: a, fallback_scrape_protocol: '', metric_name_validation_scheme: '', \
                     metric_name_escaping_scheme: ''}";
        assert_eq!(names(empty, legacy), (V::Legacy, E::Dots));
        assert_eq!(read(empty, "").unwrap().fallback_scrape_protocol, None);
        assert_eq!(names(empty, "{metric_name_validation_scheme: '', metric_name_escaping_scheme: ''}").0, V::Utf8);
        assert_eq!(names("{job_name: a, metric_name_validation_scheme: utf8}", legacy), (V::Utf8, E::AllowUtf8));
        assert_eq!(names("{job_name: a, metric_name_validation_scheme: legacy}", ""), (V::Legacy, E::Underscores));
    }

    #[test]
    fn what_is_shown() {
        let job = read("{job_name: a, basic_auth: {username: u, password: hidden}, params: {x: [1]}}", "").unwrap();
        let shown = yaml::print(&job).unwrap();
        for part in ["job_name: a\n", "scrape_interval: 1m\n", "follow_redirects: true\n", "password: <secret>\n"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("hidden") && !shown.contains("sample_limit"), "{shown}");
    }

    #[test]
    fn what_is_refused() {
        for (text, line, why) in [
            ("", 1, "empty or null scrape config section"),
            ("honor_labels: true\njob_name:", 2, "job_name is empty"),
            ("job_name: a\nscrape_interval: 1s\nscrape_timeout: 2s", 3, "greater than scrape interval"),
            ("job_name: a\nbearer_token: a\nbearer_token_file: b", 3, "at most one of bearer_token"),
            ("job_name: a\nconsult_sd_configs: []", 2, "unknown key \"consult_sd_configs\""),
            ("job_name: a\nrelabel_configs:\n- target_label: b\n-", 4, "empty or null relabeling rule"),
            ("job_name: a\nrelabel_configs:\n- action: drop\n- regex: abc(def", 4, "missing"),
            ("job_name: a\nbody_size_limit: 100", 2, "has no unit"),
            ("job_name: a\nscrape_protocols: [prometheusproto]", 2, "\"prometheusproto\" is not one of"),
            (
                "job_name: a\nmetric_name_validation_scheme: legacy\nrelabel_configs:\n- target_label: a.b",
                4,
                "invalid 'target_label'",
            ),
            (
                "job_name: a\nmetric_name_escaping_scheme: allow-utf-8\nmetric_name_validation_scheme: legacy",
                3,
                "utf8 metric names",
            ),
        ] {
            let error = read(text, "").unwrap_err();
            assert!(error.line == line && error.text.contains(why), "{text}: {error}");
        }
    }
}
