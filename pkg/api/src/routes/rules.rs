//! `rules` and `alerts`.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use sha2::{Digest, Sha256};
use storage::{AlertInstance, Answer, PartialResponse, Rule, RuleGroup, RuleKind, RulesQuery};

use crate::envelope::{Answered, success};
use crate::error::{ApiError, internal};
use crate::json::{LabelObject, Number, Time};
use crate::params::Params;
use crate::request::{RequestCtx, parse_selectors, partial_response};
use crate::shared::Shared;
use crate::values::{parse_bool, parse_int};

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/rules", get(rules)).route("/alerts", get(alerts))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleDiscovery<'a> {
    groups: Vec<GroupJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupJson<'a> {
    name: &'a str,
    file: &'a str,
    rules: Vec<RuleJson<'a>>,
    interval: Number,
    limit: i64,
    evaluation_time: Number,
    last_evaluation: Time,
    partial_response_strategy: &'static str,
}

/// Keys in Prometheus' order; those of alerting rules are absent in recording rules.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    name: &'a str,
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_for: Option<Number>,
    labels: LabelObject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<LabelObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<AlertJson<'a>>>,
    health: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_error: &'a str,
    evaluation_time: Number,
    last_evaluation: Time,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertJson<'a> {
    labels: LabelObject<'a>,
    annotations: LabelObject<'a>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<Time>,
    value: &'a str,
    partial_response_strategy: &'static str,
}

#[derive(Debug, Serialize)]
struct AlertDiscovery<'a> {
    alerts: Vec<AlertJson<'a>>,
}

async fn rules(State(shared): State<Shared>, params: Params) -> Answered {
    let kind = match params.get("type").to_ascii_lowercase().as_str() {
        "" | "all" => RuleKind::All,
        "alert" => RuleKind::Alert,
        "record" => RuleKind::Record,
        other => return Err(ApiError::parameter("type", format!("not supported value {}", labels::quote(other)))),
    };
    let exclude_alerts = params
        .parsed("exclude_alerts", |text| {
            parse_bool(&text.to_ascii_lowercase()).map_err(|why| format!("error converting exclude_alerts: {why}"))
        })?
        .unwrap_or(false);
    let page = Page::of(&params)?;
    let request = RequestCtx::new(&params, &shared)?;
    let want = RulesQuery {
        kind,
        matchers: parse_selectors(&params.all("match[]"), shared.state.options.engine.parse.max_regex_bytes)?,
        matcher_texts: params.owned("match[]"),
        names: params.owned("rule_name[]"),
        groups: params.owned("rule_group[]"),
        files: params.owned("file[]"),
        partial_response: partial_response(&params, shared.state.options.rules_partial_response)?,
    };
    let Answer { value: mut groups, warnings } = ask(&shared, &request, want.clone()).await?;
    groups.retain_mut(|group| {
        group.rules.retain(|rule| wanted(rule, &want));
        let named = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        !group.rules.is_empty() && named(&want.groups, &group.name) && named(&want.files, &group.file)
    });
    let (shown, group_next_token) = page.cut(&groups)?;
    let answer =
        RuleDiscovery { groups: shown.iter().map(|g| group_json(g, exclude_alerts)).collect(), group_next_token };
    success(&answer, &shared.warned(warnings), shared.state.options.annotations_max)
}

/// `/api/v1/alerts`: those pending or firing.
async fn alerts(State(shared): State<Shared>, params: Params) -> Answered {
    let request = RequestCtx::new(&params, &shared)?;
    let want = RulesQuery {
        kind: RuleKind::Alert,
        partial_response: partial_response(&params, shared.state.options.rules_partial_response)?,
        ..RulesQuery::default()
    };
    let Answer { value: groups, warnings } = ask(&shared, &request, want).await?;
    let rules = groups.iter().flat_map(|g| &g.rules).filter_map(|r| r.alert.as_ref());
    let answer = AlertDiscovery { alerts: rules.flat_map(|r| &r.alerts).map(alert_json).collect() };
    success(&answer, &shared.warned(warnings), shared.state.options.annotations_max)
}

async fn ask(shared: &Shared, request: &RequestCtx, want: RulesQuery) -> Result<Answer<Vec<RuleGroup>>, ApiError> {
    let answer = shared.state.inspect.rules(&request.ctx, want).await;
    answer.map_err(|e| internal("error retrieving rules", e))
}

/// Endpoints of other versions may not know every filter, so all hold here once more.
fn wanted(rule: &Rule, want: &RulesQuery) -> bool {
    let kind = match want.kind {
        RuleKind::All => true,
        RuleKind::Alert => rule.alert.is_some(),
        RuleKind::Record => rule.alert.is_none(),
    };
    let matches = |set: &Vec<labels::Matcher>| set.iter().all(|m| m.matches(rule.labels.value(m.name())));
    kind && (want.names.is_empty() || want.names.contains(&rule.name))
        && (want.matchers.is_empty() || want.matchers.iter().any(matches))
}

fn strategy(partial_response: PartialResponse) -> &'static str {
    match partial_response {
        PartialResponse::Warn => "WARN",
        PartialResponse::Abort => "ABORT",
    }
}

fn group_json(group: &RuleGroup, exclude_alerts: bool) -> GroupJson<'_> {
    GroupJson {
        name: &group.name,
        file: &group.file,
        rules: group.rules.iter().map(|rule| rule_json(rule, exclude_alerts)).collect(),
        interval: Number(group.interval_s),
        limit: group.limit,
        evaluation_time: Number(group.evaluation_s),
        last_evaluation: Time(group.last_evaluation_ns),
        partial_response_strategy: strategy(group.partial_response),
    }
}

fn rule_json(rule: &Rule, exclude_alerts: bool) -> RuleJson<'_> {
    let alert = rule.alert.as_ref();
    let alerts = |a: &'_ storage::AlertRule| if exclude_alerts { 0 } else { a.alerts.len() };
    RuleJson {
        state: alert.map(|a| a.state.as_str()),
        name: &rule.name,
        query: &rule.query,
        duration: alert.map(|a| Number(a.for_s)),
        keep_firing_for: alert.map(|a| Number(a.keep_firing_for_s)),
        labels: LabelObject(&rule.labels),
        annotations: alert.map(|a| LabelObject(&a.annotations)),
        alerts: alert.map(|a| a.alerts.iter().take(alerts(a)).map(alert_json).collect()),
        health: &rule.health,
        last_error: &rule.last_error,
        evaluation_time: Number(rule.evaluation_s),
        last_evaluation: Time(rule.last_evaluation_ns),
        kind: if alert.is_some() { "alerting" } else { "recording" },
    }
}

fn alert_json(alert: &AlertInstance) -> AlertJson<'_> {
    AlertJson {
        labels: LabelObject(&alert.labels),
        annotations: LabelObject(&alert.annotations),
        state: alert.state.as_str(),
        active_at: alert.active_at_ns.map(|ns| Time(Some(ns))),
        keep_firing_since: alert.keep_firing_since_ns.map(|ns| Time(Some(ns))),
        value: &alert.value,
        partial_response_strategy: strategy(alert.partial_response),
    }
}

/// `group_limit` groups from the one that `group_next_token` names.
#[derive(Debug)]
struct Page {
    limit: usize,
    token: String,
}

impl Page {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let token = params.get("group_next_token").to_owned();
        let limit = params.parsed("group_limit", |text| {
            match parse_int(text, "ParseInt").map_err(|why| format!("group_limit needs to be a valid number: {why}"))? {
                limit @ 1.. => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
                _ => Err("group_limit needs to be greater than 0".to_owned()),
            }
        })?;
        if limit.is_none() && !token.is_empty() {
            let text = "group_limit needs to be present in order to paginate over the groups";
            return Err(ApiError::parameter("group_next_token", text));
        }
        Ok(Self { limit: limit.unwrap_or(0), token })
    }

    /// The groups of this page, and the token of the next.
    fn cut<'a>(&self, groups: &'a [RuleGroup]) -> Result<(&'a [RuleGroup], Option<String>), ApiError> {
        if self.limit == 0 {
            return Ok((groups, None));
        }
        let first = match self.token.as_str() {
            "" => 0,
            token => groups.iter().position(|g| token_of(g) == token).ok_or_else(|| {
                let text = format!("invalid group_next_token '{token}'. were rule groups changed?");
                ApiError::parameter("group_next_token", text)
            })?,
        };
        let end = first.saturating_add(self.limit).min(groups.len());
        Ok((&groups[first..end], groups.get(end).map(token_of)))
    }
}

/// Prometheus' own: SHA-256 of file and name.
fn token_of(group: &RuleGroup) -> String {
    let hash = Sha256::digest(format!("{};{}", group.file, group.name));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
