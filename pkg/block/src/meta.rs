//! `meta.json`: what a block holds and where it comes from. Text layout as Go writes it: tabs, keys in this order.

use std::collections::BTreeMap;
use std::io;

use model::Resolution;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{BlockId, Error, keys};

/// The file's name.
pub const META_FILE: &str = "meta.json";
/// What Go prints for a time that was never set.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The whole of `meta.json`. Keys unknown to us are kept in `extra` and written back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// The block; equal to the directory's name.
    pub ulid: BlockId,
    /// First ms, inclusive.
    #[serde(rename = "minTime")]
    pub min_time: i64,
    /// Last ms, exclusive.
    #[serde(rename = "maxTime")]
    pub max_time: i64,
    /// Counts.
    #[serde(default)]
    pub stats: BlockStats,
    /// How it came to be.
    #[serde(default)]
    pub compaction: Compaction,
    /// Always 1.
    #[serde(default)]
    pub version: u32,
    /// Absent in blocks as Prometheus writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Counts of what a block holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples of any kind.
    #[serde(skip_serializing_if = "is_default")]
    pub num_samples: u64,
    /// Float samples; unknown (0) in blocks of old writers.
    #[serde(skip_serializing_if = "is_default")]
    pub num_float_samples: u64,
    /// Native histogram samples; unknown (0) in blocks of old writers.
    #[serde(skip_serializing_if = "is_default")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_default")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_default")]
    pub num_chunks: u64,
    /// Deleted intervals.
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
    /// The direct inputs.
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
    /// The block.
    pub ulid: BlockId,
    /// First ms, inclusive.
    #[serde(rename = "minTime", default)]
    pub min_time: i64,
    /// Last ms, exclusive.
    #[serde(rename = "maxTime", default)]
    pub max_time: i64,
}

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
    /// How coarse.
    pub downsample: Downsample,
    /// Which component made it.
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
    /// Everything else.
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
    /// Optional checksum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
}

/// A file's checksum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileHash {
    /// `SHA256`.
    #[serde(rename = "hashFunc")]
    pub hash_func: String,
    /// Lower-case hex.
    pub value: String,
}

/// Something done to a block's data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// Of which blocks.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub sources: Vec<BlockId>,
    /// In this order.
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
    /// Which series.
    #[serde(deserialize_with = "null_as_default")]
    pub matchers: Vec<DeletionMatcher>,
    /// Which times; none = all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub intervals: Vec<DeletionInterval>,
    /// Who asked.
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
    /// The label.
    pub name: String,
    /// The value or expression.
    pub value: String,
}

/// Both ends inclusive, ms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletionInterval {
    /// First ms.
    #[serde(rename = "Mint")]
    pub min_time: i64,
    /// Last ms.
    #[serde(rename = "Maxt")]
    pub max_time: i64,
}

/// Sizes, in bytes, that help to guess how much to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// The largest series entry.
    #[serde(skip_serializing_if = "is_default")]
    pub series_max_size: u64,
    /// The largest chunk.
    #[serde(skip_serializing_if = "is_default")]
    pub chunk_max_size: u64,
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
        let damaged = |what: String| Err(Error::corrupt(file, 0, what));
        let version = |what: &str, found: u32| {
            Err(Error::Version { file: file.to_owned(), what: what.to_owned(), found: u64::from(found) })
        };
        match &meta.thanos {
            _ if meta.version != 1 => version("meta", meta.version),
            Some(thanos) if thanos.version > 1 => version("thanos section", thanos.version),
            // no sample could lie in it: a merge would leave all of the block out
            _ if meta.max_time < meta.min_time => {
                damaged(format!("maxTime {} is before minTime {}", meta.max_time, meta.min_time))
            }
            _ => match keys::misspelt(json) {
                Some(what) => damaged(what),
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A map in which no key stands twice: of two labels of one name one would go unsaid.
fn each_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Once;

    impl<'de> serde::de::Visitor<'de> for Once {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of texts, or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                if found.insert(name.clone(), value).is_some() {
                    return Err(serde::de::Error::custom(format!("duplicate label {name:?}")));
                }
            }
            Ok(found)
        }
    }
    deserializer.deserialize_any(Once)
}

fn empty_as_null<S: Serializer>(map: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    if map.is_empty() { serializer.serialize_none() } else { map.serialize(serializer) }
}

/// Tabs, and `<`, `>`, `&` escaped as Go's encoder does.
struct GoLayout(serde_json::ser::PrettyFormatter<'static>);

impl GoLayout {
    fn new() -> Self {
        Self(serde_json::ser::PrettyFormatter::with_indent(b"\t"))
    }
}

impl serde_json::ser::Formatter for GoLayout {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, c) in fragment.char_indices() {
            if matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
                writer.write_all(&fragment.as_bytes()[plain..at])?;
                write!(writer, "\\u{:04x}", u32::from(c))?;
                plain = at + c.len_utf8();
            }
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
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
