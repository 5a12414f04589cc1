//! Rules, targets, metadata, exemplars and statistics of all endpoints, put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use labels::Labels;
use model::ExemplarSeries;
use storage::{
    Answer, Ctx, ExemplarsQuery, ExemplarsSource, MetadataByMetric, MetadataQuery, MetadataSource, PartialResponse,
    Result, Rule, RuleGroup, RulesQuery, RulesSource, StatisticsByTenant, StatisticsQuery, StatisticsSource, Targets,
    TargetsQuery, TargetsSource, TsdbStatistics,
};
use storeapi::{InspectClient, Served};

use crate::endpoints::EndpointSet;
use crate::fanout::{excused, within};

/// Asks every endpoint that serves an API, merges and deduplicates by replica labels.
#[derive(Debug, Clone)]
pub struct InspectFanOut {
    ask: Ask,
    replica_labels: Arc<[String]>,
}

/// Whom to ask, and for how long.
#[derive(Debug, Clone)]
struct Ask {
    set: Arc<EndpointSet>,
    timeout: Duration,
}

impl InspectFanOut {
    /// Over `set`; entries that differ only in `replica_labels` are one. An endpoint that does not answer within `timeout`
    /// is given up; zero = never.
    pub fn new(set: Arc<EndpointSet>, replica_labels: Arc<[String]>, timeout: Duration) -> Self {
        Self { ask: Ask { set, timeout }, replica_labels }
    }
}

impl Ask {
    /// Asks all endpoints that serve `api`.
    async fn gather<T, F>(
        &self,
        api: impl Fn(&Served) -> bool,
        partial: PartialResponse,
        ask: impl Fn(InspectClient) -> F,
    ) -> Result<Answer<Vec<T>>>
    where
        F: Future<Output = Result<Answer<T>>>,
    {
        let mut members = self.set.members(api, &[]).await;
        let warnings = members.warnings(partial)?;
        let calls = members.asked.into_iter().filter_map(|endpoint| {
            let call = ask(endpoint.inspect()?);
            Some(async move { within(self.timeout, &endpoint.name, call).await })
        });
        let mut out: Answer<Vec<T>> = Answer { value: Vec::new(), warnings };
        for answer in futures::future::join_all(calls).await {
            match answer {
                Ok(answer) => {
                    out.value.push(answer.value);
                    out.warnings.extend(answer.warnings);
                }
                Err(e) => out.warnings.push(excused(e, partial)?),
            }
        }
        Ok(out)
    }
}

impl RulesSource for InspectFanOut {
    fn rules(&self, ctx: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>> {
        let (ask, ctx, names) = (self.ask.clone(), ctx.clone(), self.replica_labels.clone());
        Box::pin(async move {
            let partial = want.partial_response;
            let got = ask.gather(|s| s.rules, partial, |client| client.rules(&ctx, want.clone())).await?;
            let groups = got.value.into_iter().flatten().collect();
            Ok(Answer { value: merge_groups(groups, &names), warnings: got.warnings })
        })
    }
}

impl TargetsSource for InspectFanOut {
    fn targets(&self, ctx: &Ctx, want: TargetsQuery) -> BoxFuture<'static, Result<Answer<Targets>>> {
        let (ask, ctx, names) = (self.ask.clone(), ctx.clone(), self.replica_labels.clone());
        Box::pin(async move {
            let partial = want.partial_response;
            let got = ask.gather(|s| s.targets, partial, |client| client.targets(&ctx, want.clone())).await?;
            let mut all = Targets::default();
            for targets in got.value {
                all.active.extend(targets.active);
                all.dropped.extend(targets.dropped);
            }
            for target in &mut all.active {
                target.labels = target.labels.without(&names);
                target.discovered_labels = target.discovered_labels.without(&names);
            }
            // Of replicas the healthier, later scraped entry stays.
            all.active.sort_by(|a, b| {
                let key = |t: &storage::ActiveTarget| (t.scrape_pool.clone(), t.scrape_url.clone(), t.labels.clone());
                key(a).cmp(&key(b)).then(a.health.cmp(&b.health)).then(b.last_scrape_ns.cmp(&a.last_scrape_ns))
            });
            all.active.dedup_by(|b, a| {
                (&a.scrape_pool, &a.scrape_url, &a.labels) == (&b.scrape_pool, &b.scrape_url, &b.labels)
            });
            all.dropped = all.dropped.into_iter().map(|l| l.without(&names)).collect();
            all.dropped.sort();
            all.dropped.dedup();
            Ok(Answer { value: all, warnings: got.warnings })
        })
    }
}

impl MetadataSource for InspectFanOut {
    fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        let (ask, ctx) = (self.ask.clone(), ctx.clone());
        Box::pin(async move {
            let partial = want.partial_response;
            let got = ask.gather(|s| s.metadata, partial, |client| client.metadata(&ctx, want.clone())).await?;
            let mut all = MetadataByMetric::new();
            for (metric, metas) in got.value.into_iter().flatten() {
                if want.limit > 0 && all.len() >= want.limit && !all.contains_key(&metric) {
                    continue;
                }
                let known = all.entry(metric).or_default();
                for meta in metas {
                    if !known.contains(&meta) && (want.limit_per_metric == 0 || known.len() < want.limit_per_metric) {
                        known.push(meta);
                    }
                }
            }
            Ok(Answer { value: all, warnings: got.warnings })
        })
    }
}

impl ExemplarsSource for InspectFanOut {
    fn exemplars(&self, ctx: &Ctx, want: ExemplarsQuery) -> BoxFuture<'static, Result<Answer<Vec<ExemplarSeries>>>> {
        let (ask, ctx, names) = (self.ask.clone(), ctx.clone(), self.replica_labels.clone());
        Box::pin(async move {
            let partial = want.partial_response;
            let got = ask.gather(|s| s.exemplars, partial, |client| client.exemplars(&ctx, want.clone())).await?;
            let mut all: BTreeMap<Labels, Vec<model::Exemplar>> = BTreeMap::new();
            for series in got.value.into_iter().flatten() {
                let known = all.entry(series.labels.without(&names)).or_default();
                for exemplar in series.exemplars {
                    if !known.contains(&exemplar) {
                        known.push(exemplar);
                    }
                }
            }
            let series = |(labels, mut exemplars): (Labels, Vec<model::Exemplar>)| {
                exemplars.sort_by_key(|e| e.timestamp_ms);
                ExemplarSeries { labels, exemplars }
            };
            Ok(Answer { value: all.into_iter().map(series).collect(), warnings: got.warnings })
        })
    }
}

impl StatisticsSource for InspectFanOut {
    fn statistics(&self, ctx: &Ctx, want: StatisticsQuery) -> BoxFuture<'static, Result<Answer<StatisticsByTenant>>> {
        let (ask, ctx) = (self.ask.clone(), ctx.clone());
        Box::pin(async move {
            let partial = want.partial_response;
            let got = ask.gather(|s| s.status, partial, |client| client.statistics(&ctx, want.clone())).await?;
            let mut all = StatisticsByTenant::new();
            for (tenant, one) in got.value.into_iter().flatten() {
                match all.get_mut(&tenant) {
                    Some(known) => add_statistics(known, one, want.limit),
                    None => {
                        all.insert(tenant, one);
                    }
                }
            }
            Ok(Answer { value: all, warnings: got.warnings })
        })
    }
}

/// Groups of the same file and name become one; rules that differ only in replica labels become one, the firing and
/// later evaluated first.
fn merge_groups(groups: Vec<RuleGroup>, replica_labels: &[String]) -> Vec<RuleGroup> {
    let mut merged: BTreeMap<(String, String), RuleGroup> = BTreeMap::new();
    for mut group in groups {
        for rule in &mut group.rules {
            rule.labels = rule.labels.without(replica_labels);
            for alert in rule.alert.iter_mut().flat_map(|a| &mut a.alerts) {
                alert.labels = alert.labels.without(replica_labels);
            }
        }
        match merged.get_mut(&(group.file.clone(), group.name.clone())) {
            Some(known) => known.rules.extend(group.rules),
            None => {
                merged.insert((group.file.clone(), group.name.clone()), group);
            }
        }
    }
    let mut groups: Vec<RuleGroup> = merged.into_values().collect();
    for group in &mut groups {
        let mut kept: Vec<Rule> = Vec::with_capacity(group.rules.len());
        for rule in std::mem::take(&mut group.rules) {
            let same = |k: &Rule| {
                let for_s = |r: &Rule| r.alert.as_ref().map(|a| a.for_s.to_bits());
                (&k.name, &k.query, &k.labels, for_s(k)) == (&rule.name, &rule.query, &rule.labels, for_s(&rule))
            };
            match kept.iter_mut().find(|k| same(k)) {
                None => kept.push(rule),
                Some(known) => {
                    let rank = |r: &Rule| (r.alert.as_ref().map(|a| a.state), r.last_evaluation_ns);
                    if rank(&rule) > rank(known) {
                        *known = rule;
                    }
                }
            }
        }
        group.rules = kept;
    }
    groups
}

fn add_statistics(known: &mut TsdbStatistics, more: TsdbStatistics, limit: usize) {
    known.num_series += more.num_series;
    known.num_label_pairs = known.num_label_pairs.max(more.num_label_pairs);
    known.chunk_count += more.chunk_count;
    known.min_time = known.min_time.min(more.min_time);
    known.max_time = known.max_time.max(more.max_time);
    let add = |into: &mut Vec<(String, u64)>, from: Vec<(String, u64)>, sum: bool| {
        for (name, value) in from {
            match into.iter_mut().find(|(n, _)| *n == name) {
                Some((_, v)) => *v = if sum { *v + value } else { (*v).max(value) },
                None => into.push((name, value)),
            }
        }
        into.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        if limit > 0 {
            into.truncate(limit);
        }
    };
    add(&mut known.series_count_by_metric_name, more.series_count_by_metric_name, true);
    add(&mut known.series_count_by_label_value_pair, more.series_count_by_label_value_pair, true);
    // How many values replicas share is not known; the larger count is a lower bound.
    add(&mut known.label_value_count_by_label_name, more.label_value_count_by_label_name, false);
    add(&mut known.memory_in_bytes_by_label_name, more.memory_in_bytes_by_label_name, true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::{AlertRule, AlertState};

    fn rule(name: &str, replica: &str, state: AlertState, at: i64) -> Rule {
        Rule {
            name: name.to_owned(),
            query: "up == 0".to_owned(),
            labels: Labels::from_pairs([("replica", replica), ("severity", "page")]),
            health: "ok".to_owned(),
            last_error: String::new(),
            evaluation_s: 0.1,
            last_evaluation_ns: Some(at),
            alert: Some(AlertRule { state, ..AlertRule::default() }),
        }
    }

    #[test]
    fn rules_of_replicas_are_one() {
        let group = |rules| RuleGroup {
            name: "g".to_owned(),
            file: "f".to_owned(),
            rules,
            interval_s: 30.0,
            limit: 0,
            evaluation_s: 0.1,
            last_evaluation_ns: None,
            partial_response: PartialResponse::Abort,
        };
        let got = merge_groups(
            vec![
                group(vec![rule("a", "0", AlertState::Inactive, 5), rule("b", "0", AlertState::Inactive, 5)]),
                group(vec![rule("a", "1", AlertState::Firing, 3), rule("b", "1", AlertState::Inactive, 6)]),
            ],
            &["replica".to_owned()],
        );
        let shown: Vec<_> =
            got[0].rules.iter().map(|r| (r.name.as_str(), r.last_evaluation_ns, r.labels.len())).collect();
        assert_eq!(shown, [("a", Some(3), 1), ("b", Some(6), 1)]);
    }
}
