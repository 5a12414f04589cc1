//! Questions of rules.

use std::sync::Arc;

use model::Severity;
use promql::{Evaluate, InstantSample, Query, QueryError, QueryResult, ReadOptions, Value};
use promql_syntax::Expr;
use storage::{Budget, Ctx, PartialResponse, Reservation};
use tokio_util::sync::CancellationToken;

/// Of the warnings of a query, so many are kept.
const WARNINGS_SHOWN: usize = 10;

/// Why a rule gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuleError {
    /// Its expression could not be evaluated.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Its expression gives no series.
    #[error("rule result is not a vector or scalar")]
    NoVector,
    /// Two of its series are the same.
    #[error("vector contains metrics with the same labelset after applying {0} labels")]
    Duplicate(&'static str),
    /// It gives more than it may.
    #[error("exceeded limit of {max} with {found} {what}")]
    Limit {
        max: usize,
        found: usize,
        /// `series` or `alerts`.
        what: &'static str,
    },
    /// Its result could not be written.
    #[error("{0}")]
    Write(String),
}

impl RuleError {
    /// Whether the evaluation was ended on purpose.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Query(QueryError::Canceled(_)))
    }
}

/// Who asks for one group.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub evaluator: Arc<dyn Evaluate>,
    pub budget: Arc<Budget>,
    pub cancel: CancellationToken,
    pub partial_response: PartialResponse,
}

/// A vector, and what goes with it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub samples: Vec<InstantSample>,
    /// What may be missing from it.
    pub warnings: Vec<String>,
    /// What the evaluation took.
    pub seconds: f64,
    /// The vector counts in the budget until this is dropped.
    _held: Option<Arc<Reservation>>,
}

impl Asker {
    pub fn ctx(&self) -> Ctx {
        Ctx { cancel: self.cancel.clone(), budget: self.budget.clone(), ..Ctx::background() }
    }

    /// The vector of an expression at a time; that of a scalar is one sample without labels.
    pub async fn vector(&self, text: &str, expr: Option<&Arc<Expr>>, time_ms: i64) -> Result<Asked, RuleError> {
        self.vector_within(text, expr, time_ms, 0).await
    }

    /// As [`Asker::vector`], looking back so far for samples; 0 = the default.
    pub async fn vector_within(
        &self,
        text: &str,
        expr: Option<&Arc<Expr>>,
        time_ms: i64,
        lookback_ms: i64,
    ) -> Result<Asked, RuleError> {
        let result = self.evaluator.evaluate(&self.ctx(), self.query(text, expr, time_ms, lookback_ms)).await;
        asked(result)
    }

    /// The vectors of several expressions that are likely to be cheap, in their order.
    pub async fn vectors<'q>(
        &self,
        queries: impl Iterator<Item = (&'q str, &'q Arc<Expr>)>,
        time_ms: i64,
    ) -> Vec<Result<Asked, RuleError>> {
        let queries = queries.map(|(text, expr)| self.query(text, Some(expr), time_ms, 0)).collect();
        let answers = self.evaluator.evaluate_all(&self.ctx(), queries).await;
        answers.into_iter().map(asked).collect()
    }

    fn query(&self, text: &str, expr: Option<&Arc<Expr>>, time_ms: i64, lookback_ms: i64) -> Query {
        let read = ReadOptions { partial_response: self.partial_response, lookback_ms, ..ReadOptions::default() };
        Query { expr: expr.cloned(), ..Query::instant(text, time_ms).reading(read) }
    }
}

fn asked(result: Result<QueryResult, QueryError>) -> Result<Asked, RuleError> {
    let result = result?;
    let seconds = result.stats.prepare_seconds + result.stats.eval_seconds;
    let samples = match result.value {
        Value::Vector { samples, .. } => samples,
        Value::Scalar { value, .. } => {
            vec![InstantSample { labels: labels::Labels::empty(), value, histogram: None }]
        }
        Value::String { .. } | Value::Matrix(_) => return Err(RuleError::NoVector),
    };
    let warnings = result.annotations.texts(Severity::Warning, WARNINGS_SHOWN);
    Ok(Asked { samples, warnings, seconds, _held: result.held })
}
