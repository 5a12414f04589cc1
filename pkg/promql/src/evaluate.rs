//! The seam behind which queries are evaluated, here or elsewhere: HTTP handlers, gRPC servers and rules know no engine.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use storage::{Ctx, SeriesSource};

use crate::{Engine, Query, QueryError, QueryResult, QuerySource};

/// Answers queries. One call is one query; any number may run at one time.
///
/// [`crate::conformance`] holds implementations to this.
pub trait Evaluate: fmt::Debug + Send + Sync {
    /// The answer to `query`: value, annotations and statistics. It counts in the budget of `ctx` until it is dropped.
    ///
    /// Deadline, cancellation and tenant are those of `ctx`. Dropping the future ends the work, wherever it is done.
    ///
    /// # Errors
    /// See [`QueryError`].
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>>;

    /// The answers to queries that are likely to be cheap, in their order: one after the other, in one place in line and on one
    /// thread, which costs less than a place and a thread for each. One that fails costs no other its answer.
    ///
    /// Deadlines are those of [`Self::evaluate`], counted for each query from its own begin.
    fn evaluate_all(&self, ctx: &Ctx, queries: Vec<Query>) -> BoxFuture<'static, Answers> {
        let all: Vec<_> = queries.into_iter().map(|query| self.evaluate(ctx, query)).collect();
        Box::pin(async move {
            let mut answers = Vec::with_capacity(all.len());
            for answer in all {
                answers.push(answer.await);
            }
            answers
        })
    }

    /// Where `query` would be evaluated and why, for people; `None` where there is one place only. Reads no data.
    fn place(&self, _query: Query) -> BoxFuture<'static, Option<String>> {
        Box::pin(ready(None))
    }
}

/// The answers to several queries, in their order.
pub type Answers = Vec<Result<QueryResult, QueryError>>;

/// Evaluates with an [`Engine`] of this process. Clones share it.
#[derive(Debug, Clone)]
pub struct LocalEvaluator {
    engine: Arc<RwLock<Engine>>,
    source: Arc<dyn QuerySource>,
}

impl LocalEvaluator {
    /// An evaluator that reads each query's data from what `source` makes for the query.
    pub fn new(engine: Engine, source: Arc<dyn QuerySource>) -> Self {
        Self { engine: Arc::new(RwLock::new(engine)), source }
    }

    /// Queries that begin from now on give subqueries without a step this one, ms.
    pub fn set_subquery_step(&self, step_ms: i64) {
        let mut engine = self.engine.write();
        *engine = engine.with_subquery_step(step_ms);
    }
}

impl LocalEvaluator {
    /// The query with its lookback, and what it reads.
    fn prepare(&self, engine: &Engine, mut query: Query) -> storage::Result<(Arc<dyn SeriesSource>, Query)> {
        if query.read.lookback_ms <= 0 {
            query.read.lookback_ms = engine.options().lookback_ms;
        }
        Ok((self.source.for_request(&query.read)?, query))
    }
}

impl Evaluate for LocalEvaluator {
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let engine = self.engine.read().clone();
        let (source, query) = match self.prepare(&engine, query) {
            Ok(prepared) => prepared,
            Err(e) => return Box::pin(ready(Err(e.into()))),
        };
        let ctx = ctx.clone();
        Box::pin(async move { engine.evaluate(&ctx, source, query).await })
    }

    fn evaluate_all(&self, ctx: &Ctx, queries: Vec<Query>) -> BoxFuture<'static, Answers> {
        let engine = self.engine.read().clone();
        let count = queries.len();
        let prepared = queries.into_iter().map(|query| self.prepare(&engine, query)).collect();
        let prepared: Vec<_> = match prepared {
            Ok(prepared) => prepared,
            Err(e) => return Box::pin(ready(vec![Err(QueryError::from(e)); count])),
        };
        let ctx = ctx.clone();
        Box::pin(async move { engine.evaluate_all(&ctx, prepared).await })
    }
}
