//! Rule files.

use std::path::PathBuf;

use rules::{NameScheme, ParseOptions, parse};

fn wrong(text: &str) -> String {
    parse("f", text, &ParseOptions::default()).unwrap_err().to_string()
}

#[test]
fn mistakes_have_a_place() {
    for (text, want) in [
        ("groups:\n- name: a\n- name: a\n", "line 3, column 3: groupname: \"a\" is repeated in the same file"),
        ("groups:\n- rules: []\n", "line 2, column 3: Groupname must not be empty"),
        ("group: []", "line 1, column 1: unknown key \"group\""),
        (
            "groups:\n- name: a\n  rules:\n  - record: r\n",
            "line 4, column 5: group \"a\", rule 1, \"r\": field 'expr' must be set in rule",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - expr: x\n",
            "group \"a\", rule 1, \"\": one of 'record' or 'alert' must be set",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - {expr: x, record: a, alert: b}\n",
            "only one of 'record' and 'alert' must be set",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - {expr: 'x +', record: a}\n",
            "could not parse expression: 1:4: parse error",
        ),
        ("groups:\n- name: a\n  rules:\n  - {expr: x, record: a, for: 1m}\n", "invalid field 'for' in recording rule"),
        (
            "groups:\n- name: a\n  rules:\n  - {expr: x, record: a, annotations: {a: b}}\n",
            "invalid field 'annotations' in recording rule",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - {expr: x, record: 'a{b=\"c\"}'}\n",
            "braces present in the recording rule name",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - {expr: x, alert: A, labels: {__name__: b}}\n",
            "invalid label name: __name__",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: x\n    annotations:\n      s: '{{ $x }}'\n",
            "line 7, column 7: group \"a\", rule 1, \"A\": annotation \"s\": template: __alert_A:1: undefined variable \"$x\"",
        ),
        ("groups:\n- name: a\n  interval: 1\n", "line 3, column 13: interval: "),
        ("groups:\n- name: a\n  partial_response_strategy: abort\n", "unknown key \"partial_response_strategy\""),
        ("groups: {a: b}", "a list is expected here"),
        ("groups:\n- name: a\n  rules:\n  - expr: [1]\n    record: x\n", "line 4"),
    ] {
        let error = wrong(text);
        assert!(error.contains(want), "{text}\n{error}\nwant {want}");
    }
    // All mistakes are told at once.
    let error = wrong("groups:\n- name: a\n  rules:\n  - record: r\n  - alert: b\n  - {record: c, expr: '('}\n");
    assert_eq!(error.matches("group \"a\"").count(), 3, "{error}");
}

#[test]
fn options_widen_what_is_taken() {
    let text = "extra: 1\ngroups:\n- name: a\n  other: x\n  rules:\n  - {record: r, expr: x, more: y}\n";
    let ignoring = ParseOptions { ignore_unknown_fields: true, ..ParseOptions::default() };
    assert_eq!(parse("f", text, &ignoring).unwrap()[0].rules.len(), 1);
    let thanos = ParseOptions { thanos: true, ..ParseOptions::default() };
    let text = "groups:\n- name: a\n  partial_response_strategy: abort\n";
    let groups = parse("f", text, &thanos).unwrap();
    assert_eq!(groups[0].partial_response, Some(storage::PartialResponse::Abort));
    let wrong = parse("f", &text.replace("abort", "never"), &thanos).unwrap_err();
    assert!(wrong.to_string().contains("must be warn or abort"), "{wrong}");
}

#[test]
fn labels_of_a_group_are_those_of_its_rules() {
    let text = "groups:\n- name: a\n  labels: {x: group, y: group}\n  rules:\n  - {record: r, expr: 'a   +b', labels: {x: rule}}\n";
    let groups = parse("f", text, &ParseOptions::default()).unwrap();
    let rule = &groups[0].rules[0];
    assert_eq!((rule.labels.to_string().as_str(), rule.query.as_str()), ("{x=\"rule\", y=\"group\"}", "a + b"));
    assert_eq!(rule.line, 5);
}

/// Every rule file that Prometheus and Thanos test with: those named bad are refused, others taken.
#[test]
fn the_files_of_the_references() {
    let Ok(dir) = std::env::var("AION_CONFORMANCE_DIR") else { return };
    let dir = PathBuf::from(dir);
    let list = |path: &str| -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(dir.join(path)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    };
    let mut seen = 0;
    for path in list("prometheus/model/rulefmt/testdata") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let names = if name.starts_with("legacy_validation") { NameScheme::Legacy } else { NameScheme::Utf8 };
        let options = ParseOptions { names, ..ParseOptions::default() };
        let parsed = parse(name, &std::fs::read_to_string(&path).unwrap(), &options);
        assert_eq!(parsed.is_err(), name.contains(".bad."), "{name}: {parsed:?}");
        seen += 1;
    }
    for path in list("prometheus/rules/fixtures") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let parsed = parse(name, &std::fs::read_to_string(&path).unwrap(), &ParseOptions::default());
        assert_eq!(parsed.is_err(), name.starts_with("invalid"), "{name}: {parsed:?}");
        seen += 1;
    }
    let alerts = std::fs::read_to_string(dir.join("thanos/examples/alerts/alerts.yaml")).unwrap();
    let groups = parse("alerts.yaml", &alerts, &ParseOptions { thanos: true, ..ParseOptions::default() }).unwrap();
    assert!(groups.iter().map(|g| g.rules.len()).sum::<usize>() > 20);
    assert!(seen >= 30, "{seen}");
}
