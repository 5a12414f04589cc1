//! The shape of a component.

use std::sync::Arc;

use axum::Router;
use flags::{Command, Outcome, Parsed};
use service::Group;
use transport::http::Probe;

use crate::deps::Deps;
use crate::error::Error;
use crate::grpc::{GrpcConfig, GrpcServices};
use crate::http::HttpConfig;
use crate::reload::Reloads;

/// The settings of a component: what its flags mean, checked once.
pub trait Config: Clone + Send + Sync + Sized + 'static {
    /// From a command line; `deps` gives the time of the start.
    ///
    /// # Errors
    /// The first flag or file that cannot be used.
    fn from_flags(parsed: &Parsed, deps: &Deps) -> Result<Self, Error>;

    /// The part about the HTTP listener.
    fn http(&self) -> &HttpConfig;

    /// The gRPC part; `None` = the component has no gRPC listener.
    fn grpc(&self) -> Option<&GrpcConfig> {
        None
    }
}

/// The settings of a component within another program, from what would stand on its command line.
///
/// # Errors
/// Flags that cannot be used, or that only print something.
pub fn configured<C: Component>(
    args: impl IntoIterator<Item = impl Into<String>>,
    deps: &Deps,
) -> Result<C::Config, Error> {
    match flags::parse(&C::command(), args.into_iter().map(Into::into), "")? {
        Outcome::Run(parsed) => C::Config::from_flags(&parsed, deps),
        Outcome::Print(text) => Err(Error::Config(text)),
    }
}

/// A component: built from settings and [`Deps`], then served until it is told to stop.
pub trait Component: Send + Sync + Sized + 'static {
    /// Its settings, composed of the parts that this crate and others own.
    type Config: Config;

    /// Its command line; the name is also the one in its metrics.
    fn command() -> Command;

    /// What the metrics of its reloads begin with: after those of Thanos' rule and receive, unless it takes the place of
    /// another program.
    fn reload_metrics() -> String {
        format!("thanos_{}_config_last_reload", Self::command().name.replace('-', "_"))
    }

    /// Puts the parts together. `probe` is the component's own; while this waits for anything, probes and metrics are
    /// served already.
    ///
    /// # Errors
    /// Settings that turn out not to be usable, a bucket that cannot be.
    fn build(config: Self::Config, deps: Deps, probe: Probe) -> impl Future<Output = Result<Self, Error>> + Send;

    /// The settings that it was built from.
    fn config(&self) -> &Self::Config;

    /// The dependencies that it was built with.
    fn deps(&self) -> &Deps;

    /// Whether it is ready: set by the component, shown by the probes and the gRPC health service.
    fn probe(&self) -> &Probe;

    /// Its pages and its HTTP API. Probes, metrics and profiles come by themselves.
    fn http_routes(&self) -> Router;

    /// Its gRPC services; `None` = none.
    fn grpc_services(&self) -> Option<GrpcServices> {
        None
    }

    /// Registers what can be read again while it runs.
    fn on_reload(self: &Arc<Self>, _reloads: &mut Reloads) {}

    /// Starts its tasks. The component ends when any of them does; one that takes long to stop tells
    /// [`Group::allow`].
    fn spawn(self: &Arc<Self>, group: &mut Group);
}
