//! Evaluation in turn: what may run, wait and be held in memory, of all tenants and of each.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use promql::{Evaluate, Query, QueryError, QueryLimits, QueryResult};
use storage::{Budget, Ctx};
use telemetry::{Counter, Gauge, Metrics};

use crate::line::{Full, Line, LineLimits, Place};
use crate::tenants::Tenants;

/// Limits of a [`Queue`]; 0 switches a limit off.
#[derive(Debug, Clone, Default)]
pub struct QueueOptions {
    /// Queries evaluated at one time (`--query.max-concurrent`).
    pub running_max: usize,
    /// Queries that wait (`--query.max-queued`).
    pub waiting_max: usize,
    /// How long a query may take, waiting included, ms (`--query.timeout`).
    pub timeout_ms: u64,
    /// What each tenant may take of it.
    pub tenants: Arc<Tenants>,
}

/// An evaluator before which queries wait for their turn. Tenants, told apart by [`Ctx::tenant`], take turns.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Arc<dyn Evaluate>,
    options: QueueOptions,
    line: Arc<Line>,
    /// The parent of the tenants' budgets.
    process: Arc<Budget>,
    /// Of tenants that hold anything, with their limits.
    budgets: Mutex<HashMap<Arc<str>, (u64, Weak<Budget>)>>,
    metrics: QueueMetrics,
}

#[derive(Debug, Clone)]
struct QueueMetrics {
    length: Gauge,
    running: Gauge,
    refused: Counter,
}

impl QueueMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            length: metrics.gauge("aion_query_queue_length", "Queries that wait for their turn."),
            running: metrics.gauge("aion_query_queue_running", "Queries whose turn it is."),
            refused: metrics.counter("aion_query_queue_refused_total", "Queries refused because too many waited."),
        }
    }

    fn show(&self, line: &Line) {
        let (running, waiting) = line.counts();
        self.running.set(running as f64);
        self.length.set(waiting as f64);
    }
}

/// A place; the figures follow when it is given back.
struct Held {
    place: Option<Place>,
    line: Arc<Line>,
    metrics: QueueMetrics,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.place.take());
        self.metrics.show(&self.line);
    }
}

impl Queue {
    /// A queue before `inner`. What tenants hold counts in `process` too.
    pub fn new(inner: Arc<dyn Evaluate>, options: QueueOptions, process: Arc<Budget>, metrics: &Metrics) -> Self {
        let line = Line::new(LineLimits {
            running_max: options.running_max,
            waiting_max: options.waiting_max,
            tenants: options.tenants.clone(),
        });
        let metrics = QueueMetrics::new(metrics);
        Self(Arc::new(Shared { inner, options, line, process, budgets: Mutex::default(), metrics }))
    }
}

impl Shared {
    /// The budget of all queries of `tenant`, of `max` bytes.
    fn budget(&self, tenant: &Arc<str>, max: u64) -> Arc<Budget> {
        let mut budgets = self.budgets.lock();
        budgets.retain(|_, (_, budget)| budget.strong_count() > 0);
        if let Some((_, known)) = budgets.get(tenant).filter(|(of, _)| *of == max)
            && let Some(known) = known.upgrade()
        {
            return known;
        }
        let what = format!("all queries of tenant {tenant:?}");
        let budget = Budget::new(what, "--query.tenant-max-bytes", max, Some(self.process.clone()));
        budgets.insert(tenant.clone(), (max, Arc::downgrade(&budget)));
        budget
    }

    fn refused(&self, full: Full, tenant: &str) -> QueryError {
        self.metrics.refused.inc();
        let Full { waiting, of_tenant, own } = full;
        if own {
            return QueryError::TooMany(format!(
                "too many queries of tenant {tenant:?}: {of_tenant} wait already; the limit is {} \
                 (--query.tenant-max-queued). Ask fewer at a time",
                self.options.tenants.of(tenant).waiting_max
            ));
        }
        QueryError::Storage(storage::Error::Unavailable(format!(
            "too many queries: {waiting} wait already, {of_tenant} of tenant {tenant:?}; the limit is {} \
             (--query.max-queued). Try again later",
            self.options.waiting_max
        )))
    }
}

impl Evaluate for Queue {
    fn place(&self, query: Query) -> BoxFuture<'static, Option<String>> {
        self.0.inner.place(query)
    }

    fn evaluate(&self, ctx: &Ctx, mut query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let (began, shared, mut ctx) = (Instant::now(), self.0.clone(), ctx.clone());
        let limits = shared.options.tenants.of(&ctx.tenant);
        query.limits = limits.query;
        let timeout_ms = limits.query.timeout_ms.unwrap_or(shared.options.timeout_ms);
        if timeout_ms > 0 {
            let own = began + Duration::from_millis(timeout_ms);
            ctx.deadline = Some(ctx.deadline.map_or(own, |given| given.min(own)));
        }
        if limits.bytes_max > 0 {
            ctx.budget = shared.budget(&ctx.tenant, limits.bytes_max);
        }
        Box::pin(async move {
            let _held = shared.wait(&ctx).await?;
            let waited = began.elapsed().as_secs_f64();
            let own = query.limits != QueryLimits::default();
            let evaluated = shared.inner.evaluate(&ctx, query).await;
            let mut result = evaluated.map_err(|e| if own { of_tenant(e, &ctx.tenant) } else { e })?;
            result.stats.queue_seconds += waited;
            Ok(result)
        })
    }
}

/// An error that says whose limit was met.
fn of_tenant(error: QueryError, tenant: &str) -> QueryError {
    match error {
        QueryError::Limit(text) => {
            QueryError::Limit(format!("{text}; the limits of tenant {tenant:?} are in --query.tenant-limits-file"))
        }
        other => other,
    }
}

impl Shared {
    /// Waits for a place, no longer than the query may take.
    async fn wait(&self, ctx: &Ctx) -> Result<Held, QueryError> {
        let deadline = async {
            match ctx.deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let mut held = Held { place: None, line: self.line.clone(), metrics: self.metrics.clone() };
        let entering = async {
            let mut entering = pin!(self.line.enter(&ctx.tenant));
            let first = futures::poll!(&mut entering);
            self.metrics.show(&self.line);
            match first {
                Poll::Ready(answer) => answer,
                Poll::Pending => entering.await,
            }
        };
        let place = tokio::select! {
            answer = entering => answer.map_err(|full| self.refused(full, &ctx.tenant))?,
            () = ctx.cancel.cancelled() => return Err(QueryError::Canceled("query queue".to_owned())),
            () = deadline => return Err(QueryError::Timeout("query queue".to_owned())),
        };
        held.place = Some(place);
        self.metrics.show(&self.line);
        Ok(held)
    }
}
