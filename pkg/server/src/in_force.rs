//! The configuration in force.

use std::sync::Arc;

use api::{ConfigLoad, ConfigView};
use config::{ConfigError, LoadOptions, Loaded};
use labels::Labels;
use parking_lot::RwLock;
use scrape::config::FeatureDefaults;
use tsdb::db::Retention;

use crate::config::TsdbConfig;
use crate::features::Features;

/// The latest configuration that could be put in force, and how the latest attempt went.
#[derive(Debug)]
pub struct InForce {
    flags: TsdbConfig,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    loaded: Arc<Loaded>,
    external: Labels,
    yaml: String,
    load: ConfigLoad,
    /// Checksum of the files at the latest attempt: one that failed is not repeated until they change.
    tried: String,
}

impl InForce {
    /// What the server was started with.
    pub fn new(loaded: Loaded, flags: TsdbConfig, now_ms: i64) -> Self {
        let load = ConfigLoad { success: true, loaded_ms: now_ms };
        let state = State {
            external: loaded.config.global.external_labels(),
            yaml: shown(&loaded),
            tried: loaded.hash.clone(),
            loaded: Arc::new(loaded),
            load,
        };
        Self { flags, state: RwLock::new(state) }
    }

    pub fn loaded(&self) -> Arc<Loaded> {
        self.state.read().loaded.clone()
    }

    pub fn external_labels(&self) -> Labels {
        self.state.read().external.clone()
    }

    /// Whether files with this checksum have not been tried yet.
    pub fn is_new(&self, checksum: &str) -> bool {
        self.state.read().tried != checksum
    }

    pub fn replace(&self, loaded: Loaded, now_ms: i64) {
        let mut state = self.state.write();
        state.external = loaded.config.global.external_labels();
        state.yaml = shown(&loaded);
        state.tried.clone_from(&loaded.hash);
        state.loaded = Arc::new(loaded);
        state.load = ConfigLoad { success: true, loaded_ms: now_ms };
    }

    /// The latest attempt failed; what was in force stays so.
    pub fn failed(&self, checksum: Option<String>) {
        let mut state = self.state.write();
        state.load.success = false;
        state.tried = checksum.unwrap_or_default();
    }

    /// By the configuration, or else the flags.
    pub fn retention_of(&self, loaded: &Loaded) -> Retention {
        let flags = Retention {
            time_ms: i64::try_from(self.flags.retention.as_millis()).unwrap_or(i64::MAX),
            size_bytes: self.flags.retention_bytes,
            percentage: self.flags.retention_percent,
        };
        let file = loaded.config.storage.tsdb.retention;
        Retention {
            time_ms: if file.time.0 > 0 { file.time.0 } else { flags.time_ms },
            size_bytes: if file.size.0 > 0 { file.size.0 } else { flags.size_bytes },
            percentage: if file.percentage > 0.0 { file.percentage } else { flags.percentage },
        }
    }
}

fn shown(loaded: &Loaded) -> String {
    loaded.config.to_yaml().unwrap_or_else(|e| format!("# cannot be shown: {e}\n"))
}

/// Reads the configuration, with what has no effect in the log.
///
/// # Errors
/// Files that cannot be read or used.
pub fn load(path: &std::path::Path, on: Features, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let features = FeatureDefaults {
        protobuf_first: on.created_zero || on.start_timestamps,
        extra_scrape_metrics: on.extra_scrape_metrics,
    };
    let loaded = config::load(path, LoadOptions { features, ..LoadOptions::default() }, env)?;
    for warning in &loaded.warnings {
        tracing::warn!(file = %path.display(), "{warning}");
    }
    Ok(loaded)
}

impl ConfigView for InForce {
    fn yaml(&self) -> String {
        self.state.read().yaml.clone()
    }

    fn last_load(&self) -> ConfigLoad {
        self.state.read().load
    }

    fn retention(&self) -> String {
        let retention = self.retention_of(&self.loaded());
        let mut parts = Vec::new();
        if retention.time_ms > 0 {
            parts.push(model::format_duration(retention.time_ms));
        }
        if retention.percentage > 0.0 {
            parts.push(format!("{}%", retention.percentage));
        } else if retention.size_bytes > 0 {
            parts.push(model::ByteSize(retention.size_bytes).to_string());
        }
        parts.join(" or ")
    }
}
