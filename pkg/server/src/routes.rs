//! The HTTP routes: the API, remote write and read, federation, pages.

use std::sync::Arc;

use api::ApiState;
use api::federate::{Federation, FederationOptions, FederationSource};
use assembly::Deps;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use labels::Labels;
use model::format_rfc3339_ms;
use remote::receive::{Receiver, ReceiverOptions};
use remote::serve::{ReadServer, ReadServerOptions};
use storage::SeriesSource;
use transport::http::pages::{escape, page};
use tsdb::db::Tsdb;

use crate::config::Config;
use crate::in_force::InForce;

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
        let page = get(self.page());
        let build = self.state.build;
        let version = get(move || async move {
            Json(serde_json::json!({"version": build.version, "revision": build.revision, "branch": build.branch}))
        });
        let mut routes = Router::new()
            .route("/graph", page.clone())
            .route("/query", page)
            .route("/version", version)
            .merge(api::router(self.state.clone()));
        routes = routes.merge(self.federation().router()).merge(self.read_server().router());
        if self.config.receiver.enabled {
            routes = routes.merge(self.receiver().router());
        }
        routes
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
        let source =
            FederationSource { series: self.tsdb.clone(), external: self.external_labels(), ready: Arc::new(|| true) };
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

    fn receiver(&self) -> Receiver {
        let config = &self.config.receiver;
        let options = ReceiverOptions {
            accepted: config.messages.clone(),
            decoded_bytes_max: config.request_bytes_max,
            labels: self.config.limits.labels,
            seed: (self.deps.random)() as u64,
            ..ReceiverOptions::default()
        };
        let (tsdb, clock) = (self.tsdb.clone(), self.deps.clock.clone());
        Receiver::new(tsdb, options, clock, self.state.budget.clone(), &self.deps.metrics)
    }

    /// A small page: what runs here.
    pub fn page(&self) -> impl Fn() -> std::future::Ready<Response> + Clone + Send + Sync + use<> + 'static {
        let (tsdb, in_force, config) = (self.tsdb.clone(), self.in_force.clone(), self.config.clone());
        move || std::future::ready(shown(&tsdb, &in_force, &config).into_response())
    }
}

fn shown(tsdb: &Tsdb, in_force: &InForce, config: &Config) -> Response {
    let range = tsdb.info().range;
    let since = if range.is_empty() { "no data yet".to_owned() } else { format_rfc3339_ms(range.min) };
    let rows = [
        ("Series in the head", tsdb.head().series().to_string()),
        ("Data since", since),
        ("External labels", format!("<code>{}</code>", escape(&in_force.external_labels().to_string()))),
        ("Configuration", escape(&config.config_file.display().to_string())),
        ("Jobs", in_force.loaded().jobs.len().to_string()),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("<tr><th>{name}<td>{value}")).collect();
    let links = "<p><a href=api/v1/targets>targets</a> <a href=api/v1/status/config>configuration</a> \
                 <a href=api/v1/status/tsdb>cardinality</a> <a href=api/v1/status/flags>flags</a> \
                 <a href=metrics>metrics</a>";
    page("aion server", &format!("<h1>aion server</h1><table>{rows}</table>{links}"))
}
