//! What is said of the history, with queries to copy.

use std::fmt::Write;
use std::net::SocketAddr;

use model::format_rfc3339_ms;

use crate::story::{Event, Story};

const HOUR_MS: i64 = 3_600_000;

/// Lines about what happened, and the queries that show it.
pub(crate) fn tour(page: SocketAddr, story: &Story, days: u32, now_ms: i64) -> String {
    let mut out = "\nIn the history:\n".to_owned();
    let mut part = |said: &str, event: &Event, step_s: i64, query: &str| {
        // Some time before and after.
        let (from, to) = (event.time_ms.start - HOUR_MS, event.time_ms.end + HOUR_MS);
        let at = format_rfc3339_ms(event.time_ms.start);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {at} {}: {said}", event.cluster);
        let _ = writeln!(out, "    {}", range(page, query, from, to, step_s));
    };
    part(
        "two hours of errors and slow answers, one of three instances down (on the page: Alerts)",
        &story.incident,
        60,
        r#"sum by (code) (rate(http_requests_total{cluster="eu-1"}[5m]))"#,
    );
    part(
        "six hours with a label that has a value for each session",
        &story.explosion,
        300,
        r#"count by (__name__) ({cluster="us-1",job="api"})"#,
    );
    part("three hours without any samples, of both replicas", &story.gap, 300, r#"count(up{cluster="us-1"})"#);
    let begin = now_ms - i64::from(days) * 24 * HOUR_MS;
    let all = range(page, "sum by (cluster) (rate(http_requests_total[1h]))", begin, now_ms, 21_600);
    let _ = write!(out, "  All {days} days, answered from downsampled data:\n    {all}\n");
    out
}

fn range(page: SocketAddr, query: &str, from_ms: i64, to_ms: i64, step_s: i64) -> String {
    let (from, to) = (from_ms / 1000, to_ms / 1000);
    format!("curl -s 'http://{page}/api/v1/query_range' -d 'query={query}' -d 'start={from}&end={to}&step={step_s}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_a_query() {
        let end_ms = 1_795_219_200_000;
        let text = tour(SocketAddr::from(([127, 0, 0, 1], 9)), &Story::of(end_ms, 90), 90, end_ms);
        assert_eq!(text.matches("curl -s 'http://127.0.0.1:9/api/v1/query_range' -d 'query=").count(), 4, "{text}");
        assert!(text.contains("\n  2026-11-20T00:00:00Z eu-1: two hours of errors"), "{text}");
    }
}
