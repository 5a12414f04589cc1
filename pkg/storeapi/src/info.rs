//! The Info service: who an endpoint is, which APIs it serves, which data it has.

use std::str::FromStr;
use std::sync::Arc;

use labels::Labels;
use model::TimeRange;
use proto::thanos::info as wire;
use proto::thanos::info::info_client::InfoClient;
use proto::thanos::info::info_server::{Info, InfoServer as WireServer};
use storage::{Ctx, Inspect, Result, SourceInfo};
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};
use transport::grpc::Channel;

use crate::client::request;
use crate::convert::{label_set, label_set_from_wire};
use crate::status::error_from_status;

/// What kind of component answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ComponentType {
    Query,
    Receive,
    Rule,
    Sidecar,
    Store,
    Unknown,
}

impl ComponentType {
    /// As on the wire and in `/api/v1/stores`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Receive => "receive",
            Self::Rule => "rule",
            Self::Sidecar => "sidecar",
            Self::Store => "store",
            Self::Unknown => "unknown component type",
        }
    }
}

impl FromStr for ComponentType {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let all = [Self::Query, Self::Receive, Self::Rule, Self::Sidecar, Self::Store];
        Ok(all.into_iter().find(|t| t.as_str() == text).unwrap_or(Self::Unknown))
    }
}

/// What an endpoint has of one label set.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreSet {
    /// The external labels of the data.
    pub labels: Labels,
    /// Times of its data, inclusive.
    pub range: TimeRange,
}

/// Which APIs an endpoint serves beside the Store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Served {
    pub store: bool,
    pub rules: bool,
    pub targets: bool,
    pub metadata: bool,
    pub exemplars: bool,
    pub query: bool,
    pub status: bool,
    /// `aion.Evaluator`.
    pub evaluator: bool,
}

impl Served {
    /// What of `inspect` is there; neither Store nor Query.
    pub fn of(inspect: &Inspect) -> Self {
        Self {
            rules: inspect.rules.is_some(),
            targets: inspect.targets.is_some(),
            metadata: inspect.metadata.is_some(),
            exemplars: inspect.exemplars.is_some(),
            status: inspect.statistics.is_some(),
            ..Self::default()
        }
    }

    /// Full names of the gRPC services, Info among them, for server reflection.
    pub fn service_names(self) -> Vec<&'static str> {
        let named = [
            (true, "thanos.info.Info"),
            (self.store, "thanos.Store"),
            (self.rules, "thanos.Rules"),
            (self.targets, "thanos.Targets"),
            (self.metadata, "thanos.Metadata"),
            (self.exemplars, "thanos.Exemplars"),
            (self.query, "thanos.Query"),
            (self.status, "thanos.Status"),
            (self.evaluator, "aion.Evaluator"),
        ];
        named.into_iter().filter_map(|(served, name)| served.then_some(name)).collect()
    }
}

/// What an endpoint tells about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointInfo {
    /// The kind of component it is.
    pub component: ComponentType,
    /// The gRPC services that it serves.
    pub served: Served,
    /// Its series, as the fan-out needs to know them.
    pub source: SourceInfo,
    /// Per label set; may be empty where `source` is not.
    pub sets: Vec<StoreSet>,
    /// The version of those that it evaluates for; empty = it evaluates for nobody.
    pub evaluator: String,
}

/// Answers Info from a closure that is asked each time; `None` = not ready yet.
#[derive(Clone)]
pub struct InfoServer(Arc<dyn Fn() -> Option<EndpointInfo> + Send + Sync>);

impl InfoServer {
    /// Asks `info` at each call.
    pub fn new(info: impl Fn() -> Option<EndpointInfo> + Send + Sync + 'static) -> Self {
        Self(Arc::new(info))
    }

    /// Adds the service to `routes`.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes.add_service(WireServer::new(self));
    }
}

#[tonic::async_trait]
impl Info for InfoServer {
    async fn info(&self, _: Request<wire::InfoRequest>) -> std::result::Result<Response<wire::InfoResponse>, Status> {
        let info = (self.0)().ok_or_else(|| Status::unavailable("not ready yet"))?;
        let range = info.source.range;
        let Served { store, rules, targets, metadata, exemplars, query, status, evaluator } = info.served;
        let sets = |s: &StoreSet| wire::TsdbInfo {
            labels: Some(label_set(&s.labels)),
            min_time: s.range.min,
            max_time: s.range.max,
        };
        Ok(Response::new(wire::InfoResponse {
            label_sets: info.source.label_sets.iter().map(label_set).collect(),
            component_type: info.component.as_str().to_owned(),
            store: store.then(|| wire::StoreInfo {
                min_time: range.min,
                max_time: range.max,
                supports_sharding: info.source.supports_sharding,
                supports_without_replica_labels: info.source.supports_without_replica_labels,
                tsdb_infos: info.sets.iter().map(sets).collect(),
                supports_projections: false,
            }),
            rules: rules.then_some(wire::RulesInfo {}),
            metric_metadata: metadata.then_some(wire::MetricMetadataInfo {}),
            targets: targets.then_some(wire::TargetsInfo {}),
            exemplars: exemplars.then_some(wire::ExemplarsInfo { min_time: range.min, max_time: range.max }),
            query: query.then_some(wire::QueryApiInfo {}),
            status: status.then_some(wire::StatusInfo {}),
            evaluator: evaluator.then(|| wire::EvaluatorInfo { version: info.evaluator.clone() }),
        }))
    }
}

/// Asks the endpoint behind `channel` who it is.
///
/// # Errors
/// When it cannot be reached or refuses; names `endpoint`.
pub async fn fetch_info(ctx: &Ctx, endpoint: &str, channel: Channel) -> Result<EndpointInfo> {
    let answer = InfoClient::new(channel)
        .info(request(ctx, wire::InfoRequest {}))
        .await
        .map_err(|s| error_from_status(endpoint, &s))?
        .into_inner();
    let served = Served {
        store: answer.store.is_some(),
        rules: answer.rules.is_some(),
        targets: answer.targets.is_some(),
        metadata: answer.metric_metadata.is_some(),
        exemplars: answer.exemplars.is_some(),
        query: answer.query.is_some(),
        status: answer.status.is_some(),
        evaluator: answer.evaluator.is_some(),
    };
    let store = answer.store.unwrap_or_default();
    let label_sets: Vec<Labels> =
        answer.label_sets.iter().map(|s| label_set_from_wire(Some(s))).filter(|l| !l.is_empty()).collect();
    Ok(EndpointInfo {
        component: answer.component_type.parse().unwrap_or(ComponentType::Unknown),
        served,
        source: SourceInfo {
            label_sets,
            range: TimeRange::new(store.min_time, store.max_time),
            supports_sharding: store.supports_sharding,
            supports_without_replica_labels: store.supports_without_replica_labels,
        },
        sets: store
            .tsdb_infos
            .iter()
            .map(|t| StoreSet {
                labels: label_set_from_wire(t.labels.as_ref()),
                range: TimeRange::new(t.min_time, t.max_time),
            })
            .collect(),
        evaluator: answer.evaluator.map(|e| e.version).unwrap_or_default(),
    })
}
