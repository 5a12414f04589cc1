//! `stores` and what the process says of itself.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use model::Annotations;
use serde::Serialize;
use transport::http::answers::{BuildInfoJson, ErrorKind, RuntimeInfo};

use crate::envelope::{Answered, success};
use crate::error::ApiError;
use crate::json::{LabelObject, Time};
use crate::shared::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/stores", get(stores))
        .route("/notifications", get(notifications))
        .route("/status/config", get(config))
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
    small(&RuntimeInfo::new(shared.state.options.start_time_ms, shared.state.clock.now_ms()))
}

/// There is no configuration file to show: the answer says where the settings are.
async fn config(State(shared): State<Shared>) -> Answered {
    let component = &shared.state.options.component;
    let text = format!("the {component} component has no configuration file: its settings are flags, see status/flags");
    Err(ApiError::new(ErrorKind::NotFound, text))
}

/// There are no notifications here.
async fn notifications() -> Answered {
    small(&[(); 0])
}

fn small(data: &impl Serialize) -> Answered {
    success(data, &Annotations::new(), 0)
}
