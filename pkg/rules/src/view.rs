//! Rules and alerts as APIs show them.

use futures::future::{BoxFuture, ready};
use gotemplate::format_float;
use storage::{
    AlertInstance, AlertRule, AlertState, Answer, Ctx, Result, Rule as RuleShown, RuleGroup, RuleKind, RulesQuery,
    RulesSource,
};

use crate::alerts::{ActiveAlert, AlertValue};
use crate::group::GroupView;
use crate::manager::Manager;
use crate::options::Options;
use crate::rule::Rule;

const NS: i64 = 1_000_000;

impl RulesSource for Manager {
    fn rules(&self, _: &Ctx, want: RulesQuery) -> BoxFuture<'static, Result<Answer<Vec<RuleGroup>>>> {
        let named = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        let mut groups = Vec::new();
        for view in self.views() {
            if !named(&want.groups, &view.spec.name) || !named(&want.files, &view.spec.file) {
                continue;
            }
            let rules: Vec<RuleShown> = view
                .rules
                .iter()
                .filter(|rule| is_wanted(rule, &want) && named(&want.names, &rule.spec.name))
                .map(|rule| shown(rule, &view, self.options()))
                .collect();
            // Groups without rules show where nothing else than groups was asked for.
            let filtered = want.kind != RuleKind::All || !want.names.is_empty() || !want.matchers.is_empty();
            if !rules.is_empty() || !filtered {
                groups.push(group(&view, rules, self.options()));
            }
        }
        Box::pin(ready(Ok(groups.into())))
    }
}

fn is_wanted(rule: &Rule, want: &RulesQuery) -> bool {
    let kind = match want.kind {
        RuleKind::All => true,
        RuleKind::Alert => rule.spec.alert.is_some(),
        RuleKind::Record => rule.spec.alert.is_none(),
    };
    let matches = |set: &Vec<labels::Matcher>| set.iter().all(|m| m.matches(rule.spec.labels.value(m.name())));
    kind && (want.matchers.is_empty() || want.matchers.iter().any(matches))
}

fn group(view: &GroupView, rules: Vec<RuleShown>, options: &Options) -> RuleGroup {
    let status = view.status.get();
    RuleGroup {
        name: view.spec.name.clone(),
        file: view.spec.file.clone(),
        rules,
        interval_s: view.interval_ms() as f64 / 1000.0,
        limit: i64::try_from(view.spec.limit).unwrap_or(i64::MAX),
        evaluation_s: status.seconds,
        last_evaluation_ns: status.began_ms.map(|ms| ms.saturating_mul(NS)),
        partial_response: view.spec.partial_response.unwrap_or(options.partial_response),
    }
}

fn shown(rule: &Rule, view: &GroupView, options: &Options) -> RuleShown {
    let status = rule.status.get();
    RuleShown {
        name: rule.spec.name.clone(),
        query: rule.spec.query.clone(),
        labels: rule.spec.labels.clone(),
        health: status.health.as_str().to_owned(),
        last_error: status.last_error,
        evaluation_s: status.seconds,
        last_evaluation_ns: status.began_ms.map(|ms| ms.saturating_mul(NS)),
        alert: rule.spec.alert.as_ref().map(|spec| {
            let alerts = rule.alerts.lock();
            let mut active: Vec<&ActiveAlert> =
                alerts.iter().filter(|alert| alert.state != AlertState::Inactive).collect();
            active.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
            let partial_response = view.spec.partial_response.unwrap_or(options.partial_response);
            AlertRule {
                state: alerts.state(),
                for_s: spec.for_ms as f64 / 1000.0,
                keep_firing_for_s: spec.keep_firing_for_ms as f64 / 1000.0,
                annotations: spec.annotations.clone(),
                alerts: active
                    .into_iter()
                    .map(|alert| AlertInstance {
                        labels: alert.labels.clone(),
                        annotations: alert.annotations.clone(),
                        state: alert.state,
                        active_at_ns: Some(alert.active_at_ms.saturating_mul(NS)),
                        keep_firing_since_ns: alert.keep_firing_since_ms.map(|ms| ms.saturating_mul(NS)),
                        value: match &alert.value {
                            AlertValue::Float(value) => format_float(*value, 'e', None),
                            AlertValue::Histogram(text) => text.to_string(),
                        },
                        partial_response,
                    })
                    .collect(),
            }
        }),
    }
}
