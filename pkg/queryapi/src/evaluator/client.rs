//! A process of aion that evaluates for others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dedup::Method;
use promql::{EngineOptions, Query, QueryError, QueryResult, Times};
use promql_syntax::{Expr, ValueType};
use proto::aion::evaluator_client::EvaluatorClient as WireClient;
use storage::Ctx;
use storeapi::{Patience, request};
use transport::grpc::{Channel, MESSAGE_BYTES_MAX};

use super::answer::Answer;
use super::ask::to_wire;
use crate::received::Kind;
use crate::status::from_status;

/// How often an endpoint at work says so within the time after which it is given up.
const PULSES: u32 = 3;

/// Asks an endpoint that serves `aion.Evaluator`.
#[derive(Debug, Clone)]
pub struct EvaluatorClient {
    name: Arc<str>,
    channel: Channel,
}

impl EvaluatorClient {
    /// An endpoint called `name` in errors and warnings (its address).
    pub fn new(name: &str, channel: Channel) -> Self {
        Self { name: name.into(), channel }
    }

    /// The answer to `query`, of which `expr` is the tree, by an engine with `options`; replicas are put together by `method`.
    /// `version` is this process' own. An endpoint that says nothing for `silence` is given up; zero = never.
    ///
    /// # Errors
    /// [`QueryError`]; [`QueryError::Storage`] where the endpoint cannot do it.
    pub async fn evaluate(
        &self,
        ctx: &Ctx,
        version: String,
        (query, expr): (&Query, &Expr),
        method: Method,
        options: &EngineOptions,
        silence: Duration,
    ) -> Result<QueryResult, QueryError> {
        let began = Instant::now();
        let kind = match (query.times, expr.value_type()) {
            (Times::Range(grid), _) => Kind::Matrix(grid),
            (Times::Instant(time_ms), ValueType::Scalar) => Kind::Scalar { time_ms },
            (Times::Instant(time_ms), _) => Kind::Vector { time_ms },
        };
        let mut client = WireClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let asked = request(ctx, to_wire(ctx, (&self.name, version, silence / PULSES), query, method, options));
        let failed = |status| from_status(&self.name, &status);
        let (mut patience, mut answer) = (Patience::new(ctx), Answer::new(&self.name, ctx, kind)?);
        let call = self.heard(silence, async { client.evaluate(asked).await.map_err(failed) });
        let mut messages = patience.wait(&self.name, call).await?.into_inner();
        loop {
            let next = self.heard(silence, async { messages.message().await.map_err(failed) });
            match patience.wait(&self.name, next).await? {
                Some(message) => answer.message(message)?,
                None => break,
            }
        }
        let mut result = answer.finish()?;
        result.stats.eval_seconds = began.elapsed().as_secs_f64();
        Ok(result)
    }

    /// What comes within `silence`.
    async fn heard<T>(
        &self,
        silence: Duration,
        next: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        if silence.is_zero() {
            return next.await;
        }
        let text = || format!("{}: said nothing for {silence:?} while it evaluates", self.name);
        let late = |_| Err(QueryError::Storage(storage::Error::Unavailable(text())));
        tokio::time::timeout(silence, next).await.unwrap_or_else(late)
    }
}
