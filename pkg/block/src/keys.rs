//! Keys of `meta.json` that corruption has changed. A key that is not known is passed over, since newer writers may have more,
//! and one that is missing has a default: so a changed `"resolution"` would make a block of raw data.

use serde_json::{Map, Value};

/// An object of `meta.json` and the keys that it may have.
struct Known {
    /// Keys from the root to it.
    path: &'static [&'static str],
    keys: &'static [&'static str],
}

const KNOWN: [Known; 6] = [
    Known { path: &[], keys: &["ulid", "minTime", "maxTime", "stats", "compaction", "version", "thanos"] },
    Known {
        path: &["stats"],
        keys: &["numSamples", "numFloatSamples", "numHistogramSamples", "numSeries", "numChunks", "numTombstones"],
    },
    Known { path: &["compaction"], keys: &["level", "sources", "deletable", "parents", "failed", "hints"] },
    Known {
        path: &["thanos"],
        keys: &[
            "version",
            "labels",
            "downsample",
            "source",
            "segment_files",
            "files",
            "rewrites",
            "index_stats",
            "extensions",
            "upload_time",
        ],
    },
    Known { path: &["thanos", "downsample"], keys: &["resolution"] },
    Known { path: &["thanos", "index_stats"], keys: &["series_max_size", "chunk_max_size"] },
];

/// What is wrong with the first key that is not known where one is missing that differs from it by one character.
pub(crate) fn misspelt(json: &[u8]) -> Option<String> {
    let root: Value = serde_json::from_slice(json).ok()?;
    KNOWN.iter().find_map(|known| {
        let at = known.path.iter().try_fold(&root, |value, key| value.get(key))?;
        in_object(at.as_object()?, known.keys)
    })
}

fn in_object(object: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let missing = || keys.iter().filter(|key| !object.contains_key(**key));
    object.keys().filter(|key| !keys.contains(&key.as_str())).find_map(|key| {
        let meant = missing().find(|known| differ_by_one(key, known))?;
        Some(format!("key {key:?} is not known, {meant:?} is missing"))
    })
}

/// Whether one becomes the other when a character is changed, added or taken away, or when letters change their case.
fn differ_by_one(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same = |x: &&char, y: &&char| x.eq_ignore_ascii_case(y);
    let head = a.iter().zip(&b).take_while(|(x, y)| same(x, y)).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| same(x, y)).count();
    a.len() - tail <= 1 && b.len() - tail <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_were_changed() {
        for (json, want) in [
            (r#"{"minTimf":1,"maxTime":2}"#, Some("\"minTimf\" is not known, \"minTime\" is missing")),
            (r#"{"inTime":1}"#, Some("\"minTime\"")),
            (r#"{"thanos":{"labeks":{}}}"#, Some("\"labels\"")),
            (r#"{"thanos":{"Labels":{}}}"#, Some("\"labels\"")),
            (r#"{"thanos":{"downsample":{"resolutionn":300000}}}"#, Some("\"resolution\"")),
            (r#"{"compaction":{"sourceq":[]}}"#, Some("\"sources\"")),
            // Both are there: it is another key.
            (r#"{"minTime":1,"minTimf":1}"#, None),
            (r#"{"ulid":"x","mint":1,"later":{}}"#, None),
            (r#"{"thanos":null,"stats":[]}"#, None),
            ("[]", None),
        ] {
            let found = misspelt(json.as_bytes());
            match want {
                Some(want) => assert!(found.as_ref().is_some_and(|f| f.contains(want)), "{json}: {found:?}"),
                None => assert_eq!(found, None, "{json}"),
            }
        }
    }
}
