//! What Thanos, and we, add to a block's `meta.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json::{each_once, empty_as_null, is_default, null_as_default};
use crate::BlockId;

/// What Go prints for a time that was never set.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// What Thanos adds for blocks in a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThanosMeta {
    /// 1; 0 (absent) means 1.
    #[serde(skip_serializing_if = "is_default")]
    pub version: u32,
    /// The external labels. Written as `null` when empty.
    #[serde(serialize_with = "empty_as_null", deserialize_with = "each_once")]
    pub labels: BTreeMap<String, String>,
    /// The resolution of the block's samples.
    pub downsample: Downsample,
    /// Which component made it, such as `sidecar`.
    pub source: String,
    /// Names inside `chunks/`, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub segment_files: Vec<String>,
    /// All files, sorted by path.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub files: Vec<BlockFile>,
    /// What was changed after the fact.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub rewrites: Vec<Rewrite>,
    /// Sizes that help to guess reads.
    pub index_stats: IndexStats,
    /// Free for others to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// RFC 3339; [`ThanosMeta::upload_time_ms`] reads it.
    pub upload_time: String,
    /// Keys that this program does not know, written back as they were.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for ThanosMeta {
    fn default() -> Self {
        Self {
            version: 0,
            labels: BTreeMap::new(),
            downsample: Downsample::default(),
            source: String::new(),
            segment_files: Vec::new(),
            files: Vec::new(),
            rewrites: Vec::new(),
            index_stats: IndexStats::default(),
            extensions: None,
            upload_time: ZERO_TIME.to_owned(),
            extra: Map::new(),
        }
    }
}

/// The block's resolution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Downsample {
    /// In ms; 0 = raw.
    pub resolution: i64,
}

/// One file of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockFile {
    /// Relative to the block, `/` between parts.
    pub rel_path: String,
    /// 0 for `meta.json`, which cannot tell its own.
    #[serde(skip_serializing_if = "is_default")]
    pub size_bytes: u64,
    /// Checksum of the file, where the uploader made one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
}

/// A file's checksum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileHash {
    /// The hash function, `SHA256`.
    #[serde(rename = "hashFunc")]
    pub hash_func: String,
    /// The checksum in lower-case hexadecimal.
    pub value: String,
}

/// Something done to a block's data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// The blocks that were rewritten.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub sources: Vec<BlockId>,
    /// The deletions, in the order they were applied.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub deletions_applied: Vec<Deletion>,
    /// Relabel configurations, as they came.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub relabels_applied: Vec<Value>,
}

/// A deletion that was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deletion {
    /// Matchers of the series whose samples are deleted.
    #[serde(deserialize_with = "null_as_default")]
    pub matchers: Vec<DeletionMatcher>,
    /// Which times; none = all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub intervals: Vec<DeletionInterval>,
    /// Id of the request that asked for the deletion.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

/// A matcher as Go's struct prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeletionMatcher {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    #[serde(rename = "Type")]
    pub kind: u8,
    /// Name of the label.
    pub name: String,
    /// The value, or the regular expression.
    pub value: String,
}

/// A time that is deleted; both ends inclusive, ms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletionInterval {
    /// First ms of the interval, inclusive.
    #[serde(rename = "Mint")]
    pub min_time: i64,
    /// Last ms of the interval, inclusive.
    #[serde(rename = "Maxt")]
    pub max_time: i64,
}

/// Sizes, in bytes, that help to guess how much to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// Bytes of the largest series entry.
    #[serde(skip_serializing_if = "is_default")]
    pub series_max_size: u64,
    /// Bytes of the largest chunk.
    #[serde(skip_serializing_if = "is_default")]
    pub chunk_max_size: u64,
}

impl ThanosMeta {
    /// When `meta.json` was uploaded, ms since the epoch; `None` when that was not noted or cannot be read.
    pub fn upload_time_ms(&self) -> Option<i64> {
        if self.upload_time == ZERO_TIME {
            return None;
        }
        self.upload_time.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond())
    }

    /// Notes the time of upload, ms since the epoch.
    pub fn set_upload_time_ms(&mut self, time_ms: i64) {
        self.upload_time = model::format_rfc3339_ms(time_ms);
    }
}
