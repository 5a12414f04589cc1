//! The alerting rules of the replicas: what a Prometheus in a cluster would evaluate. None fires now; that they fired in the
//! incident is in the history, as series `ALERTS`.

use std::ops::Range;
use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use labels::Labels;
use model::Clock;
use storage::{AlertRule, AlertState, Answer, Ctx, PartialResponse, Result, Rule, RuleGroup, RuleKind};
use storage::{RulesQuery, RulesSource};

use crate::lanes::SCRAPE_MS;

/// An alerting rule of the clusters.
pub(crate) struct Alert {
    pub name: &'static str,
    query: &'static str,
    for_ms: i64,
    summary: &'static str,
    /// Since when it is active in the incident, and until when, ms after the incident's begin.
    active_ms: Range<i64>,
    /// Labels of the alert that fired in the incident, those of the rule without.
    pub series: &'static [(&'static str, &'static str)],
}

const MINUTE_MS: i64 = 60_000;
pub(crate) const SEVERITY: (&str, &str) = ("severity", "page");
/// How long after the beginning of the incident an instance is down, and for how long, ms.
pub(crate) const DOWN_MS: Range<i64> = 20 * MINUTE_MS..60 * MINUTE_MS;

pub(crate) const ALERTS: [Alert; 2] = [
    Alert {
        name: "ApiErrors",
        query: "sum by (cluster, job) (rate(http_requests_total{code=\"500\"}[5m])) \
                / sum by (cluster, job) (rate(http_requests_total[5m])) > 0.05",
        for_ms: 2 * MINUTE_MS,
        summary: "{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} in {{ $labels.cluster }} fail",
        active_ms: MINUTE_MS..121 * MINUTE_MS,
        series: &[("job", "api")],
    },
    Alert {
        name: "InstanceDown",
        query: "up == 0",
        for_ms: 5 * MINUTE_MS,
        summary: "{{ $labels.instance }} of {{ $labels.job }} in {{ $labels.cluster }} does not answer",
        active_ms: DOWN_MS,
        series: &[("instance", "api-2:8080"), ("job", "api")],
    },
];

impl Alert {
    /// When it is pending and when it fires, in an incident that begins at `begin_ms`.
    pub fn states(&self, begin_ms: i64) -> [(&'static str, Range<i64>); 2] {
        let (from, to) = (begin_ms + self.active_ms.start, begin_ms + self.active_ms.end);
        [("pending", from..from + self.for_ms), ("firing", from + self.for_ms..to)]
    }

    fn rule(&self, external: &Labels, last_ns: i64) -> Rule {
        let alert = AlertRule {
            state: AlertState::Inactive,
            for_s: self.for_ms as f64 / 1000.0,
            annotations: Labels::from_pairs([("summary", self.summary)]),
            ..AlertRule::default()
        };
        Rule {
            name: self.name.to_owned(),
            query: self.query.to_owned(),
            labels: Labels::from_pairs([SEVERITY]).overlay(external),
            health: "ok".to_owned(),
            last_error: String::new(),
            evaluation_s: 0.001,
            last_evaluation_ns: Some(last_ns),
            alert: Some(alert),
        }
    }
}

/// The rules of one replica.
#[derive(Debug)]
pub(crate) struct Alerting {
    pub external: Labels,
    pub clock: Arc<dyn Clock>,
}

const GROUP: &str = "api";
const FILE: &str = "api.yml";

impl RulesSource for Alerting {
    fn rules(&self, _: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>> {
        let named = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        let last_ns = self.clock.now_ms().div_euclid(SCRAPE_MS).saturating_mul(SCRAPE_MS * 1_000_000);
        let matches = |rule: &Rule| {
            let all = |set: &Vec<labels::Matcher>| set.iter().all(|m| m.matches(rule.labels.value(m.name())));
            want.matchers.is_empty() || want.matchers.iter().any(all)
        };
        let is_wanted = want.kind != RuleKind::Record && named(&want.groups, GROUP) && named(&want.files, FILE);
        let rules = ALERTS.iter().map(|alert| alert.rule(&self.external, last_ns));
        let rules: Vec<_> = rules.filter(|rule| is_wanted && named(&want.names, &rule.name) && matches(rule)).collect();
        let group = RuleGroup {
            name: GROUP.to_owned(),
            file: FILE.to_owned(),
            rules,
            interval_s: SCRAPE_MS as f64 / 1000.0,
            limit: 0,
            evaluation_s: 0.002,
            last_evaluation_ns: Some(last_ns),
            partial_response: PartialResponse::Warn,
        };
        let groups = if group.rules.is_empty() { Vec::new() } else { vec![group] };
        Box::pin(ready(Ok(groups.into())))
    }
}

#[cfg(test)]
mod tests {
    use labels::Matcher;
    use model::FakeClock;

    use super::*;

    async fn names(want: RulesQuery) -> Vec<String> {
        let external = Labels::from_pairs([("cluster", "eu-1"), ("replica", "a")]);
        let alerting = Alerting { external, clock: Arc::new(FakeClock::at(1_795_223_720_123)) };
        let groups = alerting.rules(&Ctx::background(), want).await.unwrap().value;
        groups.into_iter().flat_map(|group| group.rules).map(|rule| rule.name).collect()
    }

    #[tokio::test]
    async fn rules_that_are_asked_for() {
        let of = |name: &str, value: &str| vec![vec![Matcher::equal(name, value)]];
        assert_eq!(names(RulesQuery::default()).await, ["ApiErrors", "InstanceDown"]);
        assert_eq!(names(RulesQuery { names: vec!["InstanceDown".into()], ..Default::default() }).await.len(), 1);
        assert_eq!(names(RulesQuery { matchers: of("cluster", "eu-1"), ..Default::default() }).await.len(), 2);
        assert!(names(RulesQuery { matchers: of("cluster", "us-1"), ..Default::default() }).await.is_empty());
        assert!(names(RulesQuery { kind: RuleKind::Record, ..Default::default() }).await.is_empty());
        assert!(names(RulesQuery { groups: vec!["other".into()], ..Default::default() }).await.is_empty());
    }

    #[test]
    fn queries_can_be_read_and_states_follow_each_other() {
        for alert in &ALERTS {
            assert!(promql_syntax::parse(alert.query).is_ok(), "{}", alert.query);
            let [(_, pending), (_, firing)] = alert.states(0);
            assert!(!pending.is_empty() && pending.end == firing.start && !firing.is_empty(), "{}", alert.name);
        }
    }
}
