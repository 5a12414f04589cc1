//! The page over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::host::Host;

/// How many pages may be made at one time; further requests are refused (503).
const PAGES_MAX: usize = 4;

/// The host's metrics at `/metrics`.
pub fn routes(host: Arc<Host>) -> Router {
    let places = Arc::new(Semaphore::new(PAGES_MAX));
    Router::new().route("/metrics", get(move || page(host.clone(), places.clone())))
}

async fn page(host: Arc<Host>, places: Arc<Semaphore>) -> Response {
    let Ok(place) = places.try_acquire_owned() else {
        let text = format!("{PAGES_MAX} other requests for the host's metrics are still running. Scrape less often.\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let made = tokio::task::spawn_blocking(move || {
        let _place = place;
        host.collect()
    });
    match made.await {
        Ok(text) => ([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response(),
        Err(e) => {
            warn!(err = %e, "the host's metrics could not be read");
            (StatusCode::INTERNAL_SERVER_ERROR, "The host's metrics could not be read, see the log.\n").into_response()
        }
    }
}
