//! What an endpoint tells beside its series: rules, targets, metadata, exemplars, cardinality statistics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use labels::{Labels, Matcher};
use model::{ExemplarSeries, MetricMetadata, TimeRange};

use crate::{Answer, Ctx, PartialResponse, Result};

/// Metadata entries by metric name.
pub type MetadataByMetric = BTreeMap<String, Vec<MetricMetadata>>;

/// Statistics by tenant (`""` without tenancy).
pub type StatisticsByTenant = BTreeMap<String, TsdbStatistics>;

/// Knows recording and alerting rules.
pub trait RulesSource: fmt::Debug + Send + Sync {
    /// The rules that match, by group.
    fn rules(&self, ctx: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>>;
}

/// Knows scrape targets.
pub trait TargetsSource: fmt::Debug + Send + Sync {
    /// The targets in the wanted state.
    fn targets(&self, ctx: &Ctx, want: TargetsQuery) -> BoxFuture<'static, Result<Answer<Targets>>>;
}

/// Knows type, help and unit of metrics.
pub trait MetadataSource: fmt::Debug + Send + Sync {
    /// The entries of the wanted metrics.
    fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>>;
}

/// Keeps exemplars of its series.
pub trait ExemplarsSource: fmt::Debug + Send + Sync {
    /// The exemplars of the series that a PromQL expression selects.
    fn exemplars(&self, ctx: &Ctx, want: ExemplarsQuery) -> BoxFuture<'static, Result<Answer<Vec<ExemplarSeries>>>>;
}

/// Knows the cardinality of a TSDB.
pub trait StatisticsSource: fmt::Debug + Send + Sync {
    /// The statistics of the tenants whose external labels match.
    fn statistics(&self, ctx: &Ctx, want: StatisticsQuery) -> BoxFuture<'static, Result<Answer<StatisticsByTenant>>>;
}

/// What an endpoint can be asked about itself. `None` = this endpoint does not serve it: no gRPC service is offered, Info
/// does not name it, and its HTTP routes answer with empty lists.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "named as the traits are")]
pub struct Inspect {
    pub rules: Option<Arc<dyn RulesSource>>,
    pub targets: Option<Arc<dyn TargetsSource>>,
    pub metadata: Option<Arc<dyn MetadataSource>>,
    pub exemplars: Option<Arc<dyn ExemplarsSource>>,
    pub statistics: Option<Arc<dyn StatisticsSource>>,
}

impl Inspect {
    /// One source that serves all of it.
    pub fn all<T>(source: Arc<T>) -> Self
    where
        T: RulesSource + TargetsSource + MetadataSource + ExemplarsSource + StatisticsSource + 'static,
    {
        Self {
            rules: Some(source.clone()),
            targets: Some(source.clone()),
            metadata: Some(source.clone()),
            exemplars: Some(source.clone()),
            statistics: Some(source),
        }
    }

    /// What [`Inspect::rules`] answers; nothing if it is not served.
    ///
    /// # Errors
    /// Whatever the source fails with; none where it is not served.
    pub async fn rules(&self, ctx: &Ctx, want: RulesQuery) -> Result<Answer<Vec<RuleGroup>>> {
        match &self.rules {
            Some(source) => source.rules(ctx, want).await,
            None => Ok(Answer::default()),
        }
    }

    /// What [`Inspect::targets`] answers; nothing if it is not served.
    ///
    /// # Errors
    /// Whatever the source fails with; none where it is not served.
    pub async fn targets(&self, ctx: &Ctx, want: TargetsQuery) -> Result<Answer<Targets>> {
        match &self.targets {
            Some(source) => source.targets(ctx, want).await,
            None => Ok(Answer::default()),
        }
    }

    /// What [`Inspect::metadata`] answers; nothing if it is not served.
    ///
    /// # Errors
    /// Whatever the source fails with; none where it is not served.
    pub async fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> Result<Answer<MetadataByMetric>> {
        match &self.metadata {
            Some(source) => source.metadata(ctx, want).await,
            None => Ok(Answer::default()),
        }
    }

    /// What [`Inspect::exemplars`] answers; nothing if it is not served.
    ///
    /// # Errors
    /// Whatever the source fails with; none where it is not served.
    pub async fn exemplars(&self, ctx: &Ctx, want: ExemplarsQuery) -> Result<Answer<Vec<ExemplarSeries>>> {
        match &self.exemplars {
            Some(source) => source.exemplars(ctx, want).await,
            None => Ok(Answer::default()),
        }
    }

    /// What [`Inspect::statistics`] answers; nothing if it is not served.
    ///
    /// # Errors
    /// Whatever the source fails with; none where it is not served.
    pub async fn statistics(&self, ctx: &Ctx, want: StatisticsQuery) -> Result<Answer<StatisticsByTenant>> {
        match &self.statistics {
            Some(source) => source.statistics(ctx, want).await,
            None => Ok(Answer::default()),
        }
    }
}

/// Which rules are wanted; everything given must match.
#[derive(Debug, Clone, Default)]
pub struct RulesQuery {
    /// Alerting rules, recording rules, or both.
    pub kind: RuleKind,
    /// Series selectors on rule labels, any of which may match; empty = all.
    pub matchers: Vec<Vec<Matcher>>,
    /// The selectors as written, for passing on.
    pub matcher_texts: Vec<String>,
    /// Only rules with these names; empty = all.
    pub names: Vec<String>,
    /// Only rules of the groups with these names; empty = all.
    pub groups: Vec<String>,
    /// Only rules of these files; empty = all.
    pub files: Vec<String>,
    /// What to do when an endpoint fails.
    pub partial_response: PartialResponse,
}

/// A kind of rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RuleKind {
    #[default]
    All,
    Alert,
    Record,
}

/// A group of rules that are evaluated together.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGroup {
    /// The group's name, unique within its file.
    pub name: String,
    /// Path of the file it was read from.
    pub file: String,
    /// The rules, in the order of their evaluation.
    pub rules: Vec<Rule>,
    /// Time from one evaluation to the next, seconds.
    pub interval_s: f64,
    /// Most series or alerts a rule may make; 0 = no limit.
    pub limit: i64,
    /// Length of the last evaluation, seconds.
    pub evaluation_s: f64,
    /// When, ns since the epoch; `None` = never.
    pub last_evaluation_ns: Option<i64>,
    /// What an evaluation does when data is missing; Thanos' extension.
    pub partial_response: PartialResponse,
}

/// A recording or alerting rule, and its last evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Name of the metric that is recorded, or of the alert.
    pub name: String,
    /// The PromQL expression.
    pub query: String,
    /// Labels that the rule puts on its series or alerts.
    pub labels: Labels,
    /// How the last evaluation went: `ok`, `err` or `unknown`.
    pub health: String,
    /// The error of the last evaluation; empty unless `health` is `err`.
    pub last_error: String,
    /// Length of the last evaluation, seconds.
    pub evaluation_s: f64,
    /// When, ns since the epoch; `None` = never.
    pub last_evaluation_ns: Option<i64>,
    /// What only alerting rules have; `None` for recording rules.
    pub alert: Option<AlertRule>,
}

/// What an alerting rule has beyond a recording one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertRule {
    /// The gravest state of its alerts.
    pub state: AlertState,
    /// `for`: how long the expression holds before the alert fires, seconds.
    pub for_s: f64,
    /// `keep_firing_for`: how long the alert fires on after it, seconds.
    pub keep_firing_for_s: f64,
    /// Annotations as templates, not filled in.
    pub annotations: Labels,
    /// The alerts that are pending or firing.
    pub alerts: Vec<AlertInstance>,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum AlertState {
    #[default]
    Unknown,
    Inactive,
    Pending,
    Firing,
}

impl AlertState {
    /// As the HTTP API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert that is pending or firing.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertInstance {
    /// Labels of series and rule.
    pub labels: Labels,
    /// Annotations, filled in.
    pub annotations: Labels,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when, ns since the epoch.
    pub active_at_ns: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`, ns since the epoch. StoreAPI does not carry it.
    pub keep_firing_since_ns: Option<i64>,
    /// The value, as the source printed it.
    pub value: String,
    /// What an evaluation does when data is missing, as in [`RuleGroup`].
    pub partial_response: PartialResponse,
}

/// Which targets are wanted, by their state.
#[derive(Debug, Clone, Default)]
pub struct TargetsQuery {
    /// Active targets, dropped ones, or both.
    pub state: TargetState,
    /// What to do when an endpoint fails.
    pub partial_response: PartialResponse,
}

/// A kind of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TargetState {
    #[default]
    Any,
    Active,
    Dropped,
}

/// Targets by state: active ones and dropped ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// Targets that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Discovered labels of those that relabelling dropped.
    pub dropped: Vec<Labels>,
}

/// A target that is scraped, and its last scrape.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the HTTP API's own names")]
pub struct ActiveTarget {
    pub discovered_labels: Labels,
    pub labels: Labels,
    pub scrape_pool: String,
    pub scrape_url: String,
    pub global_url: String,
    pub last_error: String,
    pub last_scrape_ns: Option<i64>,
    pub last_scrape_duration_s: f64,
    pub health: TargetHealth,
}

/// Whether the last scrape worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TargetHealth {
    Up,
    Down,
    #[default]
    Unknown,
}

impl TargetHealth {
    /// As the HTTP API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Which metadata is wanted, and how much.
#[derive(Debug, Clone, Default)]
pub struct MetadataQuery {
    /// One metric, or all when empty.
    pub metric: String,
    /// At most this many metrics; 0 = all.
    pub limit: usize,
    /// At most this many entries a metric; 0 = all.
    pub limit_per_metric: usize,
    /// What to do when an endpoint fails.
    pub partial_response: PartialResponse,
}

/// Which series' exemplars are wanted, of which time.
#[derive(Debug, Clone)]
pub struct ExemplarsQuery {
    /// A PromQL expression, of which only the selectors count.
    pub query: String,
    /// The selectors of `query`; a series matches one of them.
    pub selectors: Vec<Vec<Matcher>>,
    /// Only exemplars of this time.
    pub range: TimeRange,
    /// What to do when an endpoint fails.
    pub partial_response: PartialResponse,
}

/// Which TSDBs' statistics are wanted.
#[derive(Debug, Clone, Default)]
pub struct StatisticsQuery {
    /// At most this many entries per list; 0 = all.
    pub limit: usize,
    /// Only TSDBs whose external labels match.
    pub matchers: Vec<Matcher>,
    /// What to do when an endpoint fails.
    pub partial_response: PartialResponse,
}

/// Cardinality of one TSDB's head.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the HTTP API's own names")]
pub struct TsdbStatistics {
    pub num_series: u64,
    pub num_label_pairs: i64,
    pub chunk_count: i64,
    pub min_time: i64,
    pub max_time: i64,
    pub series_count_by_metric_name: Vec<(String, u64)>,
    pub label_value_count_by_label_name: Vec<(String, u64)>,
    pub memory_in_bytes_by_label_name: Vec<(String, u64)>,
    pub series_count_by_label_value_pair: Vec<(String, u64)>,
}
