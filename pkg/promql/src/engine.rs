//! The front door: queries come in as text, answers go out as columns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use promql_syntax::{Expr, ValueType};
use storage::{Budget, Ctx, SeriesSource};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::eval::Cx;
use crate::notes::Notes;
use crate::plan::{self, QueryTimes};
use crate::{EngineOptions, Grid, QueryError, QueryOptions, QueryResult, QueryStats, Value, run};

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
        let expr = promql_syntax::parse(query)?;
        self.instant_expr(ctx, source, query, &expr, time_ms, options).await
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
        let expr = promql_syntax::parse(query)?;
        self.range_expr(ctx, source, query, &expr, start_ms, end_ms, step_ms, options).await
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
        self.run(ctx, source, text, expr, times, options).await
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
        let bad = |text: String| Err(QueryError::Bad(text));
        if end_ms < start_ms {
            return bad("invalid parameter \"end\": end timestamp must not be before start time".to_owned());
        }
        if step_ms <= 0 {
            return bad("invalid parameter \"step\": zero or negative query resolution step widths are not accepted. \
                        Try a positive integer"
                .to_owned());
        }
        let expr_type = expr.value_type();
        if !matches!(expr_type, ValueType::Vector | ValueType::Scalar) {
            let got = expr_type.documented();
            return bad(format!("invalid expression type \"{got}\" for range query, must be Scalar or instant Vector"));
        }
        let times = QueryTimes { start_ms, end_ms, step_ms };
        let max = self.inner.options.max_points_per_series;
        let points = (end_ms.wrapping_sub(start_ms) as u64) / step_ms as u64;
        if max > 0 && points > max {
            return bad(format!(
                "exceeded maximum resolution of {max} points per timeseries: {points} asked for. Try decreasing the \
                 query resolution (?step=XX)"
            ));
        }
        self.run(ctx, source, text, expr, times, options).await
    }

    async fn run(
        &self,
        ctx: &Ctx,
        source: Arc<dyn SeriesSource>,
        text: &str,
        expr: &Expr,
        times: QueryTimes,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let began = Instant::now();
        let settings = self.inner.options.clone();
        let root = plan::plan(expr, times, &settings)?;
        let prepare_seconds = began.elapsed().as_secs_f64();

        let ctx = self.limited(ctx, began);
        let queued = Instant::now();
        let place = self.wait_for_place(&ctx).await?;
        let queue_seconds = queued.elapsed().as_secs_f64();

        let evaluation = Instant::now();
        let runtime = tokio::runtime::Handle::current();
        let notes = Notes::new(text);
        let options = options.clone();
        // Dropping the future must stop the work, which goes on in its own thread.
        let stop = StopOnDrop(ctx.cancel.clone());
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut cx = Cx::new(ctx, source, runtime, settings, options, times.step_ms, notes)?;
            let value = if times.step_ms == 0 {
                run::instant(&root, times.start_ms, &mut cx)?
            } else {
                let grid = Grid { start_ms: times.start_ms, end_ms: times.end_ms, step_ms: times.step_ms };
                run::range(&root, grid, &mut cx)?
            };
            let Cx { notes, stats, .. } = cx;
            Ok((value, notes, stats))
        });
        let outcome: Result<(Value, Notes, QueryStats), QueryError> = match work.await {
            Ok(outcome) => outcome,
            Err(e) => Err(QueryError::Execution(format!("unexpected error: the evaluation ended early: {e}"))),
        };
        drop(stop);
        let (value, notes, stats) = outcome?;
        let eval_seconds = evaluation.elapsed().as_secs_f64();
        Ok(QueryResult {
            value,
            annotations: notes.finish(),
            stats: QueryStats { queue_seconds, prepare_seconds, eval_seconds, ..stats },
        })
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

/// Cancels the evaluation when its asker is gone.
struct StopOnDrop(CancellationToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
