//! `stores` and what the process says of itself.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use model::{Annotations, format_rfc3339_ms};
use serde::Serialize;
use storage::ReplayProgress;
use transport::http::answers::{BuildInfoJson, ErrorKind, RuntimeInfo};

use crate::envelope::{Answered, success};
use crate::error::ApiError;
use crate::json::{LabelObject, Time};
use crate::routes::scrapes::YamlJson;
use crate::shared::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/stores", get(stores))
        .route("/features", get(features))
        .route("/status/config", get(config))
        .route("/status/walreplay", get(wal_replay))
        .route("/status/flags", get(flags))
        .route("/status/runtimeinfo", get(runtime_info))
        .route("/status/buildinfo", get(build_info))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StoreJson<'a> {
    name: &'a str,
    last_check: Time,
    last_error: Option<&'a str>,
    label_sets: Vec<LabelObject<'a>>,
    min_time: i64,
    max_time: i64,
}

/// The endpoints, grouped by component.
async fn stores(State(shared): State<Shared>) -> Answered {
    let now = (shared.state.stores)();
    let mut by_component: BTreeMap<&str, Vec<StoreJson<'_>>> = BTreeMap::new();
    for store in &now.stores {
        by_component.entry(&store.component).or_default().push(StoreJson {
            name: &store.name,
            last_check: Time(store.last_check_ns),
            last_error: store.last_error.as_deref(),
            label_sets: store.label_sets.iter().map(LabelObject).collect(),
            min_time: store.min_time,
            max_time: store.max_time,
        });
    }
    small(&by_component)
}

async fn flags(State(shared): State<Shared>) -> Answered {
    let flags: BTreeMap<_, _> = shared.state.flags.iter().map(|(name, value)| (name, value)).collect();
    small(&flags)
}

async fn build_info(State(shared): State<Shared>) -> Answered {
    small(&BuildInfoJson::of(shared.state.build, &shared.state.options.prometheus_version))
}

async fn runtime_info(State(shared): State<Shared>) -> Answered {
    let info = RuntimeInfo::new(shared.state.options.start_time_ms, shared.state.clock.now_ms());
    let Some(server) = &shared.state.server else { return small(&info) };
    let written = serde_json::to_value(info);
    let mut info = written.map_err(|e| ApiError::new(ErrorKind::Internal, format!("cannot write the answer: {e}")))?;
    let load = server.config.last_load();
    info["reloadConfigSuccess"] = load.success.into();
    info["lastConfigTime"] = format_rfc3339_ms(load.loaded_ms).into();
    info["corruptionCount"] = server.tsdb.corruptions().into();
    info["storageRetention"] = server.config.retention().into();
    small(&info)
}

#[derive(Debug, Serialize)]
struct ReplayJson {
    min: u64,
    max: u64,
    current: u64,
}

async fn wal_replay(State(shared): State<Shared>) -> Answered {
    let ReplayProgress { min, max, current, .. } = shared.server()?.tsdb.replay();
    small(&ReplayJson { min, max, current })
}

async fn features(State(shared): State<Shared>) -> Answered {
    small(&*shared.server()?.features)
}

/// A querier has no configuration file to show: the answer says where the settings are.
async fn config(State(shared): State<Shared>) -> Answered {
    if let Some(server) = &shared.state.server {
        return small(&YamlJson { yaml: server.config.yaml() });
    }
    let component = &shared.state.options.component;
    let text = format!("the {component} component has no configuration file: its settings are flags, see status/flags");
    Err(ApiError::new(ErrorKind::NotFound, text))
}

fn small(data: &impl Serialize) -> Answered {
    success(data, &Annotations::new(), 0)
}
