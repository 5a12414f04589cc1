//! Blocks as the HTTP API lists them: all at once as Thanos does, or a page at a time.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use block::{BlockId, BlockMeta};
use serde_json::{Map, Value, json};

/// Bytes of blocks in one page. A page has at least one block.
const PAGE_BYTES_MAX: usize = 190_000;

/// What was asked for, by the parameters `limit`, `next`, `ulid`, `brief`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// At most this many blocks, and no more than fit a page; `None` = all, in the order in which they are known.
    pub limit: Option<usize>,
    /// Blocks after this one only.
    pub after: Option<BlockId>,
    /// This block only.
    pub only: Option<BlockId>,
    /// Without what is long: ancestors and files. Instead of the files `sizeBytes` says how long they are together.
    pub brief: bool,
}

/// One page of blocks, or all.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// `meta.json` of each, or its short form.
    pub blocks: Vec<Value>,
    /// Blocks in all pages.
    pub total: usize,
    /// What `next` has to be for the page after this one; `None` = this is the last.
    pub next: Option<BlockId>,
}

impl Asked {
    /// Reads the parameters; others are left alone.
    ///
    /// # Errors
    /// Names the parameter that makes no sense.
    pub fn parse(query: &BTreeMap<String, String>) -> Result<Self, String> {
        let text = |name: &str| query.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let id = |name: &str| match text(name) {
            Some(text) => BlockId::parse(text).map(Some).map_err(|e| format!("{name}: {e}")),
            None => Ok(None),
        };
        let limit = match text("limit") {
            None => None,
            Some(text) => match text.parse() {
                Ok(limit) if limit > 0 => Some(limit),
                _ => return Err(format!("limit {text:?} is no positive number")),
            },
        };
        let brief = matches!(text("brief"), Some("true" | "1"));
        Ok(Self { limit, after: id("next")?, only: id("ulid")?, brief })
    }

    /// Whether this is the first page, or all: what goes with the whole list goes with it.
    pub fn is_first(&self) -> bool {
        self.after.is_none()
    }

    /// The blocks of `all` that were asked for. Pages go by id, so that blocks that come and go between them neither hide others
    /// nor show them twice.
    pub fn page<M: Borrow<BlockMeta>>(&self, all: &[M]) -> Page {
        let total = all.len();
        let mut wanted: Vec<&BlockMeta> = all.iter().map(Borrow::borrow).filter(|meta| self.wants(meta.ulid)).collect();
        let Some(limit) = self.limit else {
            return Page { blocks: wanted.into_iter().map(|meta| self.json(meta)).collect(), total, next: None };
        };
        wanted.sort_unstable_by_key(|meta| meta.ulid);
        let (mut blocks, mut bytes, mut last) = (Vec::new(), 0, None);
        for meta in &wanted {
            let json = self.json(meta);
            bytes += json.to_string().len() + 1;
            if blocks.len() >= limit || (bytes > PAGE_BYTES_MAX && !blocks.is_empty()) {
                return Page { blocks, total, next: last };
            }
            blocks.push(json);
            last = Some(meta.ulid);
        }
        Page { blocks, total, next: None }
    }

    fn wants(&self, id: BlockId) -> bool {
        self.only.is_none_or(|only| id == only) && self.after.is_none_or(|after| id > after)
    }

    fn json(&self, meta: &BlockMeta) -> Value {
        match self.brief {
            true => brief(meta),
            // Every key is a string and every number finite: this does not fail.
            false => serde_json::to_value(meta).unwrap_or_default(),
        }
    }
}

/// The part of `meta.json` that lists and maps show, under the same keys.
fn brief(meta: &BlockMeta) -> Value {
    let mut out = json!({
        "ulid": meta.ulid,
        "minTime": meta.min_time,
        "maxTime": meta.max_time,
        "stats": { "numSeries": meta.stats.num_series, "numSamples": meta.stats.num_samples },
        "compaction": { "level": meta.compaction.level },
    });
    if let (Some(thanos), Some(map)) = (&meta.thanos, out.as_object_mut()) {
        let labels: Map<String, Value> = thanos.labels.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect();
        let resolution = thanos.downsample.resolution;
        let shown = json!({ "labels": labels, "downsample": { "resolution": resolution }, "source": thanos.source });
        map.insert("thanos".to_owned(), shown);
        let bytes = thanos.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size_bytes));
        map.insert("sizeBytes".to_owned(), bytes.into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "01M7XNEDBRHMVA77T71GPE1DE5";

    fn id(n: usize) -> BlockId {
        BlockId::parse(&format!("01{n:024}")).unwrap()
    }

    fn meta(n: usize) -> BlockMeta {
        let json = json!({
            "ulid": id(n), "minTime": n, "maxTime": n + 10, "version": 1, "stats": { "numSeries": 5 },
            "compaction": { "level": 2, "sources": vec![FIRST; 50] },
            "thanos": {
                "labels": { "cluster": "eu" }, "downsample": { "resolution": 300_000 }, "source": "compactor",
                "files": [{ "rel_path": "index", "size_bytes": 3 }, { "rel_path": "meta.json" }],
            },
        });
        serde_json::from_value(json).unwrap()
    }

    fn asked(pairs: &[(&str, &str)]) -> Result<Asked, String> {
        Asked::parse(&pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn all_as_they_are_unless_pages_are_asked_for() {
        let all = [meta(2), meta(1)];
        let page = asked(&[("view", "loaded")]).unwrap().page(&all);
        assert_eq!((page.total, page.next), (2, None));
        assert_eq!(page.blocks, all.iter().map(|m| serde_json::to_value(m).unwrap()).collect::<Vec<_>>());
        let one = asked(&[("ulid", &id(1).to_string())]).unwrap().page(&all);
        assert_eq!(one.blocks, [serde_json::to_value(&all[1]).unwrap()]);
    }

    #[test]
    fn pages_have_each_block_once_and_are_bounded() {
        let all: Vec<_> = (0..2000).rev().map(meta).collect();
        for (limit, brief) in [("7", "false"), ("100000", "false"), ("100000", "true")] {
            let (mut seen, mut next, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let page = asked(&[("limit", limit), ("next", &next), ("brief", brief)]).unwrap().page(&all);
                assert_eq!(page.total, 2000);
                assert!(serde_json::to_string(&page.blocks).unwrap().len() < 200_000);
                seen.extend(page.blocks.iter().map(|b| b["ulid"].as_str().unwrap().to_owned()));
                pages += 1;
                match page.next {
                    Some(id) => next = id.to_string(),
                    None => break,
                }
            }
            assert_eq!(seen, (0..2000).map(|n| id(n).to_string()).collect::<Vec<_>>());
            assert!(pages > 1 && (limit != "7" || pages == 286), "{pages} pages of {limit}");
        }
    }

    #[test]
    fn the_short_form() {
        let short = json!({
            "ulid": id(3), "minTime": 3, "maxTime": 13, "stats": { "numSeries": 5, "numSamples": 0 },
            "compaction": { "level": 2 }, "sizeBytes": 3,
            "thanos": { "labels": { "cluster": "eu" }, "downsample": { "resolution": 300_000 }, "source": "compactor" },
        });
        assert_eq!(brief(&meta(3)), short);
    }

    #[test]
    fn what_makes_no_sense() {
        for (name, value) in [("limit", "0"), ("limit", "-1"), ("limit", "x"), ("next", "x"), ("ulid", "01")] {
            let error = asked(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
        assert_eq!(asked(&[("limit", ""), ("next", "")]).unwrap(), Asked::default());
    }
}
