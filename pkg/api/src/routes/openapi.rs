//! `openapi.yaml`: what the routes take, for programs.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;

use crate::openapi::{VERSIONS, document};
use crate::params::Params;
use crate::shared::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/openapi.yaml", get(openapi))
}

async fn openapi(State(shared): State<Shared>, params: Params) -> Response {
    let wanted = params.get("openapi_version");
    let version = VERSIONS.iter().find(|(short, full)| wanted == *short || wanted == *full).unwrap_or(&VERSIONS[0]);
    let text = document(version.1, shared.state.build.version);
    ([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], text).into_response()
}
