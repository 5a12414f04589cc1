//! Texts: queries, patterns, scripts, configuration.

use std::path::Path;

use gotemplate::prometheus::{AlertData, AlertTemplate, Answers, Context, Expansion};
use gotemplate::{Limits as TemplateLimits, Value};
use labels::Labels;
use promql_syntax::{ParseOptions, parse_metric_labels, parse_series_description, parse_series_matchers, parse_with};
use transport::http::{ClientConfig, WebConfig};

/// Longest input read; quadratic algorithms are no concern of these targets.
const BYTES_MAX: usize = 16 << 10;

pub(crate) fn text(data: &[u8]) -> &str {
    let data = &data[..data.len().min(BYTES_MAX)];
    match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&data[..e.valid_up_to()]).unwrap_or_default(),
    }
}

/// A PromQL expression: what is printed of it means the same.
pub fn promql(data: &[u8]) {
    // The stack of a test's thread holds less than that of the program.
    let options = ParseOptions { max_nesting: 50, max_depth: 100, ..ParseOptions::ALL };
    let Ok(expr) = parse_with(text(data), &options) else { return };
    let printed = expr.to_string();
    let looser = ParseOptions { max_nesting: 400, max_depth: 400, ..options };
    match parse_with(&printed, &looser) {
        Ok(again) => assert_eq!(again.to_string(), printed),
        Err(e) => panic!("{printed:?}: {e}"),
    }
    let pretty = promql_syntax::pretty(&expr);
    match parse_with(&pretty, &looser) {
        Ok(again) => assert_eq!(again.to_string(), printed, "{pretty}"),
        Err(e) => panic!("{pretty:?}: {e}"),
    }
    drop(promql_syntax::to_json(&expr));
}

/// Selectors, label sets and described series.
pub fn promql_selectors(data: &[u8]) {
    let text = text(data);
    drop(parse_series_matchers(text));
    drop(parse_metric_labels(text));
    drop(parse_series_description(text, 1000));
    drop(promql_syntax::unquote(text));
}

/// A regular expression, tried on a few strings.
pub fn re2_pattern(data: &[u8]) {
    let limits =
        re2::Limits { max_program_bytes: 128 << 10, max_cache_bytes: 128 << 10, max_height: 100, ..Default::default() };
    let pattern = text(data);
    let matcher = re2::Matcher::with_limits(pattern, &limits);
    if let Ok(matcher) = &matcher {
        for text in ["", "a", "node-exporter-7:9100", "\n", "äöü😀", pattern] {
            let matches = matcher.matches(text);
            if let Some(literals) = matcher.literals() {
                assert_eq!(literals.iter().any(|l| l == text), matches, "{pattern:?} on {text:?}");
            }
            assert!(!matches || text.starts_with(matcher.prefix()), "{pattern:?} on {text:?}");
        }
    }
    if let Ok(regex) = re2::Regex::with_limits(pattern, &limits) {
        for text in ["", "a", "node-exporter-7:9100", "äöü😀"] {
            if let Some(captures) = regex.captures(text) {
                drop(regex.expand("$1-${2}-$name-$$", &captures));
            }
        }
    }
}

/// A script of metric tests.
pub fn test_script(data: &[u8]) {
    drop(promql_syntax::testlang::parse_script(text(data), 1000));
}

/// Durations, sizes and times, one a line.
pub fn durations(data: &[u8]) {
    for line in text(data).lines() {
        if let Ok(ms) = model::parse_duration(line) {
            assert_eq!(model::parse_duration(&model::format_duration(ms)), Ok(ms), "{line:?}");
        }
        drop(flags::parse_go_duration(line));
        _ = flags::parse_time_or_duration(line, 1_700_000_000_000);
        drop(line.parse::<model::ByteSize>());
    }
}

/// A page of metrics.
pub fn metrics_page(data: &[u8]) {
    _ = promclient::untrusted::lowest_timestamp_ms(data);
}

/// The YAML of a bucket.
pub fn objstore_yaml(data: &[u8]) {
    let env = |name: &str| (name == "HOME").then(|| "$(HOME)".to_owned());
    drop(objstore::Config::parse(text(data), &env));
}

/// Relabel rules, applied.
pub fn relabel_yaml(data: &[u8]) {
    let Ok(rules) = relabel::parse_rules(text(data)) else { return };
    let labels = Labels::from_pairs([("__name__", "up"), ("instance", "a:9100"), ("job", "node"), ("replica", "0")]);
    if let Some(out) = relabel::apply(&rules, &labels) {
        assert!(out.iter().is_sorted());
    }
}

/// A label or annotation of an alert, expanded.
pub fn alert_template(data: &[u8]) {
    let Ok(template) = AlertTemplate::parse("t", text(data)) else { return };
    let labels = Labels::from_pairs([("instance", "a:9100"), ("job", "node"), ("le", "+Inf")]);
    let about = AlertData {
        labels: labels.clone(),
        external_labels: labels,
        external_url: "http://localhost:9090/".to_owned(),
        value: Value::Float(-1234.5),
    };
    let limits = TemplateLimits { output_bytes_max: 16 << 10, work_max: 20_000, ..TemplateLimits::default() };
    let mut answers = Answers::default();
    // Each query gets an answer, as long as there are not many.
    while answers.len() < 4 {
        match template.expand(&about, &Context::default(), &answers, limits) {
            Ok(Expansion::Query(query)) => answers.add(query, Ok(Vec::new())),
            // A text without anything to expand is given as it is.
            Ok(Expansion::Done(text)) => return assert!(text.len() <= limits.output_bytes_max.max(data.len())),
            Err(_) => return,
        }
    }
}

/// A native histogram of an API's answer.
pub fn api_histogram(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<promclient::HistogramJson>(data) else { return };
    if let Ok(histogram) = json.histogram() {
        let lengths = |spans: &[histogram::Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
        assert_eq!(lengths(&histogram.positive_spans), histogram.positive_buckets.len());
        assert_eq!(lengths(&histogram.negative_spans), histogram.negative_buckets.len());
    }
}

/// The YAML of an HTTP client.
pub fn http_client_yaml(data: &[u8]) {
    drop(ClientConfig::parse(text(data)));
}

/// What a scraped target answers.
pub fn http_answer(data: &[u8]) {
    drop(transport::http::read_answer(data));
}

/// The YAML of a web server.
pub fn web_yaml(data: &[u8]) {
    drop(WebConfig::parse(text(data), Path::new("/nonexistent")));
}

/// The YAML of traces.
pub fn tracing_yaml(data: &[u8]) {
    drop(transport::traces::TracingConfig::parse(text(data)));
}

/// The YAML of the request log.
pub fn request_log_yaml(data: &[u8]) {
    drop(transport::RequestLog::parse(text(data)));
}

/// Prometheus' own configuration.
pub fn prometheus_yaml(data: &[u8]) {
    drop(promclient::untrusted::external_labels(text(data)));
}
