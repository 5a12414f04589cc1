//! The data directory as flags and configuration want it.

use std::collections::HashMap;
use std::sync::Arc;

use assembly::{Deps, Error};
use config::{FloatEncoding, Loaded};
use futures::FutureExt;
use storage::{Budget, Ctx, StatisticsQuery, StatisticsSource};
use tsdb::db::{Tsdb, TsdbDeps, TsdbOptions};
use tsdb::head::HeadOptions;
use tsdb::journal::JournalOptions;
use wal::Compression;

use crate::config::{Config, TsdbConfig};
use crate::guard::Growing;
use crate::in_force::InForce;

/// Exemplars that are kept where the feature is on and the configuration says nothing.
const EXEMPLARS: usize = 100_000;

/// Labels whose values are counted: those with the most.
const LABELS_COUNTED: usize = 1000;

/// Opens it. The replay of its log goes on afterwards.
///
/// # Errors
/// Another process uses it, or it cannot be written to.
pub async fn open(config: &Config, deps: &Deps, in_force: &InForce) -> Result<Arc<Tsdb>, Error> {
    let loaded = in_force.loaded();
    let flags = &config.tsdb;
    let millis = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let ships = !config.bucket.yaml.is_empty() || deps.bucket.is_some();
    let block_ms = millis(flags.block_range);
    let options = TsdbOptions {
        block_ms,
        block_ms_max: if ships { block_ms } else { millis(flags.block_range_max) },
        retention: in_force.retention_of(&loaded),
        no_lockfile: !flags.lockfile,
        // The compactor of the bucket does it, and wants blocks as they were cut.
        compaction: !ships && (flags.block_range_max.is_zero() || flags.block_range_max > flags.block_range),
        overlapping_compaction: flags.overlapping_compaction,
        delay_compact_file: flags.delay_compact_file.clone(),
        reload_interval: flags.reload_interval,
        segment_bytes: flags.block_segment_bytes,
        memory_snapshot: config.features.memory_snapshot,
        head: head_options(config, &loaded, block_ms),
        journal: journal_options(flags),
        ..TsdbOptions::default()
    };
    let tsdb_deps = TsdbDeps {
        failpoints: deps.failpoints.clone(),
        budget: Budget::unlimited(),
        ..TsdbDeps::new(deps.clock.clone(), deps.metrics.clone(), deps.random.clone())
    };
    let opened = Tsdb::open(&flags.path, options, tsdb_deps).await;
    let tsdb = opened.map_err(|e| Error::flag("storage.tsdb.path", e))?;
    tsdb.set_stale_series_threshold(loaded.config.storage.tsdb.stale_series_compaction_threshold);
    Ok(tsdb)
}

fn journal_options(flags: &TsdbConfig) -> JournalOptions {
    let wal = wal::Options {
        segment_bytes: flags.wal_segment_bytes,
        compression: compression(flags.wal_compression.as_deref()),
        ..wal::Options::default()
    };
    JournalOptions { wal, sync_interval: flags.wal_sync_interval }
}

/// The compression of this name; `None` = none.
pub fn compression(name: Option<&str>) -> Compression {
    match name {
        None => Compression::None,
        Some("zstd") => Compression::Zstd,
        Some(_) => Compression::Snappy,
    }
}

fn head_options(config: &Config, loaded: &Loaded, block_ms: i64) -> HeadOptions {
    let storage = &loaded.config.storage;
    let floats = storage.tsdb.chunk_encoding.floats;
    HeadOptions {
        chunk_range_ms: block_ms,
        out_of_order_window_ms: storage.tsdb.out_of_order_time_window.0,
        xor2: floats.map_or(config.features.xor2, |floats| floats == FloatEncoding::Xor2),
        histogram_starts: config.features.histogram_starts,
        series_max: config.limits.series,
        series_per_metric_max: config.limits.series_per_metric,
        series_per_job_max: config.limits.series_per_job,
        exemplars_max: exemplars_max(config, loaded),
        metadata_records: config.features.metadata_records,
        ..HeadOptions::default()
    }
}

/// 0 where the feature is off.
fn exemplars_max(config: &Config, loaded: &Loaded) -> usize {
    let wanted = loaded.config.storage.exemplars.map_or(EXEMPLARS, |e| usize::try_from(e.max_exemplars).unwrap_or(0));
    if config.features.exemplars { wanted } else { 0 }
}

/// What of the configuration changes while the server runs.
pub fn apply(tsdb: &Tsdb, config: &Config, in_force: &InForce, loaded: &Loaded) {
    let storage = &loaded.config.storage;
    tsdb.set_retention(in_force.retention_of(loaded));
    tsdb.set_stale_series_threshold(storage.tsdb.stale_series_compaction_threshold);
    tsdb.head().set_out_of_order_window(storage.tsdb.out_of_order_time_window.0);
    tsdb.head().set_exemplars_max(exemplars_max(config, loaded));
}

impl Growing for Tsdb {
    fn refuse_new_series(&self, why: Option<String>) {
        self.head().refuse_new_series(why);
    }

    fn fastest_growing_metric(&self) -> Option<(String, usize)> {
        self.head().fastest_growing_metric()
    }

    fn label_values(&self) -> HashMap<String, u64> {
        let want = StatisticsQuery { limit: LABELS_COUNTED, ..StatisticsQuery::default() };
        let counted = self.head().statistics(&Ctx::background(), want).now_or_never();
        let heads = counted.and_then(Result::ok).map(|answer| answer.value).unwrap_or_default();
        heads.into_values().flat_map(|head| head.label_value_count_by_label_name).collect()
    }
}
