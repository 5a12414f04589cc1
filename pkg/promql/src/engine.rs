//! The front door: queries come in as text, answers go out as columns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use promql_syntax::{Expr, ValueType};
use storage::{Budget, Ctx, SeriesSource};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::eval::Cx;
use crate::notes::Notes;
use crate::plan::{self, QueryTimes};
use crate::{EngineOptions, Grid, QueryError, QueryOptions, QueryResult, QueryStats, run};

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
}

impl Engine {
    /// An engine with these settings.
    pub fn new(options: EngineOptions) -> Self {
        let gate = (options.max_concurrent > 0).then(|| Arc::new(Semaphore::new(options.max_concurrent)));
        Self { inner: Arc::new(Inner { options: Arc::new(options), gate }) }
    }

    /// The settings.
    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }

    /// How many queries are being evaluated; 0 without a limit on them.
    pub fn in_flight(&self) -> usize {
        let max = self.inner.options.max_concurrent;
        self.inner.gate.as_ref().map_or(0, |gate| max.saturating_sub(gate.available_permits()))
    }

    /// Evaluates `query` at one point in time.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn instant(
        &self,
        ctx: &Ctx,
        source: Arc<dyn SeriesSource>,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let times = QueryTimes { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
        self.run(ctx, source, query, None, times, options).await
    }

    /// Evaluates `query` at each step from `start_ms` to `end_ms`, both included.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn range(
        &self,
        ctx: &Ctx,
        source: Arc<dyn SeriesSource>,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let times = self.range_times(start_ms, end_ms, step_ms)?;
        self.run(ctx, source, query, None, times, options).await
    }

    /// [`Engine::instant`] of a parsed query; `text` is what positions in remarks refer to.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn instant_expr(
        &self,
        ctx: &Ctx,
        source: Arc<dyn SeriesSource>,
        text: &str,
        expr: &Expr,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let times = QueryTimes { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
        self.run(ctx, source, text, Some(expr.clone()), times, options).await
    }

    /// [`Engine::range`] of a parsed query.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn range_expr(
        &self,
        ctx: &Ctx,
        source: Arc<dyn SeriesSource>,
        text: &str,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let times = self.range_times(start_ms, end_ms, step_ms)?;
        self.run(ctx, source, text, Some(expr.clone()), times, options).await
    }

    /// The steps of a range query, if they make sense.
    fn range_times(&self, start_ms: i64, end_ms: i64, step_ms: i64) -> Result<QueryTimes, QueryError> {
        if end_ms < start_ms {
            let text = "invalid parameter \"end\": end timestamp must not be before start time";
            return Err(QueryError::Bad(text.to_owned()));
        }
        if step_ms <= 0 {
            let text = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try \
                        a positive integer";
            return Err(QueryError::Bad(text.to_owned()));
        }
        let max = self.inner.options.max_points_per_series;
        let points = (end_ms.wrapping_sub(start_ms) as u64) / step_ms as u64;
        if max > 0 && points > max {
            return Err(QueryError::Bad(format!(
                "exceeded maximum resolution of {max} points per timeseries: {points} asked for. Try decreasing the \
                 query resolution (?step=XX)"
            )));
        }
        Ok(QueryTimes { start_ms, end_ms, step_ms })
    }

    async fn run(
        &self,
        ctx: &Ctx,
        source: Arc<dyn SeriesSource>,
        text: &str,
        expr: Option<Expr>,
        times: QueryTimes,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let ctx = self.limited(ctx, Instant::now());
        let queued = Instant::now();
        let place = self.wait_for_place(&ctx).await?;
        let queue_seconds = queued.elapsed().as_secs_f64();

        // Dropping the future must stop the work, which goes on in its own thread.
        let _stop = StopOnDrop(ctx.cancel.clone());
        let work = Work {
            ctx,
            source,
            runtime: tokio::runtime::Handle::current(),
            settings: self.inner.options.clone(),
            options: options.clone(),
            text: text.to_owned(),
            expr,
            times,
        };
        let (sender, outcome) = oneshot::channel();
        let span = tracing::Span::current();
        // A thread per query, of which the gate lets in a bounded number. Its stack is its own because trees as high as
        // the parser lets through need more than the runtime's threads have.
        let spawned = std::thread::Builder::new().name("query".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let outcome = span.in_scope(|| work.run());
            drop((place, span));
            // Nobody listens when the query was dropped.
            let _ = sender.send(outcome);
        });
        if let Err(e) = spawned {
            return Err(QueryError::Execution(format!("no thread for the query: {e}")));
        }
        let Ok(outcome) = outcome.await else {
            return Err(QueryError::Execution("unexpected error: the evaluation ended early".to_owned()));
        };
        let mut result = outcome?;
        result.stats.queue_seconds = queue_seconds;
        Ok(result)
    }

    /// `ctx` with this engine's timeout and byte budget, and a cancellation of its own.
    fn limited(&self, ctx: &Ctx, began: Instant) -> Ctx {
        let options = &self.inner.options;
        let mut limited = ctx.clone();
        limited.cancel = ctx.cancel.child_token();
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

/// Address space for an evaluation's stack; only what is touched becomes memory.
const STACK_BYTES: usize = 64 << 20;

/// A query on its way to its thread.
struct Work {
    ctx: Ctx,
    source: Arc<dyn SeriesSource>,
    runtime: tokio::runtime::Handle,
    settings: Arc<EngineOptions>,
    options: QueryOptions,
    text: String,
    expr: Option<Expr>,
    times: QueryTimes,
}

impl Work {
    fn run(self) -> Result<QueryResult, QueryError> {
        let began = Instant::now();
        let Self { ctx, source, runtime, settings, options, text, expr, times } = self;
        let expr = match expr {
            Some(expr) => expr,
            None => promql_syntax::parse_with(&text, &settings.parse)?,
        };
        let is_range = times.step_ms > 0;
        let expr_type = expr.value_type();
        if is_range && !matches!(expr_type, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::Bad(format!(
                "invalid parameter \"query\": invalid expression type \"{}\" for range query, must be Scalar or instant \
                 Vector",
                expr_type.documented()
            )));
        }
        let root = plan::plan(&expr, times, &settings)?;
        let prepare_seconds = began.elapsed().as_secs_f64();

        let began = Instant::now();
        let mut cx = Cx::new(ctx, source, runtime, settings, options, times.step_ms, Notes::new(&text))?;
        let grid = if is_range {
            Grid { start_ms: times.start_ms, end_ms: times.end_ms, step_ms: times.step_ms }
        } else {
            Grid::instant(times.start_ms)
        };
        cx.check_size(grid.steps(), "steps")?;
        cx.hold_grid(grid, 16)?;
        if cx.query.per_step_stats {
            cx.count_steps(grid);
        }
        let value =
            if is_range { run::range(&root, grid, &mut cx)? } else { run::instant(&root, times.start_ms, &mut cx)? };
        cx.stats.samples_per_step = cx.take_step_counts();
        let (notes, stats, held) = cx.into_result();
        let eval_seconds = began.elapsed().as_secs_f64();
        let stats = QueryStats { prepare_seconds, eval_seconds, ..stats };
        Ok(QueryResult { value, annotations: notes.finish(), stats, held: Some(Arc::new(held)) })
    }
}

/// Cancels the evaluation when its asker is gone.
struct StopOnDrop(CancellationToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
