//! The Rules, Targets, Metadata, Exemplars and Status services of a remote endpoint, as sources of [`storage::Inspect`].

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use model::ExemplarSeries;
use proto::thanos as wire;
use proto::thanos::exemplars_client::ExemplarsClient;
use proto::thanos::metadata_client::MetadataClient;
use proto::thanos::rules_client::RulesClient;
use proto::thanos::status_client::StatusClient;
use proto::thanos::targets_client::TargetsClient;
use storage::{
    Answer, Ctx, ExemplarsQuery, ExemplarsSource, MetadataByMetric, MetadataQuery, MetadataSource, Result, RuleGroup,
    RulesQuery, RulesSource, StatisticsByTenant, StatisticsQuery, StatisticsSource, Targets, TargetsQuery,
    TargetsSource,
};
use tonic::Streaming;
use transport::grpc::{Channel, MESSAGE_BYTES_MAX};

use crate::client::request;
use crate::convert::{matchers_to_wire, strategy_to_wire};
use crate::inspect_convert as convert;
use crate::status::error_from_status;

/// A remote endpoint's side APIs.
#[derive(Debug, Clone)]
pub struct InspectClient {
    name: Arc<str>,
    channel: Channel,
}

impl InspectClient {
    /// An endpoint called `name` in warnings (its address).
    pub fn new(name: &str, channel: Channel) -> Self {
        Self { name: name.into(), channel }
    }
}

/// Reads all frames; `take` puts one into the answer.
async fn gather<F, T: Default>(
    name: &str,
    started: std::result::Result<tonic::Response<Streaming<F>>, tonic::Status>,
    mut take: impl FnMut(F, &mut Answer<T>),
) -> Result<Answer<T>> {
    let mut frames = started.map_err(|s| error_from_status(name, &s))?.into_inner();
    let mut answer = Answer::default();
    while let Some(frame) = frames.message().await.map_err(|s| error_from_status(name, &s))? {
        take(frame, &mut answer);
    }
    Ok(answer)
}

impl RulesSource for InspectClient {
    fn rules(&self, ctx: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>> {
        use wire::rules_response::Result as Item;
        let name = self.name.clone();
        let mut client = RulesClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let message = wire::RulesRequest {
            r#type: convert::kind_to_wire(want.kind),
            partial_response_strategy: strategy_to_wire(want.partial_response),
            matcher_string: want.matcher_texts,
            rule_name: want.names,
            rule_group: want.groups,
            file: want.files,
        };
        let request = request(ctx, message);
        Box::pin(async move {
            gather(&name, client.rules(request).await, |frame: wire::RulesResponse, answer: &mut Answer<Vec<_>>| {
                match frame.result {
                    Some(Item::Group(g)) => answer.value.push(convert::group_from_wire(g)),
                    Some(Item::Warning(text)) => answer.warnings.push(format!("{name}: {text}")),
                    None => {}
                }
            })
            .await
        })
    }
}

impl TargetsSource for InspectClient {
    fn targets(&self, ctx: &Ctx, want: TargetsQuery) -> BoxFuture<'static, Result<Answer<Targets>>> {
        use wire::targets_response::Result as Item;
        let name = self.name.clone();
        let mut client = TargetsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let message = wire::TargetsRequest {
            state: convert::target_state_to_wire(want.state),
            partial_response_strategy: strategy_to_wire(want.partial_response),
        };
        let request = request(ctx, message);
        Box::pin(async move {
            gather(
                &name,
                client.targets(request).await,
                |frame: wire::TargetsResponse, answer: &mut Answer<Targets>| match frame.result {
                    Some(Item::Targets(t)) => {
                        let targets = convert::targets_from_wire(t);
                        answer.value.active.extend(targets.active);
                        answer.value.dropped.extend(targets.dropped);
                    }
                    Some(Item::Warning(text)) => answer.warnings.push(format!("{name}: {text}")),
                    None => {}
                },
            )
            .await
        })
    }
}

impl MetadataSource for InspectClient {
    fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        use wire::metric_metadata_response::Result as Item;
        let name = self.name.clone();
        let mut client = MetadataClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let message = wire::MetricMetadataRequest {
            metric: want.metric,
            // Thanos reads a negative limit as "all", and 0 as none.
            limit: if want.limit == 0 { -1 } else { i32::try_from(want.limit).unwrap_or(i32::MAX) },
            partial_response_strategy: strategy_to_wire(want.partial_response),
        };
        let request = request(ctx, message);
        Box::pin(async move {
            let started = client.metric_metadata(request).await;
            gather(&name, started, |frame: wire::MetricMetadataResponse, answer: &mut Answer<BTreeMap<_, Vec<_>>>| {
                match frame.result {
                    Some(Item::Metadata(m)) => {
                        for (metric, metas) in convert::metadata_from_wire(m) {
                            answer.value.entry(metric).or_default().extend(metas);
                        }
                    }
                    Some(Item::Warning(text)) => answer.warnings.push(format!("{name}: {text}")),
                    None => {}
                }
            })
            .await
        })
    }
}

impl ExemplarsSource for InspectClient {
    fn exemplars(&self, ctx: &Ctx, want: ExemplarsQuery) -> BoxFuture<'static, Result<Answer<Vec<ExemplarSeries>>>> {
        use wire::exemplars_response::Result as Item;
        let name = self.name.clone();
        let mut client = ExemplarsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let message = wire::ExemplarsRequest {
            query: want.query,
            start: want.range.min,
            end: want.range.max,
            partial_response_strategy: strategy_to_wire(want.partial_response),
        };
        let request = request(ctx, message);
        Box::pin(async move {
            gather(
                &name,
                client.exemplars(request).await,
                |frame: wire::ExemplarsResponse, answer: &mut Answer<Vec<_>>| match frame.result {
                    Some(Item::Data(d)) => answer.value.push(convert::exemplars_from_wire(d)),
                    Some(Item::Warning(text)) => answer.warnings.push(format!("{name}: {text}")),
                    None => {}
                },
            )
            .await
        })
    }
}

impl StatisticsSource for InspectClient {
    fn statistics(&self, ctx: &Ctx, want: StatisticsQuery) -> BoxFuture<'static, Result<Answer<StatisticsByTenant>>> {
        use wire::tsdb_statistics_response::Result as Item;
        let name = self.name.clone();
        let mut client = StatusClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let message = wire::TsdbStatisticsRequest {
            tenant: String::new(),
            limit: i32::try_from(want.limit).unwrap_or(i32::MAX),
            partial_response_strategy: strategy_to_wire(want.partial_response),
            matchers: matchers_to_wire(&want.matchers),
        };
        let request = request(ctx, message);
        Box::pin(async move {
            let started = client.tsdb_statistics(request).await;
            gather(&name, started, |frame: wire::TsdbStatisticsResponse, answer: &mut Answer<BTreeMap<_, _>>| {
                match frame.result {
                    Some(Item::Statistics(s)) => answer.value.extend(convert::statistics_from_wire(s)),
                    Some(Item::Warning(text)) => answer.warnings.push(format!("{name}: {text}")),
                    None => {}
                }
            })
            .await
        })
    }
}
