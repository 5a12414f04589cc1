//! Queries evaluated by the one store gateway that has all their series, so that results travel in place of series. Where
//! others have series of the last steps, as sidecars do, the steps before go to the store.
//!
//! Only where that changes no answer: the store is of the same version and is told all that an answer depends on; whatever it
//! cannot do is done here.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;

use dedup::Method;
use futures::future::BoxFuture;
use labels::Labels;
use model::Annotations;
use promql::{
    Engine, EngineOptions, Evaluate, Grid, LocalEvaluator, Matrix, MatrixSeries, Points, Query, QueryError,
    QueryResult, Reach, ReadOptions, StepColumn, Times, Value, depends_on_steps, reach,
};
use promql_syntax::{Expr, ValueType, parse_with};
use queryapi::evaluator;
use storage::Ctx;
use storeapi::StoreLimits;
use telemetry::{CounterVec, Metrics};
use tracing::warn;

use crate::endpoints::Endpoint;
use crate::source::Sources;

/// Fewer steps than a quarter of all are not worth two evaluations.
const WORTH: usize = 4;
/// A store that evaluates says so: its silence for one part of so many of `--store.response-timeout` is enough.
const SILENCE: u32 = 4;

/// Evaluates at a store gateway what it can.
#[derive(Debug, Clone)]
pub struct AtStore {
    sources: Arc<Sources>,
    engine: Engine,
    local: LocalEvaluator,
    version: Arc<str>,
    queries: CounterVec,
}

/// What a store is to evaluate.
struct Plan {
    store: Arc<Endpoint>,
    /// With all that the evaluation depends on.
    query: Query,
    expr: Arc<Expr>,
    options: Arc<EngineOptions>,
    /// The steps after those of `query`, which are for this process.
    rest: Option<Grid>,
}

/// Why a query is evaluated here, for people.
type Why = &'static str;

const NO_STORE: Why = "no store gateway of this version evaluates";
const SETTINGS: Why = "this querier has --selector-label, --selector.relabel-config or --store.limits";
const REQUEST: Why = "the request asks for statistics of each step, an analysis, chosen stores, a shard or labels, or its \
                      tenant's label was added to the query";
const QUERY: Why = "series are no larger than the results, or are known only with those of others";
const MISSING: Why = "an endpoint is missing";
const SEVERAL: Why = "no store gateway has all series of a quarter of the steps";

impl AtStore {
    /// An evaluator over the endpoints of `sources`; what no store evaluates alone is evaluated by `engine`.
    pub fn new(sources: Arc<Sources>, engine: Engine, metrics: &Metrics) -> Self {
        let local = LocalEvaluator::new(engine.clone(), sources.clone());
        let queries = metrics.counters(
            "aion_query_evaluated_at_store_total",
            "Queries left to a store gateway, by what it evaluated: all steps, the first of them, or none because it failed.",
            &["steps"],
        );
        Self { sources, engine, local, version: evaluator::version(metrics.build()).into(), queries }
    }

    /// What a store is to evaluate of `query`, or why there is nothing.
    async fn plan(&self, query: &Query) -> Result<Plan, Why> {
        let Sources { fanout, limits, .. } = &*self.sources;
        if !fanout.is_plain() || *limits != StoreLimits::default() {
            return Err(SETTINGS);
        }
        let endpoints = fanout.complete().await.ok_or(MISSING)?;
        if !endpoints.iter().any(|e| e.evaluates_for(&self.version)) {
            return Err(NO_STORE);
        }
        let read = &query.read;
        let whole = read.store_matchers.is_empty() && read.shard.is_none() && !read.labels_only;
        if query.per_step_stats || query.analyze || !whole {
            return Err(REQUEST);
        }
        // The engine here says what is wrong with a query.
        let parsed = parse_with(&query.text, &self.engine.options().parse);
        let expr = Arc::new(parsed.map_err(|_| QUERY)?);
        // Its samples are at times of their own, which are not sent.
        if expr.value_type() == ValueType::Matrix {
            return Err(QUERY);
        }
        if query.expr.as_ref().is_some_and(|given| **given != *expr) {
            return Err(REQUEST);
        }
        let options = Arc::new(self.engine.options().clone()).limited(query.limits);
        let mut query = Query { expr: None, ..query.clone() };
        if query.read.lookback_ms <= 0 {
            query.read.lookback_ms = options.lookback_ms;
        }
        let labels = || self.sources.replica_labels.to_vec();
        query.read.replica_labels = Some(query.read.replica_labels.take().unwrap_or_else(labels));
        let (store, steps) = self.owner(&endpoints, &query, &expr, &options)?;
        let rest = match query.times {
            Times::Range(grid) if steps < grid.steps() => {
                let first = Grid { end_ms: grid.time(steps - 1), ..grid };
                query.times = Times::Range(first);
                Some(Grid { start_ms: grid.time(steps), ..grid })
            }
            _ => None,
        };
        Ok(Plan { store, query, expr, options, rest })
    }

    /// The store that has all series of the first steps, and how many steps these are.
    fn owner(
        &self,
        endpoints: &[Arc<Endpoint>],
        query: &Query,
        expr: &Expr,
        options: &EngineOptions,
    ) -> Result<(Arc<Endpoint>, usize), Why> {
        let grid = match query.times {
            Times::Instant(at) => Grid::instant(at),
            Times::Range(grid) => grid,
        };
        let points_max = options.max_points_per_series;
        let steps = grid.steps();
        // Of what makes no sense the engine here says so.
        let sensible = steps > 0 && (matches!(query.times, Times::Instant(_)) || grid.step_ms > 0);
        if !sensible || (points_max > 0 && steps as u64 - 1 > points_max) {
            return Err(QUERY);
        }
        let reached = |steps: usize| -> Result<Reach, Why> {
            let first = if steps == grid.steps() { grid } else { Grid { end_ms: grid.time(steps - 1), ..grid } };
            let found = reach(expr, first, &query.read, options).ok().flatten();
            found.filter(|reach| reach.shrinks && !reach.selects.is_empty()).ok_or(QUERY)
        };
        // The only endpoint that may have any of the series.
        let alone = |reach: &Reach| {
            let mut those = endpoints.iter().filter(|e| may_have(e, reach));
            let one = those.next().filter(|e| e.evaluates_for(&self.version));
            one.filter(|_| those.next().is_none())
        };
        let whole = reached(steps)?;
        if let Some(store) = alone(&whole) {
            return Ok((store.clone(), steps));
        }
        let least = steps.div_ceil(WORTH);
        if least == steps
            || depends_on_steps(expr)
            || self.may_choose(endpoints.iter().filter(|e| may_have(e, &whole)), &query.read)
        {
            return Err(SEVERAL);
        }
        let store = alone(&reached(least)?).ok_or(SEVERAL)?;
        // More steps reach further, so there is one number up to which the store is alone.
        let (mut all, mut too_many) = (least, steps);
        while too_many - all > 1 {
            let middle = usize::midpoint(all, too_many);
            match alone(&reached(middle)?) {
                Some(_) => all = middle,
                None => too_many = middle,
            }
        }
        Ok((store.clone(), all))
    }

    /// Whether there may be replicas to choose from: which one is followed at a step depends on where reading began.
    fn may_choose<'a>(&self, mut endpoints: impl Iterator<Item = &'a Arc<Endpoint>>, read: &ReadOptions) -> bool {
        let replica_labels = read.replica_labels.as_deref().unwrap_or(&self.sources.replica_labels);
        if !read.dedup || self.sources.method == Method::Chain || replica_labels.is_empty() {
            return false;
        }
        // Those of all series, if all are of one replica.
        let of =
            |set: &Labels| replica_labels.iter().map(|l| set.get(l).map(str::to_owned)).collect::<Option<Vec<_>>>();
        let mut replica = None;
        !endpoints.all(|endpoint| {
            let sets = endpoint.info().label_sets;
            let same = |set| of(set).is_some_and(|found| *replica.get_or_insert_with(|| found.clone()) == found);
            !sets.is_empty() && sets.iter().all(same)
        })
    }

    /// The answer of the store; `None` where it has none, though there may be one.
    async fn ask(&self, ctx: &Ctx, plan: &Plan) -> Result<Option<QueryResult>, QueryError> {
        let Plan { store, query, expr, options, .. } = plan;
        let Some(client) = store.evaluator() else { return Ok(None) };
        let method: Method = self.sources.method;
        // Well before its series are given up for its silence, so that there is time left to be told of what is missing then.
        let silence = self.sources.fanout.response_timeout() / SILENCE;
        let answer = client.evaluate(ctx, self.version.to_string(), (query, expr), method, options, silence);
        let error = match answer.await {
            Ok(result) => return Ok(Some(result)),
            Err(QueryError::Timeout(_)) if ctx.deadline.is_none_or(|at| Instant::now() < at) => {
                "it gave up early".to_owned()
            }
            Err(QueryError::Canceled(_)) if !ctx.cancel.is_cancelled() => "it was cancelled there".to_owned(),
            Err(QueryError::Storage(e)) => e.to_string(),
            Err(e) => return Err(e),
        };
        let store = &store.name;
        warn!(store, error, "a query was not evaluated by the store gateway, so its series are read");
        self.queries.with(&["none"]).inc();
        Ok(None)
    }

    /// The answer by `plan`, of which the other steps are evaluated here.
    async fn planned(&self, ctx: &Ctx, query: &Query, plan: &Plan) -> Result<QueryResult, QueryError> {
        let Some(rest) = plan.rest else {
            return match self.ask(ctx, plan).await? {
                Some(result) => {
                    self.queries.with(&["all"]).inc();
                    Ok(result)
                }
                None => self.local.evaluate(ctx, query.clone()).await,
            };
        };
        let first = async {
            Ok::<_, QueryError>(match self.ask(ctx, plan).await? {
                Some(result) => {
                    self.queries.with(&["first"]).inc();
                    result
                }
                None => self.local.evaluate(ctx, Query { times: plan.query.times, ..query.clone() }).await?,
            })
        };
        let rest = self.local.evaluate(ctx, Query { times: Times::Range(rest), ..query.clone() });
        let parts = match futures::try_join!(first, rest) {
            Ok((first, rest)) if agree(&first.annotations, &rest.annotations) => Some((first, rest)),
            // What is said of all steps, or is wrong with some of them, is known where all are evaluated.
            Ok(_) | Err(QueryError::Execution(_) | QueryError::Limit(_)) => None,
            Err(e) => return Err(e),
        };
        match (parts, query.times) {
            (Some((first, rest)), Times::Range(grid)) => joined(ctx, grid, first, rest),
            _ => self.local.evaluate(ctx, query.clone()).await,
        }
    }
}

/// The engine's annotations begin with this, and come after those of the data.
const OF_ENGINE: &str = "PromQL ";

/// Whether both together say what an evaluation of all steps would: some annotations count what they are about.
fn agree(a: &Annotations, b: &Annotations) -> bool {
    let of = |all: &Annotations| all.iter().filter(|one| one.text.starts_with(OF_ENGINE)).cloned().collect::<Vec<_>>();
    let (a, b) = (of(a), of(b));
    a.is_empty() || b.is_empty() || a == b
}

/// Whether an endpoint may have series of a query.
fn may_have(endpoint: &Endpoint, reach: &Reach) -> bool {
    reach.selects.iter().any(|(matchers, range)| endpoint.may_have(*range, matchers))
}

/// One answer of two, the one over the first steps of `grid`, the other over all that come after.
fn joined(ctx: &Ctx, grid: Grid, first: QueryResult, rest: QueryResult) -> Result<QueryResult, QueryError> {
    let QueryResult { value: Value::Matrix(a), mut annotations, mut stats, held: held_first } = first else {
        return Err(QueryError::Execution("unexpected result of a range query".to_owned()));
    };
    let QueryResult { value: Value::Matrix(b), annotations: later, stats: also, held: held_rest } = rest else {
        return Err(QueryError::Execution("unexpected result of a range query".to_owned()));
    };
    annotations.merge(later);
    let (engine, data): (Vec<_>, Vec<_>) = annotations.iter().cloned().partition(|one| one.text.starts_with(OF_ENGINE));
    let mut annotations = Annotations::new();
    data.into_iter().chain(engine).for_each(|one| annotations.add(one));
    stats.total_samples = stats.total_samples.saturating_add(also.total_samples);
    stats.decoded_samples = stats.decoded_samples.saturating_add(also.decoded_samples);
    stats.series = stats.series.saturating_add(also.series);
    stats.chunk_bytes = stats.chunk_bytes.saturating_add(also.chunk_bytes);
    stats.peak_samples = stats.peak_samples.max(also.peak_samples);
    stats.peak_bytes = stats.peak_bytes.max(also.peak_bytes);
    stats.queue_seconds = stats.queue_seconds.max(also.queue_seconds);
    stats.prepare_seconds = stats.prepare_seconds.max(also.prepare_seconds);
    stats.eval_seconds = stats.eval_seconds.max(also.eval_seconds);

    let mut held = ctx.budget.reserve(0)?;
    let (steps, steps_first) = (grid.steps(), a.grid.steps());
    let mut series = Vec::with_capacity(a.series.len().max(b.series.len()));
    let (mut a, mut b) = (a.series.into_iter().peekable(), b.series.into_iter().peekable());
    while let Some((labels, one, other)) = next(&mut a, &mut b) {
        let mut column = StepColumn::absent(steps);
        for (part, from) in [(one, 0), (other, steps_first)] {
            let Some(Points::Steps(part)) = part else { continue };
            part.floats().for_each(|(step, value)| column.set(from + step, value));
            let native = part.native_histograms.into_iter();
            column.native_histograms.extend(native.map(|(step, h)| (from as u32 + step, h)));
        }
        held.grow((column.size_bytes() + labels.size_bytes()) as u64)?;
        series.push(MatrixSeries { labels, points: Points::Steps(column) });
    }
    drop((held_first, held_rest));
    Ok(QueryResult { value: Value::Matrix(Matrix { grid, series }), annotations, stats, held: Some(Arc::new(held)) })
}

/// The next series in label order, with what each of the two has of it.
#[allow(clippy::type_complexity, reason = "two of the same")]
fn next(
    a: &mut Peekable<impl Iterator<Item = MatrixSeries>>,
    b: &mut Peekable<impl Iterator<Item = MatrixSeries>>,
) -> Option<(Labels, Option<Points>, Option<Points>)> {
    let order = match (a.peek(), b.peek()) {
        (Some(a), Some(b)) => a.labels.cmp(&b.labels),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => return None,
    };
    let one = if order.is_le() { a.next() } else { None };
    let other = if order.is_ge() { b.next() } else { None };
    let labels = one.as_ref().or(other.as_ref())?.labels.clone();
    Some((labels, one.map(|s| s.points), other.map(|s| s.points)))
}

impl Evaluate for AtStore {
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            match this.plan(&query).await {
                Ok(plan) => this.planned(&ctx, &query, &plan).await,
                Err(_) => this.local.evaluate(&ctx, query).await,
            }
        })
    }

    fn place(&self, query: Query) -> BoxFuture<'static, Option<String>> {
        let this = self.clone();
        Box::pin(async move {
            Some(match this.plan(&query).await {
                Err(NO_STORE) => return None,
                Err(why) => format!("here: {why}"),
                Ok(Plan { store, rest: None, .. }) => format!("by {}", store.name),
                Ok(Plan { store, query, rest: Some(rest), .. }) => {
                    let steps = if let Times::Range(grid) = query.times { grid.steps() } else { 1 };
                    format!("by {}: the first {steps} steps; here: the other {}", store.name, rest.steps())
                }
            })
        })
    }
}
