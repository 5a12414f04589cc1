//! Rules, targets, metadata, exemplars and statistics of the server, with its external labels put on.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use labels::Matcher;
use model::ExemplarSeries;
use storage::{
    Answer, Ctx, Error, ExemplarsQuery, ExemplarsSource, MetadataByMetric, MetadataQuery, MetadataSource, Result,
    RuleGroup, RulesQuery, RulesSource, StatisticsByTenant, StatisticsQuery, StatisticsSource, Targets, TargetsQuery,
    TargetsSource,
};

use crate::PrometheusState;

/// Answers from Prometheus' HTTP API.
#[derive(Debug, Clone)]
pub struct PrometheusInspect(Arc<PrometheusState>);

impl PrometheusInspect {
    /// Answers for the server that `state` follows.
    pub fn new(state: Arc<PrometheusState>) -> Self {
        Self(state)
    }
}

/// Runs `work` until its answer is of no use any more.
async fn bounded<T>(ctx: Ctx, work: impl Future<Output = Result<T>>) -> Result<T> {
    let deadline = async {
        match ctx.deadline {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = work => result,
        () = ctx.cancel.cancelled() => Err(Error::Cancelled),
        () = deadline => Err(Error::Timeout("query timed out".to_owned())),
    }
}

impl RulesSource for PrometheusInspect {
    fn rules(&self, ctx: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>> {
        let (state, ctx) = (self.0.clone(), ctx.clone());
        Box::pin(bounded(ctx, async move {
            let mut answer = state.client().rules(want.kind).await?;
            let external = state.external_labels();
            for rule in answer.value.iter_mut().flat_map(|g| &mut g.rules) {
                rule.labels = rule.labels.overlay(&external);
            }
            Ok(answer)
        }))
    }
}

impl TargetsSource for PrometheusInspect {
    fn targets(&self, ctx: &Ctx, want: TargetsQuery) -> BoxFuture<'static, Result<Answer<Targets>>> {
        let (state, ctx) = (self.0.clone(), ctx.clone());
        Box::pin(bounded(ctx, async move {
            let mut answer = state.client().targets(want.state).await?;
            let external = state.external_labels();
            for target in &mut answer.value.active {
                target.labels = target.labels.overlay(&external);
                target.discovered_labels = target.discovered_labels.overlay(&external);
            }
            for dropped in &mut answer.value.dropped {
                *dropped = dropped.overlay(&external);
            }
            Ok(answer)
        }))
    }
}

impl MetadataSource for PrometheusInspect {
    fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        let (state, ctx) = (self.0.clone(), ctx.clone());
        Box::pin(bounded(ctx, async move {
            let mut answer = state.client().metadata(&want.metric, want.limit).await?;
            if want.limit_per_metric > 0 {
                answer.value.values_mut().for_each(|list| list.truncate(want.limit_per_metric));
            }
            Ok(answer)
        }))
    }
}

impl ExemplarsSource for PrometheusInspect {
    fn exemplars(&self, ctx: &Ctx, want: ExemplarsQuery) -> BoxFuture<'static, Result<Answer<Vec<ExemplarSeries>>>> {
        let (state, ctx) = (self.0.clone(), ctx.clone());
        Box::pin(bounded(ctx, async move {
            let external = state.external_labels();
            let Some(query) = without_external(&want, &external) else { return Ok(Answer::default()) };
            let mut answer = state.client().exemplars(&query, want.range).await?;
            for series in &mut answer.value {
                series.labels = series.labels.overlay(&external);
            }
            answer.value.sort_by(|a, b| a.labels.cmp(&b.labels));
            Ok(answer)
        }))
    }
}

impl StatisticsSource for PrometheusInspect {
    fn statistics(&self, ctx: &Ctx, want: StatisticsQuery) -> BoxFuture<'static, Result<Answer<StatisticsByTenant>>> {
        let (state, ctx) = (self.0.clone(), ctx.clone());
        Box::pin(bounded(ctx, async move {
            let external = state.external_labels();
            if !want.matchers.iter().all(|m| m.matches(external.value(m.name()))) {
                return Ok(Answer::default());
            }
            let statistics = state.client().tsdb_statistics(want.limit).await?;
            Ok(BTreeMap::from([(String::new(), statistics)]).into())
        }))
    }
}

/// The exemplar query as the server understands it, whose series do not have the external labels: matchers on those are
/// judged here. `None` when none of the selectors can match.
fn without_external(want: &ExemplarsQuery, external: &labels::Labels) -> Option<String> {
    let on_external = |m: &Matcher| external.get(m.name()).is_some();
    if want.selectors.is_empty() || !want.selectors.iter().flatten().any(on_external) {
        return Some(want.query.clone());
    }
    let mut left = Vec::new();
    for selector in &want.selectors {
        if selector.iter().filter(|m| on_external(m)).all(|m| m.matches(external.value(m.name()))) {
            let own = || selector.iter().filter(|m| !on_external(m));
            // Prometheus wants one that the empty text does not match.
            let any = own().all(Matcher::matches_empty).then(|| r#"__name__=~".+""#.to_owned());
            let texts: Vec<String> = own().map(Matcher::to_string).chain(any).collect();
            left.push(format!("{{{}}}", texts.join(",")));
        }
    }
    (!left.is_empty()).then(|| left.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use labels::Labels;
    use model::TimeRange;
    use storage::PartialResponse;

    #[test]
    fn exemplar_selectors_without_external_labels() {
        let external = Labels::from_pairs([("replica", "a")]);
        let up = Matcher::equal("__name__", "up");
        let (a, b) = (Matcher::equal("replica", "a"), Matcher::equal("replica", "b"));
        let cases = [
            (vec![vec![up.clone()]], Some("text")),
            (vec![vec![up.clone(), a.clone()]], Some(r#"{__name__="up"}"#)),
            (vec![vec![up.clone(), b.clone()]], None),
            (vec![vec![up.clone(), b], vec![up.clone(), a.clone()]], Some(r#"{__name__="up"}"#)),
            (vec![vec![a.clone()]], Some(r#"{__name__=~".+"}"#)),
            (vec![vec![a, Matcher::equal("job", "")]], Some(r#"{job="",__name__=~".+"}"#)),
        ];
        for (selectors, want) in cases {
            let query = ExemplarsQuery {
                query: "text".to_owned(),
                selectors,
                range: TimeRange::ALL,
                partial_response: PartialResponse::Warn,
            };
            assert_eq!(without_external(&query, &external).as_deref(), want);
        }
    }
}
