//! The service over the series of a component.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt};
use promql::{Engine, QueryError, QuerySource};
use proto::aion as wire;
use proto::aion::evaluator_server::{Evaluator, EvaluatorServer as WireServer};
use storage::{Answer, Budget, Ctx, LabelQuery, Select, SeriesSource, SeriesStream, SourceInfo, noted};
use storeapi::{StoreLimits, context};
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use super::answer::messages;
use super::ask::{Asked, from_wire};
use crate::reading::Reading;
use crate::status::to_status;

/// What the service needs beside the series.
#[derive(Clone)]
pub struct EvaluatorOptions {
    /// See [`super::version`].
    pub version: String,
    /// The kind of source that this is: `store`.
    pub kind: &'static str,
    /// Limits of what one selector reads.
    pub limits: StoreLimits,
    /// Makes the budget of one query.
    pub budget: Arc<dyn Fn() -> Arc<Budget> + Send + Sync>,
}

impl std::fmt::Debug for EvaluatorOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvaluatorOptions").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The service; add it to the routes of a gRPC server.
#[derive(Debug)]
pub struct EvaluatorServer {
    source: Arc<dyn SeriesSource>,
    engine: Engine,
    options: EvaluatorOptions,
}

impl EvaluatorServer {
    /// Evaluates over `source`. Of the settings of `engine`, those that an answer depends on and the limits of a query are the
    /// asker's.
    pub fn new(source: Arc<dyn SeriesSource>, engine: Engine, options: EvaluatorOptions) -> Self {
        Self { source, engine, options }
    }

    /// Adds the service to `routes`.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes.add_service(WireServer::new(self));
    }
}

/// What says nothing of the query itself is no answer to it: limits of this process, data that cannot be read. The asker may
/// still get one from the series.
fn failed(error: QueryError) -> Status {
    match error {
        QueryError::Limit(text) if !text.contains("--query.") => Status::unavailable(text),
        QueryError::Storage(e) => Status::unavailable(e.to_string()),
        other => to_status(other),
    }
}

/// A source whose reading counts in a budget of this process: the asker's limit is on what the query holds of series, not on
/// what it takes to read them. It notes what is read, if the asker wants to know.
#[derive(Debug)]
struct Read {
    inner: Arc<dyn SeriesSource>,
    budget: Arc<Budget>,
    name: Arc<str>,
    kind: &'static str,
    /// Counts what was read.
    progress: Arc<AtomicU64>,
}

impl SeriesSource for Read {
    fn info(&self) -> SourceInfo {
        self.inner.info()
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        let kind = self.kind;
        let ctx = &Ctx { budget: self.budget.clone(), ..ctx.clone() };
        let progress = self.progress.clone();
        let stream = noted(ctx, &self.name, move |_| kind, |ctx| self.inner.select(ctx, want));
        stream.inspect(move |_| _ = progress.fetch_add(1, Ordering::Relaxed)).boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.inner.label_names(ctx, want)
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.inner.label_values(ctx, name, want)
    }
}

#[tonic::async_trait]
impl Evaluator for EvaluatorServer {
    type EvaluateStream = Pin<Box<dyn Stream<Item = Result<wire::EvaluateResponse, Status>> + Send>>;

    async fn evaluate(
        &self,
        request: Request<wire::EvaluateRequest>,
    ) -> Result<Response<Self::EvaluateStream>, Status> {
        let own = &self.options.version;
        if request.get_ref().version != *own {
            let asked = &request.get_ref().version;
            return Err(Status::failed_precondition(format!("this is version {own:?}, asked was {asked:?}")));
        }
        let (running, max) = (self.engine.in_flight(), self.engine.options().max_concurrent);
        if max > 0 && running >= max {
            // Who asks can do it too.
            return Err(Status::unavailable(format!(
                "{running} queries are evaluated already, the limit is {max} (--store.evaluate-max-concurrent)"
            )));
        }
        let mut ctx = context(request.metadata(), (self.options.budget)());
        let Asked { query, method, options, origin, timeout_ms, pulse_ms } =
            from_wire(request.into_inner(), self.engine.options())?;
        let timeout = (timeout_ms > 0).then(|| Instant::now().checked_add(Duration::from_millis(timeout_ms))).flatten();
        ctx.deadline = [ctx.deadline, timeout].into_iter().flatten().min();
        ctx.hints = (!origin.is_empty()).then(Arc::default);
        let progress = Arc::new(AtomicU64::new(0));
        let (inner, budget, kind) = (self.source.clone(), ctx.budget.clone(), self.options.kind);
        let source = Arc::new(Read { inner, budget, name: origin.into(), kind, progress: progress.clone() });
        let reading = Reading { source, replica_labels: Arc::from([]), method, limits: self.options.limits };
        let source = reading.for_request(&query.read).map_err(|e| failed(e.into()))?;
        let engine = self.engine.with_options(options);
        let evaluation = async move {
            // The work ends with this future, which is dropped when the asker goes away.
            let _guard = ctx.cancel.clone().drop_guard();
            let result = engine.evaluate(&ctx, source, query).await.map_err(failed)?;
            let origins = ctx.hints.map(|sink| sink.hints().origins).unwrap_or_default();
            let messages = messages(result, origins).map_err(failed)?;
            Ok(Box::new(messages) as Messages)
        };
        let pulse = Pulse { every: Duration::from_millis(pulse_ms), progress };
        let states = (State::Working(Box::pin(evaluation)), pulse);
        Ok(Response::new(Box::pin(stream::unfold(states, |(state, pulse)| state.next(pulse)))))
    }
}

type Message = wire::EvaluateResponse;
type Messages = Box<dyn Iterator<Item = Message> + Send>;

/// Tells that an evaluation goes on, as long as it does.
struct Pulse {
    /// Zero = never.
    every: Duration,
    progress: Arc<AtomicU64>,
}

impl Pulse {
    /// Waits until it is time to tell, and there is something to tell.
    async fn beat(&self) {
        if self.every.is_zero() {
            return std::future::pending().await;
        }
        let before = self.progress.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(self.every).await;
            if self.progress.load(Ordering::Relaxed) != before {
                return;
            }
        }
    }
}

/// How far an answer is.
enum State {
    Working(BoxFuture<'static, Result<Messages, Status>>),
    Sending(Messages),
    Failed,
}

impl State {
    /// The next message. While it works, an empty one at each beat says so.
    async fn next(self, pulse: Pulse) -> Option<(Result<Message, Status>, (Self, Pulse))> {
        let mut messages = match self {
            Self::Failed => return None,
            Self::Sending(messages) => messages,
            Self::Working(mut evaluation) => {
                let end = tokio::select! {
                    end = &mut evaluation => end,
                    () = pulse.beat() => return Some((Ok(Message::default()), (Self::Working(evaluation), pulse))),
                };
                match end {
                    Ok(messages) => messages,
                    Err(status) => return Some((Err(status), (Self::Failed, pulse))),
                }
            }
        };
        Some((Ok(messages.next()?), (Self::Sending(messages), pulse)))
    }
}
