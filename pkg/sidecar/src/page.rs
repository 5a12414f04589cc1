//! The small page at `/`: how it stands with Prometheus and the bucket.

use model::format_rfc3339_ms;

use crate::PrometheusState;

/// The page as HTML. `shipped` = how many blocks of the data directory are in the bucket; `None` without uploads.
pub(crate) fn render(state: &PrometheusState, shipped: Option<usize>) -> String {
    let since = state.identity().map_or("nothing known yet".to_owned(), |i| format_rfc3339_ms(i.range.min));
    let health = match state.last_error() {
        Some(e) => format!("<span class=down>{}</span>", escape(&e)),
        None if state.is_up() => "up".to_owned(),
        None => "not asked yet".to_owned(),
    };
    let rows = [
        ("Prometheus", escape(state.client().base())),
        ("State", health),
        ("Version", escape(&state.version())),
        ("External labels", format!("<code>{}</code>", escape(&state.external_labels().to_string()))),
        ("Data since", since),
        ("Blocks in the bucket", shipped.map_or("uploads are off".to_owned(), |n| format!("{n} of those on disk"))),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("<tr><th>{name}<td>{value}")).collect();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>aion sidecar</title><style>\
         body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}\
         td,th{{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}}\
         code{{background:#f4f4f4;padding:.1rem .3rem}}.down{{color:#b00;white-space:pre-wrap}}</style>\
         <h1>aion sidecar</h1><table>{rows}</table><p><a href=metrics>metrics</a>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
