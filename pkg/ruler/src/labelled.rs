//! Rules as others see them over gRPC: with the labels of the ruler.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use labels::Labels;
use storage::{Answer, Ctx, Result, RuleGroup, RulesQuery, RulesSource};

#[derive(Debug)]
pub struct Labelled {
    pub rules: Arc<dyn RulesSource>,
    pub labels: Labels,
}

impl RulesSource for Labelled {
    fn rules(&self, ctx: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>> {
        let (asked, own) = (self.rules.rules(ctx, want), self.labels.clone());
        async move {
            let mut answer = asked.await?;
            for rule in answer.value.iter_mut().flat_map(|group| &mut group.rules) {
                rule.labels = rule.labels.overlay(&own);
                for alert in rule.alert.iter_mut().flat_map(|alert| &mut alert.alerts) {
                    alert.labels = alert.labels.overlay(&own);
                }
            }
            Ok(answer)
        }
        .boxed()
    }
}
