//! `admin/tsdb/…`: what changes or copies the local TSDB. Disabled unless the server says otherwise.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use http::StatusCode;
use model::{Annotations, MAX_TIME_MS, MIN_TIME_MS, TimeRange};
use serde::Serialize;
use storage::TsdbAdmin;
use transport::http::answers::ErrorKind;

use crate::envelope::{Answered, success};
use crate::error::{ApiError, internal};
use crate::params::Params;
use crate::request::RequestCtx;
use crate::shared::Shared;
use crate::values::parse_bool;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/tsdb/delete_series", post(delete_series).put(delete_series))
        .route("/admin/tsdb/clean_tombstones", post(clean_tombstones).put(clean_tombstones))
        .route("/admin/tsdb/snapshot", post(snapshot).put(snapshot))
}

#[derive(Debug, Serialize)]
struct SnapshotJson {
    name: String,
}

fn admin(shared: &Shared) -> Result<Arc<dyn TsdbAdmin>, ApiError> {
    shared.server()?.admin.clone().ok_or_else(|| ApiError {
        // Prometheus' status for it.
        status: Some(StatusCode::INTERNAL_SERVER_ERROR),
        ..ApiError::new(ErrorKind::Unavailable, "admin APIs disabled")
    })
}

async fn delete_series(State(shared): State<Shared>, params: Params) -> Answered {
    let admin = admin(&shared)?;
    let texts = params.all("match[]");
    if texts.is_empty() {
        return Err(ApiError::bad("no match[] parameter provided"));
    }
    let range = TimeRange::new(params.time("start", MIN_TIME_MS)?, params.time("end", MAX_TIME_MS)?);
    let parse =
        |text: &&str| promql_syntax::parse_series_matchers(text).map_err(|why| ApiError::parameter("match[]", why));
    // All are read before anything is deleted.
    let selectors = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if selectors.iter().any(Vec::is_empty) {
        // Prometheus takes it and deletes nothing.
        return Err(ApiError::parameter("match[]", "{} names no series, and is not taken for all of them"));
    }
    let request = RequestCtx::new(&params, &shared)?;
    admin.delete_series(&request.ctx, selectors, range).await.map_err(|e| internal("deleting series", e))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn clean_tombstones(State(shared): State<Shared>, params: Params) -> Answered {
    let admin = admin(&shared)?;
    let request = RequestCtx::new(&params, &shared)?;
    admin.clean_tombstones(&request.ctx).await.map_err(|e| internal("cleaning tombstones", e))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn snapshot(State(shared): State<Shared>, params: Params) -> Answered {
    let admin = admin(&shared)?;
    let parse = |text: &str| parse_bool(text).map_err(|why| format!("unable to parse boolean: {why}"));
    let skip_head = params.parsed("skip_head", parse)?.unwrap_or(false);
    let request = RequestCtx::new(&params, &shared)?;
    let name = admin.snapshot(&request.ctx, skip_head).await.map_err(|e| internal("create snapshot", e))?;
    success(&SnapshotJson { name }, &Annotations::new(), 0)
}
