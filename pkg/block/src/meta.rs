//! `meta.json`: what a block holds and where it comes from. Text layout as Go writes it: tabs, keys in this order.

mod json;
mod thanos;

use model::Resolution;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::json::{GoLayout, is_default, null_as_default};
pub use self::thanos::{
    BlockFile, Deletion, DeletionInterval, DeletionMatcher, Downsample, FileHash, IndexStats, Rewrite, ThanosMeta,
};
use crate::{BlockId, Error, keys};

/// Name of the file in a block's directory.
pub const META_FILE: &str = "meta.json";

/// The whole of `meta.json`. Keys unknown to us are kept in `extra` and written back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// The block; equal to the directory's name.
    pub ulid: BlockId,
    /// First ms of the data, inclusive.
    #[serde(rename = "minTime")]
    pub min_time: i64,
    /// End of the data, exclusive, ms.
    #[serde(rename = "maxTime")]
    pub max_time: i64,
    /// Counts of what the block holds.
    #[serde(default)]
    pub stats: BlockStats,
    /// How it came to be.
    #[serde(default)]
    pub compaction: Compaction,
    /// The format's version, which is 1.
    #[serde(default)]
    pub version: u32,
    /// Absent in blocks as Prometheus writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
    /// Keys that this program does not know, written back as they were.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Counts of what a block holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples, floats and histograms together.
    #[serde(skip_serializing_if = "is_default")]
    pub num_samples: u64,
    /// Float samples; unknown (0) in blocks of old writers.
    #[serde(skip_serializing_if = "is_default")]
    pub num_float_samples: u64,
    /// Native histogram samples; unknown (0) in blocks of old writers.
    #[serde(skip_serializing_if = "is_default")]
    pub num_histogram_samples: u64,
    /// Series in the index.
    #[serde(skip_serializing_if = "is_default")]
    pub num_series: u64,
    /// Chunks in all segments.
    #[serde(skip_serializing_if = "is_default")]
    pub num_chunks: u64,
    /// Deleted intervals in `tombstones`.
    #[serde(skip_serializing_if = "is_default")]
    pub num_tombstones: u64,
}

/// A block's ancestry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 = straight from a head.
    pub level: u32,
    /// All level-1 ancestors, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub sources: Vec<BlockId>,
    /// The compaction left nothing: the block may go.
    #[serde(skip_serializing_if = "is_default")]
    pub deletable: bool,
    /// The blocks that it was made of.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub parents: Vec<BlockDesc>,
    /// Compacting it failed: leave it out of plans.
    #[serde(skip_serializing_if = "is_default")]
    pub failed: bool,
    /// `from-out-of-order`, `from-stale-series`, …; sorted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub hints: Vec<String>,
}

/// A parent block in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDesc {
    /// Id of the parent.
    pub ulid: BlockId,
    /// The parent's first ms, inclusive.
    #[serde(rename = "minTime", default)]
    pub min_time: i64,
    /// The parent's end, exclusive, ms.
    #[serde(rename = "maxTime", default)]
    pub max_time: i64,
}

impl BlockMeta {
    /// Reads `meta.json`; `file` is named in errors.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is no such JSON, ends before it begins, or lacks a key in whose place stands one that
    /// differs from it by a character; [`Error::Version`] when its version is not ours.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self, Error> {
        let meta: Self = serde_json::from_slice(json).map_err(|e| Error::Corrupt {
            file: file.to_owned(),
            offset: 0,
            what: format!("no block meta: {e}"),
        })?;
        let corrupt = |what: String| Err(Error::corrupt(file, 0, what));
        let version = |what: &str, found: u32| {
            Err(Error::Version { file: file.to_owned(), what: what.to_owned(), found: u64::from(found) })
        };
        match &meta.thanos {
            _ if meta.version != 1 => version("meta", meta.version),
            Some(thanos) if thanos.version > 1 => version("thanos section", thanos.version),
            // No sample could lie in it: a merge would leave all of the block out.
            _ if meta.max_time < meta.min_time => {
                corrupt(format!("maxTime {} is before minTime {}", meta.max_time, meta.min_time))
            }
            _ => match keys::misspelt(json) {
                Some(what) => corrupt(what),
                None => Ok(meta),
            },
        }
    }

    /// The text of `meta.json`, laid out as Thanos does (with a `thanos` section) or Prometheus (without).
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, GoLayout::new());
        // Writing to memory cannot fail, and every key is a string.
        if self.serialize(&mut serializer).is_err() {
            out.clear();
        }
        if self.thanos.is_some() {
            out.push(b'\n');
        }
        out
    }

    /// The compaction group: `<resolution>@<hash of the external labels>`, as Thanos names it in local paths.
    pub fn group_key(&self) -> String {
        let pairs = self.thanos.iter().flat_map(|t| &t.labels).map(|(n, v)| (n.as_str(), v.as_str()));
        format!("{}@{}", self.resolution_ms(), labels::hash_pairs(pairs))
    }

    /// The resolution in ms, 0 for raw data.
    pub fn resolution_ms(&self) -> i64 {
        self.thanos.as_ref().map_or(0, |t| t.downsample.resolution)
    }

    /// The resolution; `None` if `meta.json` has one that this program does not know.
    pub fn resolution(&self) -> Option<Resolution> {
        Resolution::from_ms(self.resolution_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{
	"ulid": "01M7XNEDBRHMVA77T71GPE1DE5",
	"minTime": -1,
	"maxTime": 7200000,
	"stats": {
		"numSamples": 3,
		"numFloatSamples": 3,
		"numSeries": 1,
		"numChunks": 1
	},
	"compaction": {
		"level": 2,
		"sources": [
			"01M7XNEDBRHMVA77T71GPE1DE5"
		],
		"parents": [
			{
				"ulid": "01M7XNEDBRHMVA77T71GPE1DE5",
				"minTime": 0,
				"maxTime": 1
			}
		],
		"hints": [
			"from-out-of-order"
		]
	},
	"version": 1,
	"thanos": {
		"version": 1,
		"labels": {
			"a": "\u003cb\u003e \u0026 \"é\"",
			"replica": "0"
		},
		"downsample": {
			"resolution": 300000
		},
		"source": "compactor",
		"segment_files": [
			"000001"
		],
		"files": [
			{
				"rel_path": "index",
				"size_bytes": 401,
				"hash": {
					"hashFunc": "SHA256",
					"value": "00ff"
				}
			},
			{
				"rel_path": "meta.json"
			}
		],
		"rewrites": [
			{
				"sources": [
					"01M7XNEDBRHMVA77T71GPE1DE5"
				],
				"deletions_applied": [
					{
						"matchers": [
							{
								"Type": 2,
								"Name": "a",
								"Value": "b.*"
							}
						],
						"intervals": [
							{
								"Mint": 1,
								"Maxt": 2
							}
						],
						"request_id": "x"
					}
				]
			}
		],
		"index_stats": {
			"series_max_size": 64,
			"chunk_max_size": 1000
		},
		"extensions": {
			"k": [
				1,
				1.5,
				null
			]
		},
		"upload_time": "2026-11-21T01:15:20.123456789Z",
		"later": true
	},
	"unknown": {}
}
"#;

    const EMPTY: &str = r#"{
	"ulid": "00000000000000000000000000",
	"minTime": 0,
	"maxTime": 0,
	"stats": {},
	"compaction": {
		"level": 0
	},
	"version": 0,
	"thanos": {
		"labels": null,
		"downsample": {
			"resolution": 0
		},
		"source": "",
		"index_stats": {},
		"upload_time": "0001-01-01T00:00:00Z"
	}
}
"#;

    #[test]
    fn text_of_go() {
        let empty = BlockMeta { thanos: Some(ThanosMeta::default()), ..BlockMeta::default() };
        assert_eq!(String::from_utf8(empty.to_json()).unwrap(), EMPTY);
        let full = BlockMeta::parse("m", FULL.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(full.to_json()).unwrap(), FULL);
        let thanos = full.thanos.as_ref().unwrap();
        assert_eq!(thanos.labels["a"], "<b> & \"é\"");
        assert_eq!((full.resolution_ms(), thanos.upload_time_ms()), (300_000, Some(1_795_223_720_123)));
    }

    #[test]
    fn group_keys_of_thanos() {
        let key = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            BlockMeta { thanos: Some(ThanosMeta { labels, ..ThanosMeta::default() }), ..BlockMeta::default() }
                .group_key()
        };
        assert_eq!(key(&[]), "0@17241709254077376921");
        assert_eq!(key(&[("foo", "bar"), ("foo1", "bar2")]), "0@2124638872457683483");
        assert_eq!(
            key(&[("foo/some..thing/some.thing/../", "a_b_c/bar-something-a\\metric/a\\x")]),
            "0@16590761456214576373"
        );
    }

    #[test]
    fn without_thanos() {
        let text = "{\n\t\"ulid\": \"01M7XNEDBRHMVA77T71GPE1DE5\",\n\t\"minTime\": 1,\n\t\"maxTime\": 2,\n\t\"stats\": {},\n\
                    \t\"compaction\": {\n\t\t\"level\": 1\n\t},\n\t\"version\": 1\n}";
        assert_eq!(BlockMeta::parse("m", text.as_bytes()).unwrap().to_json(), text.as_bytes());
    }

    #[test]
    fn refuses() {
        for (json, want) in [
            ("", "m: offset 0: no block meta: EOF"),
            ("{}", "missing field `ulid`"),
            (r#"{"ulid":"x","version":1}"#, "is no block id"),
            (r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE5","version":1}"#, "missing field `minTime`"),
            (r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE5","minTime":1,"maxTime":2}"#, "m: meta version 0"),
            (
                r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE5","minTime":1,"maxTime":2,"version":1,"thanos":{"version":2}}"#,
                "thanos section version 2",
            ),
            (r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE5","minTime":2,"maxTime":1,"version":1}"#, "is before minTime"),
            (r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE5","minTime":1,"minTime":1,"maxTime":2,"version":1}"#, "duplicate"),
            (
                r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE5","minTime":1,"maxTime":2,"version":1,
                    "thanos":{"labels":{"a":"1","a":"2"}}}"#,
                "duplicate label \"a\"",
            ),
            (
                r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE5","minTime":1,"maxTime":2,"version":1,"thanoz":{}}"#,
                "key \"thanoz\" is not known, \"thanos\" is missing",
            ),
        ] {
            let error = BlockMeta::parse("m", json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{json}: {error}");
        }
    }

    #[test]
    fn upload_time() {
        let mut thanos = ThanosMeta::default();
        assert_eq!(thanos.upload_time_ms(), None);
        thanos.set_upload_time_ms(1_795_223_720_120);
        assert_eq!(
            (thanos.upload_time.as_str(), thanos.upload_time_ms()),
            ("2026-11-21T01:15:20.12Z", Some(1_795_223_720_120))
        );
        thanos.upload_time = "2026-11-21T02:15:20.5+01:00".to_owned();
        assert_eq!(thanos.upload_time_ms(), Some(1_795_223_720_500));
    }
}
