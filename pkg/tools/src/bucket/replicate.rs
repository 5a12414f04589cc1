//! `tools bucket replicate`: copies blocks into another bucket, once or again and again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::bucket::{Filters, View};
use block::{BlockId, BlockMeta};
use flags::{Flag, Kind, Parsed};
use labels::Matcher;
use objstore::Bucket;
use service::tool::{Deps, Verdict};
use telemetry::{Counter, CounterVec, HistogramVec, Metrics};

use super::common::{self, TIMES};
use super::copy::{Copied, CopyOptions, copy_block};
use crate::Error;

pub(super) const ABOUT: &str = "Replicate data from one object storage to another. NOTE: Currently it works only with Thanos blocks (meta.json has to have Thanos metadata).";
pub(super) const SHORTS: &[(char, &str)] = &[];
pub(super) const FLAGS: &[&[Flag]] = &[
    transport::flags::HTTP,
    &[
        Flag::text(
            "objstore-to.config-file",
            "",
            "Path to YAML file that contains object store-to configuration: the object storage which replicate data to.",
        )
        .placeholder("<file-path>"),
        Flag::text("objstore-to.config", "", "Object store-to configuration, instead of a file.")
            .placeholder("<content>"),
        Flag::new(
            "resolution",
            Kind::Duration,
            "",
            "Only blocks with these resolutions will be replicated. Repeated flag. Default: 0s, 5m, 1h.",
        )
        .placeholder("0s...")
        .repeated(),
        Flag::count("compaction-min", "1", "Only blocks with at least this compaction level will be replicated."),
        Flag::count(
            "compaction-max",
            "4",
            "Only blocks up to a maximum of this compaction level will be replicated.",
        ),
        Flag::count(
            "compaction",
            "",
            "Only blocks with these compaction levels will be replicated. Repeated flag. Overrides compaction-min and compaction-max if set.",
        )
        .repeated(),
        Flag::text(
            "matcher",
            "",
            "blocks whose external labels match this matcher will be replicated. All Prometheus matchers are supported, including =, !=, =~ and !~.",
        )
        .placeholder("MATCHER"),
        Flag::switch("single-run", "Run replication only one time, then exit."),
    ],
    TIMES,
    &[
        Flag::text(
            "id",
            "",
            "Block to be replicated to the destination bucket. IDs will be used to match blocks and other matchers will be ignored. When specified, this command will be run only once after successful replication. Repeated field.",
        )
        .repeated(),
        Flag::switch("ignore-marked-for-deletion", "Do not replicate blocks that have deletion mark."),
        Flag::text("tmp.dir", "", "Where indexes lie while they are checked; the system's place if empty.").hidden(),
    ],
];

/// Between two runs.
const INTERVAL: Duration = Duration::from_secs(60);

struct ReplicateMetrics {
    already: Counter,
    blocks: Counter,
    objects: Counter,
    runs: CounterVec,
    seconds: HistogramVec,
}

impl ReplicateMetrics {
    fn new(m: &Metrics) -> Self {
        let found = Self {
            already: m.counter(
                "thanos_replicate_blocks_already_replicated_total",
                "Total number of blocks skipped due to already being replicated.",
            ),
            blocks: m.counter("thanos_replicate_blocks_replicated_total", "Total number of blocks replicated."),
            objects: m.counter("thanos_replicate_objects_replicated_total", "Total number of objects replicated."),
            runs: m.counters(
                "thanos_replicate_replication_runs_total",
                "The number of replication runs split by success and error.",
                &["result"],
            ),
            seconds: m.histograms(
                "thanos_replicate_replication_run_duration_seconds",
                "The Duration of replication runs split by success and error.",
                &["result"],
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            ),
        };
        for result in ["success", "error"] {
            found.runs.with(&[result]);
        }
        found
    }
}

#[derive(Debug, Default)]
struct Wanted {
    ids: BTreeSet<BlockId>,
    matchers: Vec<Matcher>,
    resolutions_ms: Vec<i64>,
    levels: Levels,
    unmarked_only: bool,
    filters: Filters,
}

#[derive(Debug)]
enum Levels {
    Between(u64, u64),
    These(Vec<u64>),
}

impl Default for Levels {
    fn default() -> Self {
        Self::Between(0, u64::MAX)
    }
}

impl Wanted {
    fn new(parsed: &Parsed, now_ms: i64) -> Result<Self, Error> {
        let mut resolutions: Vec<String> = parsed.list("resolution");
        if resolutions.is_empty() {
            resolutions = ["0s", "5m", "1h"].map(str::to_owned).to_vec();
        }
        let (min, max) = (parsed.count("compaction-min"), parsed.count("compaction-max"));
        let levels: Vec<u64> = parsed.list("compaction").iter().filter_map(|l| l.parse().ok()).collect();
        if levels.is_empty() && min > max {
            return Err(Error::Usage("compaction-min must be less than or equal to compaction-max".to_owned()));
        }
        Ok(Self {
            ids: common::block_ids(parsed)?,
            matchers: parse_matchers(parsed.text("matcher"))?,
            resolutions_ms: resolutions.iter().filter_map(|r| flags::parse_go_duration(r).ok()).collect(),
            levels: if levels.is_empty() { Levels::Between(min, max) } else { Levels::These(levels) },
            unmarked_only: parsed.switch("ignore-marked-for-deletion"),
            filters: Filters { time: Some(common::times(parsed, now_ms)?), ..Filters::default() },
        })
    }

    /// The blocks, oldest first: a compactor on the other side then finds no gaps that fill later.
    fn blocks(&self, view: &View, now_ms: i64) -> Vec<Arc<BlockMeta>> {
        let mut out: Vec<_> =
            self.filters.apply(view, now_ms).kept.into_values().filter(|meta| self.is_wanted(meta, view)).collect();
        out.sort_by_key(|meta| (meta.min_time, meta.ulid));
        out
    }

    fn is_wanted(&self, meta: &BlockMeta, view: &View) -> bool {
        let Some(labels) = meta.thanos.as_ref().map(|t| &t.labels).filter(|labels| !labels.is_empty()) else {
            tracing::error!(block = %meta.ulid, "block left out: it has no external labels");
            return false;
        };
        if self.unmarked_only && view.deletion_marks.contains_key(&meta.ulid) {
            return false;
        }
        if !self.ids.is_empty() {
            return self.ids.contains(&meta.ulid);
        }
        let level = u64::from(meta.compaction.level);
        let is_level = match &self.levels {
            Levels::Between(min, max) => (*min..=*max).contains(&level),
            Levels::These(levels) => levels.contains(&level),
        };
        is_level
            && self.resolutions_ms.contains(&meta.resolution_ms())
            && self.matchers.iter().all(|m| m.matches(labels.get(m.name()).map_or("", String::as_str)))
    }
}

/// `a="x"`, `{a="x",b=~"y"}`.
fn parse_matchers(text: &str) -> Result<Vec<Matcher>, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let selector = if text.starts_with('{') { text.to_owned() } else { format!("{{{text}}}") };
    promql_syntax::parse_series_matchers(&selector).map_err(|e| Error::Usage(format!("--matcher: {e}")))
}

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let now_ms = deps.clock.now_ms();
    let mut wanted = Wanted::new(parsed, now_ms)?;
    let from = common::bucket_of(parsed, "objstore.config", &[("replicate", "from")], deps)?;
    let from = from.ok_or_else(common::no_bucket)?;
    let to = common::bucket_of(parsed, "objstore-to.config", &[("replicate", "to")], deps)?.ok_or_else(|| {
        Error::Usage(
            "a bucket to replicate to is needed: give --objstore-to.config-file or --objstore-to.config".into(),
        )
    })?;
    let tmp_dir = parsed.text_opt("tmp.dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let options = CopyOptions { tmp_dir, check: true, clock: deps.clock.clone() };
    let metrics = ReplicateMetrics::new(&deps.metrics);
    if parsed.switch("single-run") || !wanted.ids.is_empty() {
        return replicate(&from, &to, &wanted, &options, &metrics, deps).await;
    }
    let server = common::serve_probe(parsed, deps).await?;
    let shutdown = deps.shutdown.clone();
    while !shutdown.is_cancelled() {
        let began = Instant::now();
        // relative times move on with the clock
        wanted.filters.time = Some(common::times(parsed, deps.clock.now_ms())?);
        let run = replicate(&from, &to, &wanted, &options, &metrics, deps);
        let Some(outcome) = shutdown.run_until_cancelled(run).await else { break };
        let result = match outcome {
            Ok(Verdict::Fine) => "success",
            Ok(Verdict::Problems) => "error",
            Err(e) => {
                tracing::error!(err = %e, "replication failed, trying again later");
                "error"
            }
        };
        metrics.runs.with(&[result]).inc();
        metrics.seconds.with(&[result]).observe(began.elapsed().as_secs_f64());
        if shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            break;
        }
    }
    server.ended().await?;
    Ok(Verdict::Fine)
}

/// One run. A block that cannot be copied does not keep the others from it.
async fn replicate(
    from: &Bucket,
    to: &Bucket,
    wanted: &Wanted,
    options: &CopyOptions,
    metrics: &ReplicateMetrics,
    deps: &mut Deps<'_>,
) -> Result<Verdict, Error> {
    let view = common::view(from, 32, 0, deps).await?;
    let mut failed = common::warn_of_unknown(&view);
    for id in view.partial.keys() {
        tracing::info!(block = %id, "block is not whole yet, left out");
    }
    let blocks = wanted.blocks(&view, deps.clock.now_ms());
    for id in wanted.ids.iter().filter(|id| !blocks.iter().any(|meta| meta.ulid == **id)) {
        failed = true;
        deps.print(&format!("{id}: there is no such block to replicate\n"))?;
    }
    for meta in blocks {
        let id = meta.ulid;
        match copy_block(from, to, id, options).await {
            Ok(Copied::Already) => {
                tracing::debug!(block = %id, "block is there already");
                metrics.already.inc();
            }
            Ok(Copied::Now { objects, bytes }) => {
                metrics.blocks.inc();
                metrics.objects.inc_by(objects);
                deps.print(&format!("{id}: replicated, {objects} objects, {bytes} bytes\n"))?;
            }
            Err(e) => {
                failed = true;
                tracing::error!(block = %id, err = %e, "block not replicated");
                deps.print(&format!("{id}: not replicated: {e}\n"))?;
            }
        }
    }
    Ok(Verdict::of(failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(args: &[&str]) -> Result<Wanted, String> {
        let tool = super::super::TOOLS.iter().find(|tool| tool.name == "replicate").unwrap();
        let args = args.iter().map(|a| (*a).to_owned());
        match flags::parse(&crate::bucket::command(tool), args, "v").map_err(|e| e.to_string())? {
            flags::Outcome::Run(parsed) => Wanted::new(&parsed, 0).map_err(|e| e.to_string()),
            flags::Outcome::Print(text) => Err(text),
        }
    }

    fn meta(level: u32, resolution: i64, cluster: &str) -> BlockMeta {
        let mut meta = BlockMeta { ulid: BlockId::new(5, 5), ..BlockMeta::default() };
        meta.compaction.level = level;
        let mut thanos = block::ThanosMeta::default();
        thanos.downsample.resolution = resolution;
        if !cluster.is_empty() {
            thanos.labels.insert("cluster".to_owned(), cluster.to_owned());
        }
        meta.thanos = Some(thanos);
        meta
    }

    #[test]
    fn which_blocks() {
        let view = View::default();
        for (args, meta, expected) in [
            (&[][..], meta(1, 0, "eu"), true),
            (&[], meta(4, 3_600_000, "eu"), true),
            (&[], meta(5, 0, "eu"), false),
            (&[], meta(1, 0, ""), false),
            (&["--compaction=5", "--compaction=7"], meta(5, 0, "eu"), true),
            (&["--compaction=5", "--compaction=7"], meta(1, 0, "eu"), false),
            (&["--resolution=5m"], meta(1, 0, "eu"), false),
            (&["--resolution=5m"], meta(1, 300_000, "eu"), true),
            (&["--matcher=cluster=~\"e.\""], meta(1, 0, "eu"), true),
            (&["--matcher={cluster!=\"eu\"}"], meta(1, 0, "eu"), false),
            (&["--matcher=cluster=\"eu\",replica=\"\""], meta(1, 0, "eu"), true),
            (&["--id=00000000050000000000000005", "--matcher=cluster=\"us\""], meta(9, 7, "eu"), true),
            (&["--id=00000000050000000000000006"], meta(1, 0, "eu"), false),
        ] {
            assert_eq!(wanted(args).unwrap().is_wanted(&meta, &view), expected, "{args:?}");
        }
        assert!(wanted(&["--matcher=cluster=="]).unwrap_err().contains("--matcher"));
        assert!(wanted(&["--compaction-min=5"]).unwrap_err().contains("less than or equal"));
    }
}
