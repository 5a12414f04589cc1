//! The front door: queries come in as text or parsed, answers go out as columns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use promql_syntax::ValueType;
use storage::{Budget, Ctx, SeriesSource};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::annotations::QueryAnnotations;
use crate::eval::Cx;
use crate::hands::Hands;
use crate::planner;
use crate::profile::Profile;
use crate::query::{Query, Times};
use crate::threads::Threads;
use crate::{Answers, EngineOptions, Grid, QueryError, QueryResult, QueryStats, passes, run};

/// Evaluates PromQL. Cheap to clone; clones share the gate that limits concurrent queries.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Arc<EngineOptions>,
    /// One permit per query that may run; `None` without limit.
    gate: Option<Arc<Semaphore>>,
    threads: Arc<Threads>,
    hands: Arc<Hands>,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(options: EngineOptions) -> Self {
        let gate = (options.max_concurrent > 0).then(|| Arc::new(Semaphore::new(options.max_concurrent)));
        let threads = Arc::<Threads>::default();
        let hands = Arc::new(Hands::new(&options, threads.clone()));
        Self { inner: Arc::new(Inner { options: Arc::new(options), gate, threads, hands }) }
    }

    /// An engine with another default step of subqueries, ms. Both share the gate and the threads.
    #[must_use]
    pub fn with_subquery_step(&self, step_ms: i64) -> Self {
        self.with_options(EngineOptions { default_subquery_step_ms: step_ms.max(1), ..self.options().clone() })
    }

    /// An engine with other settings, which shares the gate and the threads with this one: how many queries may run and on how
    /// many threads stays as it is.
    #[must_use]
    pub fn with_options(&self, options: EngineOptions) -> Self {
        let Inner { gate, threads, hands, .. } = &*self.inner;
        let (gate, threads, hands) = (gate.clone(), threads.clone(), hands.clone());
        let inner = Inner { options: Arc::new(options), gate, threads, hands };
        Self { inner: Arc::new(inner) }
    }

    /// The settings that the engine was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }

    /// How many queries are being evaluated; 0 without a limit on them.
    pub fn in_flight(&self) -> usize {
        let max = self.inner.options.max_concurrent;
        self.inner.gate.as_ref().map_or(0, |gate| max.saturating_sub(gate.available_permits()))
    }

    /// Threads that help to evaluate queries now, beside the one of each query.
    pub fn helping(&self) -> usize {
        self.inner.hands.lent()
    }

    /// Evaluates `query` over the series of `source`.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn evaluate(
        &self,
        ctx: &Ctx,
        source: Arc<dyn SeriesSource>,
        query: Query,
    ) -> Result<QueryResult, QueryError> {
        self.check_steps(&query)?;
        let mut answers = self.evaluate_all(ctx, vec![(source, query)]).await;
        answers.pop().unwrap_or_else(|| Err(ended_early()))
    }

    /// Evaluates queries one after the other, in one place in line and on one thread. Gives their answers in the same order.
    pub async fn evaluate_all(&self, ctx: &Ctx, queries: Vec<(Arc<dyn SeriesSource>, Query)>) -> Answers {
        let count = queries.len();
        let ctx = Ctx { cancel: ctx.cancel.child_token(), ..ctx.clone() };
        // Dropping the future must stop the work, which goes on in its own thread.
        let _stop = StopOnDrop(ctx.cancel.clone());
        let queued = Instant::now();
        let limits = queries.first().map(|(_, query)| query.limits).unwrap_or_default();
        let waiting = limited(&ctx, &self.inner.options.limited(limits), queued);
        let place = match self.wait_for_place(&waiting).await {
            Ok(place) => place,
            Err(e) => return vec![Err(e); count],
        };
        let queue_seconds = queued.elapsed().as_secs_f64();

        let (sender, outcome) = oneshot::channel();
        let span = tracing::Span::current();
        let (engine, runtime) = (self.clone(), tokio::runtime::Handle::current());
        // A thread for those who have a place, of which the gate lets in a bounded number.
        let evaluation = move || {
            // The first one has waited, the others begin when it is their turn.
            let mut waited_since = Some(queued);
            let one = |(source, query): (_, Query)| {
                engine.check_steps(&query)?;
                let settings = engine.inner.options.limited(query.limits);
                let ctx = limited(&ctx, &settings, waited_since.take().unwrap_or_else(Instant::now));
                let hands = engine.inner.hands.clone();
                let work = Work { ctx, source, runtime: runtime.clone(), settings, query, hands };
                catch_unwind(AssertUnwindSafe(|| work.run())).unwrap_or_else(|_| Err(ended_early()))
            };
            let answers: Answers = span.in_scope(|| queries.into_iter().map(one).collect());
            drop((place, span));
            // Nobody listens when the query was dropped.
            let _ = sender.send(answers);
        };
        if let Err(e) = self.inner.threads.run(Box::new(evaluation)) {
            return vec![Err(QueryError::Execution(format!("no thread for the query: {e}"))); count];
        }
        let mut answers = outcome.await.unwrap_or_else(|_| vec![Err(ended_early()); count]);
        answers.iter_mut().flatten().for_each(|answer| answer.stats.queue_seconds = queue_seconds);
        answers
    }

    /// Whether the steps of a range query make sense.
    fn check_steps(&self, query: &Query) -> Result<(), QueryError> {
        let Times::Range(grid) = query.times else { return Ok(()) };
        if grid.end_ms < grid.start_ms {
            let text = "invalid parameter \"end\": end timestamp must not be before start time";
            return Err(QueryError::Bad(text.to_owned()));
        }
        if grid.step_ms <= 0 {
            let text = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try \
                        a positive integer";
            return Err(QueryError::Bad(text.to_owned()));
        }
        let max = self.inner.options.max_points_per_series;
        let points = (grid.end_ms.wrapping_sub(grid.start_ms) as u64) / grid.step_ms as u64;
        if max > 0 && points > max {
            return Err(QueryError::Bad(format!(
                "exceeded maximum resolution of {max} points per timeseries: {points} asked for. Try decreasing the \
                 query resolution (?step=XX)"
            )));
        }
        Ok(())
    }

    async fn wait_for_place(&self, ctx: &Ctx) -> Result<Option<OwnedSemaphorePermit>, QueryError> {
        let Some(gate) = &self.inner.gate else { return Ok(None) };
        let deadline = async {
            match ctx.deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            permit = gate.clone().acquire_owned() => match permit {
                Ok(permit) => Ok(Some(permit)),
                Err(_) => Err(QueryError::Canceled("query queue".to_owned())),
            },
            () = ctx.cancel.cancelled() => Err(QueryError::Canceled("query queue".to_owned())),
            () = deadline => Err(QueryError::Timeout("query queue".to_owned())),
        }
    }
}

/// `ctx` with the timeout and byte budget of `options`.
fn limited(ctx: &Ctx, options: &EngineOptions, began: Instant) -> Ctx {
    let mut limited = ctx.clone();
    if options.timeout_ms > 0 {
        let own = began + Duration::from_millis(options.timeout_ms);
        limited.deadline = Some(ctx.deadline.map_or(own, |given| given.min(own)));
    }
    if options.max_query_bytes > 0 {
        let parent = Some(ctx.budget.clone());
        limited.budget = Budget::new("the query", "--query.max-bytes", options.max_query_bytes, parent);
    }
    limited
}

fn ended_early() -> QueryError {
    QueryError::Execution("unexpected error: the evaluation ended early".to_owned())
}

/// A query on its way to its thread.
struct Work {
    ctx: Ctx,
    source: Arc<dyn SeriesSource>,
    runtime: tokio::runtime::Handle,
    settings: Arc<EngineOptions>,
    query: Query,
    hands: Arc<Hands>,
}

impl Work {
    fn run(self) -> Result<QueryResult, QueryError> {
        let began = Instant::now();
        let Self { ctx, source, runtime, settings, query, hands } = self;
        let Query { text, expr, times, read, per_step_stats, analyze, .. } = query;
        let expr = match expr {
            Some(expr) => expr,
            None => Arc::new(promql_syntax::parse_with(&text, &settings.parse)?),
        };
        let grid = match times {
            Times::Instant(time_ms) => Grid::instant(time_ms),
            Times::Range(grid) => grid,
        };
        let expr_type = expr.value_type();
        if grid.is_range() && !matches!(expr_type, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::Bad(format!(
                "invalid parameter \"query\": invalid expression type \"{}\" for range query, must be Scalar or instant \
                 Vector",
                expr_type.documented()
            )));
        }
        let mut root = planner::plan(&expr, grid, &settings)?;
        passes::run(&mut root, grid, &settings);
        let prepare_seconds = began.elapsed().as_secs_f64();

        let began = Instant::now();
        let mut cx = Cx::new(ctx, source, runtime, settings, read, grid.step_ms, QueryAnnotations::new(&text))?;
        cx.hands = Some(hands);
        cx.check_size(grid.steps(), "steps")?;
        cx.hold_grid(grid, 16)?;
        if per_step_stats {
            cx.count_steps(grid);
        }
        if analyze {
            cx.profile = Some(Profile::default());
        }
        let value = if grid.is_range() {
            run::range(&root, grid, &mut cx)?
        } else {
            run::instant(&root, grid.start_ms, &mut cx)?
        };
        cx.stats.samples_per_step = cx.take_step_counts();
        cx.stats.operators = cx.profile.take().map(Profile::finish).unwrap_or_default();
        let (annotations, stats, held) = cx.into_result();
        let eval_seconds = began.elapsed().as_secs_f64();
        let stats = QueryStats { prepare_seconds, eval_seconds, ..stats };
        Ok(QueryResult { value, annotations: annotations.finish(), stats, held: Some(Arc::new(held)) })
    }
}

/// Cancels the evaluation when its asker is gone.
struct StopOnDrop(CancellationToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
