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
    /// Of the work.
    pub settings: Settings,
    /// How metas are fetched.
    pub fetch: FetchOptions,
    /// `--wait`.
    pub wait: bool,
    /// `--wait-interval`.
    pub wait_interval: Duration,
    /// `--compact.cleanup-interval`.
    pub cleanup_interval: Duration,
    /// `--compact.progress-interval`; 0 = never.
    pub progress_interval: Duration,
    /// `--block-viewer.global.sync-block-interval`.
    pub view_interval: Duration,
    /// `--block-viewer.global.sync-block-timeout`.
    pub view_timeout: Duration,
    /// Bytes of buffers of one merge.
    pub memory_bytes: u64,
    /// Largest chunk segment.
    pub segment_bytes: u64,
    /// Threads of one merge.
    pub shards: usize,
    /// `--hash-func=SHA256`.
    pub hash: bool,
    /// `--bucket-web-label`.
    pub web_label: String,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--progress`.
    pub progress: bool,
}

impl assembly::Config for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn from_flags(parsed: &Parsed, _deps: &Deps) -> Result<Self, Error> {
        let wrong = |flag: &str, why: String| Error::Config(format!("--{flag}: {why}"));
        let shard = bucket::flags::selector(parsed)?;
        let retention = ["raw", "5m", "1h"].map(|r| parsed.duration_ms(&format!("retention.resolution-{r}")).max(0));
        let policy = match parsed.content("retention.policy")? {
            Some(yaml) => Policy::parse(&yaml, retention)
                .map_err(|e| Error::Config(format!("{}: {e}", parsed.origin("retention.policy"))))?,
            None => Policy::new(retention),
        };
        let replica_labels: Vec<String> = parsed
            .list("deduplication.replica-label")
            .iter()
            .flat_map(|labels| labels.split(','))
            .map(|label| label.trim().to_owned())
            .filter(|label| !label.is_empty())
            .collect();
        let vertical = match parsed.text("deduplication.func") {
            "penalty" if replica_labels.is_empty() => {
                return Err(wrong(
                    "deduplication.func",
                    "penalty needs at least one --deduplication.replica-label".into(),
                ));
            }
            "penalty" => Vertical::Penalty,
            _ => Vertical::Merge,
        };
        let level = parsed.count("debug.max-compaction-level") as usize;
        if level >= RANGES_MS.len() {
            return Err(wrong("debug.max-compaction-level", format!("level {level} is not known, 4 is the highest")));
        }
        for flag in ["compact.concurrency", "downsample.concurrency"] {
            if parsed.count(flag) == 0 {
                return Err(wrong(flag, "must be at least 1".to_owned()));
            }
        }
        let millis = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        let lease_ttl = millis("compact.lease-ttl");
        if lease_ttl < Duration::from_secs(5) {
            return Err(wrong("compact.lease-ttl", "below 5s a slow answer of the store loses leases".to_owned()));
        }
        let data_dir = PathBuf::from(parsed.text("data-dir"));
        let concurrency =
            (parsed.count("compact.concurrency") as usize, parsed.count("downsample.concurrency") as usize);
        let at_a_time = concurrency.0.saturating_add(concurrency.1).max(1);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = parsed.size_bytes("compact.memory-limit");
        if memory < 64 << 20 {
            return Err(wrong("compact.memory-limit", "at least 64MB are needed".to_owned()));
        }
        // a segment's offsets have 32 bits
        let segment_bytes = parsed.size_bytes("compact.segment-size");
        if !(1 << 10..=2 << 30).contains(&segment_bytes) {
            return Err(wrong("compact.segment-size", "must be between 1KB and 2GB".to_owned()));
        }
        let settings = Settings {
            ranges_ms: RANGES_MS[..=level].to_vec(),
            index_bytes_max: parsed.size_bytes("compact.block-max-index-size"),
            series_max: parsed.count("compact.block-max-series"),
            split: parsed.switch("compact.split-blocks") || parsed.count("compact.block-max-series") > 0,
            vertical,
            replica_labels,
            tenant_label: parsed.text("compact.tenant-label").to_owned(),
            filters: Filters {
                shard,
                consistency_delay_ms: parsed.duration_ms("consistency-delay"),
                ..Filters::default()
            },
            times: TimeLimits::new(parsed)?,
            policy,
            steps: [STEPS[0], STEPS[1]].map(|step| Step { age_min_ms: parsed.duration_ms(age_flag(&step)), ..step }),
            downsampling: !parsed.switch("downsampling.disable"),
            delete_delay_ms: parsed.duration_ms("delete-delay").max(0),
            compaction_concurrency: concurrency.0,
            downsample_concurrency: concurrency.1,
            verify: parsed.text("compact.verify").parse().map_err(|e| wrong("compact.verify", e))?,
            dir: data_dir.clone(),
            lease_ttl,
            single_instance: parsed.switch("compact.single-instance"),
            backoff_min_ms: parsed.duration_ms("compact.quarantine-backoff"),
            backoff_max_ms: parsed.duration_ms("compact.quarantine-backoff-max"),
            ..Settings::default()
        };
        let wait_interval = millis("wait-interval").max(Duration::from_secs(1));
        let cleanup = millis("compact.cleanup-interval");
        // Thanos' default, 1, would halve what is the default here.
        let upload_concurrency = match parsed.count("block-files-concurrency") as usize {
            0 | 1 => 0,
            n => n,
        };
        Ok(Self {
            http: HttpConfig::from_flags(parsed)?,
            bucket: BucketConfig { upload_concurrency, ..BucketConfig::from_flags(parsed)? },
            settings,
            fetch: bucket::flags::fetch(parsed, Some(data_dir.join("meta-syncer")))?,
            wait: parsed.switch("wait"),
            wait_interval,
            cleanup_interval: if cleanup.is_zero() { wait_interval } else { cleanup },
            progress_interval: millis("compact.progress-interval"),
            view_interval: millis("block-viewer.global.sync-block-interval").max(Duration::from_secs(1)),
            view_timeout: millis("block-viewer.global.sync-block-timeout"),
            // the other half is for indexes, listings and what the process needs besides
            memory_bytes: memory / 2 / at_a_time as u64,
            segment_bytes,
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
}

fn age_flag(step: &Step) -> &'static str {
    if step.from_ms == 0 { "downsample.age-5m" } else { "downsample.age-1h" }
}

#[cfg(test)]
mod tests {
    use assembly::Config as _;
    use telemetry::Metrics;

    use super::*;
    use crate::engine::Depth;

    fn config(args: &[&str]) -> Result<Config, String> {
        let deps = Deps::isolated(Metrics::new());
        match flags::parse(&crate::command(), args.iter().map(|a| (*a).to_owned()), "v") {
            Ok(flags::Outcome::Run(parsed)) => Config::from_flags(&parsed, &deps).map_err(|e| e.to_string()),
            Ok(flags::Outcome::Print(text)) => Err(text),
            Err(e) => Err(e.to_string()),
        }
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
