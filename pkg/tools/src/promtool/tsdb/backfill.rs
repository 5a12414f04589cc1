//! `aion tools tsdb create-blocks-from rules`: what recording rules would have recorded, as blocks, in a directory or
//! straight in a bucket.

use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta};
use bucket::shipper::{Shipped, Shipper, ShipperOptions, Verify};
use flags::{Flag, Parsed};
use futures::StreamExt;
use labels::Labels;
use promclient::{PromClient, RangeSeries, RangeSteps};
use rules::{GroupSpec, RuleSpec};
use service::tool::Deps;
use sha2::{Digest, Sha256};

use super::super::check_rules::options;
use super::super::common::Outcome;
use super::super::server::{HTTP_CONFIG, client, failed, time_ms};
use super::blocks::{Gathered, block_ms};
use super::list::HUMAN;
use super::openmetrics::{MAX_DURATION, QUIET};
use super::progress::{Filled, Progress};
use crate::Error;
use crate::bucket::common::{OBJSTORE_CONFIG, OBJSTORE_CONFIG_FILE, bucket_of, label_pairs};

pub(crate) const FLAGS: &[Flag] = &[
    Flag::text(
        "url",
        "http://localhost:9090",
        "The URL for the Prometheus API with the data where the rule will be backfilled from.",
    )
    .placeholder("<URL>"),
    HTTP_CONFIG,
    Flag::text(
        "start",
        "",
        "The time to start backfilling the new rule from. Must be a RFC3339 formatted date or Unix timestamp. Required.",
    ),
    Flag::text(
        "end",
        "",
        "If an end time is provided, all recording rules in the rule files provided will be backfilled to the end time. Default will backfill up to 3 hours ago. Must be a RFC3339 formatted date or Unix timestamp.",
    ),
    Flag::text("output-dir", "data/", "Output directory for generated blocks."),
    Flag::duration(
        "eval-interval",
        "60s",
        "How frequently to evaluate rules when backfilling if a value is not set in the recording rule files.",
    ),
    HUMAN,
    QUIET,
    MAX_DURATION,
    Flag::count("concurrency", "4", "How many queries are made at one time."),
    Flag::count("max-points", "11000", "Most steps of one query: what the API allows. More are asked in parts."),
    Flag::duration("timeout", "2m", "The longest time for one query."),
    OBJSTORE_CONFIG_FILE,
    OBJSTORE_CONFIG,
    Flag::text("label", "", "External labels of blocks that go into a bucket (repeated).")
        .placeholder("key=\"value\"")
        .repeated(),
];

/// Without `--end` the last hours are left to the rules themselves, ms.
const BEHIND_MS: i64 = 3 * 3_600_000;
/// `thanos.source` of the blocks.
const SOURCE: &str = "backfill";

/// A recording rule, and how often it is evaluated.
struct Recording<'a> {
    group: &'a GroupSpec,
    rule: &'a RuleSpec,
    interval_ms: i64,
}

/// The times that are evaluated.
#[derive(Debug, Clone, Copy)]
struct Span {
    start_ms: i64,
    end_ms: i64,
    block_ms: i64,
    points_max: i64,
}

pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let start_ms =
        time_ms(parsed, "start")?.ok_or_else(|| Error::Usage("required flag --start not provided".to_owned()))?;
    let end_ms = time_ms(parsed, "end")?.unwrap_or_else(|| deps.clock.now_ms() - BEHIND_MS);
    if end_ms < start_ms {
        return Err(Error::Usage("end time is before start time".to_owned()));
    }
    let span = Span {
        start_ms,
        end_ms,
        block_ms: block_ms(parsed.duration_ms("max-block-duration")),
        points_max: i64::try_from(parsed.count("max-points")).unwrap_or(i64::MAX).max(1),
    };
    let groups = read(parsed.args())?;
    let default_ms = parsed.duration_ms("eval-interval").max(1);
    let rules: Vec<Recording<'_>> = groups
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
        .filter(|(_, rule)| rule.alert.is_none())
        .map(|(group, rule)| Recording { group, rule, interval_ms: group.interval_ms.unwrap_or(default_ms).max(1) })
        .collect();
    warn_of_order(&rules);
    let labels = label_pairs(parsed, "label")?;
    let output = Path::new(parsed.text("output-dir"));
    let target = Target::open(parsed, deps, output, &labels, &key(&rules, span, &labels))?;
    fill(parsed, deps, &rules, span, target).await
}

async fn fill(parsed: &Parsed, deps: &mut Deps<'_>, rules: &[Recording<'_>], span: Span, target: Target) -> Outcome {
    let client = client(parsed, parsed.text("url"))?;
    let concurrency = usize::try_from(parsed.count("concurrency")).unwrap_or(1).clamp(1, 64);
    let mut progress = Progress::open(target.progress_path(), |id| target.has(id))?;
    target.upload().await?;
    let first = span.start_ms.div_euclid(span.block_ms) * span.block_ms;
    let blocks = (span.end_ms - first) / span.block_ms + 1;
    for number in 0..blocks {
        if deps.shutdown.is_cancelled() {
            return Err(Error::Failed("interrupted; the same command goes on from here".to_owned()));
        }
        let begin_ms = first + number * span.block_ms;
        let until_ms = (begin_ms + span.block_ms - 1).min(span.end_ms);
        let from_ms = progress.until_ms(begin_ms).map_or(begin_ms.max(span.start_ms), |until| until + 1);
        if from_ms > until_ms {
            continue;
        }
        let asked: Vec<_> = rules.iter().map(|rule| ask(&client, rule, from_ms, until_ms, span.points_max)).collect();
        let mut answers = futures::stream::iter(asked).buffered(concurrency);
        let (mut gathered, mut samples) = (Gathered::default(), 0);
        while let Some(series) = answers.next().await {
            for (labels, series) in series? {
                samples += series.points.len() + series.histograms.len();
                gathered.extend(labels, &series.points, series.histograms);
            }
        }
        drop(answers);
        let (id, series) = (BlockId::new(deps.clock.now_ms().max(0) as u64, (deps.random)()), gathered.series());
        let filled = Filled { until_ms, block: (!gathered.is_empty()).then_some(id) };
        if filled.block.is_some() {
            progress.begin(begin_ms, filled)?;
            gathered.write(&target.dir, id, BlockMeta::default())?;
            target.upload().await?;
        }
        progress.end(begin_ms, filled)?;
        if !parsed.switch("quiet") {
            let what = match filled.block {
                Some(id) => format!("block {id}, {series} series, {samples} samples"),
                None => "nothing".to_owned(),
            };
            let time = crate::output::format_time_s(begin_ms);
            deps.print(&format!("{}/{blocks} {time}: {what}\n", number + 1))?;
        }
    }
    Ok(0)
}

/// Where blocks go.
struct Target {
    dir: PathBuf,
    key: String,
    shipper: Option<Shipper>,
}

impl Target {
    /// In a bucket if one is given; then blocks lie below `output` in a directory of their own until they are there.
    fn open(parsed: &Parsed, deps: &Deps<'_>, output: &Path, labels: &Labels, key: &str) -> Result<Self, Error> {
        let bucket = bucket_of(parsed, "objstore.config", &[], deps)?;
        let dir = match &bucket {
            Some(_) if labels.is_empty() => {
                let text = "no external labels configured: give --label, so that the blocks belong to their Prometheus";
                return Err(Error::Usage(text.to_owned()));
            }
            Some(_) => output.join(format!("backfill-{key}")),
            None => output.to_owned(),
        };
        std::fs::create_dir_all(&dir).map_err(|e| Error::Failed(format!("create {}: {e}", dir.display())))?;
        let shipper = bucket.map(|bucket| {
            let options = ShipperOptions {
                verify: Verify::Full,
                dir_flag: "--output-dir",
                source: SOURCE.to_owned(),
                clock: deps.clock.clone(),
                ..ShipperOptions::new(&dir)
            };
            let labels = labels.clone();
            Shipper::new(bucket, options, move || labels.clone(), &deps.metrics)
        });
        Ok(Self { dir, key: key.to_owned(), shipper })
    }

    fn progress_path(&self) -> PathBuf {
        self.dir.join(format!("backfill-{}.json", self.key))
    }

    /// Whether a block was written.
    fn has(&self, id: BlockId) -> bool {
        let shipped = || {
            let list = self.shipper.as_ref().map(|shipper| Shipped::read(&shipper.list_path()));
            list.is_some_and(|list| list.is_ok_and(|list| list.0.contains(&id)))
        };
        self.dir.join(id.to_string()).is_dir() || shipped()
    }

    /// Brings the blocks of the directory into the bucket, if there is one, and removes them here.
    async fn upload(&self) -> Result<(), Error> {
        let Some(shipper) = &self.shipper else { return Ok(()) };
        let pass = shipper.pass().await.map_err(Error::Failed)?;
        if let Some((name, why)) = pass.failed.first() {
            return Err(Error::Failed(format!("{name}: not uploaded: {why}; the same command goes on from here")));
        }
        let shipped = Shipped::read(&shipper.list_path()).map_err(Error::Failed)?;
        for id in shipped.0 {
            let dir = self.dir.join(id.to_string());
            if dir.is_dir() {
                std::fs::remove_dir_all(&dir).map_err(|e| Error::Failed(format!("remove {}: {e}", dir.display())))?;
            }
        }
        Ok(())
    }
}

fn read(files: &[String]) -> Result<Vec<GroupSpec>, Error> {
    let mut groups = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|e| Error::Failed(format!("{file}: {e}")))?;
        let options = rules::ParseOptions { thanos: true, ..options(false) };
        groups.extend(rules::parse(file, &text, &options).map_err(|e| Error::Failed(format!("{file}: {e}")))?);
    }
    Ok(groups)
}

/// Rules that read what others of these record see only what was recorded at the time.
fn warn_of_order(rules: &[Recording<'_>]) {
    for reader in rules {
        for selector in promql_syntax::selectors(&reader.rule.expr) {
            let name = selector.matchers.iter().find(|m| m.name() == labels::METRIC_NAME).map(|m| m.value());
            if let Some(read) = rules.iter().find(|r| Some(r.rule.name.as_str()) == name) {
                let (rule, reads) = (&reader.rule.name, &read.rule.name);
                tracing::warn!(rule, reads, "the rule reads another one: fill and load that one first");
            }
        }
    }
}

/// What tells back-fills apart: another one has a progress of its own.
fn key(rules: &[Recording<'_>], span: Span, labels: &Labels) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {labels}", span.start_ms, span.block_ms));
    for Recording { group, rule, interval_ms } in rules {
        let recorded = rule.recorded_labels(&Labels::empty());
        hash.update(format!("\n{} {interval_ms} {recorded} {}", group.key(), rule.query));
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What a rule records at its evaluations from `from_ms` to `until_ms`.
async fn ask(
    client: &PromClient,
    recording: &Recording<'_>,
    from_ms: i64,
    until_ms: i64,
    points_max: i64,
) -> Result<Vec<(Labels, RangeSeries)>, Error> {
    let Recording { group, rule, interval_ms } = recording;
    let mut out = Vec::new();
    let mut start_ms = group.first_evaluation_ms(*interval_ms, from_ms);
    while start_ms <= until_ms {
        let end_ms = start_ms.saturating_add(interval_ms.saturating_mul(points_max - 1)).min(until_ms);
        let steps = RangeSteps { start_ms, end_ms, step_ms: *interval_ms };
        let answer = client.query_range(&rule.query, steps).await.map_err(failed)?;
        for warning in answer.warnings {
            tracing::warn!(rule = rule.name, warning, "the data of a rule may be incomplete");
        }
        out.extend(answer.value.into_iter().map(|series| (rule.recorded_labels(&series.labels), series)));
        start_ms += (end_ms - start_ms) / interval_ms * interval_ms + interval_ms;
    }
    Ok(out)
}
