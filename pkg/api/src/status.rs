//! `stores` and what the process says of itself.

use std::collections::BTreeMap;

use axum::extract::State;
use model::Annotations;
use serde::Serialize;

use crate::error::{ApiError, ErrorKind};
use crate::objects::{LabelObject, Time};
use crate::respond::{Answered, success};
use crate::router::Shared;

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

/// Keys that Go programs have are kept for those who read them; what has no meaning here is empty.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeJson {
    start_time: Time,
    #[serde(rename = "CWD")]
    cwd: String,
    hostname: String,
    server_time: Time,
    goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    workers: usize,
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: i64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildJson<'a> {
    version: &'a str,
    revision: &'a str,
    branch: &'a str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'a str,
    aion_version: &'a str,
}

/// `/api/v1/stores`: endpoints by component.
pub(crate) async fn stores(State(shared): State<Shared>) -> Answered {
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

/// `/api/v1/status/flags`.
pub(crate) async fn flags(State(shared): State<Shared>) -> Answered {
    let flags: BTreeMap<_, _> = shared.state.flags.iter().map(|(name, value)| (name, value)).collect();
    small(&flags)
}

/// `/api/v1/status/buildinfo`. There is no `features` key: Grafana takes it for the mark of another product.
pub(crate) async fn build_info(State(shared): State<Shared>) -> Answered {
    let build = shared.state.build;
    small(&BuildJson {
        version: &shared.state.options.prometheus_version,
        revision: build.revision,
        branch: build.branch,
        build_user: "",
        build_date: "",
        go_version: build.rustc,
        aion_version: build.version,
    })
}

/// `/api/v1/status/runtimeinfo`.
pub(crate) async fn runtime_info(State(shared): State<Shared>) -> Answered {
    let ns = |ms: i64| Time(Some(ms.saturating_mul(1_000_000)));
    let runtime = tokio::runtime::Handle::current().metrics();
    small(&RuntimeJson {
        start_time: ns(shared.state.options.start_time_ms),
        cwd: std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
        hostname: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        server_time: ns(shared.state.clock.now_ms()),
        goroutine_count: runtime.num_alive_tasks(),
        workers: runtime.num_workers(),
        memory_limit: i64::MAX,
        gogc: "",
        godebug: "",
    })
}

/// `/api/v1/status/config`: there is none.
pub(crate) async fn config(State(shared): State<Shared>) -> Answered {
    let component = &shared.state.options.component;
    let text = format!("the {component} component has no configuration file: its settings are flags, see status/flags");
    Err(ApiError::new(ErrorKind::NotFound, text))
}

/// `/api/v1/notifications`: none.
pub(crate) async fn notifications() -> Answered {
    small(&[(); 0])
}

fn small(data: &impl Serialize) -> Answered {
    success(data, &Annotations::new(), 0)
}
