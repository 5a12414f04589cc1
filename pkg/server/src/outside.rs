//! What others see of this server over gRPC: everything carries the external labels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use labels::Labels;
use model::ExemplarSeries;
use storage::{
    Answer, Ctx, ExemplarsQuery, ExemplarsSource, Inspect, MetadataByMetric, MetadataQuery, MetadataSource, Narrowed,
    Result, RuleGroup, RulesQuery, RulesSource, StatisticsByTenant, StatisticsQuery, StatisticsSource, Targets,
    TargetsQuery, TargetsSource, narrow,
};

/// The server's own answers with external labels, which are asked for at each call.
#[derive(Clone)]
pub struct Outside {
    inside: Inspect,
    external: Arc<dyn Fn() -> Labels + Send + Sync>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("inside", &self.inside).finish_non_exhaustive()
    }
}

impl Outside {
    /// `inside` as others see it: what it does not serve is not served here either.
    pub fn inspect(inside: Inspect, external: impl Fn() -> Labels + Send + Sync + 'static) -> Inspect {
        let this = Arc::new(Self { inside: inside.clone(), external: Arc::new(external) });
        Inspect {
            rules: inside.rules.map(|_| this.clone() as Arc<dyn RulesSource>),
            targets: inside.targets.map(|_| this.clone() as Arc<dyn TargetsSource>),
            metadata: inside.metadata.map(|_| this.clone() as Arc<dyn MetadataSource>),
            exemplars: inside.exemplars.map(|_| this.clone() as Arc<dyn ExemplarsSource>),
            statistics: inside.statistics.map(|_| this as Arc<dyn StatisticsSource>),
        }
    }

    fn parts(&self, ctx: &Ctx) -> (Inspect, Labels, Ctx) {
        (self.inside.clone(), (self.external)(), ctx.clone())
    }
}

impl RulesSource for Outside {
    fn rules(&self, ctx: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>> {
        let (inside, external, ctx) = self.parts(ctx);
        async move {
            let mut answer = inside.rules(&ctx, want).await?;
            for rule in answer.value.iter_mut().flat_map(|group| &mut group.rules) {
                rule.labels = rule.labels.overlay(&external);
            }
            Ok(answer)
        }
        .boxed()
    }
}

impl TargetsSource for Outside {
    fn targets(&self, ctx: &Ctx, want: TargetsQuery) -> BoxFuture<'static, Result<Answer<Targets>>> {
        let (inside, external, ctx) = self.parts(ctx);
        async move {
            let mut answer = inside.targets(&ctx, want).await?;
            for target in &mut answer.value.active {
                target.labels = target.labels.overlay(&external);
                target.discovered_labels = target.discovered_labels.overlay(&external);
            }
            for dropped in &mut answer.value.dropped {
                *dropped = dropped.overlay(&external);
            }
            Ok(answer)
        }
        .boxed()
    }
}

impl MetadataSource for Outside {
    fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        let (inside, _, ctx) = self.parts(ctx);
        async move { inside.metadata(&ctx, want).await }.boxed()
    }
}

impl ExemplarsSource for Outside {
    fn exemplars(&self, ctx: &Ctx, want: ExemplarsQuery) -> BoxFuture<'static, Result<Answer<Vec<ExemplarSeries>>>> {
        let (inside, external, ctx) = self.parts(ctx);
        let left = want.selectors.iter().filter_map(|selector| match narrow(&external, selector) {
            Narrowed::Left(matchers) => Some(matchers),
            Narrowed::Nothing => None,
        });
        let selectors: Vec<_> = left.collect();
        if selectors.is_empty() && !want.selectors.is_empty() {
            return async { Ok(Answer::default()) }.boxed();
        }
        async move {
            let mut answer = inside.exemplars(&ctx, ExemplarsQuery { selectors, ..want }).await?;
            for series in &mut answer.value {
                series.labels = series.labels.overlay(&external);
            }
            answer.value.sort_by(|a, b| a.labels.cmp(&b.labels));
            Ok(answer)
        }
        .boxed()
    }
}

impl StatisticsSource for Outside {
    fn statistics(&self, ctx: &Ctx, want: StatisticsQuery) -> BoxFuture<'static, Result<Answer<StatisticsByTenant>>> {
        let (inside, external, ctx) = self.parts(ctx);
        if !want.matchers.iter().all(|m| m.matches(external.value(m.name()))) {
            return async { Ok(Answer::from(BTreeMap::new())) }.boxed();
        }
        async move { inside.statistics(&ctx, want).await }.boxed()
    }
}
