//! The front door: queries come in as text, answers go out as columns.

use std::sync::Arc;

use promql_syntax::Expr;
use storage::{Ctx, SeriesSource};

use crate::{EngineOptions, QueryError, QueryOptions, QueryResult};

/// Evaluates PromQL. Cheap to clone; clones share the gate that limits concurrent queries.
#[derive(Debug, Clone)]
pub struct Engine {
    options: Arc<EngineOptions>,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(options: EngineOptions) -> Self {
        Self { options: Arc::new(options) }
    }

    /// The settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
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
        _ctx: &Ctx,
        _source: Arc<dyn SeriesSource>,
        _text: &str,
        _expr: &Expr,
        _time_ms: i64,
        _options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        Err(QueryError::Execution("not evaluated yet".to_owned()))
    }

    /// [`Engine::range`] of a parsed query.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn range_expr(
        &self,
        _ctx: &Ctx,
        _source: Arc<dyn SeriesSource>,
        _text: &str,
        _expr: &Expr,
        _start_ms: i64,
        _end_ms: i64,
        _step_ms: i64,
        _options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        Err(QueryError::Execution("not evaluated yet".to_owned()))
    }
}
