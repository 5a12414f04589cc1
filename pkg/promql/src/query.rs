//! A query as every evaluator takes it: what is asked, when, and how its data is to be read.

use std::fmt;
use std::sync::Arc;

use labels::Matcher;
use promql_syntax::Expr;
use storage::{PartialResponse, SeriesSource, Shard};

use crate::{Grid, QueryLimits};

/// One query with all that an evaluator has to know.
#[derive(Debug, Clone)]
pub struct Query {
    /// The query as it was written. Positions in annotations refer to it.
    pub text: String,
    /// The parsed query where the caller has it, and may have changed it (matchers of a tenant); `None` = parse `text`.
    pub expr: Option<Arc<Expr>>,
    /// The time, or the steps, at which it is evaluated.
    pub times: Times,
    /// How its data is read.
    pub read: ReadOptions,
    /// Limits that are this query's own.
    pub limits: QueryLimits,
    /// Which engine a peer that has several is asked for.
    pub engine: EngineChoice,
    /// Count samples per step (`stats=all` of the HTTP API).
    pub per_step_stats: bool,
    /// Tell what each operator took (`analyze` of the HTTP API).
    pub analyze: bool,
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once, ms since the epoch.
    Instant(i64),
    /// At each step of a range query.
    Range(Grid),
}

/// The engines that Thanos' API names. This project has one, which serves all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// The request names none: the peer chooses.
    #[default]
    Default,
    /// Prometheus' engine (`engine=prometheus`).
    Prometheus,
    /// Thanos' own engine (`engine=thanos`).
    Thanos,
}

impl EngineChoice {
    /// The engine of this name, empty for the default; `None` for other names.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::Default),
            "prometheus" => Some(Self::Prometheus),
            "thanos" => Some(Self::Thanos),
            _ => None,
        }
    }
}

impl Query {
    /// `text` at one time, ms since the epoch.
    pub fn instant(text: impl Into<String>, time_ms: i64) -> Self {
        Self::new(text.into(), Times::Instant(time_ms))
    }

    /// `text` at each step from `start_ms` to `end_ms`, both included.
    pub fn range(text: impl Into<String>, start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        Self::new(text.into(), Times::Range(Grid { start_ms, end_ms, step_ms }))
    }

    fn new(text: String, times: Times) -> Self {
        Self {
            text,
            expr: None,
            times,
            read: ReadOptions::default(),
            limits: QueryLimits::default(),
            engine: EngineChoice::default(),
            per_step_stats: false,
            analyze: false,
        }
    }

    /// The same query, its data read in this way.
    pub fn reading(self, read: ReadOptions) -> Self {
        Self { read, ..self }
    }
}

/// How the data of one request is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// Merge replicas into one series (`dedup`, default true).
    pub dedup: bool,
    /// The labels that tell replicas apart in place of the configured ones (`replicaLabels[]`); `None` = configured.
    pub replica_labels: Option<Vec<String>>,
    /// Only stores that one of these selectors matches (`storeMatch[]`; `__address__`, `__endpoint_group__` and external
    /// labels); empty = all.
    pub store_matchers: Vec<Vec<Matcher>>,
    /// What to do when a part of the data cannot be had (`partial_response`).
    pub partial_response: PartialResponse,
    /// The longest windows of downsampled data that will do, ms; 0 = raw only (`max_source_resolution`, `auto` already
    /// computed).
    pub max_resolution_ms: i64,
    /// The resolution was chosen for the client: no range selector takes one above half its range, and data of longer
    /// windows is taken where there is no other, and is shown whatever the lookback. Else the resolution is a strict limit.
    pub auto_resolution: bool,
    /// How far back an instant selector looks for a sample, ms; 0 = the evaluator's default. A source may judge gaps between
    /// samples by it.
    pub lookback_ms: i64,
    /// Only this part of the series (`shard_info`).
    pub shard: Option<Shard>,
    /// Series or label endpoints: samples are not asked for.
    pub labels_only: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            dedup: true,
            replica_labels: None,
            store_matchers: Vec::new(),
            partial_response: PartialResponse::Warn,
            max_resolution_ms: 0,
            auto_resolution: false,
            lookback_ms: 0,
            shard: None,
            labels_only: false,
        }
    }
}

/// Makes, for each request, the source that evaluators and the label endpoints read: the querier's fan-out with
/// deduplication, a store's bucket, a test's memory.
pub trait QuerySource: fmt::Debug + Send + Sync {
    /// The source for one request. Cheap: no I/O before the source is asked for series.
    ///
    /// The source honours every field of `options`. It merges replicas, and adds the partial response strategy, shard and
    /// resolution to what it sends downstream; a [`storage::Select`]'s own fields win where the caller set them.
    ///
    /// # Errors
    /// [`storage::Error::Invalid`] (HTTP 400) for options that make no sense together.
    fn for_request(&self, options: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>>;
}
