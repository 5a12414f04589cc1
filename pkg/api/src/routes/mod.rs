//! The routes by group. A new group (administration, writes) is a file here and a line in [`all`].

mod metadata;
mod query;
mod rules;
mod series;
mod status;
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
        .merge(tsdb::routes())
}
