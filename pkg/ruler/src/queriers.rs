//! All queriers as one evaluator: they are asked in a random order until one answers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use assembly::Random;
use futures::future::BoxFuture;
use model::Severity;
use promql::{Evaluate, Query, QueryError, QueryResult, Value};
use storage::{Ctx, PartialResponse};
use transport::http::HttpClient;

use crate::addresses::AddressBook;
use crate::grpc_query::GrpcQueriers;
use crate::http_query::{Asking, HttpQuerier};
use crate::metrics::RulerMetrics;

/// Warnings that are looked at.
const WARNINGS_MAX: usize = 10;

/// One set of queriers that are spoken to over HTTP.
#[derive(Debug, Clone)]
pub struct HttpSet {
    pub client: HttpClient,
    pub scheme: String,
    pub path_prefix: String,
}

/// Where the state of alerts comes from after a restart.
#[derive(Debug, Clone)]
pub enum Restore {
    /// Out of the ruler's own series.
    Own(Arc<dyn Evaluate>),
    /// Of the queriers, whose series have more labels: these are taken off.
    Queriers { ignored_labels: Vec<String> },
}

/// All queriers.
pub struct Queriers {
    /// In the order of `book`'s sets; the last set are gRPC addresses.
    pub http: Vec<HttpSet>,
    pub book: Arc<AddressBook>,
    pub grpc: GrpcQueriers,
    pub asking: Asking,
    pub restore: Restore,
    pub random: Random,
    pub metrics: Arc<RulerMetrics>,
}

impl fmt::Debug for Queriers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queriers").field("http", &self.http).field("book", &self.book).finish_non_exhaustive()
    }
}

/// One querier to be asked.
#[derive(Debug)]
enum Peer {
    Http(HttpQuerier),
    Grpc(String),
}

impl Peer {
    fn name(&self) -> &str {
        match self {
            Self::Http(querier) => querier.name(),
            Self::Grpc(address) => address,
        }
    }
}

/// An evaluator that is cheap to clone.
#[derive(Debug, Clone)]
pub struct Evaluator(pub Arc<Queriers>);

impl Evaluate for Evaluator {
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let (this, ctx) = (self.0.clone(), ctx.clone());
        Box::pin(async move { this.ask(&ctx, query).await })
    }
}

impl Queriers {
    async fn ask(&self, ctx: &Ctx, query: Query) -> Result<QueryResult, QueryError> {
        let is_restore = is_restore(&query.text);
        if let (true, Restore::Own(own)) = (is_restore, &self.restore) {
            return own.evaluate(ctx, query).await;
        }
        let mut last = None;
        for peer in self.peers() {
            let answered = match &peer {
                Peer::Http(querier) => querier.ask(ctx, &query).await,
                Peer::Grpc(address) => self.grpc.ask(address, ctx, &query).await,
            };
            match answered {
                Ok(result) => return Ok(self.taken(result, &query, is_restore)),
                Err(error @ QueryError::Canceled(_)) => return Err(error),
                // Every querier would say the same.
                Err(error @ (QueryError::Parse(_) | QueryError::Bad(_))) => return Err(error),
                Err(error) => {
                    self.metrics.query_failures.inc();
                    tracing::warn!(querier = peer.name(), query = query.text, %error, "a querier gave no answer");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| QueryError::Execution("no query API server reachable: none is known".to_owned())))
    }

    /// The answer, with what has to be counted of it.
    fn taken(&self, mut result: QueryResult, query: &Query, is_restore: bool) -> QueryResult {
        let warnings = result.annotations.texts(Severity::Warning, WARNINGS_MAX);
        if warnings.iter().any(|text| !text.starts_with("PromQL")) {
            let strategy = if query.read.partial_response == PartialResponse::Warn { "warn" } else { "abort" };
            self.metrics.with_warnings.with(&[strategy]).inc();
            tracing::warn!(query = query.text, warnings = warnings.join(", "), "an answer may be incomplete");
        }
        if let (true, Restore::Queriers { ignored_labels }, Value::Vector { samples, .. }) =
            (is_restore, &self.restore, &mut result.value)
            && !ignored_labels.is_empty()
        {
            let ignored: Vec<&str> = ignored_labels.iter().map(String::as_str).collect();
            for sample in samples {
                sample.labels = sample.labels.without(&ignored);
            }
        }
        result
    }

    /// All that are known now, those over HTTP first, in a random order.
    fn peers(&self) -> Vec<Peer> {
        let known = self.book.known();
        let mut seen = BTreeSet::new();
        let mut http = Vec::new();
        for (set, addresses) in self.http.iter().zip(&known) {
            for address in addresses {
                let base = format!("{}://{address}{}", set.scheme, set.path_prefix);
                if !seen.insert(base.clone()) {
                    self.metrics.duplicated_addresses.inc();
                    continue;
                }
                http.push(Peer::Http(HttpQuerier::new(&base, set.client.clone(), self.asking)));
            }
        }
        let grpc = known.last().filter(|_| known.len() > self.http.len()).cloned().unwrap_or_default();
        self.grpc.retain(&grpc);
        let mut grpc: Vec<Peer> = grpc.into_iter().map(Peer::Grpc).collect();
        self.shuffle(&mut http);
        self.shuffle(&mut grpc);
        http.extend(grpc);
        http
    }

    fn shuffle<T>(&self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, ((self.random)() % (last as u128 + 1)) as usize);
        }
    }
}

/// Whether a query is one of those that restore the state of alerts.
fn is_restore(text: &str) -> bool {
    text.starts_with("ALERTS_FOR_STATE{") || text.starts_with("timestamp(ALERTS_FOR_STATE{")
}
