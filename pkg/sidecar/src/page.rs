//! The small page at `/`: how it stands with Prometheus and the bucket.

use axum::response::Response;
use model::format_rfc3339_ms;
use transport::http::pages::{escape, page};

use crate::PrometheusState;

/// The page. `shipped` = how many blocks of the data directory are in the bucket; `None` without uploads.
pub(crate) fn render(state: &PrometheusState, shipped: Option<usize>) -> Response {
    let since = state.identity().map_or("nothing known yet".to_owned(), |i| format_rfc3339_ms(i.range.min));
    let health = match state.last_error() {
        Some(e) => format!("<span class=down>{}</span>", escape(&e)),
        None if state.is_up() => "up".to_owned(),
        None => "not asked yet".to_owned(),
    };
    let rows = [
        ("Prometheus", escape(state.client().shown_url())),
        ("State", health),
        ("Version", escape(&state.version())),
        ("External labels", format!("<code>{}</code>", escape(&state.external_labels().to_string()))),
        ("Data since", since),
        ("Blocks in the bucket", shipped.map_or("uploads are off".to_owned(), |n| format!("{n} of those on disk"))),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("<tr><th>{name}<td>{value}")).collect();
    page("aion sidecar", &format!("<h1>aion sidecar</h1><table>{rows}</table><p><a href=metrics>metrics</a>"))
}
