//! The section `storage`.

use serde::{Deserialize, Serialize};
use yaml::{Bytes, DurationMs, Error, Node, is_default};

/// What may change of the storage without a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StorageConfig {
    /// The local database.
    pub tsdb: TsdbConfig,
    /// Exemplars; `None`: the section does not speak of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemplars: Option<ExemplarsConfig>,
}

/// The section `storage.tsdb`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TsdbConfig {
    /// How much older than the newest sample a sample may be. Default: `0s`.
    #[serde(skip_serializing_if = "is_default")]
    pub out_of_order_time_window: DurationMs,
    /// Share of stale series in the head, between 0 and 1, from which on they are written to a block. Default: `0`, never.
    #[serde(skip_serializing_if = "is_default")]
    pub stale_series_compaction_threshold: f64,
    /// How samples are encoded.
    #[serde(skip_serializing_if = "is_default")]
    pub chunk_encoding: ChunkEncoding,
    /// How long samples are kept; counts before the flags.
    #[serde(skip_serializing_if = "is_default")]
    pub retention: RetentionConfig,
}

/// The section `storage.tsdb.chunk_encoding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChunkEncoding {
    /// `xor` or `xor2`. Default: as the feature flag `xor2-encoding` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floats: Option<FloatEncoding>,
}

/// An encoding of chunks of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatEncoding {
    /// Without start timestamps.
    Xor,
    /// With them.
    Xor2,
}

/// The section `storage.tsdb.retention`. 0 is the flag's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// How long samples are kept. Default: `--storage.tsdb.retention.time`.
    #[serde(skip_serializing_if = "is_default")]
    pub time: DurationMs,
    /// Bytes that blocks, the head and its log may take. Default: `--storage.tsdb.retention.size`.
    #[serde(skip_serializing_if = "is_default")]
    pub size: Bytes,
    /// Percentage of the file system that they may take; counts before `size`. Default: no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub percentage: f64,
}

/// The section `storage.exemplars`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExemplarsConfig {
    /// Exemplars that are kept of all series together; 0 or less turns them off. Default: `100000`.
    pub max_exemplars: i64,
}

impl Default for ExemplarsConfig {
    fn default() -> Self {
        Self { max_exemplars: 100_000 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StorageYaml {
    /// The local database.
    tsdb: TsdbConfig,
    /// Exemplars.
    exemplars: Option<ExemplarsConfig>,
}

impl StorageConfig {
    pub(crate) fn from_node(node: &Node) -> Result<Self, Error> {
        let yaml: StorageYaml = node.decode()?;
        let (tsdb, exemplars) = (yaml.tsdb, yaml.exemplars);
        let place = node.get("tsdb").unwrap_or(node);
        let percentage = tsdb.retention.percentage;
        if !(0.0..=100.0).contains(&percentage) {
            let why = format!("'storage.tsdb.retention.percentage' must be in the range [0, 100], got {percentage}");
            return Err(place.get("retention").unwrap_or(place).error_at("percentage", why));
        }
        let threshold = tsdb.stale_series_compaction_threshold;
        if !(0.0..=1.0).contains(&threshold) {
            let why = format!(
                "'storage.tsdb.stale_series_compaction_threshold' must be in the range [0, 1], got {threshold}"
            );
            return Err(place.error_at("stale_series_compaction_threshold", why));
        }
        Ok(Self { tsdb, exemplars })
    }
}
