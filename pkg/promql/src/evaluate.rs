//! The seam behind which queries are evaluated, here or elsewhere: HTTP handlers, gRPC servers and rules know no engine.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use storage::Ctx;

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

    /// Where `query` would be evaluated and why, for people; `None` where there is one place only. Reads no data.
    fn place(&self, _query: Query) -> BoxFuture<'static, Option<String>> {
        Box::pin(ready(None))
    }
}

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

impl Evaluate for LocalEvaluator {
    fn evaluate(&self, ctx: &Ctx, mut query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let engine = self.engine.read().clone();
        if query.read.lookback_ms <= 0 {
            query.read.lookback_ms = engine.options().lookback_ms;
        }
        let source = match self.source.for_request(&query.read) {
            Ok(source) => source,
            Err(e) => return Box::pin(ready(Err(e.into()))),
        };
        let ctx = ctx.clone();
        Box::pin(async move { engine.evaluate(&ctx, source, query).await })
    }
}
