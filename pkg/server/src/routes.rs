//! The HTTP routes: the API, remote write and read, federation, the web interface.

use std::sync::Arc;

use api::ApiState;
use api::federate::{Federation, FederationOptions, FederationSource};
use assembly::Deps;
use axum::routing::get;
use axum::{Json, Router};
use labels::Labels;
use remote::serve::{ReadServer, ReadServerOptions};
use tsdb::db::Tsdb;
use ui::{Page, Site};

use crate::budgets::writes;
use crate::config::Config;
use crate::in_force::InForce;
use crate::receivers::receivers;

/// Pages of the web interface.
const PAGES: &[Page] = &[
    Page::Query,
    Page::Explore,
    Page::Targets,
    Page::Discovery,
    Page::Alerts,
    Page::Rules,
    Page::Cardinality,
    Page::Queries,
    Page::Status,
];

/// What the routes are made of.
pub struct Routes<'a> {
    pub config: &'a Config,
    pub deps: &'a Deps,
    pub tsdb: &'a Arc<Tsdb>,
    pub in_force: &'a Arc<InForce>,
    pub state: &'a ApiState,
}

impl Routes<'_> {
    /// All but the page at the root.
    pub fn all(&self) -> Router {
        let build = self.state.build;
        let version = get(move || async move {
            Json(serde_json::json!({"version": build.version, "revision": build.revision, "branch": build.branch}))
        });
        let mut routes = Router::new()
            .route("/version", version)
            .merge(ui::routes(&self.site()))
            .merge(api::router(self.state.clone()));
        routes = routes.merge(self.federation().router()).merge(self.read_server().router());
        routes.merge(receivers(self.config, self.deps, self.in_force, self.tsdb.clone(), writes(self.config)))
    }

    fn external_labels(&self) -> Arc<dyn Fn() -> Labels + Send + Sync> {
        let in_force = self.in_force.clone();
        Arc::new(move || in_force.external_labels())
    }

    fn federation(&self) -> Federation {
        let options = FederationOptions {
            lookback_ms: self.config.engine.lookback_ms,
            parse: self.config.engine.parse,
            series_max: 0,
        };
        // An answer of federation has no place for a warning: as long as the log is read, it would silently miss series.
        let replayed = self.tsdb.clone();
        let ready = Arc::new(move || replayed.unfinished().is_none());
        let source = FederationSource { series: self.tsdb.clone(), external: self.external_labels(), ready };
        let (clock, budget) = (self.deps.clock.clone(), self.state.budget.clone());
        Federation::new(source, options, clock, budget, &self.deps.metrics)
    }

    fn read_server(&self) -> ReadServer {
        let config = &self.config.remote_read;
        let options = ReadServerOptions {
            samples_max: config.samples_max,
            concurrent_max: config.concurrent_max,
            frame_bytes_max: config.frame_bytes_max,
            ..ReadServerOptions::default()
        };
        let budget = self.state.budget.clone();
        ReadServer::new(self.tsdb.clone(), self.external_labels(), options, budget, &self.deps.metrics)
    }

    fn site(&self) -> Site {
        Site { component: "server", version: self.state.build.version.to_owned(), pages: PAGES, thanos: true }
    }
}
