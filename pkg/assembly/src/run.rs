//! From flags to the end.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::IntoResponse;
use flags::Parsed;
use futures::future::FutureExt;
use service::{Group, Hangups};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use transport::http::{HttpMetrics, Probe, common_routes};

use crate::component::{Component, Config};
use crate::deps::Deps;
use crate::error::Error;
use crate::http::HttpConfig;
use crate::listeners::Listeners;
use crate::reload::Reloads;

/// Runs a component with parsed flags until `shutdown`, until its work is done, or until a part fails.
///
/// # Errors
/// Flags or files that cannot be used, listeners that cannot be bound, a part that failed.
pub async fn run<C: Component>(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> Result<(), Error> {
    let config = C::Config::from_flags(parsed, &deps)?;
    run_configured::<C>(config, deps, shutdown).await
}

/// As [`run`], from settings that were read already.
///
/// # Errors
/// As [`run`], but for the flags.
pub async fn run_configured<C: Component>(
    config: C::Config,
    deps: Deps,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let listeners = Listeners::bind(config.http(), config.grpc()).await?;
    run_on::<C>(config, listeners, Probe::new("starting"), deps, shutdown).await
}

/// As [`run_configured`], on sockets that are bound already and with a probe that others may watch.
///
/// # Errors
/// As [`run_configured`], but for the sockets.
pub async fn run_on<C: Component>(
    config: C::Config,
    mut listeners: Listeners,
    probe: Probe,
    deps: Deps,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let http = config.http().clone();
    let common = http.at_both(common_routes(deps.metrics.clone(), probe.clone()));
    let mut build = Box::pin(C::build(config, deps, probe));
    // Most components are built at once.
    let built = match build.as_mut().now_or_never() {
        Some(built) => Some(built),
        None => {
            let stop = shutdown.child_token();
            let (kept, copy) = twice(listeners.http)?;
            listeners.http = kept;
            let server = transport::serve(copy, http.web.wrap(common.fallback(starting)), http.serve, stop.clone());
            let server = tokio::spawn(server);
            let built = shutdown.run_until_cancelled(build).await;
            stop.cancel();
            // It ends by itself, at the latest after its grace period.
            let _ = server.await;
            built
        }
    };
    match built {
        Some(component) => serve(component?, listeners, shutdown).await,
        None => Ok(()),
    }
}

/// The answer to everything that is not served yet. A sender of samples would give up at 404, and comes again at 503.
async fn starting() -> impl IntoResponse {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], "starting, try again\n")
}

/// A listener, and another on the same socket.
fn twice(listener: TcpListener) -> Result<(TcpListener, TcpListener), Error> {
    let listener = listener.into_std().map_err(Listeners::http_error)?;
    let copy = listener.try_clone().map_err(Listeners::http_error)?;
    let tokio = |l| TcpListener::from_std(l).map_err(Listeners::http_error);
    Ok((tokio(listener)?, tokio(copy)?))
}

/// Serves a component that is built, until `shutdown`, until its work is done, or until a part fails.
///
/// At the end the probe says that it is not ready, listeners close, and all parts get the longest of their grace periods
/// and a margin.
///
/// # Errors
/// The first part that failed.
pub async fn serve<C: Component>(component: C, listeners: Listeners, shutdown: CancellationToken) -> Result<(), Error> {
    // Before anything answers: who sees an answer may send a signal at once.
    let hangups = Hangups::listen();
    let component = Arc::new(component);
    let (config, deps, probe) = (component.config(), component.deps(), component.probe().clone());
    let mut group = Group::new(shutdown);
    let token = group.shutdown();

    let mut reloads = Reloads::new(&C::reload_metrics(), deps.clock.clone(), &deps.metrics);
    config.http().on_reload(&mut reloads);
    component.on_reload(&mut reloads);
    let reloads = Arc::new(reloads);

    let mut http = http_router(&*component);
    if let Some(enabled) = config.http().lifecycle {
        let routes = config.http().at_both(reloads.clone().routes(enabled, token.clone()));
        http = http.merge(config.http().web.wrap(routes));
    }
    group.allow(config.http().serve.grace);
    for listener in listeners.more_http.into_iter().chain([listeners.http]) {
        group.spawn("http", transport::serve(listener, http.clone(), config.http().serve.clone(), token.clone()));
    }
    if let (Some(listener), Some(config), Some(grpc)) = (listeners.grpc, config.grpc(), grpc_router(&*component)) {
        group.allow(config.serve.grace);
        group.spawn("grpc", transport::serve(listener, grpc, config.serve.clone(), token.clone()));
    }
    let stop = token.clone();
    group.spawn("reload", async move {
        stop.run_until_cancelled(reloads.at(hangups)).await;
    });
    component.spawn(&mut group);

    let leave = async {
        token.cancelled().await;
        probe.not_ready("shutting down");
    };
    let (ended, ()) = tokio::join!(group.run(), leave);
    Ok(ended?)
}

/// All HTTP routes of a component: its own, counted and logged, beside probes, metrics and profiles.
pub fn http_router(component: &impl Component) -> Router {
    let (deps, HttpConfig { web, request_log, .. }) = (component.deps(), component.config().http());
    let own = HttpMetrics::new(&deps.metrics).wrap(request_log.http(component.http_routes()));
    web.wrap(own.merge(common_routes(deps.metrics.clone(), component.probe().clone())))
}

fn grpc_router(component: &impl Component) -> Option<Router> {
    let log = component.config().http().request_log.clone();
    Some(component.grpc_services()?.router(&component.deps().metrics, component.probe().clone(), log))
}
