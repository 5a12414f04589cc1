//! The settings of an engine: limits, defaults, switches.

use std::sync::Arc;

/// Settings of an [`crate::Engine`]. Every limit is here; 0 switches a limit off.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample, ms.
    pub lookback_ms: i64,
    /// The most samples one query may hold at one time.
    pub max_samples: usize,
    /// The most series that one query may read.
    pub max_series: u64,
    /// How long one query may take, waiting included, ms.
    pub timeout_ms: u64,
    /// Queries evaluated at one time; more wait in line.
    pub max_concurrent: usize,
    /// The most bytes one query may hold, counted against the request's own budget as well.
    pub max_query_bytes: u64,
    /// The longest label value that a query may make, bytes.
    pub max_label_bytes: usize,
    /// The step of a subquery that names none, ms.
    pub default_subquery_step_ms: i64,
    /// Drop `__name__` at the end of the evaluation only, so that labels can still be told apart by it in between
    /// (Prometheus' feature `promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// The most steps of a range query; the HTTP API's 11 000.
    pub max_points_per_series: u64,
    /// Report possible misuse of counters by `__type__` labels (feature `type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Read start timestamps, where samples have them: a new one is a reset of its counter (feature
    /// `use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// Threads that one query is evaluated on, at most; 0 = as many as the process has cores. All queries together have as
    /// many beside one each.
    pub threads: usize,
    /// Bytes of one selector's chunks and results that its query's own thread works through before others help.
    pub alone_bytes_max: usize,
    /// What is done to make plans cheaper.
    pub passes: crate::Passes,
    /// What queries given as text may use: experimental functions and syntax, length, depth.
    pub parse: promql_syntax::ParseOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            max_series: 0,
            timeout_ms: 120_000,
            max_concurrent: 20,
            max_query_bytes: 0,
            max_label_bytes: 16 << 20,
            default_subquery_step_ms: 60_000,
            delayed_name_removal: false,
            max_points_per_series: 11_000,
            type_and_unit_labels: false,
            use_start_timestamps: false,
            threads: 0,
            alone_bytes_max: 256 << 10,
            passes: crate::Passes::ALL,
            parse: promql_syntax::ParseOptions::STABLE,
        }
    }
}

/// Limits of one query in place of the engine's, of a tenant for instance. `None` leaves the engine's, 0 switches one off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryLimits {
    /// In place of [`EngineOptions::timeout_ms`].
    pub timeout_ms: Option<u64>,
    /// In place of [`EngineOptions::max_samples`].
    pub max_samples: Option<usize>,
    /// In place of [`EngineOptions::max_series`].
    pub max_series: Option<u64>,
    /// In place of [`EngineOptions::max_query_bytes`].
    pub max_query_bytes: Option<u64>,
}

impl EngineOptions {
    /// These settings with the limits of one query.
    pub fn limited(self: &Arc<Self>, limits: QueryLimits) -> Arc<Self> {
        if limits == QueryLimits::default() {
            return self.clone();
        }
        let mut limited = Self::clone(self);
        limited.timeout_ms = limits.timeout_ms.unwrap_or(limited.timeout_ms);
        limited.max_samples = limits.max_samples.unwrap_or(limited.max_samples);
        limited.max_series = limits.max_series.unwrap_or(limited.max_series);
        limited.max_query_bytes = limits.max_query_bytes.unwrap_or(limited.max_query_bytes);
        Arc::new(limited)
    }
}
