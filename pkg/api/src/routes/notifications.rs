//! `notifications` and, as a stream of events, `notifications/live`.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use model::Annotations;
use serde::Serialize;

use crate::envelope::{Answered, success};
use crate::error::ApiError;
use crate::json::Time;
use crate::notifications::Notification;
use crate::shared::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/notifications", get(all))
}

/// The stream, which nothing may hold back: neither compression nor readiness.
pub(crate) fn live_route() -> Router<Shared> {
    Router::new().route("/notifications/live", get(live))
}

#[derive(Debug, Serialize)]
struct NotificationJson<'a> {
    text: &'a str,
    date: Time,
    active: bool,
}

impl<'a> NotificationJson<'a> {
    fn of(one: &'a Notification) -> Self {
        Self { text: &one.text, date: Time(one.at_ms.checked_mul(1_000_000)), active: one.active }
    }
}

/// A querier has none.
async fn all(State(shared): State<Shared>) -> Answered {
    let found = shared.state.server.as_ref().map(|server| server.notifications.all()).unwrap_or_default();
    let shown: Vec<_> = found.iter().map(NotificationJson::of).collect();
    success(&shown, &Annotations::new(), 0)
}

async fn live(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let Some(subscription) = shared.server()?.notifications.subscribe() else {
        // What a browser takes for the wish not to come again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let events = stream::unfold(subscription, |mut subscription| async move {
        let one = subscription.next().await?;
        // Its fields are plain, so that it is always written.
        let json = serde_json::to_string(&NotificationJson::of(&one)).unwrap_or_default();
        Some((Ok::<_, Infallible>(format!("data: {json}\n\n")), subscription))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
