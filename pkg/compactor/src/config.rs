//! What the flags mean, checked once.

use std::path::PathBuf;
use std::time::Duration;

use assembly::{BucketConfig, Deps, Error, HttpConfig};
use bucket::FetchOptions;
use bucket::Filters;
use bucket::flags::TimeLimits;
use flags::Parsed;
use merge::Vertical;

use crate::downsampling::{STEPS, Step};
use crate::plan::RANGES_MS;
use crate::policy::Policy;
use crate::settings::Settings;

/// Settings of `aion compact`.
#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    pub bucket: BucketConfig,
    /// Of the work itself.
    pub settings: Settings,
    pub fetch: FetchOptions,
    pub wait: bool,
    pub wait_interval: Duration,
    pub cleanup_interval: Duration,
    /// How often the backlog gauges are updated; 0 = never.
    pub progress_interval: Duration,
    /// How old the view of the pages and the API may become.
    pub view_interval: Duration,
    pub view_timeout: Duration,
    /// Bytes of buffers of one merge.
    pub memory_bytes: u64,
    /// Largest chunk segment, bytes.
    pub segment_bytes: u64,
    /// Threads of one merge.
    pub shards: usize,
    /// Whether files are hashed into `meta.json`.
    pub hash: bool,
    /// `--bucket-web-label`.
    pub web_label: String,
    pub dry_run: bool,
    /// Whether the progress of tasks is shown on the terminal.
    pub progress: bool,
}

impl assembly::Config for Config {
    fn from_flags(parsed: &Parsed, _deps: &Deps) -> Result<Self, Error> {
        let wait_interval = millis(parsed, "wait-interval").max(Duration::from_secs(1));
        let cleanup = millis(parsed, "compact.cleanup-interval");
        let settings = settings(parsed)?;
        let at_a_time = settings.compaction_concurrency.saturating_add(settings.downsample_concurrency).max(1);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // Thanos' default, 1, would halve what is the default here.
        let upload_concurrency = match parsed.count("block-files-concurrency") as usize {
            0 | 1 => 0,
            n => n,
        };
        Ok(Self {
            http: HttpConfig::from_flags(parsed)?,
            bucket: BucketConfig { upload_concurrency, ..BucketConfig::from_flags(parsed)? },
            fetch: bucket::flags::fetch(parsed, Some(settings.dir.join("meta-syncer")))?,
            settings,
            wait: parsed.switch("wait"),
            wait_interval,
            cleanup_interval: if cleanup.is_zero() { wait_interval } else { cleanup },
            progress_interval: millis(parsed, "compact.progress-interval"),
            view_interval: millis(parsed, "block-viewer.global.sync-block-interval").max(Duration::from_secs(1)),
            view_timeout: millis(parsed, "block-viewer.global.sync-block-timeout"),
            // The other half is for indexes, listings and what the process needs besides.
            memory_bytes: memory(parsed)? / 2 / at_a_time as u64,
            segment_bytes: segment_bytes(parsed)?,
            shards: match parsed.count("compact.shards") as usize {
                0 => (processors / at_a_time).max(1),
                n => n.min(256),
            },
            hash: parsed.text("hash-func") == "SHA256",
            web_label: parsed.text("bucket-web-label").to_owned(),
            dry_run: parsed.switch("dry-run"),
            progress: parsed.switch("progress"),
        })
    }

    fn http(&self) -> &HttpConfig {
        &self.http
    }
}

fn millis(parsed: &Parsed, flag: &str) -> Duration {
    Duration::from_millis(parsed.duration_ms(flag).max(0) as u64)
}

fn memory(parsed: &Parsed) -> Result<u64, Error> {
    match parsed.size_bytes("compact.memory-limit") {
        bytes if bytes < 64 << 20 => Err(Error::flag("compact.memory-limit", "at least 64MB are needed")),
        bytes => Ok(bytes),
    }
}

/// A segment's offsets have 32 bits.
fn segment_bytes(parsed: &Parsed) -> Result<u64, Error> {
    match parsed.size_bytes("compact.segment-size") {
        bytes if (1 << 10..=2 << 30).contains(&bytes) => Ok(bytes),
        _ => Err(Error::flag("compact.segment-size", "must be between 1KB and 2GB")),
    }
}

fn settings(parsed: &Parsed) -> Result<Settings, Error> {
    let retention = ["raw", "5m", "1h"].map(|r| parsed.duration_ms(&format!("retention.resolution-{r}")).max(0));
    let policy = match parsed.content("retention.policy")? {
        Some(yaml) => Policy::parse(&yaml, retention)
            .map_err(|e| Error::Config(format!("{}: {e}", parsed.origin("retention.policy"))))?,
        None => Policy::new(retention),
    };
    let replica_labels = parsed.list("deduplication.replica-label");
    let replica_labels = replica_labels.iter().flat_map(|labels| labels.split(',')).map(str::trim);
    let replica_labels: Vec<String> = replica_labels.filter(|label| !label.is_empty()).map(str::to_owned).collect();
    let vertical = match parsed.text("deduplication.func") {
        "penalty" if replica_labels.is_empty() => {
            return Err(Error::flag("deduplication.func", "penalty needs at least one --deduplication.replica-label"));
        }
        "penalty" => Vertical::Penalty,
        _ => Vertical::Merge,
    };
    let level = parsed.count("debug.max-compaction-level") as usize;
    if level >= RANGES_MS.len() {
        return Err(Error::flag("debug.max-compaction-level", format!("level {level} is not known, 4 is the highest")));
    }
    for flag in ["compact.concurrency", "downsample.concurrency"] {
        if parsed.count(flag) == 0 {
            return Err(Error::flag(flag, "must be at least 1"));
        }
    }
    let lease_ttl = millis(parsed, "compact.lease-ttl");
    if lease_ttl < Duration::from_secs(5) {
        return Err(Error::flag("compact.lease-ttl", "below 5s a slow answer of the store loses leases"));
    }
    let (shard, consistency_delay_ms) = (bucket::flags::selector(parsed)?, parsed.duration_ms("consistency-delay"));
    Ok(Settings {
        ranges_ms: RANGES_MS[..=level].to_vec(),
        index_bytes_max: parsed.size_bytes("compact.block-max-index-size"),
        series_max: parsed.count("compact.block-max-series"),
        split: parsed.switch("compact.split-blocks") || parsed.count("compact.block-max-series") > 0,
        vertical,
        replica_labels,
        tenant_label: parsed.text("compact.tenant-label").to_owned(),
        filters: Filters { shard, consistency_delay_ms, ..Filters::default() },
        times: TimeLimits::new(parsed)?,
        policy,
        steps: [STEPS[0], STEPS[1]].map(|step| Step { age_min_ms: parsed.duration_ms(age_flag(&step)), ..step }),
        downsampling: !parsed.switch("downsampling.disable"),
        delete_delay_ms: parsed.duration_ms("delete-delay").max(0),
        compaction_concurrency: parsed.count("compact.concurrency") as usize,
        downsample_concurrency: parsed.count("downsample.concurrency") as usize,
        verify: parsed.text("compact.verify").parse().map_err(|e| Error::flag("compact.verify", e))?,
        dir: PathBuf::from(parsed.text("data-dir")),
        lease_ttl,
        single_instance: parsed.switch("compact.single-instance"),
        backoff_min_ms: parsed.duration_ms("compact.quarantine-backoff"),
        backoff_max_ms: parsed.duration_ms("compact.quarantine-backoff-max"),
        ..Settings::default()
    })
}

fn age_flag(step: &Step) -> &'static str {
    if step.from_ms == 0 { "downsample.age-5m" } else { "downsample.age-1h" }
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;
    use crate::engine::Depth;

    fn config(args: &[&str]) -> Result<Config, String> {
        let deps = Deps::isolated(Metrics::new());
        assembly::configured::<crate::Compact>(args.iter().copied(), &deps).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_thanos() {
        let c = config(&[]).unwrap();
        let s = &c.settings;
        assert_eq!((s.ranges_ms.len(), s.index_bytes_max, s.delete_delay_ms), (5, 64 << 30, 172_800_000));
        assert_eq!((s.filters.consistency_delay_ms, s.verify, s.vertical), (1_800_000, Depth::Index, Vertical::Merge));
        assert!(s.policy.keeps_all() && s.downsampling && !c.wait && !s.split);
        assert_eq!(s.steps, STEPS);
        assert_eq!((c.wait_interval.as_secs(), c.cleanup_interval.as_secs()), (300, 300));
        assert_eq!(c.memory_bytes, 64 << 20);
    }

    #[test]
    fn flags_become_settings() {
        let c = config(&[
            "-w",
            "--retention.resolution-raw=40d",
            "--deduplication.replica-label=a,b",
            "--deduplication.replica-label=c",
            "--deduplication.func=penalty",
            "--debug.max-compaction-level=2",
            "--compact.cleanup-interval=0s",
            "--compact.block-max-series=7",
            "--compact.memory-limit=1GB",
        ])
        .unwrap();
        assert!(c.wait && !c.settings.policy.keeps_all() && c.settings.split);
        assert_eq!(c.settings.replica_labels, ["a", "b", "c"]);
        assert_eq!((c.settings.vertical, c.settings.ranges_ms.len()), (Vertical::Penalty, 3));
        assert_eq!(c.settings.replicas_kept(), None);
        let all = config(&["--deduplication.replica-label=a"]).unwrap().settings.replicas_kept();
        assert!(all.is_some_and(|text| text.contains("all samples of all replicas")), "{all:?}");
        assert_eq!((c.cleanup_interval, c.memory_bytes), (c.wait_interval, 256 << 20));
    }

    #[test]
    fn refuses() {
        for (args, want) in [
            (&["--deduplication.func=penalty"][..], "needs at least one"),
            (&["--deduplication.func=chain"], "is none of penalty"),
            (&["--debug.max-compaction-level=5"], "4 is the highest"),
            (&["--compact.concurrency=0"], "at least 1"),
            (&["--compact.lease-ttl=1s"], "below 5s"),
            (&["--compact.segment-size=4GB"], "between 1KB and 2GB"),
            (&["--compact.memory-limit=1MB"], "at least 64MB"),
            (&["--retention.policy=rules: 7"], "--retention.policy"),
            (&["--selector.relabel-config=- {action: nonsense}"], "--selector.relabel-config"),
            (&["--min-time=2026-01-01T00:00:00Z", "--max-time=2025-01-01T00:00:00Z"], "can't be greater"),
            (&["-x"], "unknown short flag"),
        ] {
            let error = config(args).unwrap_err();
            assert!(error.contains(want), "{args:?}: {error}");
        }
    }
}
