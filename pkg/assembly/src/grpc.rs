//! The gRPC part of a component's settings, and its services.

use std::sync::Arc;

use axum::Router;
use flags::{Flag, Parsed};
use labels::Matcher;
use storage::{Budget, Inspect, SeriesSource};
use storeapi::{
    EndpointInfo, InfoServer, InspectApis, Served, ServerOptions, StoreLimits, inspect_routes, store_routes,
};
use telemetry::Metrics;
use tonic::service::{Routes, RoutesBuilder};
use transport::grpc::{ServerMetrics, ServerStack};
use transport::http::Probe;
use transport::{RequestLog, ServeOptions};

use crate::error::Error;

/// The gRPC listener: where it is bound and how it serves.
#[derive(Debug, Clone)]
pub struct GrpcConfig {
    /// Where it is bound: `--grpc-address`, see [`transport::bind`].
    pub address: String,
    /// Limits, TLS and grace period of the listener.
    pub serve: ServeOptions,
}

impl GrpcConfig {
    /// From a command line whose flags include [`transport::flags::GRPC_SERVER`].
    ///
    /// # Errors
    /// TLS files or names that cannot be used.
    pub fn from_flags(parsed: &Parsed) -> Result<Self, Error> {
        let serve = transport::flags::grpc_server(parsed)?;
        Ok(Self { address: parsed.text("grpc-address").to_owned(), serve })
    }
}

/// The flags that [`store_limits`] reads, with Thanos' names.
pub const STORE_LIMITS: &[Flag] = &[
    Flag::count(
        "store.limits.request-series",
        "0",
        "The maximum series allowed for a single Series request. The Series call fails if this limit is exceeded. 0 means no limit.",
    ),
    Flag::count(
        "store.limits.request-samples",
        "0",
        "The maximum samples allowed for a single Series request, the Series call fails if this limit is exceeded. 0 means no limit. NOTE: For efficiency the limit is internally implemented as 'chunks limit' considering each chunk contains a maximum of 120 samples.",
    ),
];

/// How many series and samples one Series call may send, 0 = any number: `--store.limits.request-series` and
/// `--store.limits.request-samples`.
pub fn store_limits(parsed: &Parsed) -> StoreLimits {
    StoreLimits {
        series: parsed.count("store.limits.request-series"),
        samples: parsed.count("store.limits.request-samples"),
    }
}

/// The flags of what StoreAPI requests may hold, of components that serve data of their own.
pub const STORE_REQUESTS: &[Flag] = &[
    Flag::size(
        "store.max-request-bytes",
        "1GiB",
        "Maximum bytes a single Series request can hold in memory. 0 means no limit.",
    )
    .hidden(),
    Flag::size(
        "store.max-request-bytes-total",
        "0",
        "Maximum bytes all Series requests together can hold in memory. 0 means no limit.",
    )
    .hidden(),
];

/// What StoreAPI requests may take of a component that serves data of its own.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// How much one request may send.
    pub limits: StoreLimits,
    /// Bytes that one request holds; 0 = no limit.
    pub request_bytes_max: u64,
    /// Bytes that all requests together hold; 0 = no limit.
    pub requests_bytes_max: u64,
}

impl StoreConfig {
    /// From a command line whose flags include [`STORE_LIMITS`] and [`STORE_REQUESTS`].
    pub fn from_flags(parsed: &Parsed) -> Self {
        Self {
            limits: store_limits(parsed),
            request_bytes_max: parsed.size_bytes("store.max-request-bytes"),
            requests_bytes_max: parsed.size_bytes("store.max-request-bytes-total"),
        }
    }

    /// The options of a Store service with these limits.
    pub fn options(&self, metrics: &Metrics) -> ServerOptions {
        let (all_max, one_max) = (self.requests_bytes_max, self.request_bytes_max);
        let all = Budget::new("all StoreAPI requests together", "--store.max-request-bytes-total", all_max, None);
        let budget = Arc::new(move || {
            Budget::new("this StoreAPI request", "--store.max-request-bytes", one_max, Some(all.clone()))
        });
        ServerOptions { limits: self.limits, budget, metrics: metrics.clone() }
    }
}

/// The gRPC services of a component: Info always, others as they are added. Health and reflection come by themselves.
#[derive(Debug)]
pub struct GrpcServices {
    routes: RoutesBuilder,
    served: Served,
}

impl GrpcServices {
    /// `info` is asked at each Info call and is to name the same `served`; `None` = not ready yet.
    pub fn new(served: Served, info: impl Fn() -> Option<EndpointInfo> + Send + Sync + 'static) -> Self {
        let mut routes = Routes::builder();
        InfoServer::new(info).add_to(&mut routes);
        Self { routes, served }
    }

    /// The Store service over `source`.
    #[must_use]
    pub fn store(mut self, source: Arc<dyn SeriesSource>, options: ServerOptions) -> Self {
        store_routes(&mut self.routes, source, options);
        self
    }

    /// Those of Rules, Targets, Metadata, Exemplars and Status that `source` has somebody for.
    #[must_use]
    pub fn inspect(mut self, source: Inspect) -> Self {
        let apis = InspectApis { source, selectors: Arc::new(selectors) };
        inspect_routes(&mut self.routes, &apis);
        self
    }

    /// A service of the component's own.
    #[must_use]
    pub fn with(mut self, add: impl FnOnce(&mut RoutesBuilder)) -> Self {
        add(&mut self.routes);
        self
    }

    /// All of them, with what every gRPC server has around its services.
    pub fn router(self, metrics: &Metrics, probe: Probe, log: RequestLog) -> Router {
        ServerStack::new(ServerMetrics::new(metrics), probe)
            .reflecting(storeapi::DESCRIPTORS, self.served.service_names())
            .logging(log)
            .router(self.routes.routes())
    }
}

/// The selectors of a PromQL expression.
fn selectors(query: &str) -> Result<Vec<Vec<Matcher>>, String> {
    let expr = promql_syntax::parse(query).map_err(|e| e.to_string())?;
    Ok(promql_syntax::selectors(&expr).into_iter().map(|s| s.matchers.to_vec()).collect())
}
