//! The fixed list of queries that two servers are compared by.

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// An instant query at the end.
    Instant(&'static str),
    /// A range query: seconds before the end, step in seconds.
    Range(&'static str, u32, u32),
    /// Another path, with a matcher or none, over the last eleven hours.
    List(&'static str, &'static str),
}

use Ask::{Instant, List, Range};

const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;

/// Of one block of very many series.
#[allow(dead_code, reason = "of one of the programs")]
pub const WIDE: [(&str, Ask); 5] = [
    ("w1 count", Instant("count(wide)")),
    ("w2 sum by one label", Instant("sum by (zone) (wide)")),
    ("w3 topk", Instant("topk(5, wide)")),
    ("w4 each with itself", Instant("count(wide / wide)")),
    ("w5 label values", List("/api/v1/label/pod/values", "")),
];

/// Of months, one point an hour.
#[allow(dead_code, reason = "of one of the programs")]
pub const MONTHS: [(&str, Ask); 6] = [
    ("m1 rates by one label", Range("sum by (job) (rate(requests_total[1h]))", 29 * DAY, HOUR)),
    ("m2 increase of each", Range("increase(requests_total[1h])", 29 * DAY, HOUR)),
    ("m3 averages", Range("avg by (job) (avg_over_time(queue_length[1h]))", 29 * DAY, HOUR)),
    ("m4 highest", Range("max by (job) (max_over_time(queue_length[1h]))", 29 * DAY, HOUR)),
    ("m5 sums of a gauge", Range("sum by (job) (queue_length)", 29 * DAY, HOUR)),
    ("m6 every series", Range("queue_length", 29 * DAY, HOUR)),
];

/// Id and question.
pub const QUERIES: [(&str, Ask); 19] = [
    ("q01 sum of rates, 1 h at 15 s", Range("sum(rate(http_requests_total[5m]))", HOUR, 15)),
    ("q02 rates by two labels, 6 h", Range("sum by (namespace, code) (rate(http_requests_total[5m]))", 6 * HOUR, 60)),
    (
        "q03 histogram_quantile, 6 h",
        Range(
            "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))",
            6 * HOUR,
            60,
        ),
    ),
    (
        "q04 topk of rates, 6 h",
        Range("topk(10, sum by (pod) (rate(container_network_receive_bytes_total[5m])))", 6 * HOUR, 60),
    ),
    (
        "q05 regular expressions, 1 h at 15 s",
        Range(
            "sum by (pod) (rate(http_requests_total{pod=~\".*-[0-9a-f]*7[0-9a-f]*-.*\",code=~\"2..|5..\"}[5m]))",
            HOUR,
            15,
        ),
    ),
    (
        "q06 busy CPUs, 11 h",
        Range("1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m]))", 11 * HOUR, 60),
    ),
    ("q07 all CPU modes, 11 h", Range("sum by (mode) (rate(node_cpu_seconds_total[5m]))", 11 * HOUR, 60)),
    ("q08 subquery, 6 h at 5 min", Range("max_over_time(sum(rate(http_requests_total[5m]))[1h:1m])", 6 * HOUR, 300)),
    (
        "q09 error ratio, 6 h",
        Range(
            "sum by (namespace) (rate(http_requests_total{code=~\"5..\"}[5m])) / sum by (namespace) (rate(http_requests_total[5m]))",
            6 * HOUR,
            60,
        ),
    ),
    (
        "q10 join by group_left, 6 h",
        Range(
            "sum by (node) (process_resident_memory_bytes * on (pod, namespace) group_left (node) kube_pod_info)",
            6 * HOUR,
            60,
        ),
    ),
    ("q11 avg_over_time of 11 h", Instant("avg_over_time(node_load1[11h])")),
    ("q12 increase of 11 h", Instant("sum by (job) (increase(http_requests_total[11h]))")),
    ("q13 quantile_over_time, 6 h at 10 min", Range("quantile_over_time(0.95, go_goroutines[1h])", 6 * HOUR, 600)),
    ("q14 plain selector, 1 h at 15 s", Range("node_cpu_seconds_total", HOUR, 15)),
    ("q15 count of all", Instant("count({__name__=~\".+\"})")),
    ("q16 count by name", Instant("sort_desc(count by (__name__) ({__name__!=\"\"}))")),
    ("q17 alert-like", Instant("sum by (pod) (rate(http_requests_total{code=\"500\"}[5m])) > 0.01")),
    ("q18 label values", List("/api/v1/label/pod/values", "")),
    ("q19 series", List("/api/v1/series", "http_requests_total{namespace=\"ns-3\"}")),
];
