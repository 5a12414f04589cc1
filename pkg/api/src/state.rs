//! What the API is given: the evaluator, the data behind it, the settings.

use std::fmt;
use std::sync::Arc;

use labels::{Labels, Matcher};
use model::{Clock, Resolution};
use promql::{EngineOptions, Evaluate, QuerySource};
use storage::{Budget, Inspect, PartialResponse};
use telemetry::Metrics;
use telemetry::build::BuildInfo;

use crate::server::ServerParts;

/// Everything the handlers use. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// Evaluates the queries of `query` and `query_range`.
    pub evaluator: Arc<dyn Evaluate>,
    /// Makes the source that one request for series or labels reads from.
    pub source: Arc<dyn QuerySource>,
    /// Rules, targets, metadata, exemplars, cardinality statistics.
    pub inspect: Inspect,
    /// The endpoints of `/api/v1/stores`, as they stand now.
    pub stores: Arc<dyn Fn() -> StoresAnswer + Send + Sync>,
    /// Name (without dashes) and value of each flag, secrets already blotted out; order does not matter.
    pub flags: Arc<Vec<(String, String)>>,
    /// What `status/buildinfo` says of the program.
    pub build: BuildInfo,
    /// Limits, defaults and switches of the routes.
    pub options: Arc<ApiOptions>,
    /// Where the API's own metrics go.
    pub metrics: Metrics,
    /// The time of requests that name none.
    pub clock: Arc<dyn Clock>,
    /// The process' byte budget; requests hold theirs against it.
    pub budget: Arc<Budget>,
    /// What a scraping server has beyond a querier.
    pub server: Option<ServerParts>,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("source", &self.source).field("options", &self.options).finish_non_exhaustive()
    }
}

/// The endpoints that `/api/v1/stores` shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoresAnswer {
    /// One entry an endpoint whose component is known.
    pub stores: Vec<StoreStatus>,
}

/// An endpoint as `/api/v1/stores` shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoreStatus {
    /// `sidecar`, `store`, `rule`, `receive`, `query`; entries are grouped by it.
    pub component: String,
    /// The address, as it was configured or resolved.
    pub name: String,
    /// When it last answered or failed, ns since the epoch; `None` = not yet asked.
    pub last_check_ns: Option<i64>,
    /// Why it is not in use; `None` = healthy.
    pub last_error: Option<String>,
    /// External labels of its data.
    pub label_sets: Vec<Labels>,
    /// Earliest time of its data, ms.
    pub min_time: i64,
    /// Latest time of its data, ms.
    pub max_time: i64,
}

/// Settings of the API. Every limit is here; 0 switches a limit off.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// The evaluator's settings. By them routes check syntax, steps and lookback before a query is evaluated.
    pub engine: EngineOptions,
    /// What happens on partial failure when a query says nothing (`--query.partial-response`).
    pub partial_response: PartialResponse,
    /// The same for rules and alerts (`--rule.partial-response`).
    pub rules_partial_response: PartialResponse,
    /// The same for targets (`--target.partial-response`).
    pub targets_partial_response: PartialResponse,
    /// The same for metadata (`--metric-metadata.partial-response`).
    pub metadata_partial_response: PartialResponse,
    /// The same for exemplars (`--exemplar.partial-response`).
    pub exemplars_partial_response: PartialResponse,
    /// The same for cardinality statistics (`--status.partial-response`).
    pub status_partial_response: PartialResponse,
    /// Resolution by step when a query says nothing (`--query.auto-downsampling`).
    pub auto_downsampling: bool,
    /// What `auto` means for instant queries, ms (`--query.instant.default.max_source_resolution`).
    pub instant_max_resolution_ms: i64,
    /// Look back at least as far as the resolution that is asked for (`--query.dynamic-lookback-delta`).
    pub dynamic_lookback: bool,
    /// The least step of range queries that name none, ms (`--query.default-step`).
    pub default_step_ms: i64,
    /// How far back label requests look that name no start, ms; 0 = all of time (`--query.metadata.default-time-range`).
    pub default_metadata_range_ms: i64,
    /// Request header with the tenant (`--query.tenant-header`); `THANOS-TENANT` and `X-Scope-OrgID` are read as well.
    pub tenant_header: String,
    /// The tenant of requests that name none (`--query.default-tenant-id`).
    pub default_tenant: String,
    /// The label that tenants are told apart by (`--query.tenant-label-name`).
    pub tenant_label: String,
    /// Add the tenant's matcher to every selector (`--query.enforce-tenancy`).
    pub enforce_tenancy: bool,
    /// Send no `Access-Control-Allow-*` headers (`--web.disable-cors`).
    pub disable_cors: bool,
    /// Pages of which origins may read answers (`--web.cors.origin`); `None` = all.
    pub origins: Option<Matcher>,
    /// The most bytes a request holds in memory outside the engine's own limit.
    pub request_bytes_max: u64,
    /// The largest form body, bytes.
    pub body_bytes_max: usize,
    /// The most parameters of one request, each value of a repeated one counted (`--query.max-parameters`).
    pub parameters_max: usize,
    /// How many queries that have ended are kept for `status/queries`; 0 keeps none (`--query.recent-queries`).
    pub recent_queries_max: usize,
    /// Warnings (and infos) shown in one answer; more are counted.
    pub annotations_max: usize,
    /// The version that `status/buildinfo` gives as `version`, for clients that choose by Prometheus' versions.
    pub prometheus_version: String,
    /// When the process began, ms since the epoch; `status/runtimeinfo`.
    pub start_time_ms: i64,
    /// What `status/config` says in its 404; names the component.
    pub component: String,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            engine: EngineOptions::default(),
            partial_response: PartialResponse::Warn,
            rules_partial_response: PartialResponse::Warn,
            targets_partial_response: PartialResponse::Warn,
            metadata_partial_response: PartialResponse::Warn,
            exemplars_partial_response: PartialResponse::Warn,
            status_partial_response: PartialResponse::Warn,
            auto_downsampling: false,
            instant_max_resolution_ms: Resolution::COARSEST.ms(),
            dynamic_lookback: true,
            default_step_ms: 1000,
            default_metadata_range_ms: 0,
            tenant_header: "THANOS-TENANT".to_owned(),
            default_tenant: "default-tenant".to_owned(),
            tenant_label: "tenant_id".to_owned(),
            enforce_tenancy: false,
            disable_cors: false,
            origins: None,
            request_bytes_max: 0,
            body_bytes_max: 10 << 20,
            parameters_max: 1000,
            recent_queries_max: 1000,
            annotations_max: 10,
            prometheus_version: "3.14.0".to_owned(),
            start_time_ms: 0,
            component: "query".to_owned(),
        }
    }
}
