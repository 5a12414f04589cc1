//! The data directory of a server and of an agent, and which of the two is asked for.

use std::path::PathBuf;
use std::time::Duration;

use assembly::Error;
use flags::Parsed;

use super::values::{count, duration};

/// What Prometheus keeps where no flag says otherwise.
pub(super) const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 24 * 3600);

/// The data directory.
#[derive(Debug, Clone)]
pub struct TsdbConfig {
    pub path: PathBuf,
    pub lockfile: bool,
    /// Zero = no limit, where a size is given.
    pub retention: Duration,
    /// 0 = no limit.
    pub retention_bytes: u64,
    /// Of the file system; 0 = no limit.
    pub retention_percent: f64,
    pub delay_compact_file: Option<PathBuf>,
    pub wal_sync_interval: Duration,
    pub wal_segment_bytes: u64,
    /// `None` = not compressed; `snappy` or `zstd`.
    pub wal_compression: Option<String>,
    pub block_range: Duration,
    /// Zero = by the retention.
    pub block_range_max: Duration,
    pub block_segment_bytes: u64,
    pub reload_interval: Duration,
    pub samples_per_chunk: usize,
    pub overlapping_compaction: bool,
}

/// The data directory of an agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    pub path: PathBuf,
    pub lockfile: bool,
    /// `None` = not compressed; `snappy` or `zstd`.
    pub wal_compression: Option<String>,
    pub wal_segment_bytes: u64,
    /// Younger samples are kept though they are sent.
    pub retention_min: Duration,
    /// Older samples are deleted though they are not sent.
    pub retention_max: Duration,
    /// 0 = no limit.
    pub retention_bytes: u64,
    pub truncate_interval: Duration,
}

/// Flags of the server alone, by their beginnings.
const SERVER_ONLY: [&str; 10] = [
    "storage.tsdb.",
    "storage.remote.read-",
    "rules.",
    "alertmanager.",
    "query.",
    "web.search.",
    "objstore.",
    "shipper.",
    "grpc-",
    "store.",
];

/// Flags of the one mode are no flags of the other.
pub(super) fn check_mode(parsed: &Parsed) -> Result<(), Error> {
    let is_agent = parsed.switch("agent");
    let given = parsed.all().into_iter().map(|(name, _)| name).filter(|name| parsed.is_set(name));
    let is_wrong = |name: &&str| match is_agent {
        // The log is synced in both modes.
        true => SERVER_ONLY.iter().any(|begin| name.starts_with(begin)) && *name != "storage.tsdb.wal-sync-interval",
        false => name.starts_with("storage.agent."),
    };
    let wrong: Vec<String> = given.filter(is_wrong).map(|name| format!("--{name}")).collect();
    match (wrong.is_empty(), is_agent) {
        (true, _) => Ok(()),
        (false, true) => {
            Err(Error::Config(format!("the following flag(s) can not be used in agent mode: {}", wrong.join(", "))))
        }
        (false, false) => {
            Err(Error::Config(format!("the following flag(s) can only be used in agent mode: {}", wrong.join(", "))))
        }
    }
}

pub(super) fn agent(parsed: &Parsed) -> Result<AgentConfig, Error> {
    let segment = parsed.size_bytes("storage.agent.wal-segment-size");
    if !(10 << 20..=256 << 20).contains(&segment) {
        return Err(Error::flag("storage.agent.wal-segment-size", "must be from 10MiB to 256MiB"));
    }
    let (min, max) =
        (duration(parsed, "storage.agent.retention.min-time"), duration(parsed, "storage.agent.retention.max-time"));
    Ok(AgentConfig {
        path: parsed.text("storage.agent.path").into(),
        lockfile: !parsed.switch("storage.agent.no-lockfile"),
        wal_compression: parsed
            .switch("storage.agent.wal-compression")
            .then(|| parsed.text("storage.agent.wal-compression-type").to_owned()),
        wal_segment_bytes: segment,
        retention_min: min,
        retention_max: max.max(min),
        retention_bytes: parsed.size_bytes("storage.agent.retention.size"),
        truncate_interval: duration(parsed, "storage.agent.wal-truncate-frequency").max(Duration::from_secs(1)),
    })
}

pub(super) fn tsdb(parsed: &Parsed) -> Result<TsdbConfig, Error> {
    let segment = parsed.size_bytes("storage.tsdb.wal-segment-size");
    if !(10 << 20..=256 << 20).contains(&segment) {
        return Err(Error::flag("storage.tsdb.wal-segment-size", "must be from 10MiB to 256MiB"));
    }
    let (time, bytes) =
        (duration(parsed, "storage.tsdb.retention.time"), parsed.size_bytes("storage.tsdb.retention.size"));
    let percent = parsed.number("storage.tsdb.retention.percentage");
    if !(0.0..=100.0).contains(&percent) {
        return Err(Error::flag("storage.tsdb.retention.percentage", "must be from 0 to 100"));
    }
    let block_range = duration(parsed, "storage.tsdb.min-block-duration");
    if block_range < Duration::from_secs(60) {
        return Err(Error::flag("storage.tsdb.min-block-duration", "must be at least 1m"));
    }
    Ok(TsdbConfig {
        path: parsed.text("storage.tsdb.path").into(),
        lockfile: !parsed.switch("storage.tsdb.no-lockfile"),
        retention: if time.is_zero() && bytes == 0 && percent == 0.0 { RETENTION_DEFAULT } else { time },
        retention_bytes: bytes,
        retention_percent: percent,
        delay_compact_file: parsed.text_opt("storage.tsdb.delay-compact-file.path").map(PathBuf::from),
        wal_sync_interval: duration(parsed, "storage.tsdb.wal-sync-interval"),
        wal_segment_bytes: segment,
        wal_compression: parsed
            .switch("storage.tsdb.wal-compression")
            .then(|| parsed.text("storage.tsdb.wal-compression-type").to_owned()),
        block_range,
        block_range_max: duration(parsed, "storage.tsdb.max-block-duration"),
        block_segment_bytes: parsed.size_bytes("storage.tsdb.max-block-chunk-segment-size"),
        reload_interval: duration(parsed, "storage.tsdb.block-reload-interval"),
        samples_per_chunk: count(parsed, "storage.tsdb.samples-per-chunk").clamp(2, 32_000),
        overlapping_compaction: parsed.switch("storage.tsdb.allow-overlapping-compaction"),
    })
}
