//! What Prometheus' alert templates do.

use gotemplate::prometheus::{AlertData, AlertTemplate, Answers, Context, Expansion};
use gotemplate::{Limits, Sample, Value};
use labels::Labels;

fn expand_value(text: &str, value: f64) -> Result<String, String> {
    let data = AlertData {
        labels: Labels::from_pairs([("instance", "host.example.org:9100"), ("job", "node")]),
        external_labels: Labels::from_pairs([("cluster", "eu")]),
        external_url: "http://prom:9090/path".to_owned(),
        value: Value::Float(value),
    };
    let context = Context {
        now_ms: 1_353_755_652_000,
        external_url: "http://prom:9090/path".to_owned(),
        path_prefix: "/path".to_owned(),
    };
    let template = AlertTemplate::parse("__alert_A", text).map_err(|e| e.to_string())?;
    let mut answers = Answers::default();
    loop {
        match template.expand(&data, &context, &answers, Limits::default()).map_err(|e| e.to_string())? {
            Expansion::Done(text) => return Ok(text),
            Expansion::Query(query) => {
                let sample = |instance: &str, value| Sample {
                    labels: Labels::from_pairs([("__name__", "metric"), ("instance", instance)]),
                    value,
                };
                let answer = match query.as_str() {
                    "metric" => Ok(vec![sample("b", 21.0), sample("a", 11.0)]),
                    "none" => Ok(Vec::new()),
                    query => Err(format!("unknown query {query}")),
                };
                answers.add(query, answer);
            }
        }
    }
}

fn expand(text: &str) -> Result<String, String> {
    expand_value(text, 0.1)
}

#[test]
fn variables() {
    for (text, want) in [
        ("plain", "plain"),
        ("{{ $labels.job }} {{ .Labels.job }} {{ $labels.none }}|", "node node |"),
        ("{{ $value }} {{ .Value }} {{ $value | humanizePercentage }}", "0.1 0.1 10%"),
        (
            "{{ $externalLabels.cluster }} {{ $externalURL }} {{ .ExternalURL }}",
            "eu http://prom:9090/path http://prom:9090/path",
        ),
        ("{{ externalURL }}{{ pathPrefix }} {{ now }}", "http://prom:9090/path/path 1.353755652e+09"),
        ("{{ with $labels }}{{ .instance }}{{ end }}", "host.example.org:9100"),
        ("{{ if gt $value 0.05 }}high{{ end }}", "high"),
        ("{{ printf \"%.2f\" $value }}", "0.10"),
        ("stuff {{ $.labels.service }}", ""),
    ] {
        match want {
            "" => assert!(expand(text).unwrap_err().contains("can't evaluate field labels")),
            want => assert_eq!(expand(text).as_deref(), Ok(want), "{text}"),
        }
    }
}

#[test]
fn functions() {
    for (text, want) in [
        (r#"{{ query "metric" | first | value }}"#, "21"),
        (r#"{{ query "metric" | first | label "instance" }}"#, "b"),
        (
            r#"{{ range query "metric" | sortByLabel "instance" }}{{ .Labels.instance }}:{{ .Value }}: {{ end }}"#,
            "a:11: b:21: ",
        ),
        (r#"{{ range query "none" }}x{{ else }}none{{ end }}"#, "none"),
        (r#"{{ with query "metric" }}{{ . | first | value | humanize }}{{ end }}"#, "21"),
        (r#"{{ "hello world_x-y" | title }} {{ "ABC" | toLower }} {{ toUpper "abc" }}"#, "Hello World_x-Y abc ABC"),
        (r#"{{ match "a+" "aa" }} {{ match "a+" "b" }} {{ reReplaceAll "(a)b" "x$1" "abab" }}"#, "true false xaxa"),
        (r#"{{ reReplaceAll "(.*):\\d+" "$1" $labels.instance }}"#, "host.example.org"),
        (
            r#"{{ stripPort "h:1" }} {{ stripPort "h" }} {{ stripPort "[::1]:80" }} {{ stripPort "::1" }}"#,
            "h h ::1 ::1",
        ),
        (
            r#"{{ stripDomain "a.b.c" }} {{ stripDomain "a.b.c:90" }} {{ stripDomain "10.0.0.1:90" }} {{ stripDomain "[2001:db8::1]:90" }}"#,
            "a a:90 10.0.0.1:90 [2001:db8::1]:90",
        ),
        (
            r#"{{ graphLink "up{a=\"b\"} + 1" }} {{ tableLink "up" }}"#,
            "/graph?g0.expr=up%7Ba%3D%22b%22%7D+%2B+1&g0.tab=0 /graph?g0.expr=up&g0.tab=1",
        ),
        (r#"{{ parseDuration "1h2m10ms" }} {{ toDuration 90 }} {{ (toDuration 90).Seconds }}"#, "3720.01 1m30s 90"),
        (
            r#"{{ 1435065584.128 | humanizeTimestamp }} {{ (1435065584.128 | toTime).Year }}"#,
            "2015-06-23 13:19:44.128 +0000 UTC 2015",
        ),
        (r#"{{ urlQueryEscape "a b&c" }} {{ safeHtml "<b>" }}"#, "a+b%26c <b>"),
        (r#"{{ define "x" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template "x" (args 1 "2") }}"#, "1-2"),
        (r#"{{ define "x" }}<{{ . }}>{{ end }}{{ tmpl "x" "y" }}{{ $t := "x" }}{{ tmpl $t 3 }}"#, "<y><3>"),
        (r#"{{ strvalue (query "metric" | first) }}|"#, "|"),
    ] {
        assert_eq!(expand(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn numbers_for_people() {
    let mut wrong = Vec::new();
    for (function, value, want) in [
        ("humanize", 0.0, "0"),
        ("humanize", 1.0, "1"),
        ("humanize", 1_234_567.0, "1.235M"),
        ("humanize", 0.12, "120m"),
        ("humanize", -1e24, "-1Y"),
        ("humanize", 1e27, "1000Y"),
        ("humanize", 1e-24, "1y"),
        ("humanize", f64::NAN, "NaN"),
        ("humanize", f64::INFINITY, "+Inf"),
        ("humanize1024", 0.0, "0"),
        ("humanize1024", 1.0, "1"),
        ("humanize1024", 1_048_576.0, "1Mi"),
        ("humanize1024", 0.12, "0.12"),
        ("humanizeDuration", 0.0, "0s"),
        ("humanizeDuration", 1.0, "1s"),
        ("humanizeDuration", 60.0, "1m 0s"),
        ("humanizeDuration", 3600.0, "1h 0m 0s"),
        ("humanizeDuration", 86_400.0, "1d 0h 0m 0s"),
        ("humanizeDuration", 86_400.0 + 3661.0, "1d 1h 1m 1s"),
        ("humanizeDuration", -3661.0, "-1h 1m 1s"),
        ("humanizeDuration", 899.99, "14m 59s"),
        ("humanizeDuration", 0.1, "100ms"),
        ("humanizeDuration", 0.0001, "100us"),
        ("humanizeDuration", 1.2345, "1.234s"),
        ("humanizePercentage", 0.1234567, "12.35%"),
        ("humanizePercentage", -1.0, "-100%"),
        ("humanizeTimestamp", 0.0, "1970-01-01 00:00:00 +0000 UTC"),
        ("humanizeTimestamp", f64::NEG_INFINITY, "-Inf"),
    ] {
        let got = expand_value(&format!("{{{{ $value | {function} }}}}"), value);
        if got.as_deref() != Ok(want) {
            wrong.push((function, value, want, got));
        }
    }
    assert_eq!(wrong, []);
    assert_eq!(expand(r#"{{ "1234" | humanize }} {{ 1234 | humanize1024 }}"#).as_deref(), Ok("1.234k 1.205ki"));
}

#[test]
fn mistakes_are_told() {
    for (text, want) in [
        ("{{ $labels.a", "template: __alert_A:1: unclosed action"),
        ("{{ nope }}", "function \"nope\" not defined"),
        ("{{ $label.foo }}", "undefined variable \"$label\""),
        (r#"{{ query "none" | first }}"#, "error calling first: first() called on vector with no elements"),
        (r#"{{ query "bad" }}"#, "error calling query: unknown query bad"),
        (r#"{{ "x" | humanize }}"#, "error calling humanize: strconv.ParseFloat: parsing \"x\": invalid syntax"),
        ("{{ $labels | humanize }}", "can't convert map[string]string to float"),
        (r#"{{ match "(" "x" }}"#, "error calling match"),
        ("{{ toUpper $value }}", "wrong type for value; expected string; got float64"),
        ("{{ title }}", "wrong number of args for title: want 1 got 0"),
        (r#"{{ parseDuration "x" }}"#, "error calling parseDuration"),
        (r#"{{ 1e300 | humanizeTimestamp }}"#, "overflows int64"),
    ] {
        let error = expand(text).unwrap_err();
        assert!(error.contains(want), "{text}: {error}");
    }
}
