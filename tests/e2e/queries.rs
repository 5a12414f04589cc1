//! The queries that must have Prometheus' answers: templates times operators and functions, and some by hand.

use tests::compare::Order;

/// One query.
#[derive(Debug, Clone)]
pub struct Case {
    pub query: String,
    /// What an instant query's order of series must be.
    pub order: Order,
}

const RANGES: [&str; 4] = ["1m", "5m", "15m", "1h"];
const OFFSETS: [&str; 3] = ["1m", "10m", "3h"];
const AGGREGATIONS: [&str; 9] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile"];
const OVER_TIME: [&str; 11] = [
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "changes",
    "resets",
];
const RATES: [&str; 5] = ["rate", "increase", "delta", "irate", "idelta"];
const MATHS: [&str; 24] = [
    "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round", "sgn", "sin", "cos", "tan", "asin", "acos",
    "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad",
];
const DATES: [&str; 8] =
    ["day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year"];
const ARITHMETIC: [&str; 6] = ["+", "-", "*", "/", "%", "^"];
const COMPARISONS: [&str; 6] = ["==", "!=", "<", ">", "<=", ">="];

const BY_HAND: &[&str] = &[
    // selectors
    "demo_memory_bytes",
    "{__name__=\"demo_memory_bytes\"}",
    "{__name__=~\"demo_(up|limit)\"}",
    "{job=\"demo\",__name__=~\"demo_b.*\"}",
    "demo_memory_bytes{type=~\"f.*|used\"}",
    "demo_memory_bytes{type!~\"f.*|used\"}",
    "demo_memory_bytes{type!=\"free\",cluster=\"eu\"}",
    "demo_memory_bytes{cluster=~\"e.\",instance!=\"host-1:8080\"}",
    "demo_memory_bytes{cluster=\"nowhere\"}",
    "demo_memory_bytes{nothing=\"\"}",
    "demo_memory_bytes{type=\"\"}",
    "nonexistent",
    "demo_temperature_celsius{site=\"東京\"}",
    "demo_temperature_celsius{site=~\"Z.rich|東.\"}",
    "demo_temperature_celsius{site=~\"(?s).*\\\"b\\\".*\"}",
    "demo_job_running",
    "demo_weird",
    "demo_backup_age",
    "demo_info",
    "-demo_balance",
    "+demo_balance",
    // numbers
    "42",
    "-1.5e3",
    "0x2a",
    "NaN",
    "Inf",
    "-Inf",
    "1 + 2 * 3 ^ 2 % 5",
    "time()",
    "vector(time())",
    "scalar(demo_limit)",
    "scalar(demo_limit{cluster=\"eu\",instance=\"host-0:8080\"})",
    "vector(1) > bool 2",
    "1 > bool 2",
    "pi()",
    // offsets and @
    "demo_memory_bytes offset -5m",
    "demo_requests_total @ 1700020800",
    "rate(demo_requests_total[5m] @ 1700020800)",
    "rate(demo_requests_total[5m] @ 1700020800 offset 1h)",
    "sum(rate(demo_requests_total[5m] @ start()))",
    "sum(rate(demo_requests_total[5m] @ end()))",
    "max_over_time(demo_balance[10m] @ 1700028000) - demo_balance",
    // subqueries
    "max_over_time(rate(demo_requests_total{code=\"200\"}[5m])[30m:1m])",
    "min_over_time(sum by (instance) (rate(demo_cpu_seconds_total{mode=\"idle\"}[5m]))[1h:5m])",
    "avg_over_time(demo_balance[20m:])",
    "count_over_time(demo_up[1h:7m] offset 30m)",
    "sum_over_time((demo_balance > 0)[30m:30s])",
    "deriv(rate(demo_cpu_seconds_total{mode=\"user\"}[5m])[30m:1m])",
    "max_over_time(max_over_time(demo_balance[10m30s:1m])[1h:10m])",
    "quantile_over_time(0.9, demo_balance[1h:2m] @ end())",
    "rate(demo_requests_total{path=\"/\"}[20m:1m])",
    "absent_over_time(demo_job_running[15m:1m])",
    "last_over_time(demo_job_running[1h:13m])",
    // joins
    "demo_memory_bytes{type=\"free\"} / ignoring(type) demo_limit",
    "demo_memory_bytes / ignoring(type) group_left demo_limit",
    "demo_memory_bytes * on (instance, cluster) group_left (version) demo_info",
    "demo_info * on (instance, cluster) group_right (version) demo_memory_bytes",
    "sum by (instance, cluster) (demo_memory_bytes) / on (instance, cluster) demo_limit",
    "demo_memory_bytes{type=\"free\"} + on (instance) demo_limit",
    "demo_memory_bytes + demo_balance",
    "demo_memory_bytes / on (cluster, instance, type) demo_memory_bytes",
    "demo_memory_bytes / ignoring(type) demo_limit",
    "rate(demo_requests_total{code=\"500\"}[5m]) / ignoring(code) rate(demo_requests_total{code=\"200\"}[5m])",
    "sum by (path, cluster) (rate(demo_requests_total{code=~\"5..\"}[5m])) / sum by (path, cluster) (rate(demo_requests_total[5m]))",
    "demo_up == on (instance, cluster) group_left demo_limit",
    // sets
    "demo_balance and demo_balance > 0",
    "demo_balance{queue=\"in\"} or demo_balance",
    "demo_balance unless demo_balance > 0",
    "demo_memory_bytes and on (instance, cluster) demo_up == 1",
    "demo_memory_bytes unless on (instance, cluster) demo_job_running",
    "demo_job_running or on (instance, cluster) demo_up",
    "demo_up or demo_limit or nonexistent",
    "nonexistent or vector(7)",
    "demo_balance and nonexistent",
    // histograms
    "histogram_quantile(0.5, rate(demo_duration_seconds_bucket[5m]))",
    "histogram_quantile(0.9, sum by (le) (rate(demo_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.99, sum by (le, path, cluster) (rate(demo_duration_seconds_bucket[15m])))",
    "histogram_quantile(0.25, sum without (instance) (increase(demo_duration_seconds_bucket[1h])))",
    "histogram_quantile(1.5, demo_duration_seconds_bucket)",
    "histogram_quantile(-0.1, demo_duration_seconds_bucket)",
    "histogram_quantile(NaN, demo_duration_seconds_bucket)",
    "histogram_quantile(0.5, demo_duration_seconds_bucket{le!=\"+Inf\"})",
    "histogram_quantile(0.5, demo_memory_bytes)",
    "rate(demo_duration_seconds_sum[5m]) / rate(demo_duration_seconds_count[5m])",
    "sum(rate(demo_duration_seconds_bucket{le=\"0.1\"}[5m])) / sum(rate(demo_duration_seconds_count[5m]))",
    // label functions
    "label_replace(demo_up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "label_replace(demo_up, \"host\", \"x-${1}\", \"instance\", \"host-([0-9]+):8080\")",
    "label_replace(demo_up, \"job\", \"\", \"job\", \".*\")",
    "label_replace(demo_up, \"host\", \"$1\", \"instance\", \"nomatch\")",
    "label_replace(demo_up, \"instance\", \"same\", \"\", \"\")",
    "label_replace(demo_up, \"bad name!\", \"$1\", \"instance\", \"(\")",
    "label_join(demo_up, \"where\", \"/\", \"cluster\", \"instance\", \"nothing\")",
    "sum by (host) (label_replace(demo_memory_bytes, \"host\", \"$1\", \"instance\", \"(.*):.*\"))",
    // absence
    "absent(demo_up)",
    "absent(nonexistent{cluster=\"eu\",job=~\"x\"})",
    "absent(sum(nonexistent))",
    "absent(demo_job_running{instance=\"host-0:8080\",cluster=\"eu\",slot=\"1\"})",
    "absent_over_time(demo_job_running{instance=\"host-0:8080\",cluster=\"eu\",slot=\"1\"}[5m])",
    "absent_over_time(nonexistent[1h])",
    // functions with arguments
    "clamp(demo_balance, -1, 2)",
    "clamp(demo_balance, 2, -1)",
    "clamp_min(demo_balance, 0)",
    "clamp_max(demo_balance, 0)",
    "round(demo_temperature_celsius, 0.5)",
    "predict_linear(demo_memory_bytes[15m], 3600)",
    "deriv(demo_memory_bytes[15m])",
    "quantile_over_time(0.3, demo_memory_bytes[1h])",
    "quantile_over_time(2, demo_balance[15m])",
    "timestamp(demo_up)",
    "timestamp(demo_backup_age)",
    "timestamp(demo_job_running offset 1h)",
    "time() - timestamp(demo_job_running)",
    "minute()",
    "hour(vector(1700020800))",
    "days_in_month(demo_up * 1700020800)",
    // nesting and mixture
    // (Prometheus 2 keeps the name of what atan2 is applied to)
    "sum by (cluster, queue) (demo_balance atan2 3)",
    "2 atan2 3.5",
    "sum(sum by (instance) (rate(demo_cpu_seconds_total[5m]))) by (nothing)",
    "1 - avg by (instance, cluster) (rate(demo_cpu_seconds_total{mode=\"idle\"}[5m]))",
    "sum without (instance, method) (increase(demo_requests_total[1h]))",
    "max(demo_memory_bytes) by (type) - min(demo_memory_bytes) by (type)",
    "avg(max_over_time(demo_temperature_celsius[1h])) by (site)",
    "count_values(\"value\", demo_balance)",
    "count_values by (cluster) (\"value\", round(demo_temperature_celsius))",
    "count({__name__=~\".+\"})",
    "count by (__name__) ({__name__!=\"\"})",
    "count by (__name__, cluster) ({job=\"demo\"})",
    "sum(demo_weird)",
    "min(demo_weird)",
    "max(demo_weird)",
    "count(demo_weird > 0)",
    "demo_weird == demo_weird",
    "demo_weird != demo_weird",
    "max_over_time(demo_weird[5m])",
    "min_over_time(demo_weird[5m])",
    "count_over_time(demo_weird[5m])",
    "changes(demo_weird[15m])",
    "demo_balance > demo_balance offset 30m",
    "rate(demo_requests_total[5m]) > 1 < 2",
    "sum(rate(demo_requests_total[5m])) > bool 10",
    "(demo_up == 0) * on (instance, cluster) group_left (version) demo_info",
    "rate(demo_info[5m])",
    "increase(demo_job_running[45m])",
    "count_over_time(demo_job_running[45m])",
    "sum by (version) (demo_info)",
    "demo_up offset 20h",
    "sum_over_time(demo_backup_age[20m])",
    "rate(demo_backup_age[20m])",
    // what must fail
    "sum(",
    "rate(demo_up)",
    "demo_up[5m]",
    "sum by (a) by (b) (demo_up)",
    "demo_up + on (instance) group_left demo_memory_bytes + on (instance) group_left demo_memory_bytes",
    "label_replace(demo_up, \"dst\")",
    "no_such_function(demo_up)",
    "demo_up{job=~\"(\"}",
];

const SORTED: &[&str] = &[
    "sort(demo_memory_bytes)",
    "sort_desc(demo_memory_bytes)",
    "sort_desc(sum by (instance, cluster) (rate(demo_requests_total[5m])))",
    "topk(3, demo_memory_bytes)",
    "bottomk(3, demo_memory_bytes)",
    "topk(1, demo_memory_bytes) by (cluster)",
    "topk(100, demo_temperature_celsius)",
    "topk(0, demo_memory_bytes)",
    "bottomk by (type) (2, demo_memory_bytes)",
];

/// All queries.
pub fn all() -> Vec<Case> {
    let mut out: Vec<String> = BY_HAND.iter().map(|q| (*q).to_owned()).collect();
    for aggregation in AGGREGATIONS {
        let with = |inner: &str| match aggregation {
            "quantile" => format!("0.7, {inner}"),
            _ => inner.to_owned(),
        };
        out.push(format!("{aggregation}({})", with("demo_memory_bytes")));
        out.push(format!("{aggregation} by (type) ({})", with("demo_memory_bytes")));
        out.push(format!("{aggregation} without (instance, cluster) ({})", with("demo_memory_bytes")));
        out.push(format!("{aggregation} by (path, code) ({})", with("rate(demo_requests_total[5m])")));
        out.push(format!("{aggregation}({})", with("nonexistent")));
    }
    for quantile in ["-0.5", "0", "0.5", "0.99", "1", "1.5"] {
        out.push(format!("quantile by (cluster) ({quantile}, demo_temperature_celsius)"));
        out.push(format!("quantile_over_time({quantile}, demo_temperature_celsius[15m])"));
    }
    for function in OVER_TIME {
        for range in RANGES {
            out.push(format!("{function}(demo_balance[{range}])"));
        }
        out.push(format!("{function}(demo_job_running[1h])"));
    }
    for function in RATES {
        for range in RANGES {
            out.push(format!("{function}(demo_requests_total{{code=\"200\"}}[{range}])"));
        }
        out.push(format!("{function}(demo_cpu_seconds_total[5m] offset 3h)"));
    }
    for offset in OFFSETS {
        out.push(format!("demo_memory_bytes offset {offset}"));
        out.push(format!("sum by (cluster) (rate(demo_requests_total[15m] offset {offset}))"));
        out.push(format!("avg_over_time(demo_balance[10m:1m] offset {offset})"));
    }
    for function in MATHS {
        out.push(format!("{function}(demo_temperature_celsius)"));
        out.push(format!("{function}(demo_weird{{kind!=\"mixed\"}})"));
    }
    for function in DATES {
        out.push(format!("{function}(timestamp(demo_up))"));
    }
    for operator in ARITHMETIC {
        out.push(format!("1.25 {operator} demo_balance"));
        out.push(format!("demo_balance {operator} 3"));
        out.push(format!("demo_temperature_celsius {operator} ignoring(site) group_left demo_limit"));
        out.push(format!("2 {operator} 3.5"));
    }
    for operator in COMPARISONS {
        out.push(format!("demo_balance {operator} 1"));
        out.push(format!("1 {operator} bool demo_balance"));
        out.push(format!("demo_balance {operator} bool on (cluster, instance, queue) demo_balance offset 5m"));
        out.push(format!("demo_temperature_celsius {operator} on (cluster, instance) group_left demo_up"));
    }
    let mut cases: Vec<_> = out.into_iter().map(|query| Case { query, order: Order::Any }).collect();
    cases.extend(SORTED.iter().map(|q| Case { query: (*q).to_owned(), order: Order::Same }));
    cases
}
