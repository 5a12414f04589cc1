//! Groups: the blocks that may be merged with one another. Same external labels (without those of replicas), same
//! resolution.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use model::Resolution;

use crate::plan;

#[derive(Debug, Clone)]
pub struct Group {
    /// `<resolution>@<hash>`, as Thanos names it.
    pub key: String,
    /// ms; 0 = raw.
    pub resolution_ms: i64,
    /// Common to all blocks.
    pub labels: BTreeMap<String, String>,
    /// In the order of [`plan::sort`].
    pub blocks: Vec<Arc<BlockMeta>>,
}

/// The labels of a block.
pub fn labels(meta: &BlockMeta) -> BTreeMap<String, String> {
    meta.thanos.as_ref().map(|t| t.labels.clone()).unwrap_or_default()
}

pub fn groups(blocks: &BTreeMap<BlockId, Arc<BlockMeta>>) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for meta in blocks.values() {
        let key = meta.group_key();
        let group = groups.entry(key.clone()).or_insert_with(|| Group {
            key,
            resolution_ms: meta.resolution_ms(),
            labels: labels(meta),
            blocks: Vec::new(),
        });
        group.blocks.push(meta.clone());
    }
    for group in groups.values_mut() {
        plan::sort(&mut group.blocks);
    }
    groups
}

impl Group {
    /// The name of the group's lease: as the key, but for letters that stores spell in different ways.
    pub fn lease_key(&self) -> String {
        self.key.replace('@', "-")
    }

    /// Whose group it is, for a fair share: the value of `tenant_label`, or the labels together.
    pub fn tenant(&self, tenant_label: &str) -> String {
        match self.labels.get(tenant_label) {
            Some(tenant) => tenant.clone(),
            None => self.key.rsplit('@').next().unwrap_or_default().to_owned(),
        }
    }

    /// The labels as a selector, for people.
    pub fn selector(&self) -> String {
        let pairs: Vec<String> = self.labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}

/// `raw`, `5m`, `1h`.
pub fn resolution_text(ms: i64) -> String {
    Resolution::describe(ms)
}

/// A number that blocks of one replica share: made from the replica labels of the block as it lies in the bucket.
pub fn replica(original: &BlockMeta, replica_labels: &[String]) -> u64 {
    let labels = original.thanos.iter().flat_map(|t| &t.labels);
    labels::hash_pairs(labels.filter(|(n, _)| replica_labels.contains(n)).map(|(n, v)| (n.as_str(), v.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::meta::{Downsample, ThanosMeta};

    fn meta(n: u64, min_time: i64, resolution: i64, pairs: &[(&str, &str)]) -> (BlockId, Arc<BlockMeta>) {
        let labels = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let thanos = Some(ThanosMeta { labels, downsample: Downsample { resolution }, ..ThanosMeta::default() });
        let id = BlockId::new(n, 0);
        (id, Arc::new(BlockMeta { ulid: id, min_time, max_time: min_time + 10, thanos, ..BlockMeta::default() }))
    }

    #[test]
    fn by_labels_and_resolution() {
        let a = &[("cluster", "a"), ("tenant_id", "x")][..];
        let blocks = [meta(1, 10, 0, a), meta(2, 0, 0, a), meta(3, 0, 300_000, a), meta(4, 0, 0, &[("cluster", "b")])];
        let groups = groups(&blocks.into_iter().collect());
        assert_eq!(groups.len(), 3);
        let raw = groups.values().find(|g| g.blocks.len() == 2).unwrap();
        assert_eq!(raw.blocks.iter().map(|m| m.min_time).collect::<Vec<_>>(), [0, 10]);
        assert_eq!(
            (raw.tenant("tenant_id").as_str(), raw.selector().as_str()),
            ("x", r#"{cluster="a", tenant_id="x"}"#)
        );
        assert!(raw.lease_key().starts_with("0-") && raw.key.starts_with("0@"));
    }

    #[test]
    fn replicas() {
        let names = ["replica".to_owned()];
        let of = |pairs: &[(&str, &str)]| replica(&meta(1, 0, 0, pairs).1, &names);
        assert_eq!(of(&[("replica", "0"), ("x", "1")]), of(&[("replica", "0"), ("x", "2")]));
        assert_ne!(of(&[("replica", "0")]), of(&[("replica", "1")]));
        assert_ne!(of(&[("replica", "0")]), of(&[("x", "1")]));
    }
}
