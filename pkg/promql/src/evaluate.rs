//! The seam behind which queries are evaluated, here or elsewhere: HTTP handlers, gRPC servers and rules know no engine.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use futures::future::BoxFuture;
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
}

/// Evaluates with an [`Engine`] of this process.
#[derive(Debug, Clone)]
pub struct LocalEvaluator {
    engine: Engine,
    source: Arc<dyn QuerySource>,
}

impl LocalEvaluator {
    /// An evaluator that reads each query's data from what `source` makes for the query.
    pub fn new(engine: Engine, source: Arc<dyn QuerySource>) -> Self {
        Self { engine, source }
    }
}

impl Evaluate for LocalEvaluator {
    fn evaluate(&self, ctx: &Ctx, mut query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        if query.read.lookback_ms <= 0 {
            query.read.lookback_ms = self.engine.options().lookback_ms;
        }
        let source = match self.source.for_request(&query.read) {
            Ok(source) => source,
            Err(e) => return Box::pin(ready(Err(e.into()))),
        };
        let (engine, ctx) = (self.engine.clone(), ctx.clone());
        Box::pin(async move { engine.evaluate(&ctx, source, query).await })
    }
}
