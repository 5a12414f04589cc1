//! The routes by group. A new group is a file here and a line in [`all`].

mod admin;
mod metadata;
mod notifications;
mod openapi;
mod queries;
mod query;
mod rules;
mod scrapes;
mod search;
mod self_metrics;
mod series;
mod status;
mod target_page;
mod targets;
mod tsdb;

use axum::Router;

use crate::shared::Shared;

/// All groups; paths are relative to `/api/v1`.
pub(crate) fn all() -> Router<Shared> {
    query::routes()
        .merge(series::routes())
        .merge(metadata::routes())
        .merge(rules::routes())
        .merge(targets::routes())
        .merge(status::routes())
        .merge(queries::routes())
        .merge(tsdb::routes())
        .merge(admin::routes())
        .merge(scrapes::routes())
        .merge(search::routes())
        .merge(self_metrics::routes())
        .merge(notifications::routes())
        .merge(openapi::routes())
}

/// Streams of events: they go out as they come, compressed by nothing, before the server is ready too.
pub(crate) fn live() -> Router<Shared> {
    notifications::live_route()
}
