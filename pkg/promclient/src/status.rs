//! What a Prometheus says about itself: build, flags, external labels, oldest sample, state of its configuration.

use std::collections::BTreeMap;

use labels::Labels;
use serde::Deserialize;
use storage::{Error, Result, TsdbStatistics};

use crate::client::PromClient;

/// `/api/v1/status/buildinfo`, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BuildInfo {
    /// The version, such as `3.14.0`.
    pub version: String,
    /// The commit that it was built from.
    pub revision: String,
}

/// Command-line flags with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags(pub BTreeMap<String, String>);

impl Flags {
    /// A flag's value, `""` if the server does not have it.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// How the configuration was when last read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfigState {
    /// Whether it was good; if not, the one before is in force.
    pub good: bool,
    /// When a good one was last read, Unix seconds with fractions. (`/api/v1/status/runtimeinfo` has whole seconds, which
    /// do not tell two reloads apart.)
    pub loaded_at_s: f64,
}

#[derive(Deserialize)]
struct ConfigText {
    yaml: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    global: Option<Global>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Global {
    external_labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
    series_count_by_metric_name: Option<Vec<Stat>>,
    label_value_count_by_label_name: Option<Vec<Stat>>,
    memory_in_bytes_by_label_name: Option<Vec<Stat>>,
    series_count_by_label_value_pair: Option<Vec<Stat>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
    num_label_pairs: i64,
    chunk_count: i64,
    min_time: i64,
    max_time: i64,
}

#[derive(Deserialize)]
struct Stat {
    name: String,
    value: u64,
}

impl PromClient {
    /// Which Prometheus it is.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn build_info(&self) -> Result<BuildInfo> {
        Ok(self.data("/api/v1/status/buildinfo", &[]).await?.value)
    }

    /// Its flags.
    ///
    /// # Errors
    /// When it cannot be asked; [`Error::Unsupported`] from servers that have no such endpoint.
    pub async fn flags(&self) -> Result<Flags> {
        Ok(Flags(self.data("/api/v1/status/flags", &[]).await?.value))
    }

    /// The state of its configuration, from `/metrics`.
    ///
    /// # Errors
    /// When it cannot be asked, or is no Prometheus.
    pub async fn config_state(&self) -> Result<ConfigState> {
        let body = self.plain("/metrics").await?;
        let state = || {
            let good = gauge(&body, "prometheus_config_last_reload_successful")? == 1.0;
            let loaded_at_s = gauge(&body, "prometheus_config_last_reload_success_timestamp_seconds")?;
            Some(ConfigState { good, loaded_at_s })
        };
        state().ok_or_else(|| Error::Unavailable(format!("{} says nothing of its configuration", self.at("/metrics"))))
    }

    /// `global.external_labels` of its configuration; empty when there are none.
    ///
    /// # Errors
    /// When it cannot be asked or the YAML makes no sense.
    pub async fn external_labels(&self) -> Result<Labels> {
        let path = "/api/v1/status/config";
        let text: ConfigText = self.data(path, &[]).await?.value;
        external_labels(&text.yaml).map_err(|e| Error::other(format!("{}: {e}", self.at(path))))
    }

    /// The time of the oldest sample, ms; `i64::MAX` while there is none.
    ///
    /// # Errors
    /// When it cannot be asked, or is not ready to tell.
    pub async fn lowest_timestamp_ms(&self) -> Result<i64> {
        let body = self.plain("/metrics").await?;
        lowest_timestamp_ms(&body).ok_or_else(|| {
            Error::Unavailable(format!("{} has no {LOWEST} (is this a Prometheus server?)", self.at("/metrics")))
        })
    }

    /// Cardinality statistics of its head.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn tsdb_statistics(&self, limit: usize) -> Result<TsdbStatistics> {
        let mut query = Vec::new();
        if limit > 0 {
            query.push(("limit", limit.to_string()));
        }
        let status: TsdbStatus = self.data("/api/v1/status/tsdb", &query).await?.value;
        let list = |l: Option<Vec<Stat>>| {
            l.unwrap_or_default()
                .into_iter()
                .take(if limit == 0 { usize::MAX } else { limit })
                .map(|s| (s.name, s.value))
                .collect()
        };
        let head = status.head_stats;
        Ok(TsdbStatistics {
            num_series: head.num_series,
            num_label_pairs: head.num_label_pairs,
            chunk_count: head.chunk_count,
            min_time: head.min_time,
            max_time: head.max_time,
            series_count_by_metric_name: list(status.series_count_by_metric_name),
            label_value_count_by_label_name: list(status.label_value_count_by_label_name),
            memory_in_bytes_by_label_name: list(status.memory_in_bytes_by_label_name),
            series_count_by_label_value_pair: list(status.series_count_by_label_value_pair),
        })
    }
}

const LOWEST: &str = "prometheus_tsdb_lowest_timestamp_seconds";

pub(crate) fn lowest_timestamp_ms(page: &[u8]) -> Option<i64> {
    // An empty head says 9.22e15; the cast saturates.
    gauge(page, LOWEST).filter(|s| !s.is_nan()).map(|seconds| (seconds * 1000.0) as i64)
}

/// The value of the metric called `name`, which has no labels.
fn gauge(page: &[u8], name: &str) -> Option<f64> {
    let value = |line: &[u8]| -> Option<f64> {
        let rest = std::str::from_utf8(line.strip_prefix(name.as_bytes())?).ok()?;
        rest.strip_prefix(' ')?.split_whitespace().next()?.parse().ok()
    };
    page.split(|b| *b == b'\n').find_map(value)
}

pub(crate) fn external_labels(yaml: &str) -> std::result::Result<Labels, String> {
    let config: Config = serde_saphyr::from_str(global_section(yaml)).map_err(|e| format!("global section: {e}"))?;
    Ok(Labels::from_pairs(config.global.and_then(|g| g.external_labels).unwrap_or_default()))
}

/// The lines of the top-level key `global`: a configuration may have megabytes of scrape jobs, which do not matter here.
fn global_section(yaml: &str) -> &str {
    let mut start = None;
    let mut at = 0;
    for line in yaml.split_inclusive('\n') {
        let inside = line.starts_with([' ', '\t', '#', '\n', '\r']);
        match start {
            None if line.starts_with("global:") => start = Some(at),
            Some(from) if !inside => return &yaml[from..at],
            _ => {}
        }
        at += line.len();
    }
    start.map_or("", |from| &yaml[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_from_yaml() {
        let text = "global:\n  scrape_interval: 1s\n  external_labels:\n    replica: \"1\"\n    z: 'a: b'\n\
                    scrape_configs:\n- job_name: global\n  x: [\n";
        assert_eq!(external_labels(text).unwrap(), Labels::from_pairs([("replica", "1"), ("z", "a: b")]));
        for none in ["", "scrape_configs: []\n", "global: {}\n", "global:\n  scrape_interval: 1m\n", "global:\n"] {
            assert_eq!(external_labels(none).unwrap(), Labels::empty(), "{none:?}");
        }
        assert!(external_labels("global:\n  external_labels: [a\n").is_err());
    }

    #[test]
    fn oldest_sample() {
        let page = b"# HELP prometheus_tsdb_lowest_timestamp_seconds x\n# TYPE y gauge\nprometheus_tsdb_lowest_timestamp_seconds 1.6e+09\n";
        assert_eq!(lowest_timestamp_ms(page), Some(1_600_000_000_000));
        assert_eq!(
            lowest_timestamp_ms(b"prometheus_tsdb_lowest_timestamp_seconds 9.223372036854776e+15\n"),
            Some(i64::MAX)
        );
        for none in [
            "",
            "up 1\n",
            "prometheus_tsdb_lowest_timestamp_seconds x\n",
            "prometheus_tsdb_lowest_timestamp_seconds NaN",
        ] {
            assert_eq!(lowest_timestamp_ms(none.as_bytes()), None, "{none:?}");
        }
    }
}
