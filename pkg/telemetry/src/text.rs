//! OpenMetrics text to Prometheus' older text format, which every scraper reads.

/// `Content-Type` of [`Metrics::encode`](crate::Metrics::encode)'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The encoder spells infinities as Rust does; scrapers read `+Inf` and `-Inf`.
fn infinity(value: &str) -> Option<&'static str> {
    match value {
        "inf" => Some("+Inf"),
        "-inf" => Some("-Inf"),
        _ => None,
    }
}

/// The differences that matter: counters are named with `_total` in their HELP and TYPE lines, kinds unknown to the old
/// format become gauges or untyped, UNIT and EOF lines go. The registry knows no summaries: a family without a kind whose
/// samples are quantiles is one, together with the families of its sum and its count.
pub(crate) fn from_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help: Option<(&str, &str)> = None;
    let mut summary: Option<&str> = None;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some((name, said)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help = Some((name, said));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            if summary.is_some_and(|of| matches!(name.strip_prefix(of), Some("_sum" | "_count"))) {
                continue;
            }
            let of_quantiles = lines.peek().is_some_and(|next| next.contains("quantile=\""));
            summary = (kind == "unknown" && of_quantiles).then_some(name);
            let (suffix, kind) = match kind {
                "unknown" if of_quantiles => ("", "summary"),
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, said)) = help.take().filter(|(n, _)| *n == name) {
                out.push_str(&format!("# HELP {name}{suffix} {said}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            let line = match line.rsplit_once(' ').and_then(|(name, value)| Some((name, infinity(value)?))) {
                Some((name, value)) if !line.starts_with('#') => &format!("{name} {value}"),
                _ => line,
            };
            // An empty label set is legal but no one else writes it.
            match line.split_once('{') {
                Some((name, rest)) if !line.starts_with('#') && rest.starts_with("} ") => {
                    out.push_str(name);
                    out.push_str(&rest[1..]);
                }
                _ => out.push_str(line),
            }
            out.push('\n');
        }
    }
    out
}
