//! What a scraping server has beyond a querier. With it in [`crate::ApiState::server`] the routes of a Prometheus server
//! answer; without it they answer as a querier's do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use storage::{ScrapeView, TsdbAdmin, TsdbView};

use crate::notifications::Notifications;

/// The parts of a server that the routes ask. Cheap to clone.
#[derive(Clone)]
pub struct ServerParts {
    /// Deletes and copies; `None` = the admin API is disabled (`--web.enable-admin-api`).
    pub admin: Option<Arc<dyn TsdbAdmin>>,
    /// Blocks, replay, corruptions.
    pub tsdb: Arc<dyn TsdbView>,
    /// Pools, relabel steps, metadata of targets.
    pub scrapes: Arc<dyn ScrapeView>,
    /// The configuration in force.
    pub config: Arc<dyn ConfigView>,
    /// What operators are told in the UI.
    pub notifications: Notifications,
    /// What `/api/v1/features` shows: feature names by category, and whether each is on.
    pub features: Arc<BTreeMap<String, BTreeMap<String, bool>>>,
    /// Whether `/api/v1/search/…` is served (feature `search-api`).
    pub search: bool,
    /// The largest `limit` of a search; 0 = any (`--web.search.max-limit`).
    pub search_limit_max: usize,
    /// False while the server cannot answer yet: all routes but `status/walreplay`, `notifications` and
    /// `notifications/live` answer 503 then.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Where alerts are sent.
    pub alertmanagers: Arc<dyn Fn() -> Alertmanagers + Send + Sync>,
    /// Warnings that every answer with data carries now, such as one that names a replay that still goes on.
    pub warnings: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl fmt::Debug for ServerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerParts").field("tsdb", &self.tsdb).field("scrapes", &self.scrapes).finish_non_exhaustive()
    }
}

/// URLs of Alertmanagers, as `/api/v1/alertmanagers` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alertmanagers {
    /// Those that get alerts.
    pub active: Vec<String>,
    /// Those that relabelling dropped.
    pub dropped: Vec<String>,
}

/// The configuration in force, as `status/config` and `status/runtimeinfo` show it.
pub trait ConfigView: fmt::Debug + Send + Sync {
    /// The whole configuration as YAML, secrets blotted out.
    fn yaml(&self) -> String;

    /// How the last attempt to load it went.
    fn last_load(&self) -> ConfigLoad;

    /// The retention, such as `15d` or `15d or 10GiB`.
    fn retention(&self) -> String;
}

/// An attempt to load the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigLoad {
    /// Whether the latest attempt was successful.
    pub success: bool,
    /// When the configuration in force was loaded, ms since the epoch.
    pub loaded_ms: i64,
}
