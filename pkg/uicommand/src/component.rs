//! The command itself.

use std::sync::Arc;

use assembly::{Component, Deps, Error};
use axum::Router;
use axum::response::Response;
use axum::routing::{any, get};
use flags::{Command, Parsed};
use futures::future::BoxFuture;
use service::Group;
use tokio_util::sync::CancellationToken;
use transport::http::Probe;
use ui::{Page, Site};

use crate::config::Config;
use crate::proxy::{Upstream, pass};

/// The pages of a Prometheus.
const PROMETHEUS: &[Page] = &[
    Page::Query,
    Page::Explore,
    Page::Targets,
    Page::Discovery,
    Page::Alerts,
    Page::Rules,
    Page::Cardinality,
    Page::Status,
];
/// Those of a querier.
const QUERY: &[Page] = &[
    Page::Query,
    Page::Explore,
    Page::Topology,
    Page::Targets,
    Page::Alerts,
    Page::Rules,
    Page::Cardinality,
    Page::Status,
];
/// Each of both once.
const ALL: &[Page] = &[
    Page::Query,
    Page::Explore,
    Page::Topology,
    Page::Targets,
    Page::Discovery,
    Page::Alerts,
    Page::Rules,
    Page::Cardinality,
    Page::Status,
];

/// `aion ui`.
///
/// # Errors
/// Flags that cannot be used, an address in use.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(assembly::run::<Ui>(parsed, deps, shutdown))
}

/// `aion ui`.
#[derive(Debug)]
pub struct Ui {
    config: Config,
    deps: Deps,
    probe: Probe,
}

impl Component for Ui {
    type Config = Config;

    fn command() -> Command {
        crate::command()
    }

    async fn build(config: Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        Ok(Self { config, deps, probe })
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn deps(&self) -> &Deps {
        &self.deps
    }

    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn http_routes(&self) -> Router {
        let upstream = self.config.upstream.clone();
        let (asked, version) = (upstream.clone(), self.deps.metrics.build().version);
        // Each time anew: the server may have been replaced by another kind.
        let about = get(move || about(asked.clone(), version));
        let api = Router::new().route("/api/v1/{*path}", any(pass)).with_state(upstream);
        self.config.http.prefixes.mount("graph", ui::home(), ui::routes_about(ALL, about).merge(api))
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        self.probe.ready();
        let shutdown = group.shutdown();
        group.spawn("wait", async move { shutdown.cancelled().await });
    }
}

/// `ui.json`, by what the server is.
async fn about(upstream: Upstream, version: &'static str) -> Response {
    let thanos = upstream.is_thanos().await;
    let (component, pages) = if thanos { ("query", QUERY) } else { ("prometheus", PROMETHEUS) };
    Site { component, version: version.to_owned(), pages, thanos }.about()
}
