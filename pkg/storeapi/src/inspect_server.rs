//! The Rules, Targets, Metadata, Exemplars and Status servers over an [`Inspect`].

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{self, Stream};
use labels::Matcher;
use model::TimeRange;
use proto::thanos as wire;
use proto::thanos::exemplars_server::{Exemplars, ExemplarsServer};
use proto::thanos::metadata_server::{Metadata, MetadataServer};
use proto::thanos::rules_server::{Rules, RulesServer};
use proto::thanos::status_server::{Status as StatusApi, StatusServer};
use proto::thanos::targets_server::{Targets, TargetsServer};
use storage::{Budget, ExemplarsQuery, Inspect, MetadataQuery, RulesQuery, StatisticsQuery, TargetsQuery};
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::convert::{matchers_from_wire, strategy_from_wire};
use crate::inspect_convert as convert;
use crate::server::context;
use crate::status::status_from_error;

/// Turns a PromQL text into its selectors; the parser is not known here.
pub type Selectors = Arc<dyn Fn(&str) -> Result<Vec<Vec<Matcher>>, String> + Send + Sync>;

/// What the servers need.
#[derive(Clone)]
pub struct InspectApis {
    /// Who answers; each that is there is offered as a service.
    pub source: Inspect,
    /// For exemplar queries and rule matchers.
    pub selectors: Selectors,
}

/// Adds the services that `apis.source` has somebody for.
pub fn inspect_routes(routes: &mut RoutesBuilder, apis: &InspectApis) {
    let api = || Api(apis.clone());
    if apis.source.rules.is_some() {
        routes.add_service(RulesServer::new(api()));
    }
    if apis.source.targets.is_some() {
        routes.add_service(TargetsServer::new(api()));
    }
    if apis.source.metadata.is_some() {
        routes.add_service(MetadataServer::new(api()));
    }
    if apis.source.exemplars.is_some() {
        routes.add_service(ExemplarsServer::new(api()));
    }
    if apis.source.statistics.is_some() {
        routes.add_service(StatusServer::new(api()));
    }
}

struct Api(InspectApis);

type Frames<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn frames<T: Send + 'static>(list: Vec<T>) -> Response<Frames<T>> {
    Response::new(Box::pin(stream::iter(list.into_iter().map(Ok))))
}

impl Api {
    fn selectors(&self, query: &str) -> Result<Vec<Vec<Matcher>>, Status> {
        (self.0.selectors)(query).map_err(Status::invalid_argument)
    }
}

#[tonic::async_trait]
impl Rules for Api {
    type RulesStream = Frames<wire::RulesResponse>;

    async fn rules(&self, request: Request<wire::RulesRequest>) -> Result<Response<Self::RulesStream>, Status> {
        use wire::rules_response::Result as Item;
        let ctx = context(request.metadata(), Budget::unlimited());
        let r = request.into_inner();
        let mut matchers = Vec::new();
        for text in &r.matcher_string {
            matchers.extend(self.selectors(text)?);
        }
        let want = RulesQuery {
            kind: convert::kind_from_wire(r.r#type),
            matchers,
            matcher_texts: r.matcher_string,
            names: r.rule_name,
            groups: r.rule_group,
            files: r.file,
            partial_response: strategy_from_wire(false, r.partial_response_strategy),
        };
        let answer = self.0.source.rules(&ctx, want).await.map_err(status_from_error)?;
        let groups = answer.value.into_iter().map(|g| Item::Group(convert::group_to_wire(g)));
        let items = groups.chain(answer.warnings.into_iter().map(Item::Warning));
        Ok(frames(items.map(|result| wire::RulesResponse { result: Some(result) }).collect()))
    }
}

#[tonic::async_trait]
impl Targets for Api {
    type TargetsStream = Frames<wire::TargetsResponse>;

    async fn targets(&self, request: Request<wire::TargetsRequest>) -> Result<Response<Self::TargetsStream>, Status> {
        use wire::targets_response::Result as Item;
        let ctx = context(request.metadata(), Budget::unlimited());
        let r = request.into_inner();
        let want = TargetsQuery {
            state: convert::target_state_from_wire(r.state),
            partial_response: strategy_from_wire(false, r.partial_response_strategy),
        };
        let answer = self.0.source.targets(&ctx, want).await.map_err(status_from_error)?;
        let targets = std::iter::once(Item::Targets(convert::targets_to_wire(answer.value)));
        let items = targets.chain(answer.warnings.into_iter().map(Item::Warning));
        Ok(frames(items.map(|result| wire::TargetsResponse { result: Some(result) }).collect()))
    }
}

#[tonic::async_trait]
impl Metadata for Api {
    type MetricMetadataStream = Frames<wire::MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<wire::MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        use wire::metric_metadata_response::Result as Item;
        let ctx = context(request.metadata(), Budget::unlimited());
        let r = request.into_inner();
        let want = MetadataQuery {
            metric: r.metric,
            limit: usize::try_from(r.limit).unwrap_or(0),
            limit_per_metric: 0,
            partial_response: strategy_from_wire(false, r.partial_response_strategy),
        };
        let answer = self.0.source.metadata(&ctx, want).await.map_err(status_from_error)?;
        let metadata = std::iter::once(Item::Metadata(convert::metadata_to_wire(answer.value)));
        let items = metadata.chain(answer.warnings.into_iter().map(Item::Warning));
        Ok(frames(items.map(|result| wire::MetricMetadataResponse { result: Some(result) }).collect()))
    }
}

#[tonic::async_trait]
impl Exemplars for Api {
    type ExemplarsStream = Frames<wire::ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<wire::ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        use wire::exemplars_response::Result as Item;
        let ctx = context(request.metadata(), Budget::unlimited());
        let r = request.into_inner();
        let want = ExemplarsQuery {
            selectors: self.selectors(&r.query)?,
            query: r.query,
            range: TimeRange::new(r.start, r.end),
            partial_response: strategy_from_wire(false, r.partial_response_strategy),
        };
        let answer = self.0.source.exemplars(&ctx, want).await.map_err(status_from_error)?;
        let data = answer.value.into_iter().map(|s| Item::Data(convert::exemplars_to_wire(s)));
        let items = data.chain(answer.warnings.into_iter().map(Item::Warning));
        Ok(frames(items.map(|result| wire::ExemplarsResponse { result: Some(result) }).collect()))
    }
}

#[tonic::async_trait]
impl StatusApi for Api {
    type TSDBStatisticsStream = Frames<wire::TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<wire::TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        use wire::tsdb_statistics_response::Result as Item;
        let ctx = context(request.metadata(), Budget::unlimited());
        let r = request.into_inner();
        let want = StatisticsQuery {
            limit: usize::try_from(r.limit).unwrap_or(0),
            matchers: matchers_from_wire(&r.matchers).map_err(status_from_error)?,
            partial_response: strategy_from_wire(false, r.partial_response_strategy),
        };
        let answer = self.0.source.statistics(&ctx, want).await.map_err(status_from_error)?;
        let statistics = std::iter::once(Item::Statistics(convert::statistics_to_wire(answer.value)));
        let items = statistics.chain(answer.warnings.into_iter().map(Item::Warning));
        Ok(frames(items.map(|result| wire::TsdbStatisticsResponse { result: Some(result) }).collect()))
    }
}
