//! `tools bucket retention`: marks blocks for deletion that are older than their resolution is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::bucket::Filters;
use ::bucket::marks::{self, Marked};
use block::{BlockId, BlockMeta};
use flags::{Flag, Parsed};
use model::Resolution;
use service::tool::{Deps, Verdict};

use super::common::{self, DRY_RUN, SELECTOR};
use crate::Error;
use crate::output::{format_duration, format_time_s};

pub(super) const ABOUT: &str = "Retention applies retention policies on the given bucket. Please make sure no compactor is running on the same bucket at the same time.";
pub(super) const SHORTS: &[(char, &str)] = &[];
pub(super) const FLAGS: &[&[Flag]] = &[
    &[
        Flag::duration("delete-delay", "48h", "Time before a block marked for deletion is deleted from bucket."),
        Flag::duration(
            "consistency-delay",
            "30m",
            "Minimum age of fresh (non-compacted) blocks before they are being processed.",
        ),
        Flag::count("block-sync-concurrency", "20", "Blocks whose metadata is fetched from object storage at a time."),
    ],
    SELECTOR,
    &[
        Flag::duration(
            "retention.resolution-raw",
            "0d",
            "How long to retain raw samples in bucket. Setting this to 0d will retain samples of this resolution forever.",
        ),
        Flag::duration(
            "retention.resolution-5m",
            "0d",
            "How long to retain samples of resolution 1 (5 minutes) in bucket. Setting this to 0d will retain samples of this resolution forever.",
        ),
        Flag::duration(
            "retention.resolution-1h",
            "0d",
            "How long to retain samples of resolution 2 (1 hour) in bucket. Setting this to 0d will retain samples of this resolution forever.",
        ),
    ],
    DRY_RUN,
];

/// How long each resolution is kept, ms; 0 = for ever.
#[derive(Debug, Clone, Copy, Default)]
struct Retentions {
    raw_ms: i64,
    five_minutes_ms: i64,
    one_hour_ms: i64,
}

impl Retentions {
    fn of(self, resolution_ms: i64) -> i64 {
        match Resolution::from_ms(resolution_ms) {
            Some(Resolution::Raw) => self.raw_ms,
            Some(Resolution::FiveMinutes) => self.five_minutes_ms,
            Some(Resolution::OneHour) => self.one_hour_ms,
            None => 0,
        }
    }
}

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let retentions = Retentions {
        raw_ms: parsed.duration_ms("retention.resolution-raw"),
        five_minutes_ms: parsed.duration_ms("retention.resolution-5m"),
        one_hour_ms: parsed.duration_ms("retention.resolution-1h"),
    };
    let filters = Filters {
        shard: ::bucket::flags::selector(parsed)?,
        consistency_delay_ms: parsed.duration_ms("consistency-delay"),
        ignore_deletion_marks_delay_ms: Some(parsed.duration_ms("delete-delay") / 2),
        deduplicate: true,
        ..Filters::default()
    };
    let dry_run = parsed.switch("dry-run");
    let bucket = common::open_bucket(parsed, deps)?;
    let view = common::view(&bucket, parsed.count("block-sync-concurrency") as usize, 0, deps).await?;
    common::need_complete(&view)?;
    let now_ms = deps.clock.now_ms();
    let kept = filters.apply(&view, now_ms).kept;
    let plan = plan(&kept, retentions, now_ms);
    let mut marked = 0;
    for expired in plan.iter().filter(|e| !view.deletion_marks.contains_key(&e.block)) {
        let Expired { block, details, what } = expired;
        if dry_run {
            deps.print(&format!("{block}: would be marked for deletion: {what}\n"))?;
            marked += 1;
            continue;
        }
        match marks::mark_for_deletion(&bucket, *block, details, &*deps.clock).await? {
            Marked::Now => deps.print(&format!("{block}: marked for deletion: {what}\n"))?,
            Marked::Already => {}
            Marked::Gone => deps.print(&format!("{block}: is gone already\n"))?,
        }
    }
    if dry_run && marked > 0 {
        tracing::warn!(blocks = marked, "dry run, nothing was marked, pass --no-dry-run to mark");
    }
    Ok(Verdict::Fine)
}

#[derive(Debug, PartialEq, Eq)]
struct Expired {
    block: BlockId,
    details: String,
    what: String,
}

fn plan(blocks: &BTreeMap<BlockId, Arc<BlockMeta>>, retentions: Retentions, now_ms: i64) -> Vec<Expired> {
    let is_expired = |meta: &BlockMeta| {
        let retention_ms = retentions.of(meta.resolution_ms());
        retention_ms > 0 && now_ms.saturating_sub(meta.max_time) > retention_ms
    };
    let mut out = Vec::new();
    for meta in blocks.values().filter(|meta| is_expired(meta)) {
        let details = format!("block exceeding retention of {}", format_duration(retentions.of(meta.resolution_ms())));
        let mut what = format!("ends at {}, {details}", format_time_s(meta.max_time));
        // A downsampled block of all its sources is kept for longer.
        let outlives = |other: &&Arc<BlockMeta>| {
            other.resolution_ms() > meta.resolution_ms()
                && other.thanos.as_ref().map(|t| &t.labels) == meta.thanos.as_ref().map(|t| &t.labels)
                && meta.compaction.sources.iter().all(|s| other.compaction.sources.contains(s))
                && !is_expired(other)
        };
        match blocks.values().filter(outlives).map(|m| m.resolution_ms()).min() {
            Some(resolution_ms) => what.push_str(&format!(", {} stays", format_duration(resolution_ms))),
            None => what.push_str(", NO BLOCK OF THIS TIME STAYS AT A LOWER RESOLUTION"),
        }
        out.push(Expired { block: meta.ulid, details, what });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(n: u128, max_time: i64, resolution: i64, sources: &[u128]) -> (BlockId, Arc<BlockMeta>) {
        let mut meta = BlockMeta { ulid: BlockId::new(0, n), max_time, ..BlockMeta::default() };
        meta.compaction.sources = sources.iter().map(|s| BlockId::new(0, *s)).collect();
        let mut thanos = block::ThanosMeta::default();
        thanos.downsample.resolution = resolution;
        meta.thanos = Some(thanos);
        (meta.ulid, Arc::new(meta))
    }

    #[test]
    fn what_expires() {
        let blocks: BTreeMap<_, _> = [
            meta(1, 1_000, 0, &[1]),
            meta(2, 5_000, 0, &[2]),
            meta(3, 1_000, 300_000, &[1, 9]),
            meta(4, 1_000, 3_600_000, &[7]),
            meta(5, 0, 0, &[7]),
            meta(6, 0, 12_345, &[8]),
        ]
        .into();
        let ids = |retentions| -> Vec<u128> {
            plan(&blocks, retentions, 10_000).iter().map(|e| e.block.0.random()).collect()
        };
        assert!(ids(Retentions::default()).is_empty());
        assert!(ids(Retentions { raw_ms: 10_000, ..Retentions::default() }).is_empty());
        assert_eq!(ids(Retentions { raw_ms: 9_000, ..Retentions::default() }), [5]);
        assert_eq!(ids(Retentions { raw_ms: 8_999, ..Retentions::default() }), [1, 5]);
        assert_eq!(ids(Retentions { raw_ms: 1, five_minutes_ms: 1, one_hour_ms: 1 }), [1, 2, 3, 4, 5]);
        let whats = |retentions| -> Vec<String> {
            plan(&blocks, retentions, 10_000).into_iter().map(|e| format!("{} {}", e.details, e.what)).collect()
        };
        let found = whats(Retentions { raw_ms: 8_000, ..Retentions::default() });
        assert_eq!(
            found[0],
            "block exceeding retention of 8s ends at 1970-01-01T00:00:01Z, block exceeding retention of 8s, 5m0s stays"
        );
        assert!(found[1].ends_with(", 1h0m0s stays"), "{}", found[1]);
        let found = whats(Retentions { raw_ms: 8_000, five_minutes_ms: 8_000, one_hour_ms: 0 });
        assert!(found[0].ends_with("NO BLOCK OF THIS TIME STAYS AT A LOWER RESOLUTION"), "{}", found[0]);
    }
}
