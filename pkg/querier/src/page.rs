//! The small page at `/`: what this querier asks, and links to try. The full UI comes later.

use api::StoresAnswer;
use model::format_rfc3339_ms;
use transport::http::pages::escape;

/// Queries worth a first click.
const TRY: [(&str, &str); 4] = [
    ("up", "which targets answer"),
    ("count by (__name__) ({__name__!=\"\"})", "which metrics there are"),
    ("sum by (job) (rate(http_requests_total[5m]))", "requests per second"),
    ("time() - process_start_time_seconds", "how long processes live"),
];

/// The page's body as HTML.
pub(crate) fn render(stores: &StoresAnswer) -> String {
    let mut out = String::from(
        "<h1>aion query</h1><form action=api/v1/query><input name=query value=up aria-label=PromQL> <button>Run</button></form>\
         <h2>Endpoints</h2>",
    );
    if stores.stores.is_empty() {
        out.push_str("<p>None is configured: start with <code>--endpoint=host:10901</code>.");
    } else {
        out.push_str("<table><tr><th>Address<th>Kind<th>State<th>External labels<th>From<th>To");
        for store in &stores.stores {
            let state = match &store.last_error {
                Some(e) => format!("<span class=down>down: {}</span>", escape(e)),
                None if store.last_check_ns.is_none() => "not asked yet".to_owned(),
                None => "up".to_owned(),
            };
            let labels: Vec<_> = store.label_sets.iter().map(|l| escape(&l.to_string())).collect();
            out.push_str(&format!(
                "<tr><td>{}<td>{}<td>{state}<td>{}<td>{}<td>{}",
                escape(&store.name),
                escape(&store.component),
                labels.join("<br>"),
                time(store.min_time),
                time(store.max_time),
            ));
        }
        out.push_str("</table>");
    }
    out.push_str("<h2>Try</h2><ul>");
    for (query, what) in TRY {
        let encoded: String = query.bytes().map(|b| format!("%{b:02X}")).collect();
        out.push_str(&format!(
            "<li><a href=\"api/v1/query?query={encoded}\"><code>{}</code></a>: {what}",
            escape(query)
        ));
    }
    out.push_str(
        "</ul><p>For Grafana: add a Prometheus data source with this page's address. \
         <a href=metrics>metrics</a> · <a href=api/v1/stores>stores</a> · <a href=api/v1/status/flags>flags</a>",
    );
    out
}

fn time(ms: i64) -> String {
    match ms {
        ms if ms <= -62_135_596_800_000 => "always".to_owned(),
        ms if ms >= 253_402_300_799_000 => "now".to_owned(),
        ms => format_rfc3339_ms(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::StoreStatus;

    #[test]
    fn shows_and_escapes() {
        let hostile =
            StoreStatus { name: "<script>".to_owned(), last_error: Some("a<b".to_owned()), ..Default::default() };
        let html = render(&StoresAnswer { stores: vec![hostile] });
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>") && html.contains("down: a&lt;b"));
    }
}
