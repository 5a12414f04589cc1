//! The commands of promtool, over its own test files and beside the real one.

#![allow(clippy::unwrap_used, reason = "tests")]

mod running;

use std::path::{Path, PathBuf};
use std::process::Command;

use running::run;

fn testdata() -> Option<PathBuf> {
    let dir = std::env::var_os("AION_CONFORMANCE_DIR")?;
    Some(Path::new(&dir).join("prometheus/cmd/promtool/testdata"))
}

#[tokio::test(flavor = "multi_thread")]
async fn unit_tests_of_promtool_pass_and_fail_as_they_do_there() {
    let Some(dir) = testdata() else { return };
    for (file, flags, code, text) in [
        ("unittest.yml", &[][..], 0, "SUCCESS"),
        ("long-period.yml", &[], 0, "SUCCESS"),
        ("start-time-test.yml", &[], 0, "SUCCESS"),
        ("no-test-group-interval.yml", &[], 0, "SUCCESS"),
        ("at-modifier-test.yml", &[], 0, "SUCCESS"),
        ("negative-offset-test.yml", &[], 0, "SUCCESS"),
        ("bad-input-series.yml", &[], 1, "input series"),
        ("bad-promql.yml", &[], 1, "expr: \"join_1 + on(a) join_2\", time: 0s, err: "),
        ("bad-rules-error-test.yml", &[], 1, "rule: joined, time: 0s, err: "),
        ("bad-rules-syntax-test.yml", &[], 1, "could not parse expression"),
        (
            "failing.yml",
            &[],
            1,
            "name: Failing alert test,\n    alertname: InstanceDown, time: 5m, \n        exp:[], \n        got:[",
        ),
        ("failing.yml", &["--diff"], 1, "diff:"),
        (
            "rules_run.yml",
            &[],
            1,
            "expr: \"test\", time: 0s,\n        exp: {__name__=\"test\"} 1E+00\n        got: {__name__=\"test\"} 0E+00",
        ),
        ("rules_run.yml", &["--run=correct"], 0, "SUCCESS"),
        ("rules_run.yml", &["--run=wrong"], 1, "FAILED"),
        ("rules_run_fuzzy.yml", &["--run=correct"], 0, "SUCCESS"),
        ("rules_run_fuzzy.yml", &["--run=wrong"], 1, "FAILED"),
        ("rules_run_no_fuzzy.yml", &[], 1, "FAILED"),
        ("rules_run_extrafields.yml", &[], 1, "unknown key \"namespace\""),
        ("rules_run_extrafields.yml", &["--ignore-unknown-fields"], 0, "SUCCESS"),
    ] {
        let path = dir.join(file).display().to_string();
        let args: Vec<&str> =
            ["test", "rules"].into_iter().chain(flags.iter().copied()).chain([path.as_str()]).collect();
        let (got, printed) = run(&args).await;
        assert_eq!(got, code, "{file} {flags:?}: {printed}");
        assert!(printed.contains(text), "{file} {flags:?}: {printed}");
        beside_promtool(file, flags, code, &path);
    }
}

/// Debian's promtool ends in the same way, where it is new enough to know the file's keys and flags.
fn beside_promtool(file: &str, flags: &[&str], code: u8, path: &str) {
    let newer = [
        "no-test-group-interval.yml",
        "start-time-test.yml",
        "unittest.yml",
        "rules_run_fuzzy.yml",
        "rules_run_no_fuzzy.yml",
        "rules_run_extrafields.yml",
    ];
    if newer.contains(&file) || !flags.is_empty() {
        return;
    }
    let Ok(output) = Command::new("promtool").args(["test", "rules", path]).output() else { return };
    assert_eq!(output.status.code(), Some(i32::from(code)), "promtool, {file}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_series_that_is_given_again_has_its_last_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.yml");
    let series = "  - {series: 'a{x=\"1\",y=\"2\"}', values: '1 2 3'}\n  - {series: b, values: '7'}\n  \
                  - {series: 'a{y=\"2\",x=\"1\"}', values: '_ 5'}\n";
    let tests =
        "  - {expr: 'sum_over_time(a[1h])', eval_time: 2m, exp_samples: [{labels: '{x=\"1\",y=\"2\"}', value: 5}]}\n";
    let text = format!("tests:\n- interval: 1m\n  input_series:\n{series}  promql_expr_test:\n{tests}");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let (code, printed) = run(&["test", "rules", &path]).await;
    assert_eq!(code, 0, "{printed}");
    beside_promtool("again.yml", &[], code, &path);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_written_as_junit() {
    let Some(dir) = testdata() else { return };
    let out = tempfile::tempdir().unwrap();
    let xml = out.path().join("r.xml").display().to_string();
    let path = dir.join("rules_run.yml").display().to_string();
    let (code, _) = run(&["test", "rules", &format!("--junit={xml}"), &path]).await;
    let text = std::fs::read_to_string(&xml).unwrap();
    assert_eq!(code, 1);
    assert!(text.contains("tests=\"2\" failures=\"1\""), "{text}");
    assert!(text.contains("<testcase name=\"correct test\">") && text.contains("<failure>"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_files_are_checked() {
    let Some(dir) = testdata() else { return };
    for (file, flags, code, text) in [
        ("rules.yml", &[][..], 0, "SUCCESS: 5 rules found"),
        ("features.yml", &[], 0, "SUCCESS: 4 rules found"),
        ("rules-bad.yml", &[], 1, "undefined variable \"$label\""),
        ("bad-rules-syntax.yml", &[], 1, "could not parse expression"),
        ("rules_extrafields.yml", &[], 1, "unknown key \"namespace\""),
        ("rules_extrafields.yml", &["--ignore-unknown-fields"], 0, "SUCCESS"),
        ("prometheus-rules.lint.yml", &[], 0, "1 duplicate rule(s) found"),
        ("prometheus-rules.lint.yml", &["--lint-fatal"], 3, "1 duplicate rule(s) found"),
        ("prometheus-rules.lint.yml", &["--lint=none", "--lint-fatal"], 0, "SUCCESS"),
        ("rules_duplicates.yml", &["--lint-fatal"], 3, "lint error"),
        ("no-such-file.yml", &[], 1, "No such file"),
    ] {
        let path = dir.join(file).display().to_string();
        let args: Vec<&str> =
            ["check", "rules"].into_iter().chain(flags.iter().copied()).chain([path.as_str()]).collect();
        let (got, printed) = run(&args).await;
        assert_eq!(got, code, "{file} {flags:?}: {printed}");
        assert!(printed.contains(text), "{file} {flags:?}: {printed}");
    }
    let alerts = dir.join("../../../../thanos/examples/alerts/alerts.yaml").display().to_string();
    let (code, printed) = run(&["rules-check", "--rules", &alerts]).await;
    assert!(code == 0 && printed.contains("rules found"), "{printed}");
    let bad = dir.join("rules-bad.yml").display().to_string();
    assert_eq!(run(&["rules-check", "--rules", &bad]).await.0, 1);
    assert_eq!(run(&["rules-check"]).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_checked() {
    let Some(dir) = testdata() else { return };
    for (file, flags, code, text) in [
        ("prometheus-config.good.yml", &[][..], 0, "is valid prometheus config file syntax"),
        ("prometheus-config.bad.yml", &[], 1, "unknown key"),
        ("prometheus-config.lint.yml", &["--lint-fatal"], 3, "SUCCESS: 1 rule files found"),
        ("prometheus-config.lint.yml", &[], 0, "duplicate rule(s) found"),
        (
            "prometheus-config.lint.too_long_scrape_interval.yml",
            &["--lint=too-long-scrape-interval", "--lint-fatal"],
            3,
            "job: too_long_scrape_interval_test, interval: 10m",
        ),
        ("prometheus-config.lint.too_long_scrape_interval.yml", &["--lint-fatal"], 0, "SUCCESS"),
        ("config_with_rule_files.yml", &[], 1, "does not point to an existing file"),
        ("config_with_rule_files.yml", &["--syntax-only"], 0, "is valid"),
        ("url_in_scrape_targetgroup_with_relabel_config.good.yml", &[], 0, "is valid"),
        ("url_in_alert_targetgroup_with_relabel_config.bad.yml", &[], 1, "FAILED"),
        ("url_in_scrape_targetgroup_with_relabel_config.bad.yml", &[], 1, "FAILED"),
        ("authorization_credentials_file.bad.yml", &[], 1, "error checking authorization credentials"),
        ("authorization_credentials_file.bad.yml", &["--syntax-only"], 0, "is valid"),
        ("config_with_tls_files.yml", &[], 1, "error checking client cert file"),
        ("config_with_service_discovery_files.yml", &[], 0, "file_sd in scrape job \"prometheus\" does not exist"),
        ("prometheus-config.lint.yml", &["--lint=other,none", "--lint-fatal"], 0, "unknown lint option: \"other\""),
    ] {
        let path = dir.join(file).display().to_string();
        let args: Vec<&str> =
            ["check", "config"].into_iter().chain(flags.iter().copied()).chain([path.as_str()]).collect();
        let (got, printed) = run(&args).await;
        assert_eq!(got, code, "{file} {flags:?}: {printed}");
        assert!(printed.contains(text), "{file} {flags:?}: {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_configurations_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.yml"), dir.path().join("bad.yml"));
    std::fs::write(&good, "http_server_config: {http2: false}\n").unwrap();
    std::fs::write(&bad, "http_server_config: {http3: true}\n").unwrap();
    let (good, bad) = (good.display().to_string(), bad.display().to_string());
    assert_eq!(run(&["check", "web-config", &good]).await, (0, format!("{good} SUCCESS\n")));
    let (code, printed) = run(&["check", "web-config", &good, &bad]).await;
    assert!(code == 1 && printed.contains("bad.yml FAILED: "), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_are_laid_out_and_changed() {
    for (args, want) in [
        (&["promql", "format", "sum(foo)by(a)"][..], "sum by (a) (foo)\n"),
        (
            &["promql", "label-matchers", "set", "rate(foo[5m]) + bar{x=\"1\"}", "x", "2"],
            "  rate(foo{x=\"2\"}[5m])\n+\n  bar{x=\"2\"}\n",
        ),
        (&["promql", "label-matchers", "set", "--type==~", "foo", "x", "a|b"], "foo{x=~\"a|b\"}\n"),
        (&["promql", "label-matchers", "delete", "foo{x=\"1\",y=\"2\"}", "x"], "foo{y=\"2\"}\n"),
    ] {
        let (code, printed) = run(args).await;
        assert_eq!(code, 0, "{printed}");
        let flat = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(flat(&printed), flat(want), "{args:?}");
    }
    assert_eq!(run(&["promql", "format", "sum("]).await.0, 1);
    assert_eq!(run(&["promql", "label-matchers", "set", "foo", "x"]).await.0, 2);
}
