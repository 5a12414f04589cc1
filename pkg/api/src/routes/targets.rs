//! `targets`, `scrape_pools`, `targets/metadata`, `alertmanagers`.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use labels::Labels;
use model::Annotations;
use serde::Serialize;
use storage::{ActiveTarget, Answer, TargetState, Targets, TargetsQuery};

use super::target_page::Pages;
use crate::envelope::{Answered, success};
use crate::error::{ApiError, internal};
use crate::json::{LabelObject, Number, Time};
use crate::params::Params;
use crate::request::{RequestCtx, partial_response};
use crate::shared::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/targets", get(targets))
        .route("/scrape_pools", get(scrape_pools))
        .route("/alertmanagers", get(alertmanagers))
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetDiscovery<'a> {
    active_targets: Vec<ActiveJson<'a>>,
    dropped_targets: Vec<DroppedJson<'a>>,
    dropped_target_counts: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActiveJson<'a> {
    discovered_labels: LabelObject<'a>,
    labels: LabelObject<'a>,
    scrape_pool: &'a str,
    scrape_url: &'a str,
    global_url: &'a str,
    last_error: &'a str,
    last_scrape: Time,
    last_scrape_duration: Number,
    health: &'static str,
    scrape_interval: &'a str,
    scrape_timeout: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DroppedJson<'a> {
    discovered_labels: LabelObject<'a>,
    scrape_pool: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScrapePools {
    scrape_pools: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertmanagersJson {
    active_alertmanagers: Vec<AlertmanagerJson>,
    dropped_alertmanagers: Vec<AlertmanagerJson>,
}

#[derive(Debug, Serialize)]
struct AlertmanagerJson {
    url: String,
}

async fn targets(State(shared): State<Shared>, params: Params) -> Answered {
    let state = match params.get("state").to_ascii_lowercase().as_str() {
        "" | "any" => TargetState::Any,
        "active" => TargetState::Active,
        "dropped" => TargetState::Dropped,
        // To a server that is a state that no target has.
        _ if shared.state.server.is_some() => {
            return success(
                &TargetDiscovery::default(),
                &shared.warned(Vec::new()),
                shared.state.options.annotations_max,
            );
        }
        other => return Err(ApiError::parameter("state", format!("not supported value {}", labels::quote(other)))),
    };
    let pages = Pages::of(&params)?;
    let Answer { value: found, warnings } = ask(&shared, &params, state).await?;
    let pool = params.get("scrapePool");
    let in_pool = |name: &str| pool.is_empty() || pool == name;
    let active = found.active.iter().filter(|t| state != TargetState::Dropped && in_pool(&t.scrape_pool));
    let dropped = found.dropped.iter().filter(|_| state != TargetState::Active);
    let dropped_target_counts = match &shared.state.server {
        _ if state == TargetState::Active => BTreeMap::new(),
        // It counts those that it does not keep, too.
        Some(server) => server.scrapes.dropped_counts(),
        None => dropped.clone().fold(BTreeMap::new(), |mut counts, labels| {
            *counts.entry(pool_of(labels).to_owned()).or_default() += 1;
            counts
        }),
    };
    let page = pages.cut(active, dropped.filter(|labels| in_pool(pool_of(labels))));
    let answer = TargetDiscovery {
        active_targets: page.active,
        dropped_targets: page.dropped,
        dropped_target_counts,
        next: page.next,
    };
    success(&answer, &shared.warned(warnings), shared.state.options.annotations_max)
}

async fn scrape_pools(State(shared): State<Shared>, params: Params) -> Answered {
    if let Some(server) = &shared.state.server {
        let scrape_pools = server.scrapes.pools().into_iter().collect();
        return success(
            &ScrapePools { scrape_pools },
            &shared.warned(Vec::new()),
            shared.state.options.annotations_max,
        );
    }
    let Answer { value: found, warnings } = ask(&shared, &params, TargetState::Any).await?;
    let active = found.active.into_iter().map(|t| t.scrape_pool);
    let dropped = found.dropped.iter().map(|labels| pool_of(labels).to_owned());
    let scrape_pools = active.chain(dropped).filter(|pool| !pool.is_empty()).collect();
    success(&ScrapePools { scrape_pools }, &shared.warned(warnings), shared.state.options.annotations_max)
}

/// `/api/v1/alertmanagers`: none where no alerts are sent.
async fn alertmanagers(State(shared): State<Shared>) -> Answered {
    let known = shared.state.server.as_ref().map(|server| (server.alertmanagers)()).unwrap_or_default();
    let json = |urls: Vec<String>| urls.into_iter().map(|url| AlertmanagerJson { url }).collect();
    let answer =
        AlertmanagersJson { active_alertmanagers: json(known.active), dropped_alertmanagers: json(known.dropped) };
    success(&answer, &Annotations::new(), 0)
}

async fn ask(shared: &Shared, params: &Params, state: TargetState) -> Result<Answer<Targets>, ApiError> {
    let request = RequestCtx::new(params, shared)?;
    let partial_response = partial_response(params, shared.state.options.targets_partial_response)?;
    let answer = shared.state.inspect.targets(&request.ctx, TargetsQuery { state, partial_response }).await;
    answer.map_err(|e| internal("retrieving targets", e))
}

pub(super) fn active_json(target: &ActiveTarget) -> ActiveJson<'_> {
    ActiveJson {
        discovered_labels: LabelObject(&target.discovered_labels),
        labels: LabelObject(&target.labels),
        scrape_pool: &target.scrape_pool,
        scrape_url: &target.scrape_url,
        global_url: &target.global_url,
        last_error: &target.last_error,
        last_scrape: Time(target.last_scrape_ns),
        last_scrape_duration: Number(target.last_scrape_duration_s),
        health: target.health.as_str(),
        scrape_interval: target.discovered_labels.value("__scrape_interval__"),
        scrape_timeout: target.discovered_labels.value("__scrape_timeout__"),
    }
}

pub(super) fn dropped_json(labels: &Labels) -> DroppedJson<'_> {
    DroppedJson { discovered_labels: LabelObject(labels), scrape_pool: pool_of(labels) }
}

/// Discovered labels name the scrape configuration as `job`.
pub(super) fn pool_of(discovered: &Labels) -> &str {
    discovered.value("job")
}
