//! `--query.mode=distributed`: parts of queries are evaluated by the queriers behind this one, each over its own series.
//!
//! Only where that changes no answer: every endpoint is a querier that answers, and no two have series of the same values
//! of the partition labels. All else is evaluated here, as in local mode.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{BoxFuture, try_join_all};
use labels::Labels;
use model::Annotations;
use promql::{Engine, Evaluate, LocalEvaluator, Query, QueryError, QueryResult, QuerySource, ReadOptions, Times};
use queryapi::{QueryClient, distribute};
use storage::Ctx;
use telemetry::{CounterVec, Metrics};
use tracing::warn;

use crate::endpoints::EndpointSet;
use crate::parts::{Parts, PartsBuilder};
use crate::source::Sources;

/// Evaluates what it can at remote queriers.
#[derive(Debug, Clone)]
pub struct Distributed {
    set: Arc<EndpointSet>,
    sources: Arc<Sources>,
    engine: Engine,
    local: LocalEvaluator,
    /// `--query.partition-label`; empty = all external labels but those of replicas.
    partition_labels: Arc<[String]>,
    queries: CounterVec,
    reasons: CounterVec,
}

/// Why a query is evaluated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Settings,
    Request,
    Endpoints,
    Query,
    Failed,
}

impl Reason {
    /// The value of the metric's label.
    fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Request => "request",
            Self::Endpoints => "endpoints",
            Self::Query => "query",
            Self::Failed => "failed",
        }
    }

    /// For people.
    fn text(self) -> &'static str {
        match self {
            Self::Settings => {
                "this querier has --selector-label or --selector.relabel-config, or drops names late, which the queriers \
                 behind it would not do"
            }
            Self::Request => {
                "the protocol cannot say what the request asks for: parts of seconds, statistics for each step, an \
                 analysis, chosen stores, replicas as they are, or an automatic resolution"
            }
            Self::Endpoints => {
                "not all endpoints are queriers that answer, or two of them have series of the same external labels"
            }
            Self::Query => "no part of the query comes of the series of one querier each",
            Self::Failed => "a querier did not evaluate its part",
        }
    }
}

/// What is left to the queriers.
struct Plan {
    read: ReadOptions,
    remotes: Remotes,
    split: queryapi::Distributed,
}

/// The queriers, and the labels that tell their series apart.
struct Remotes {
    clients: Vec<QueryClient>,
    partition: Vec<String>,
}

impl Distributed {
    /// An evaluator over the queriers of `set`; what is left of a query is evaluated by `engine` over `sources`.
    pub fn new(
        set: Arc<EndpointSet>,
        sources: Arc<Sources>,
        engine: Engine,
        partition_labels: Arc<[String]>,
        metrics: &Metrics,
    ) -> Self {
        let local = LocalEvaluator::new(engine.clone(), sources.clone());
        let queries = metrics.counters(
            "aion_query_distributed_total",
            "Queries in distributed mode, by where they were evaluated: remote, at least in part, or local.",
            &["evaluated"],
        );
        let reasons = metrics.counters(
            "aion_query_distributed_local_total",
            "Queries in distributed mode that were evaluated here as a whole, by the reason: settings, request, endpoints, \
             query, failed.",
            &["reason"],
        );
        Self { set, sources, engine, local, partition_labels, queries, reasons }
    }

    /// The queriers, if they are all there is and their series are told apart.
    fn remotes(&self, replica_labels: &[String]) -> Option<Remotes> {
        let mut sets: Vec<(QueryClient, Arc<[Labels]>)> = Vec::new();
        for endpoint in self.set.all() {
            let (info, label_sets) = (endpoint.known()?, endpoint.label_sets());
            let complete = !info.source.label_sets.is_empty() && label_sets.iter().all(|set| !set.is_empty());
            if !info.served.query || endpoint.health().last_error.is_some() || !complete {
                return None;
            }
            sets.push((endpoint.query()?, label_sets));
        }
        let names = || sets.iter().flat_map(|(_, sets)| sets.iter()).flat_map(|set| set.iter().map(|(name, _)| name));
        let partition: BTreeSet<&str> = match self.partition_labels.is_empty() {
            true => names().filter(|name| !replica_labels.iter().any(|r| r == name)).collect(),
            false => self.partition_labels.iter().map(String::as_str).collect(),
        };
        let mut owners: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
        for (at, (_, sets)) in sets.iter().enumerate() {
            for set in sets.iter() {
                let values: Vec<&str> = partition.iter().map(|name| set.value(name)).collect();
                let shared = owners.insert(values.clone(), at).is_some_and(|owner| owner != at);
                // A series without one of the labels may have it as its own, with any value.
                if shared || values.contains(&"") {
                    return None;
                }
            }
        }
        let partition: Vec<String> = partition.iter().map(|name| (*name).to_owned()).collect();
        // Replicas would be merged within each querier only.
        if partition.is_empty() || partition.iter().any(|p| replica_labels.contains(p)) {
            return None;
        }
        Some(Remotes { clients: sets.into_iter().map(|(client, _)| client).collect(), partition })
    }

    /// What of a query is left to the queriers.
    async fn plan(&self, query: &Query) -> Result<Plan, Reason> {
        let options = self.engine.options();
        if !self.sources.fanout.is_plain() || options.delayed_name_removal {
            return Err(Reason::Settings);
        }
        let told = query.per_step_stats || query.analyze;
        let read = self.read(query).filter(|_| !told).ok_or(Reason::Request)?;
        self.set.settle().await;
        let replica_labels = read.replica_labels.clone().unwrap_or_default();
        let remotes = self.remotes(&replica_labels).ok_or(Reason::Endpoints)?;
        let expr = match &query.expr {
            Some(expr) => expr.clone(),
            None => match promql_syntax::parse_with(&query.text, &options.parse) {
                Ok(expr) => Arc::new(expr),
                // The engine says what is wrong.
                Err(_) => return Err(Reason::Query),
            },
        };
        let split = distribute(&expr, &remotes.partition).ok_or(Reason::Query)?;
        Ok(Plan { read, remotes, split })
    }

    /// The answer by remote queriers, or why it is to be found here.
    async fn remotely(&self, ctx: &Ctx, query: &Query) -> Result<Result<QueryResult, Reason>, QueryError> {
        let Plan { read, remotes, split } = match self.plan(query).await {
            Ok(plan) => plan,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut calls = Vec::new();
        for (at, part) in split.parts.iter().enumerate() {
            for client in &remotes.clients {
                let query = Query { text: part.to_string(), expr: None, read: read.clone(), ..query.clone() };
                let call = client.evaluate(ctx, query);
                calls.push(async move { call.await.map(|result| (at, result)) });
            }
        }
        let answers = match try_join_all(calls).await {
            Ok(answers) => answers,
            Err(error @ (QueryError::Canceled(_) | QueryError::Timeout(_) | QueryError::Limit(_))) => {
                return Err(error);
            }
            Err(error) => {
                warn!(%error, "a part of a query was not evaluated remotely, so the query is evaluated here");
                return Ok(Err(Reason::Failed));
            }
        };
        self.joined(ctx, query, split, answers).await.map(Ok)
    }

    /// What remote queriers are asked with; `None` where their protocol cannot say it.
    fn read(&self, query: &Query) -> Option<ReadOptions> {
        let asked = &query.read;
        let replica_labels = asked.replica_labels.clone().unwrap_or_else(|| self.sources.replica_labels.to_vec());
        let lookback_ms = match asked.lookback_ms {
            0 => self.engine.options().lookback_ms,
            ms => ms,
        };
        let whole = |ms: i64| ms % 1000 == 0;
        let times = match query.times {
            Times::Instant(at) => whole(at),
            Times::Range(grid) => whole(grid.start_ms) && whole(grid.end_ms) && whole(grid.step_ms),
        };
        let said = times && whole(lookback_ms) && !asked.auto_resolution;
        let all = asked.store_matchers.is_empty() && asked.shard.is_none();
        let same = (asked.dedup || replica_labels.is_empty()) && said && all;
        let dedup = !replica_labels.is_empty();
        same.then(|| ReadOptions { dedup, replica_labels: Some(replica_labels), lookback_ms, ..asked.clone() })
    }

    /// Evaluates what is left over the results of the parts.
    async fn joined(
        &self,
        ctx: &Ctx,
        query: &Query,
        split: queryapi::Distributed,
        answers: Vec<(usize, QueryResult)>,
    ) -> Result<QueryResult, QueryError> {
        let mut annotations = Annotations::new();
        let (mut samples, mut peak) = (0_u64, 0_u64);
        let mut builders: Vec<PartsBuilder> = split.parts.iter().map(|_| PartsBuilder::new(query.times)).collect();
        for (at, result) in answers {
            let QueryResult { value, annotations: told, stats, held } = result;
            annotations.merge(told);
            samples = samples.saturating_add(stats.total_samples);
            peak = peak.max(stats.peak_samples);
            // An answer counts twice only while it is turned into series, one answer at a time.
            builders[at].add(ctx, value).await?;
            drop(held);
        }
        let parts = builders.into_iter().map(PartsBuilder::finish).collect();
        let source = Arc::new(Parts { parts, rest: self.sources.for_request(&query.read)? });
        let query = Query { expr: Some(Arc::new(split.rest)), ..query.clone() };
        let mut result = self.engine.evaluate(ctx, source, query).await?;
        result.annotations.merge(annotations);
        result.stats.total_samples = result.stats.total_samples.saturating_add(samples);
        result.stats.peak_samples = result.stats.peak_samples.max(peak);
        Ok(result)
    }
}

impl Evaluate for Distributed {
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            match this.remotely(&ctx, &query).await? {
                Ok(result) => {
                    this.queries.with(&["remote"]).inc();
                    return Ok(result);
                }
                Err(reason) => {
                    this.reasons.with(&[reason.name()]).inc();
                }
            }
            this.queries.with(&["local"]).inc();
            this.local.evaluate(&ctx, query).await
        })
    }

    fn place(&self, query: Query) -> BoxFuture<'static, Option<String>> {
        let this = self.clone();
        Box::pin(async move {
            Some(match this.plan(&query).await {
                Err(reason) => format!("here: {}", reason.text()),
                Ok(Plan { remotes, split, .. }) => {
                    let parts: Vec<String> = split.parts.iter().map(ToString::to_string).collect();
                    format!("by {} queriers: {}; here: {}", remotes.clients.len(), parts.join("; "), split.rest)
                }
            })
        })
    }
}
